package mqtt

import (
	"bytes"
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
)

// rule is what Home Assistant's schema of one platform asks for: keys that must be there, and keys
// that may. Read from homeassistant/components/mqtt (schemas.py, config.py and the platform's own
// file, 2025).
type rule struct{ must, may []string }

var (
	common = []string{
		"platform", "unique_id", "name", "default_entity_id", "entity_category", "icon", "availability",
		"availability_mode",
		"json_attributes_topic", "json_attributes_template", "enabled_by_default", "qos", "encoding", "entity_picture",
	}
	rules = map[string]rule{
		"sensor": {[]string{"state_topic"}, []string{
			"value_template", "device_class", "state_class", "unit_of_measurement", "options", "expire_after",
			"force_update",
			"suggested_display_precision", "last_reset_value_template",
		}},
		"binary_sensor": {[]string{"state_topic"}, []string{"value_template", "device_class", "expire_after",
			"force_update", "off_delay", "payload_on", "payload_off"}},
		"switch": {[]string{"command_topic"}, []string{"state_topic", "command_template", "value_template",
			"device_class", "payload_on", "payload_off", "state_on", "state_off", "optimistic", "retain"}},
		"number": {[]string{"command_topic"}, []string{"state_topic", "command_template", "value_template",
			"device_class", "min", "max", "step", "mode", "unit_of_measurement", "payload_reset", "optimistic",
			"retain"}},
		"event": {[]string{"state_topic", "event_types"}, []string{"value_template", "device_class"}},
		"image": {nil, []string{"image_topic", "url_topic", "content_type", "image_encoding", "url_template"}},
		"update": {nil, []string{"state_topic", "value_template", "latest_version_topic", "latest_version_template",
			"command_topic", "payload_install", "device_class", "title", "release_summary", "release_url"}},
		"button": {[]string{"command_topic"}, []string{"command_template", "device_class", "payload_press",
			"retain"}},
	}
	objectID  = regexp.MustCompile(`^[a-zA-Z0-9_-]+$`)
	entityID  = regexp.MustCompile(`^[a-z_]+\.[a-z0-9_]+$`)
	haTopic   = regexp.MustCompile(`^[^+#\x00]+$`)
	haDevices = map[string][]string{"sensor": {"enum", "temperature", "duration"},
		"binary_sensor": {"problem", "connectivity"}, "button": {"restart"}}
)

// homeAssistant returns what Home Assistant would refuse in a device discovery message, by rules of
// our own.
func homeAssistant(topic string, payload []byte) (complaints []string) {
	complain := func(format string, args ...any) { complaints = append(complaints, fmt.Sprintf(format, args...)) }
	parts := strings.Split(topic, "/")
	if len(parts) != 4 || parts[1] != "device" || !objectID.MatchString(parts[2]) || parts[3] != "config" {
		complain("topic %s", topic)
	}
	var a map[string]any
	if err := json.Unmarshal(payload, &a); err != nil {
		return []string{err.Error()}
	}
	device, _ := a["device"].(map[string]any)
	if ids, _ := device["identifiers"].([]any); len(ids) == 0 {
		complain("device has no identifier")
	}
	if origin, _ := a["origin"].(map[string]any); origin["name"] == nil || origin["name"] == "" {
		complain("origin has no name")
	} else if url, _ := origin["support_url"].(string); !strings.HasPrefix(url, "https://") {
		complain("origin's URL is none")
	}
	availabilityRule(a["availability"], complain)
	components, _ := a["components"].(map[string]any)
	if len(components) == 0 {
		complain("there are no components")
	}
	ids := make(map[any]string)
	for key, v := range components {
		c := v.(map[string]any)
		if !objectID.MatchString(key) {
			complain("key %q", key)
		}
		if len(c) == 1 { // takes the entity away
			continue
		}
		if other, twice := ids[c["unique_id"]]; twice || c["unique_id"] == nil {
			complain("%s: unique_id %v, as %s has", key, c["unique_id"], other)
		}
		ids[c["unique_id"]] = key
		componentRule(c, func(format string, args ...any) { complain(key+": "+format, args...) })
	}
	return complaints
}

