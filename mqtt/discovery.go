package mqtt

import (
	"encoding/json"
	"fmt"
	"slices"
	"strings"
)

// DiscoveryConfig says how Home Assistant finds the device.
type DiscoveryConfig struct {
	Enabled bool   `mapstructure:"enabled"` // false takes away what was announced before
	Prefix  string `mapstructure:"prefix"`  // Home Assistant's own setting, homeassistant
}

// The device discovery of Home Assistant 2024.11 and newer: one retained message describes the
// device and all its entities.
type (
	announcement struct {
		Device       haDevice               `json:"device"`
		Origin       haOrigin               `json:"origin"`
		Availability []haAvailability       `json:"availability"`
		QoS          int                    `json:"qos"`
		Components   map[string]haComponent `json:"components"`
	}
	haDevice struct {
		Identifiers  []string `json:"identifiers"`
		Name         string   `json:"name"`
		Manufacturer string   `json:"manufacturer"`
		Model        string   `json:"model"`
		Version      string   `json:"sw_version"`
		Area         string   `json:"suggested_area,omitempty"`
	}
	haOrigin struct {
		Name    string `json:"name"`
		Version string `json:"sw_version"`
		URL     string `json:"support_url"`
	}
	haAvailability struct {
		Topic    string `json:"topic"`
		Template string `json:"value_template"`
	}
	haComponent map[string]any
)

// Values of event_type on the device's topic and on a camera's, as Home Assistant hears of them.
var (
	deviceEvents = []string{"model_changed", "model_rolled_back", "queue_dropped", "clock_stepped", "model_confirmed"}
	cameraEvents = []string{"camera_lost", "camera_restored"} // and class_changed, which a sensor tells
)

const projectURL = "https://github.com/vggse/vggse-agent"

// available maps a topic's text to the only two words that Home Assistant knows.
func (*discovery) available(topic string) haAvailability {
	return haAvailability{topic, "{{ 'online' if value == 'online' else 'offline' }}"}
}

// discovery is what is announced to Home Assistant.
type discovery struct {
	link *Link
	id   string // of the device, there
}

// discoveryTopic is where Home Assistant looks for the device.
func (l *Link) discoveryTopic() string {
	return l.cfg.Discovery.Prefix + "/device/vggse_" + l.id.Device + "/config"
}

// announce gives the discovery topic its message. Entities that were announced earlier and are gone
// are taken away, one by one, as Home Assistant wants it. With discovery off nothing is announced;
// what was, tidy takes away.
func (l *Link) announce() {
	if !l.cfg.Discovery.Enabled {
		return
	}
	d := &discovery{link: l, id: "vggse_" + l.id.Device}
	if l.discovery == nil {
		l.discovery = l.out.add(l.discoveryTopic(), 1, true)
	}
	a := announcement{
		Device: haDevice{[]string{d.id}, l.id.Name, "vggse", l.id.Model.Name, l.id.Version, l.id.Site},
		Origin: haOrigin{"vggse-agent", l.id.Version, projectURL}, QoS: 1,
		Availability: []haAvailability{d.available(l.topics.available)}, Components: make(map[string]haComponent),
	}
	d.deviceEntities(a.Components)
	for i, name := range l.id.Cameras {
		d.cameraEntities(a.Components, i, name)
	}
	now := make(map[string]string)
	for key, entity := range a.Components {
		entity["unique_id"] = d.id + "_" + key
		now[key] = entity["platform"].(string)
	}
	for key, platform := range l.memory.entities(now) {
		a.Components[key] = haComponent{"platform": platform}
	}
	l.out.set(l.discovery, encode(a))
}

// deviceEntities are those of the device as a whole.
func (d *discovery) deviceEntities(all map[string]haComponent) {
	t := &d.link.topics
	all["problem"] = haComponent{
		"platform": "binary_sensor", "name": "Problem", "device_class": "problem", "entity_category": "diagnostic",
		"state_topic":    t.health,
		"value_template": "{{ 'ON' if value_json.overall != 'ok' else 'OFF' }}", "json_attributes_topic": t.health,
	}
	all["model"] = haComponent{
		"platform": "sensor", "name": "Model", "entity_category": "diagnostic", "icon": "mdi:brain",
		"state_topic": t.info,
		"value_template": "{{ (value_json.model.name ~ ' ' ~ value_json.model.version ~ ' (' ~ " +
			"value_json.model.sha256[:12] ~ ')')[:255] }}",
	}
	if d.hasTemperature() {
		all["temperature"] = d.temperature()
	}
	if d.link.id.Updates {
		all["release"] = d.release()
	}
	all["event"] = haComponent{"platform": "event", "name": "Event", "entity_category": "diagnostic",
		"state_topic": t.event, "event_types": deviceEvents, "icon": "mdi:message-alert"}
	for _, name := range []string{CommandReload, CommandRestart} {
		if d.link.dispatcher.allowed(name) {
			all[name] = d.button(map[string]string{CommandReload: "Reload configuration",
				CommandRestart: "Restart"}[name], name, "{}")
			if name == CommandRestart {
				all[name]["device_class"] = "restart"
			}
		}
	}
}

