package mqtt

import (
	"encoding/json"
	"fmt"
	"slices"
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

// Values of event_type, on the device's topic and on a camera's.
var (
	deviceEvents = []string{"model_changed", "model_rolled_back", "queue_dropped", "clock_stepped"}
	cameraEvents = []string{"class_changed", "camera_lost", "camera_restored"}
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
		"value_template": "{{ value_json.model.name }} {{ value_json.model.version }} ({{ " +
			"value_json.model.sha256[:12] }})",
	}
	all["temperature"] = haComponent{
		"platform": "sensor", "name": "Temperature", "device_class": "temperature", "state_class": "measurement",
		"unit_of_measurement": "°C",
		"entity_category":     "diagnostic", "state_topic": t.stats, "expire_after": d.silence(),
		"suggested_display_precision": 1,
		"value_template": "{{ (value_json.machine.temperature_c | default({}, true)).values() | list | " +
			"max(default=None) if value_json.machine is defined else None }}",
	}
	all["event"] = haComponent{"platform": "event", "name": "Event", "entity_category": "diagnostic",
		"state_topic": t.event, "event_types": deviceEvents}
	for _, name := range []string{CommandReload, CommandRestart} {
		if d.link.dispatcher.allowed(name) {
			all[name] = d.button(map[string]string{CommandReload: "Reload configuration",
				CommandRestart: "Restart"}[name], name, "{}")
		}
	}
}

// cameraEntities are those of one camera.
func (d *discovery) cameraEntities(all map[string]haComponent, i int, name string) {
	base := d.link.topics.base + name + "/"
	title := func(what string) string { return name + " " + what }
	both := []haAvailability{d.available(d.link.topics.available), d.available(base + "status")}
	all[name+"_label"] = haComponent{
		"platform": "sensor", "name": title("class"), "state_topic": base + "classification",
		"json_attributes_topic": base + "result",
		"default_entity_id":     "sensor.vggse_" + lower(d.link.id.Device+"_"+name) + "_class",
		"availability_mode":     "all",
		"availability":          both,
	}
	if n := len(d.link.id.Labels); n > 0 && n <= 32 { // a list for people to choose from
		all[name+"_label"]["device_class"] = "enum"
		all[name+"_label"]["options"] = append(slices.Clone(d.link.id.Labels), d.link.id.Unknown)
	}
	confidence := haComponent{
		"platform": "sensor", "name": title("confidence"), "state_topic": base + "result", "unit_of_measurement": "%",
		"state_class":                 "measurement",
		"suggested_display_precision": 1,
		"value_template":              "{{ (value_json.top[0].p * 100) | round(1) if value_json.top else None }}",
		"availability_mode":           "all", "availability": both,
	}
	if h := d.link.cfg.policy(name).Heartbeat; h > 0 {
		confidence["expire_after"] = int(3 * h.Seconds())
	}
	all[name+"_confidence"] = confidence
	for key, unit := range map[string]string{"fps": "fps", "latency": "ms"} {
		value := fmt.Sprintf("value_json.cameras[%d].fps", i)
		if key == "latency" {
			value = fmt.Sprintf("value_json.cameras[%d].total_us.p50 / 1000", i)
		}
		all[name+"_"+key] = haComponent{
			"platform": "sensor", "name": title(key), "entity_category": "diagnostic",
			"state_topic": d.link.topics.stats, "unit_of_measurement": unit,
			"state_class": "measurement", "suggested_display_precision": 1, "expire_after": d.silence(),
			"value_template": fmt.Sprintf("{{ (%s) | round(1) if value_json.cameras | length > %d else None }}", value,
				i),
		}
	}
	all[name+"_event"] = haComponent{
		"platform": "event", "name": title("event"), "state_topic": base + "event",
		"event_types": cameraEvents,
	}
	if d.link.dispatcher.allowed(commandSet) {
		// Without the camera's own status, or nobody could switch it on again.
		all[name+"_enabled"] = haComponent{"platform": "switch", "name": title("enabled"), "state_topic": base +
			"enabled/state", "command_topic": base + "enabled/set"}
		all[name+"_threshold"] = haComponent{
			"platform": "number", "name": title("threshold"), "entity_category": "config", "min": 0, "max": 1,
			"step":        0.01,
			"state_topic": base + "threshold/state", "command_topic": base + "threshold/set",
		}
	}
	if d.link.dispatcher.allowed(CommandSnapshot) {
		all[name+"_image"] = haComponent{"platform": "image", "name": title("snapshot"), "image_topic": base +
			"snapshot", "content_type": "image/jpeg"}
		args, _ := json.Marshal(map[string]string{"camera": name})
		all[name+"_shoot"] = d.button(title("take snapshot"), CommandSnapshot, string(args))
	}
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