func componentRule(c map[string]any, complain func(string, ...any)) {
	platform, _ := c["platform"].(string)
	r, known := rules[platform]
	if !known {
		complain("platform %q", platform)
	}
	for _, key := range r.must {
		if c[key] == nil {
			complain("lacks %s", key)
		}
	}
	for key, v := range c {
		if !slices.Contains(common, key) && !slices.Contains(r.must, key) && !slices.Contains(r.may, key) {
			complain("%s knows no %s", platform, key)
		}
		if s, _ := v.(string); strings.HasSuffix(key, "_topic") && !haTopic.MatchString(s) {
			complain("%s is no topic: %v", key, v)
		}
		if s, _ := v.(string); strings.HasSuffix(key, "_template") && strings.Count(s, "{{") != strings.Count(s, "}}") {
			complain("%s does not close: %s", key, s)
		}
	}
	if id, ok := c["default_entity_id"].(string); ok &&
		(!entityID.MatchString(id) || !strings.HasPrefix(id, platform+".")) {
		complain("default_entity_id %q", id)
	}
	if class, ok := c["device_class"].(string); ok && !slices.Contains(haDevices[platform], class) {
		complain("device class %q", class)
	}
	if c["options"] != nil && (c["device_class"] != "enum" || c["state_class"] != nil ||
		c["unit_of_measurement"] != nil) {
		complain("options are for sensors of class enum, without unit and state class")
	}
	if c["entity_category"] == "config" && !slices.Contains([]string{"switch", "number", "button"}, platform) {
		complain("category config is for what can be set")
	}
	if platform == "number" && !(c["min"].(float64) < c["max"].(float64) && c["step"].(float64) >= 1e-3) {
		complain("min, max and step")
	}
	if platform == "image" && (c["image_topic"] == nil) == (c["url_topic"] == nil) {
		complain("wants one of image_topic and url_topic")
	}
	if n, ok := c["expire_after"].(float64); ok && (n < 1 || n != float64(int(n))) {
		complain("expire_after %g", n)
	}
	if c["availability"] != nil {
		availabilityRule(c["availability"], complain)
	}
}

func availabilityRule(v any, complain func(string, ...any)) {
	list, _ := v.([]any)
	if len(list) == 0 {
		complain("no availability")
	}
	for _, entry := range list {
		for key := range entry.(map[string]any) {
			if !slices.Contains([]string{"topic", "value_template", "payload_available", "payload_not_available"},
				key) {
				complain("availability knows no %s", key)
			}
		}
	}
}

// What is announced passes Home Assistant's rules, names every topic as the link publishes it, and
// the rules do refuse.
func TestDiscovery(t *testing.T) {
	cfg := testConfig("tcp://127.0.0.1:1")
	cfg.Commands.Allow = Commands
	id := testIdentity()
	id.Labels, id.Knows = []string{"bolt", "nut"}, true
	id.Device, id.Cameras, id.Updates = "Edge-01", []string{"cam-01", "B"}, true
	l, err := NewLink(cfg, id, quiet())
	if err != nil {
		t.Fatal(err)
	}
	if strings.Contains(string(l.discovery.payload), `"temperature"`) {
		t.Error("a temperature is announced that nobody tells")
	}
	l.Stats(Stats{Machine: map[string]any{"temperature_c": map[string]float64{"cpu": 41.5}}})
	if got := homeAssistant(l.discovery.topic, l.discovery.payload); len(got) > 0 {
		t.Errorf("Home Assistant would say: %s", strings.Join(got, "; "))
	}
	golden(t, "testdata/discovery.json", l.discovery.payload)
	var a struct{ Components map[string]map[string]any }
	if err := json.Unmarshal(l.discovery.payload, &a); err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{"problem", "model", "release", "temperature", "event", "reload", "restart",
		"cam-01_label", "cam-01_confidence", "cam-01_fps", "cam-01_latency", "cam-01_connected", "cam-01_event",
		"cam-01_enabled", "cam-01_threshold", "cam-01_unknown", "cam-01_unknown_below", "cam-01_image", "cam-01_shoot",
		"B_label"} {
		if a.Components[want] == nil {
			t.Errorf("no entity %s", want)
		}
	}
	published := []string{l.topics.event, l.topics.command}
	for _, s := range l.out.states {
		published = append(published, s.topic)
	}
	for _, c := range l.cameras {
		published = append(published, c.result, c.event, strings.TrimSuffix(c.enabled.topic, "state")+"set",
			strings.TrimSuffix(c.threshold.topic, "state")+"set",
			strings.TrimSuffix(c.unknownBelow.topic, "state")+"set")
	}
	for key, c := range a.Components {
		for option, v := range c {
			if topic, ok := v.(string); ok && strings.HasSuffix(option, "_topic") &&
				!slices.Contains(published, topic) {
				t.Errorf("%s: %s is %s, where nothing is published or heard", key, option, topic)
			}
		}
	}
	for what, spoil := range map[string]string{
		`"identifiers":["vggse_Edge-01"]`: `"identifiers":[]`, `"platform":"sensor"`: `"platform":"senzor"`,
		`"event_types"`:                  `"event_typez"`,
		`"entity_category":"diagnostic"`: `"entity_category":"config"`, `"max":1,`: `"max":0,`,
		`"image_topic"`:                `"url_topik"`,
		`"default_entity_id":"sensor.`: `"default_entity_id":"Sensor.`,
		`"device_class":"enum"`:        `"device_class":"temperature"`,
	} {
		text := strings.ReplaceAll(string(l.discovery.payload), what, spoil)
		if text == string(l.discovery.payload) || len(homeAssistant(l.discovery.topic, []byte(text))) == 0 {
			t.Errorf("the rules let %s through, or it is not there", spoil)
		}
	}
}

