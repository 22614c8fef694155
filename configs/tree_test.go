package configs

import (
	"fmt"
	"strings"
	"testing"
	"time"
)

// value is a setting as it is printed.
func value(t *testing.T, e *Effective, key string) string {
	t.Helper()
	for _, entry := range e.Entries() {
		if entry.Key == key {
			return fmt.Sprint(entry.Value)
		}
	}
	t.Fatalf("%s is not set", key)
	return ""
}

// A text of digits, a truth or a date stays what was written.
func TestTextStaysAsWritten(t *testing.T) {
	for _, text := range []string{"007", "012345", "0010", "0x1F", "12e4", "true", "off", "1_000", "08",
		"2026-11-29", "1.50", "~x"} {
		e, err := load(t, "mqtt: {user: "+text+", password: "+text+"}\n"+
			"device: {name: "+text+", site: "+text+"}\n", Options{})
		if err != nil {
			t.Errorf("%s: %v", text, err)
			continue
		}
		c := e.Config
		for _, got := range []string{c.MQTT.User, c.MQTT.Password, c.Device.Name, c.Device.Site} {
			if got != text {
				t.Errorf("%s became %q", text, got)
			}
		}
	}
}

func TestAnchorsAndMergeKeys(t *testing.T) {
	e, err := load(t, `
x-usb: &usb {fps: 5, decide: &d {threshold: 0.7}}
decide: {<<: *d, confirm: 4}
cameras:
  - &c {<<: *usb, name: a, source: "demo://parts"}
  - {<<: *c, name: b, fps: 7}
  - {<<: [{motion: 0.1}, *c], name: e, decide: *d}
`, Options{Set: []string{"cameras.0.decide.threshold=0.9"}})
	if err != nil {
		t.Fatal(err)
	}
	for key, want := range map[string]string{
		"decide.threshold": "0.7", "decide.confirm": "4", "cameras.0.fps": "5", "cameras.0.decide.threshold": "0.9",
		"cameras.1.name": "b", "cameras.1.fps": "7", "cameras.1.source": "demo://parts",
		"cameras.1.decide.threshold": "0.7", "cameras.2.motion": "0.1", "cameras.2.fps": "5",
	} {
		if got := value(t, e, key); got != want {
			t.Errorf("%s = %s, want %s", key, got, want)
		}
	}
}

// What is not given is not set: the manual's value holds.
func TestNothingGivenIsNotSet(t *testing.T) {
	var environ []string
	for _, name := range []string{"DECIDE_THRESHOLD", "MQTT_SPOOL_BYTES", "MQTT_SPOOL_MIN_FREE",
		"MQTT_QOS", "LOG_LEVEL",
		"MQTT_PUBLISH_MAX_RATE", "MQTT_DISCOVERY_ENABLED", "CAMERAS_0_ENABLED", "TELEMETRY_BRAKE", "SAMPLES_BYTES",
		"MQTT_KEEP_ALIVE", "DEVICE_ID", "MQTT_COMMANDS_ALLOW", "CAMERAS_0_SOURCE"} {
		environ = append(environ, "VGGSE_"+name+"=")
	}
	plain, err := load(t, "", Options{})
	if err != nil {
		t.Fatal(err)
	}
	got, err := load(t, "mqtt:\ndecide:\n  confirm:\nlog: {level: ~}\n", Options{Environ: environ})
	if err != nil {
		t.Fatal(err)
	}
	for _, entry := range plain.Entries() {
		if v := value(t, got, entry.Key); v != fmt.Sprint(entry.Value) {
			t.Errorf("%s = %s, want %v", entry.Key, v, entry.Value)
		}
	}
}

func TestWhatTextsMean(t *testing.T) {
	for _, test := range []struct{ set, key, want string }{
		{"mqtt.commands.allow=[]", "mqtt.commands.allow", "[]"},
		{"mqtt.commands.allow=", "mqtt.commands.allow", "[]"},
		{"mqtt.commands.allow=[set, reload]", "mqtt.commands.allow", "[set reload]"},
		{"mqtt.commands.allow=set,reload", "mqtt.commands.allow", "[set reload]"},
		{"infer.providers=[cpu]", "infer.providers", "[cpu]"},
		{"cameras.0.enabled=off", "cameras.0.enabled", "false"},
		{"samples.bytes=64e6", "samples.bytes", "64000000"},
		{"samples.bytes=0x100000", "samples.bytes", "1048576"},
	} {
		e, err := load(t, "", Options{Set: []string{test.set}})
		if err != nil {
			t.Errorf("%s: %v", test.set, err)
		} else if got := value(t, e, test.key); got != test.want {
			t.Errorf("%s: %s, want %s", test.set, got, test.want)
		}
	}
}