// temperature is that of the hottest zone. Its template stands the stats of a machine that tells
// none.
func (d *discovery) temperature() haComponent {
	return haComponent{
		"platform": "sensor", "name": "Temperature", "device_class": "temperature", "state_class": "measurement",
		"unit_of_measurement": "°C", "entity_category": "diagnostic", "state_topic": d.link.topics.stats,
		"expire_after": d.silence(), "suggested_display_precision": 1,
		"value_template": "{% set zones = (value_json.machine | default({}, true)).temperature_c | " +
			"default({}, true) %}{{ zones.values() | max if zones else None }}",
	}
}

// hasTemperature reports whether the machine tells one; before its first stats, whether an earlier
// run has announced one.
func (d *discovery) hasTemperature() bool {
	if known := d.link.machine.temperature; known != nil {
		return *known
	}
	return d.link.memory.announced("temperature")
}

// cameraEntities are those of one camera, the i-th.
func (d *discovery) cameraEntities(all map[string]haComponent, i int, name string) {
	base := d.link.topics.base + name + "/"
	both := []haAvailability{d.available(d.link.topics.available), d.available(base + "status")}
	all[name+"_label"] = d.class(name, base, both)
	all[name+"_confidence"] = haComponent{
		"platform": "sensor", "name": title(name, "confidence"), "icon": "mdi:percent",
		"state_topic": base + "summary", "unit_of_measurement": "%", "state_class": "measurement",
		"suggested_display_precision": 1, "value_template": "{{ (value_json.p * 100) | round(1) }}",
		"availability_mode": "all", "availability": both,
	}
	all[name+"_connected"] = haComponent{
		"platform": "binary_sensor", "name": title(name, "connected"), "device_class": "connectivity",
		"entity_category": "diagnostic", "state_topic": base + "status",
		"value_template": "{{ 'ON' if value == 'online' else 'OFF' }}",
	}
	all[name+"_fps"] = d.figure(i, "fps", haComponent{
		"name": title(name, "frames per second"), "icon": "mdi:speedometer", "unit_of_measurement": "fps"})
	all[name+"_latency"] = d.figure(i, "total_us.p50 / 1000", haComponent{
		"name": title(name, "latency"), "device_class": "duration", "unit_of_measurement": "ms"})
	if d.link.id.Knows {
		all[name+"_unknown"] = d.figure(i, "unknown_share | default(0) * 100", haComponent{
			"name": title(name, "unknown"), "icon": "mdi:help-rhombus-outline", "unit_of_measurement": "%"})
		all[name+"_drift"] = haComponent{
			"platform": "binary_sensor", "name": title(name, "pictures have drifted"), "device_class": "problem",
			"entity_category": "diagnostic", "state_topic": d.link.topics.stats, "expire_after": d.silence(),
			"value_template": fmt.Sprintf("{{ ('ON' if value_json.cameras[%d].drift | default(false) else 'OFF') "+
				"if value_json.cameras | length > %d else None }}", i, i)}
	}
	all[name+"_event"] = haComponent{
		"platform": "event", "name": title(name, "event"), "state_topic": base + "event", "icon": "mdi:cctv",
		"event_types":    cameraEvents,
		"value_template": "{{ value if value_json.event_type != 'class_changed' else '' }}",
	}
	if d.link.dispatcher.allowed(commandSet) {
		d.switches(all, name, base)
	}
	if d.link.dispatcher.allowed(CommandSnapshot) {
		all[name+"_image"] = haComponent{"platform": "image", "name": title(name, "snapshot"),
			"image_topic": base + "snapshot", "content_type": "image/jpeg"}
		args, _ := json.Marshal(map[string]string{"camera": name})
		all[name+"_shoot"] = d.button(title(name, "take snapshot"), CommandSnapshot, string(args))
		all[name+"_shoot"]["icon"] = "mdi:camera"
	}
}