// golden holds an announcement against a file, which scripts/ha-check shows to Home Assistant's own
// code.
func golden(t *testing.T, file string, payload []byte) {
	t.Helper()
	var got bytes.Buffer
	if err := json.Indent(&got, payload, "", " "); err != nil {
		t.Fatal(err)
	}
	got.WriteByte('\n')
	if *update {
		if err := os.WriteFile(file, got.Bytes(), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(file)
	if err != nil || !bytes.Equal(got.Bytes(), want) {
		t.Errorf("%s is another announcement (%v): go test ./mqtt -run TestDiscovery -update", file, err)
	}
}

// Home Assistant's birth brings the announcement again; a camera that is gone is taken away;
// discovery switched off takes away all of it, once and for all.
func TestDiscoveryLives(t *testing.T) {
	m := startMosquitto(t)
	e := listen(t, m.port)
	cfg := testConfig(m.url())
	cfg.StateDir = t.TempDir()
	topic := "homeassistant/device/vggse_edge01/config"
	run := func(cfg Config, cameras ...string) func() {
		id := testIdentity()
		id.Cameras = cameras
		l, err := NewLink(cfg, id, quiet())
		if err != nil {
			t.Fatal(err)
		}
		stop := start(t, l)
		eventually(t, hang, "connected", l.Connected)
		return stop
	}
	stop := run(cfg, "cam01", "cam02")
	eventually(t, hang, "announced", func() bool { return strings.Contains(e.last(topic), `"cam02_label"`) })
	n := len(e.on(topic))
	birth := exec.Command(needMosquitto(t, "mosquitto_pub"), "-p", fmt.Sprint(m.port), "-t", "homeassistant/status",
		"-m", "online", "-q", "1", "-r")
	if out, err := birth.CombinedOutput(); err != nil {
		t.Fatalf("%v: %s", err, out)
	}
	eventually(t, hang, "announced again", func() bool { return len(e.on(topic)) > n })
	stop()
	stop = run(cfg, "cam01")
	eventually(t, hang, "cam02 taken away",
		func() bool { return strings.Contains(e.last(topic), `"cam02_label":{"platform":"sensor"}`) })
	if got := homeAssistant(topic, []byte(e.last(topic))); len(got) > 0 {
		t.Errorf("Home Assistant would say: %s", strings.Join(got, "; "))
	}
	stop()
	off := cfg
	off.Discovery.Enabled = false
	stop = run(off, "cam01")
	eventually(t, hang, "taken away", func() bool { return e.last(topic) == "" && len(e.on(topic)) > 0 })
	stop()
	late := listen(t, m.port)
	eventually(t, hang, "the rest is there", func() bool { return late.last("vggse/edge01/info") != "" })
	if len(late.on(topic)) > 0 {
		t.Errorf("still retained: %s", late.last(topic))
	}
	stop = run(cfg, "cam01")
	eventually(t, hang, "announced once more", func() bool { return e.last(topic) != "" })
	stop()
	moved := cfg
	moved.Discovery.Prefix = "other"
	moved.tap = nil // another prefix than the judge's
	stop = run(moved, "cam01")
	eventually(t, hang, "under another prefix", func() bool {
		return e.last(topic) == "" && strings.Contains(e.last("other/device/vggse_edge01/config"), `"cam01_label"`)
	})
	stop()
	never := off
	never.StateDir = t.TempDir()
	n = len(e.on(topic))
	run(never, "cam01")()
	if len(e.on(topic)) != n {
		t.Error("who never announced anything takes something away")
	}
	if err := os.WriteFile(filepath.Join(cfg.StateDir, "retained.json"), []byte("{"), 0o600); err != nil {
		t.Fatal(err)
	}
	run(cfg, "cam01")() // damaged memory is no reason not to start
}