// What is wrong is refused with its key, and no secret is said.
func TestTexts(t *testing.T) {
	for _, test := range []struct {
		text, set string
		want      []string
	}{
		{"decide: {confirm: 010}", "", []string{"agent.yaml:1: decide.confirm", "begins with 0"}},
		{"", "decide.confirm=010", []string{"--set decide.confirm", "begins with 0"}},
		{"decide: {confirm: 2.5}", "", []string{"decide.confirm: must be a whole number, got 2.5"}},
		{"decide: {threshold: nan}", "", []string{"decide.threshold: must be a number"}},
		{"", "decide.threshold=", []string{"decide.threshold: is empty"}},
		{"", "mqtt.qos=", []string{"mqtt.qos: is empty, give a whole number"}},
		{"decide: {threshold: ''}", "", []string{"decide.threshold: is empty"}},
		{"cameras: [{name: a, source: \"demo://parts\", frozen: 30}]", "",
			[]string{"must be a duration such as 90s, got 30"}},
		{"mqtt: {user: [a, b]}", "", []string{"mqtt.user: must be a single value"}},
		{"mqtt: {password: [geheim]}", "", []string{"mqtt.password: must be a single value"}},
		{"mqtt: {password: {geheim: 1}}", "", []string{"mqtt.password: must be a single value"}},
		{"mqtt: {user: a, user: b}", "", []string{"user: stands there twice"}},
		{"camera: [{name: a}]", "", []string{"did you mean cameras?"}},
		{"- a", "", []string{"agent.yaml:1: must hold keys"}},
		{"mqtt: {<<: 3}", "", []string{"<<: merges mappings only"}},
		{"", "mqtt.password:geheim", []string{"--set mqtt.password: must be key=value"}},
		{"cameras: [{name: a, source: \"rtsp://admin:1#geheim@h:1/x\"}]", "",
			[]string{"rtsp://***@h:1/x", "%23"}},
		{"cameras: [{name: a, source: \"rtsp://admin:1#a&geheim=@h:1/x\"}]", "",
			[]string{"rtsp://***@h:1/x"}},
		{"cameras: [{name: a, source: \"rtsp://admin:12/34geheim@h/x\"}]", "",
			[]string{"rtsp://***@h/x", "%2F"}},
		{"cameras: [{name: a, source: \"foo://x:geheim@h\"}]", "", []string{"unknown scheme"}},
	} {
		var o Options
		if test.set != "" {
			o.Set = []string{test.set}
		}
		_, err := load(t, test.text+"\n", o)
		if err == nil {
			t.Errorf("%s %s: no error", test.text, test.set)
			continue
		}
		for _, want := range test.want {
			if !strings.Contains(err.Error(), want) {
				t.Errorf("%s %s: error %q, want %q in it", test.text, test.set, err, want)
			}
		}
		if strings.Contains(err.Error(), "geheim") {
			t.Errorf("%s %s: error %q holds a secret", test.text, test.set, err)
		}
	}
}

// A small file whose anchors come to much is refused, and soon.
func TestAnchorsHaveALimit(t *testing.T) {
	var b strings.Builder
	b.WriteString("x-0: &a0 {fps: 1}\n")
	for i := 1; i < 18; i++ {
		fmt.Fprintf(&b, "x-%d: &a%d {<<: [*a%d, *a%d, *a%d, *a%d]}\n", i, i, i-1, i-1, i-1, i-1)
	}
	b.WriteString("cameras: [{<<: *a17, name: a, source: \"demo://parts\"}]\n")
	start := time.Now()
	if _, err := load(t, b.String(), Options{}); err == nil || !strings.Contains(err.Error(), "anchors") {
		t.Errorf("error %v, want one of anchors, after %s", err, time.Since(start))
	}
}

// What a file holds by mistake, or for another program, is told as what it is.
func TestWhatIsNoSetting(t *testing.T) {
	for text, want := range map[string]string{
		"device: {id: a}\n---\ndevice: {id: b}\n":     "line 3 begins a second document",
		"device: {id: a}\n...\n---\nmqtt: {qos: 1}\n": "second document",
		"mqtt: {user: u, password: !secret mqtt_pw}":  "mqtt.password: !secret is another program's",
		"mqtt: !include mqtt.yaml":                    "mqtt: !include is another program's",
		"mqtt: {user: u, password: '${MQTT_PW}'}":     "set VGGSE_MQTT_PASSWORD in the environment",
		"mqtt: {broker: 'tcp://${HOST:-h}:1883'}":     "set VGGSE_MQTT_BROKER",
		"mqtt: {broker: 'tcp://{{ host }}:1883'}":     "set VGGSE_MQTT_BROKER",
		"mqtt: {broker: \u201ctcp://h:1883\u201d}":    "typographic",
		"decide: {threshold: 0,6}":                    "a number with a dot",
		"mqtt: {\u200bbroker: tcp://h}":               `"mqtt.\u200bbroker"`,
		"mqtt:\n\u00a0\u00a0broker: tcp://h\n":        "perhaps unseen ones",
		"mqtt: {qos: 1}\n\x00\x00":                    "bytes that are no text",
		"device: {id: *nope}":                         "*NAME takes what &NAME",
	} {
		if _, err := load(t, text, Options{}); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%q: got %v, want …%s…", text, err, want)
		}
	}
	for env, want := range map[string]string{
		"VGGSE_CAMERAS=[]": "cameras: is no single setting: set one below it, such as cameras.0.",
		"VGGSE_MQTT=x":     "mqtt: is no single setting",
	} {
		if _, err := load(t, "", Options{Environ: []string{env}}); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: got %v, want …%s…", env, err, want)
		}
	}
	e, err := load(t, "---\nmqtt:\n  user: u\n  password: |\n    pass$word {x}\n---\n",
		Options{Environ: []string{"VGGSE_DEVICE_ID=edge\r"}})
	if err != nil || e.Config.MQTT.Password != "pass$word {x}" || e.Config.Device.ID != "edge" {
		t.Errorf("got %+v, %v", e, err)
	}
}