// class is the sensor of the label that holds. It has no attributes: Home Assistant's recorder
// keeps a row of each of them with every change.
func (d *discovery) class(name, base string, both []haAvailability) haComponent {
	c := haComponent{
		"platform": "sensor", "name": title(name, "class"), "icon": "mdi:shape",
		"state_topic": base + "summary", "value_template": classTemplate,
		"default_entity_id": "sensor.vggse_" + lower(d.link.id.Device+"_"+name) + "_class",
		"availability_mode": "all", "availability": both,
	}
	if n := len(d.link.id.Labels); n > 0 && n <= 32 { // a list for people to choose from
		options := make([]string, 0, n+1)
		for _, label := range append(slices.Clone(d.link.id.Labels), d.link.id.Unknown) {
			if word := haState(label); !slices.Contains(options, word) {
				options = append(options, word)
			}
		}
		c["device_class"], c["options"] = "enum", options
	}
	return c
}

// classTemplate is haState in Home Assistant's language.
const classTemplate = "{% set word = value_json.label | trim %}" +
	"{{ ('no class' if word == 'unknown' else word ~ ' (class)' if word | lower in " +
	"['unknown', 'unavailable', 'none', ''] else word)[:255] }}"

// haState is a label as a state there: not one of Home Assistant's own words, which stand for a
// sensor without a value, without blanks around it, and not longer than a state may be.
func haState(label string) string {
	label = strings.TrimSpace(label)
	switch strings.ToLower(label) {
	case "unknown", "unavailable", "none", "":
		if label == "unknown" {
			return "no class"
		}
		label += " (class)"
	}
	if r := []rune(label); len(r) > 255 {
		label = string(r[:255])
	}
	return label
}

// switches are what can be set of a camera.
func (d *discovery) switches(all map[string]haComponent, name, base string) {
	// Without the camera's own status, or nobody could switch it on again.
	all[name+"_enabled"] = haComponent{"platform": "switch", "name": title(name, "enabled"), "icon": "mdi:cctv",
		"state_topic": base + "enabled/state", "command_topic": base + "enabled/set"}
	all[name+"_threshold"] = haComponent{
		"platform": "number", "name": title(name, "threshold"), "entity_category": "config", "min": 0, "max": 1,
		"step": 0.01, "icon": "mdi:tune-vertical",
		"state_topic": base + "threshold/state", "command_topic": base + "threshold/set",
	}
	if d.link.id.Knows {
		all[name+"_unknown_below"] = haComponent{
			"platform": "number", "name": title(name, "unknown below"), "entity_category": "config", "min": 0,
			"max": 0.5, "step": 0.005, "icon": "mdi:help-rhombus-outline",
			"state_topic": base + "unknown_below/state", "command_topic": base + "unknown_below/set",
		}
	}
}

// figure is a sensor of one of the i-th camera's stats.
func (d *discovery) figure(i int, path string, c haComponent) haComponent {
	c["platform"], c["state_topic"], c["entity_category"] = "sensor", d.link.topics.stats, "diagnostic"
	c["state_class"], c["suggested_display_precision"], c["expire_after"] = "measurement", 1, d.silence()
	c["value_template"] = fmt.Sprintf("{{ (value_json.cameras[%d].%s) | round(1) "+
		"if value_json.cameras | length > %d else None }}", i, path, i)
	return c
}

// title is the name of a camera's entity, which begins with a capital as people write it there.
func title(camera, what string) string {
	return strings.ToUpper(camera[:1]) + camera[1:] + " " + what
}

// button sends a command with an id and a time of its own.
func (d *discovery) button(title, command, args string) haComponent {
	return haComponent{
		"platform": "button", "name": title, "entity_category": "config", "command_topic": d.link.topics.command,
		"command_template": fmt.Sprintf(`{"id":"ha-{{ (now().timestamp() * 1000) | int }}","name":%q,"args":%s,`+
			`"ts":"{{ utcnow().strftime('%%Y-%%m-%%dT%%H:%%M:%%SZ') }}"}`, command, args),
	}
}

// silence is after how many seconds without stats their values no longer hold.
func (d *discovery) silence() int { return max(1, int(3*d.link.cfg.StatsInterval.Seconds())) }

// lower is s as an entity id may hold it.
func lower(s string) string {
	b := []byte(s)
	for i, c := range b {
		switch {
		case c >= 'A' && c <= 'Z':
			b[i] = c + 'a' - 'A'
		case c == '-':
			b[i] = '_'
		}
	}
	return string(b)
}
