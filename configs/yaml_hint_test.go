package configs

import (
	"fmt"
	"reflect"
	"slices"
	"strings"
	"testing"
)

// What YAML takes for something else than the password that was meant is refused with the cure, and
// nothing of it is shown.
func TestSecretsThatYAMLMisreads(t *testing.T) {
	for _, value := range []string{"*geheim", "!geheim", "!!geheim", "!geheim x", "&geheim", "#geheim",
		"ab #geheim",
		"@geheim", "%geheim", "`geheim`", ">geheim", "|geheim", "{geheim", "[geheim", "]geheim", "- geheim",
		"ab: geheim", "'it's geheim'", `"ge\heim geheim"`, `"a"geheim"`,
		`"geheim`, "'geheim", ",geheim: x", "? geheim"} {
		for _, text := range []string{"mqtt:\n  user: a\n  password: " + value + "\n",
			"device: {id: b}\nmqtt:\n  password: " + value + "\n  user: a\n"} {
			_, err := load(t, text, Options{})
			if err == nil || !strings.Contains(err.Error(), "quote") {
				t.Errorf("%q: got %v, want the cure: quotes", text, err)
			}
			if err != nil && strings.Contains(err.Error(), "geheim") {
				t.Errorf("%q: the error %q shows the password", text, err)
			}
		}
	}
	for _, text := range []string{"mqtt: {user: a, password: ab,geheim}", "mqtt: {user: a, password: ab,c,geheim}",
		"mqtt:\n  password = geheim: x\n", "mqtt:\n  password:geheim: x\n", "mqtt: {\"password:geheim\": 1}",
		"password geheim", "mqtt:\n  password:geheim\n", "mqtt:\n  user: &geheim x\n  password: *geheimer\n"} {
		if _, err := load(t, text, Options{}); err == nil || strings.Contains(err.Error(), "geheim") {
			t.Errorf("%q: got %v, want an error without the password", text, err)
		}
	}
	for text, want := range map[string]string{
		"mqtt:\n  user: a\n  password: # from the environment\n":     "",
		"mqtt:\n  user: a\n  password: \"\"  #none\n":                "",
		"mqtt:\n  user: a\n  password: # below\n    abc\n":           "abc",
		"mqtt:\n  user: &u abc\n  password: *u\n":                    "abc",
		"mqtt:\n  user: a\n  password: 'a #b'\n":                     "a #b",
		"mqtt:\n  user: a\n  password: a#b\n":                        "a#b",
		"mqtt: {password: a, user: b} #note\n":                       "a",
		"mqtt:\n  user: a\n  password: >-\n    !x @y\n":              "!x @y",
		"mqtt:\n  user: a\n  password: abc # a comment\n  qos: 1 #x": "abc",
	} {
		if e, err := load(t, text, Options{}); err != nil || e.Config.MQTT.Password != want {
			t.Errorf("%q: got %v, want the password %q", text, err, want)
		}
	}
}

// A secret in whose place a comment stands is empty, and that is told, unless it is given elsewhere.
func TestEmptiedSecrets(t *testing.T) {
	environ := Options{Environ: []string{"VGGSE_MQTT_PASSWORD=x"}}
	for _, tt := range []struct {
		text string
		o    Options
		told int
	}{
		{"mqtt:\n  user: a\n  password: # geheim\n", Options{}, 3},
		{"mqtt:\n  password:   #\n  user: a\n", Options{}, 2},
		{"mqtt:\n  \"password\": # geheim\n", Options{}, 2},
		{"mqtt:\n  user: a\n  password: # geheim\n", environ, 0},
		{"mqtt:\n  user: a\n  password: # geheim\n  password_file: /x\n", Options{}, 0},
		{"mqtt:\n  user: a\n  password: # geheim\n", Options{Set: []string{"mqtt.password=x"}}, 0},
		{"mqtt:\n  password:\n", Options{}, 0},
		{"mqtt:\n  # password: geheim\n  password: ~ # none\n", Options{}, 0},
		{"mqtt:\n  user: a\n  password: # below\n    abc\n", Options{}, 0},
		{"mqtt:\n  password: '' # none\n", Options{}, 0},
		{"mqtt:\n  user: # a\n", Options{}, 0},
	} {
		e, err := load(t, tt.text, tt.o)
		if err != nil {
			t.Errorf("%q: %v", tt.text, err)
			continue
		}
		w := e.Config.Warnings
		if (tt.told > 0) != (len(w) == 1) || len(w) > 1 {
			t.Errorf("%q: %q", tt.text, w)
			continue
		}
		want := fmt.Sprintf(":%d: mqtt.password is empty: the # begins a comment", tt.told)
		if tt.told > 0 && (!strings.Contains(w[0], want) ||
			strings.Contains(w[0], "geheim")) {
			t.Errorf("%q: %q", tt.text, w[0])
		}
	}
}

// Of a password and a file with one, which of the two is used is told.
func TestPasswordGivenTwice(t *testing.T) {
	const text = "mqtt: {broker: \"tcp://h\", user: a, password_file: /x}\n"
	e, err := load(t, text, Options{Environ: []string{"VGGSE_MQTT_PASSWORD=geheim"}})
	if err != nil {
		t.Fatal(err)
	}
	if w := strings.Join(e.Config.Warnings, "|"); !strings.HasPrefix(w, "mqtt.password (set by environment "+
		"VGGSE_MQTT_PASSWORD) is used and mqtt.password_file (set by ") || strings.Contains(w, "geheim") {
		t.Errorf("got %q", w)
	}
	if e, err := load(t, text, Options{}); err != nil || len(e.Config.Warnings) > 0 {
		t.Errorf("got %v, %v", e, err)
	}
}

// Habits of other notations are told by line and key.
func TestHabitsOfOtherNotations(t *testing.T) {
	for text, want := range map[string]string{
		"device:\n  name: \"C:\\models\"\n":               "line 2: name: in \"…\" a backslash",
		"device:\n  name: @home\n":                        "line 2: name: a value that begins with @ stands in quotes",
		"device:\n  site: x\n  name: %a\n":                "line 3: name: a value that begins with %",
		"device:\n  name: `a`\n":                          "line 2: name: a value that begins with `",
		"device:\n  name: 'it's'\n":                       "line 2: name: the quotes '…'",
		"cameras:\n– name: a\n  source: demo://parts\n":   "line 2: an entry of a list begins with -",
		"mqtt: {qos: 0}\n...\nhello there\n":              "line 2: ends the configuration (...)",
		"mqtt: {qos: 0}\n...\ndevice: {id: a}\n":          "line 2: ends the configuration (...)",
		"mqtt:\n  broker:tcp://a:1883\n":                  "a blank behind each colon",
		"mqtt:\n  broker:\u00a0tcp://a:1883\n":            "U+00A0",
		"cameras:\n- rtsp://admin:geheim@h/x\n":           "cameras.0: must be {name: …, source: …}",
		"MQTT: {qos: 1}\n":                                "did you mean mqtt?",
		"mqtt: {host: h}\n":                               "mqtt.host: unknown key, did you mean mqtt.broker?",
		"[mqtt]\nbroker = \"tcp://h\"\n":                  "it is TOML, INI or a list of variables",
		"# x\n[http]\n; y\n\nlisten=off\n":                "it is TOML, INI or a list of variables",
		"cameras:\n  -name: a\n   source: b\n":            "line 2: an entry of a list begins with - and a blank",
		"mqtt:\n<<<<<<< HEAD\n  qos: 0\n=======\n":        "line 2: two versions of git stand there, not merged",
		"version https://git-lfs.github.com/spec/v1":      "git lfs pull",
		"<!DOCTYPE html><html></html>\n":                  "it is a page",
		"VGGSE_MQTT_BROKER=tcp://h\nA=1\n":                "it is a list of variables, not YAML",
		"mqtt.broker=tcp://h:1883\n":                      "it is a list of variables, not YAML",
		"mqtt:\n  user: J\xfcrgen\n":                      "it is not UTF-8",
		"mqtt: {passwd: geheim}\n":                        "mqtt.passwd: unknown key, did you mean mqtt.password?",
		"mqtt: {keepAlive: 60}\n":                         "mqtt.keepAlive: unknown key, did you mean mqtt.keep_alive?",
		"mqtt: {tls: {ca_certs: /x}}\n":                   "did you mean mqtt.tls.ca?",
		"cameras: [{name: a, url: \"rtsp://h/x\"}]\n":     "cameras.0.url: unknown key, did you mean cameras.0.source?",
		"cameras: [{name: a, frame-rate: 5}]\n":           "did you mean cameras.0.fps?",
		"cameras: [{name: a, rotation: 90}]\n":            "cameras.0.rotation: unknown key: it belongs to the source",
		"model: {path: /x}\n":                             "did you mean model.bundle?",
		"logging: {level: debug}\n":                       "did you mean log?",
		"http: {token: geheim}\n":                         "did you mean http.token_file?",
		"infer: {device: gpu}\n":                          "did you mean infer.providers?",
		"mqtt: {qos: 1}\nmqtt: {qos: 0}\n":                "agent.yaml:2: mqtt: stands there twice, first in line 1",
		"state_dir: ~/vggse\n":                            "state_dir: ~ and $NAME are not filled in here",
		"model: {bundle: $HOME/parts}\n":                  "model.bundle: ~ and $NAME",
		"mqtt: {user: a, password_file: ~pi/pw}\n":        "mqtt.password_file: ~ and $NAME",
		"mqtt: {tls: {ca: /home/$USER/ca.pem}}\n":         "mqtt.tls.ca: ~ and $NAME",
		"model: {bundle: ~}\ncache_dir: /a/$x.d\n":        "",
		"device: {name: 'about ~/x', site: $HOME/line}\n": "",
	} {
		_, err := load(t, text, Options{})
		if want == "" && err != nil || want != "" && (err == nil || !strings.Contains(err.Error(), want)) {
			t.Errorf("%q: got %v, want …%s…", text, err, want)
		}
	}
	_, err := load(t, "", Options{Set: []string{"cameras[0].fps=5"}})
	if err == nil || !strings.Contains(err.Error(), "did you mean cameras.0.fps?") {
		t.Errorf("brackets: %v", err)
	}
	_, err = load(t, "", Options{Set: []string{"mqtt/qos=0"}})
	if err == nil || !strings.Contains(err.Error(), "did you mean mqtt.qos?") {
		t.Errorf("slashes: %v", err)
	}
	_, err = load(t, "", Options{Environ: []string{"VGGSE_MQTT.QOS=0"}})
	if err == nil || !strings.Contains(err.Error(), "VGGSE_MQTT_QOS") {
		t.Errorf("a dot in a variable: %v", err)
	}
	_, err = load(t, "", Options{Environ: []string{`VGGSE_MQTT_BROKER="tcp://h:1883"`}})
	if err == nil || !strings.Contains(err.Error(), "VGGSE_MQTT_BROKER: the quotes around the value") {
		t.Errorf("quotes of an environment file: %v", err)
	}
}

// What a key of another program is called here is a setting or a section.
func TestOtherNamesAreSettings(t *testing.T) {
	known := keysOf(reflect.TypeFor[Config]())
	for section, names := range otherNames() {
		for name, what := range names {
			key := what
			if section == "cameras.*" {
				key = section + "." + what
			}
			if !strings.Contains(what, " ") && !known.has(key) && !slices.Contains(known.candidates(), key) {
				t.Errorf("%s.%s: there is no setting %s", section, name, key)
			}
			if strings.Trim(name, "abcdefghijklmnopqrstuvwxyz") != "" {
				t.Errorf("%s.%s is never looked up", section, name)
			}
		}
	}
}
