package configs

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"
)

// load writes text as a configuration file and loads it.
func load(t *testing.T, text string, o Options) (*Effective, error) {
	t.Helper()
	o.File = filepath.Join(t.TempDir(), "agent.yaml")
	if err := os.WriteFile(o.File, []byte(text), 0o644); err != nil {
		t.Fatal(err)
	}
	return Load(o)
}

func TestLayers(t *testing.T) {
	const text = `
mqtt:
  broker: tcp://file:1883
  topic_prefix: fromfile
cameras:
  - {name: one, source: "demo://parts?seed=1"}
  - {name: two, source: "demo://parts?seed=2", enabled: false}
`
	e, err := load(t, text, Options{
		Environ: []string{"PATH=/bin", "VGGSE_MQTT_TOPIC_PREFIX=fromenv", "VGGSE_CAMERAS_1_FPS=7",
			"VGGSE_MQTT_STATS_INTERVAL=90s",
			"VGGSE_INFER_PROVIDERS=cuda,cpu"},
		Set: []string{"mqtt.broker=tcp://flag:1883", "cameras.0.fps=5", "device.id=edge01"},
	})
	if err != nil {
		t.Fatal(err)
	}
	c := e.Config
	for _, check := range []struct{ what, got, want any }{
		{"mqtt.broker", c.MQTT.Broker, "tcp://flag:1883"},
		{"mqtt.topic_prefix", c.MQTT.TopicPrefix, "fromenv"},
		{"mqtt.stats_interval", c.MQTT.StatsInterval, 90 * time.Second},
		{"device.id", c.Device.ID, "edge01"},
		{"device.name", c.Device.Name, "edge01"},
		{"cameras", len(c.Cameras), 2},
		{"cameras.0.fps", c.Cameras[0].FPS, 5.0},
		{"cameras.0.enabled", c.Cameras[0].Enabled, true},
		{"cameras.1.fps", c.Cameras[1].FPS, 7.0},
		{"cameras.1.enabled", c.Cameras[1].Enabled, false},
		{"infer.providers", strings.Join(c.Infer.Providers, "+"), "cuda+cpu"},
		{"decide.confirm", c.Decide.Confirm, 3},
	} {
		if check.got != check.want {
			t.Errorf("%v = %v, want %v", check.what, check.got, check.want)
		}
	}
	origins := map[string]string{
		"mqtt.broker": "--set", "mqtt.topic_prefix": "environment VGGSE_MQTT_TOPIC_PREFIX",
		"cameras.1.source": e.File + ":7", "decide.confirm": "default",
		"cameras.1.fps": "environment VGGSE_CAMERAS_1_FPS",
	}
	for _, entry := range e.Entries() {
		if want, ok := origins[entry.Key]; ok && entry.Origin != want {
			t.Errorf("origin of %s = %q, want %q", entry.Key, entry.Origin, want)
		}
		delete(origins, entry.Key)
	}
	if len(origins) > 0 {
		t.Errorf("not listed: %v", origins)
	}
}

func TestMistakesNameKeyPlaceAndCure(t *testing.T) {
	tests := []struct {
		name, text string
		o          Options
		want       []string
	}{
		{"unknown key", "mqtt:\n  brokr: x\n", Options{},
			[]string{"agent.yaml:2: mqtt.brokr: unknown key, did you mean mqtt.broker?"}},
		{"unknown in list", "cameras:\n  - name: a\n    sorce: b\n", Options{},
			[]string{"agent.yaml:3: cameras.0.sorce", "did you mean cameras.0.source?"}},
		{"unknown section", "mqqt:\n  broker: x\n", Options{}, []string{"agent.yaml:1: mqqt: unknown key"}},
		{"value for section", "mqtt: hello\n", Options{}, []string{"agent.yaml:1: mqtt: must hold keys"}},
		{"not YAML", "mqtt: [\n", Options{}, []string{"agent.yaml", "yaml"}},
		{"unknown flag", "", Options{Set: []string{"decide.treshold=1"}},
			[]string{"--set decide.treshold", "did you mean decide.threshold?"}},
		{"flag without value", "", Options{Set: []string{"decide.threshold"}},
			[]string{"--set decide.threshold: must be key=value"}},
		{"unknown variable", "", Options{Environ: []string{"VGGSE_MQTT_BROKR=x"}},
			[]string{"VGGSE_MQTT_BROKR", "did you mean mqtt.broker?"}},
		{"wrong type", "decide:\n  confirm: many\n", Options{},
			[]string{"decide.confirm: must be a whole number, got many"}},
		{"wrong type in list", "cameras: [{name: a, source: \"demo://parts\", fps: fast}]\n", Options{},
			[]string{"cameras[0].fps: must be a number, got fast"}},
		{"wrong duration", "", Options{Set: []string{"mqtt.stats_interval=soon"}},
			[]string{"mqtt.stats_interval: must be a duration such as 90s, got soon"}},
		{"wrong value", "decide:\n  threshold: 2\n", Options{}, []string{"decide.threshold: ", "agent.yaml:2"}},
		{"own setting", "cameras: [{name: a, source: \"demo://parts\", decide: {threshold: 2}}]\n", Options{},
			[]string{"cameras[0].decide.threshold: must be between 0 and 1, got 2", "agent.yaml:1"}},
		{"own policy", "cameras: [{name: a, source: \"demo://parts\", publish: {deadband: -1}}]\n", Options{},
			[]string{"cameras[0].publish.deadband: must be"}},
		{"own kind", "cameras: [{name: a, source: \"demo://parts\", decide: {threshold: high}}]\n", Options{},
			[]string{"cameras[0].decide.threshold: must be a number, got high"}},
		{"region", "cameras: [{name: a, source: \"demo://parts\", roi: [\"b 0 0 2\"]}]\n", Options{},
			[]string{`cameras[0].roi: "b 0 0 2": "b" is no number`, "agent.yaml:1"}},
		{"region as another camera",
			"cameras: [{name: a-b, source: \"demo://parts\"}, " +
				"{name: a, source: \"demo://parts\", roi: [b 0 0 1 1]}]\n",
			Options{}, []string{`cameras[1].roi: "a-b" is already cameras[0]`}},
		{"motion", "", Options{Set: []string{"cameras.0.motion=3"}},
			[]string{"cameras[0].motion: must be off, or a change of brightness between 0 and 1"}},
		{"own key", "cameras: [{name: a, source: \"demo://parts\", decide: {top_k: 1}}]\n", Options{},
			[]string{"cameras.0.decide.top_k"}},
		{"camera index", "", Options{Set: []string{"cameras.7.fps=1"}},
			[]string{"cameras.7.fps", "the next is cameras.1"}},
		{"camera twice", "cameras: [{name: a, source: \"demo://parts\"}, {name: a, source: \"demo://parts\"}]\n",
			Options{}, []string{`cameras[1].name: "a" is already cameras[0]`}},
		{"reserved name", "cameras: [{name: stats, source: \"demo://parts\"}]\n", Options{},
			[]string{`cameras[0].name: "stats" is a topic of the device`}},
		{"no cameras", "cameras: []\n", Options{}, []string{"cameras: at least one"}},
		{"region of two pixels", "cameras: [{name: a, source: \"demo://parts\", roi: [left 0 0 2 2]}]\n",
			Options{}, []string{`cameras[0].roi: "left 0 0 2 2": a region of 2×2 pixels is too small`}},
		{"several keys", "mqtt:\n  brokr: x\n  qos: 1\ncamera: []\ndecide:\n  threshld: 1\n", Options{},
			[]string{"agent.yaml:2: mqtt.brokr: unknown key, did you mean mqtt.broker?; ",
				"agent.yaml:4: camera: unknown key, did you mean cameras?; ",
				"agent.yaml:6: decide.threshld: unknown key, did you mean decide.threshold?"}},
		{"several values", "decide: {threshold: 7}\nmqtt:\n  qos: 5\ncameras:\n" +
			"- {name: a/b, source: \"demo://parts\"}\n- {name: c, source: \"nix://parts\"}\n", Options{},
			[]string{"decide.threshold: must be between 0 and 1, got 7 (set by ",
				"agent.yaml:1); mqtt.qos: must be 0 or 1", "agent.yaml:3); cameras[0].name: ",
				`agent.yaml:5); cameras[1].source: nix://parts: unknown scheme "nix"`}},
		{"too many", "a: 1\nb: 1\nc: 1\nd: 1\ne: 1\nf: 1\ng: 1\n", Options{},
			[]string{"agent.yaml:5: e: unknown key; and 2 more"}},
		{"bad id", "device: {id: a/b}\n", Options{}, []string{"device.id", "agent.yaml:1"}},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			_, err := load(t, test.text, test.o)
			if err == nil {
				t.Fatal("no error")
			}
			for _, want := range test.want {
				if !strings.Contains(err.Error(), want) {
					t.Errorf("error %q, want %q in it", err, want)
				}
			}
		})
	}
}

// A camera may have settings of its own, wherever they come from; what it has not is what holds for
// all.
// A configuration that never ends, or is none, is refused at once.
func TestFilesThatAreNone(t *testing.T) {
	dir := t.TempDir()
	pipe, huge := filepath.Join(dir, "pipe"), filepath.Join(dir, "huge")
	if err := errors.Join(syscall.Mkfifo(pipe, 0o600), os.WriteFile(huge, nil, 0o600),
		os.Truncate(huge, fileLimit+1)); err != nil {
		t.Fatal(err)
	}
	for path, want := range map[string]string{
		pipe: "is not a file but a pipe", dir: "is not a file but a folder", "/dev/zero": "is not a file but a device",
		huge: "is larger than 1048576 bytes",
	} {
		if _, err := Load(Options{File: path}); err == nil || !strings.Contains(err.Error(), path+" "+want) {
			t.Errorf("%s: got %v, want %q", path, err, want)
		}
	}
}

func TestOwnSettings(t *testing.T) {
	e, err := load(t, "decide: {threshold: 0.5}\ncameras: [{name: a, source: \"demo://parts\", decide: {threshold: "+
		"0.9, dwell: 2s}}, {name: b, source: \"demo://parts\"}]\n",
		Options{Set: []string{"cameras.1.publish.every=true", "cameras.0.decide.confirm=1"},
			Environ: []string{"VGGSE_CAMERAS_0_PUBLISH_MAX_RATE=1"}})
	if err != nil {
		t.Fatal(err)
	}
	a, b := e.Config.Cameras[0], e.Config.Cameras[1]
	if *a.Decide.Threshold != 0.9 || *a.Decide.Dwell != 2*time.Second || *a.Decide.Confirm != 1 ||
		a.Decide.Smoothing != nil || *a.Publish.MaxRate != 1 {
		t.Errorf("a: %+v", a)
	}
	if b.Decide.Threshold != nil || !*b.Publish.Every || b.Publish.MaxRate != nil {
		t.Errorf("b: %+v", b)
	}
	var shown []string
	for _, entry := range e.Entries() {
		if strings.HasPrefix(entry.Key, "cameras.0.") {
			shown = append(shown, fmt.Sprintf("%s=%v (%s)", entry.Key, entry.Value, filepath.Base(entry.Origin)))
		}
	}
	want := "cameras.0.name=a (agent.yaml:2), cameras.0.source=demo://parts (agent.yaml:2), cameras.0.fps=0 " +
		"(default), cameras.0.enabled=true (default), " +
		"cameras.0.roi=[] (default), cameras.0.motion=off (default), cameras.0.frozen=30s (default), " +
		"cameras.0.dark=10s (default), cameras.0.sandbox=auto (default), " +
		"cameras.0.decide.threshold=0.9 (agent.yaml:2), cameras.0.decide.confirm=1 (--set), " +
		"cameras.0.decide.dwell=2s (agent.yaml:2), " +
		"cameras.0.publish.max_rate=1 (environment VGGSE_CAMERAS_0_PUBLISH_MAX_RATE)"
	if got := strings.Join(shown, ", "); got != want {
		t.Errorf("shown: %s\nwant: %s", got, want)
	}
}

// A region needs no quotes, nor does off; what one camera does not say is the manual's.
func TestCameraKeys(t *testing.T) {
	e, err := load(t, "cameras: [{name: a, source: \"demo://parts\", roi: [left 0 0 0.5 1, right 0.5 0 0.5 1], "+
		"motion: off, dark: 0s}]\n",
		Options{Set: []string{"cameras.1.name=b", "cameras.1.source=demo://parts",
			"cameras.1.roi=x 0 0 8 8,y 8 8 8 8"}})
	if err != nil {
		t.Fatal(err)
	}
	a, b := e.Config.Cameras[0], e.Config.Cameras[1]
	if len(a.ROI) != 2 || a.ROI[1] != "right 0.5 0 0.5 1" || a.Dark != 0 || a.Frozen != 30*time.Second ||
		len(b.ROI) != 2 || b.Dark != 10*time.Second {
		t.Errorf("%+v\n%+v", a, b)
	}
	if motion, err := a.MotionThreshold(); motion != 0 || err != nil {
		t.Errorf("motion: %g, %v", motion, err)
	}
}

func TestShortFlagsReplace(t *testing.T) {
	e, err := load(t, "cameras: [{name: a, source: \"demo://parts\"}, {name: b, source: \"demo://parts\"}]\n",
		Options{Source: "demo://parts?seed=9", Broker: "tcp://x:1883", Bundle: "/some/bundle"})
	if err != nil {
		t.Fatal(err)
	}
	c := e.Config
	if len(c.Cameras) != 1 || c.Cameras[0].Name != "camera" || c.Cameras[0].Source != "demo://parts?seed=9" ||
		!c.Cameras[0].Enabled {
		t.Errorf("cameras = %+v", c.Cameras)
	}
	if c.MQTT.Broker != "tcp://x:1883" || c.Model.Bundle != "/some/bundle" {
		t.Errorf("broker %q, bundle %q", c.MQTT.Broker, c.Model.Bundle)
	}
}

func TestSecretsAreHidden(t *testing.T) {
	e, err := load(t, "cameras: [{name: a, source: \"rtsp://root:geheim@host/live\"}]\nmqtt: {user: me, password: "+
		"geheim}\n", Options{})
	if err != nil {
		t.Fatal(err)
	}
	hidden := 0
	for _, entry := range e.Entries() {
		text, _ := entry.Value.(string)
		if strings.Contains(text, "geheim") {
			t.Errorf("%s shows %q", entry.Key, text)
		}
		if strings.Contains(text, "(hidden)") || strings.Contains(text, "***") {
			hidden++
		}
	}
	if hidden != 2 {
		t.Errorf("%d values hidden, want 2", hidden)
	}
}

// TestManualIsComplete holds the default file against the struct: every key stands in the manual.
func TestManualIsComplete(t *testing.T) {
	e, err := Load(Options{File: os.DevNull})
	if err != nil {
		t.Fatal(err)
	}
	for _, entry := range e.Entries() {
		leaf := entry.Key[strings.LastIndex(entry.Key, ".")+1:]
		if !strings.Contains(string(Default), leaf+":") {
			t.Errorf("%s is not in default.yaml", entry.Key)
		}
	}
}

// With the settings of the service its folders are used too, by root and by the owner; with any
// other settings never.
func TestServiceFolders(t *testing.T) {
	etc, state := t.TempDir()+"/", t.TempDir()
	defer func(before string) { serviceSettings = before }(serviceSettings)
	serviceSettings = etc
	environ := map[string]string{"XDG_STATE_HOME": "/xdg"}
	if err := os.Mkdir(filepath.Join(state, "line2"), 0o700); err != nil {
		t.Fatal(err)
	}
	for _, test := range []struct{ file, want string }{
		{"", "/xdg/vggse-agent"},
		{"vggse-agent.yaml", "/xdg/vggse-agent"},
		{etc + "vggse-agent.yaml", state},
		{etc + "line2.yaml", state + "/line2"},
		{etc + "line3.yaml", "/xdg/vggse-agent"}, // never started: no such folder
		{etc + "sub/line2.yaml", "/xdg/vggse-agent"},
	} {
		e := Effective{File: test.file, environ: environ}
		if got := e.folder("STATE_DIRECTORY", state, "XDG_STATE_HOME", ".local/state"); got != test.want {
			t.Errorf("%s: got %s, want %s", test.file, got, test.want)
		}
	}
	environ["STATE_DIRECTORY"] = "/by/systemd:/other"
	e := Effective{File: etc + "vggse-agent.yaml", environ: environ}
	if got := e.folder("STATE_DIRECTORY", state, "XDG_STATE_HOME", ".local/state"); got != "/by/systemd" {
		t.Errorf("got %s, want systemd's", got)
	}
}

// An address that others reach, given by the flag alone, brings tokens of its own; one from a file asks
// for them, and what was set stays.
func TestListenMakesTokens(t *testing.T) {
	e, err := Load(Options{File: os.DevNull, Listen: ":9108", Set: []string{"state_dir=/s"}})
	if err != nil {
		t.Fatal(err)
	}
	if h := e.Config.HTTP; !h.MakeTokens || h.TokenFile != "/s/view.token" || h.ActTokenFile != "/s/act.token" {
		t.Errorf("by the flag: %+v", h)
	}
	e, err = Load(Options{File: os.DevNull, Listen: ":9108", Set: []string{"http.token_file=/t"}})
	if err != nil || e.Config.HTTP.MakeTokens || e.Config.HTTP.TokenFile != "/t" || e.Config.HTTP.ActTokenFile != "" {
		t.Errorf("with a token: %+v, %v", e.Config.HTTP, err)
	}
	e, err = Load(Options{File: os.DevNull, Listen: "127.0.0.1:1"})
	if err != nil || e.Config.HTTP.MakeTokens || e.Config.HTTP.TokenFile != "" {
		t.Errorf("on loopback: %+v, %v", e.Config.HTTP, err)
	}
	if _, err = Load(Options{File: os.DevNull, Set: []string{"http.listen=:9108"}}); err == nil ||
		!strings.Contains(err.Error(), "http.token_file") {
		t.Errorf("set without the flag: %v", err)
	}
}

// TestWorkingFolderOfAnother: root takes no settings and no demo from a folder that it happens to
// stand in, where another account could have put them; it says so, and names the way out. Who names
// the file gets it.
func TestWorkingFolderOfAnother(t *testing.T) {
	if os.Geteuid() != 0 {
		t.Log("not as root: what is loaded runs as itself")
		return
	}
	const nobody = 65534
	dir := t.TempDir()
	t.Chdir(dir)
	const name = "vggse-agent.yaml"
	if err := os.MkdirAll("demo/bundle", 0o755); err != nil {
		t.Fatal(err)
	}
	write := func(text string) {
		t.Helper()
		if err := os.WriteFile(name, []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	write("device: {id: here}\n")
	if e, err := Load(Options{}); err != nil || e.Config.Device.ID != "here" || e.Config.Model.Demo != "demo/bundle" {
		t.Errorf("in a folder of root's: %v", err)
	}
	for _, foreign := range []string{name, dir} {
		err := errors.Join(os.Chown(dir, 0, 0), os.Chown(name, 0, 0), os.Chown(foreign, nobody, nobody))
		if err != nil {
			t.Fatal(err)
		}
		if _, err := Load(Options{}); err == nil || !strings.Contains(err.Error(), "belongs to nobody") ||
			!strings.Contains(err.Error(), "--config "+name) {
			t.Errorf("%s is nobody's: %v", foreign, err)
		}
		e, err := Load(Options{File: name})
		if err != nil || e.Config.Device.ID != "here" {
			t.Errorf("%s is nobody's, and was named: %v", foreign, err)
		} else if own := e.Config.Model.Demo == "demo/bundle"; own != (foreign == name) {
			t.Errorf("%s is nobody's: the demo is %s", foreign, e.Config.Model.Demo)
		}
	}
	if err := os.Remove(name); err != nil {
		t.Fatal(err)
	}
	if _, err := Load(Options{}); err != nil {
		t.Errorf("a folder of nobody's without settings: %v", err)
	}
}

// TestNoYAML: what is no YAML is told with what most often makes it none.
func TestNoYAML(t *testing.T) {
	for text, want := range map[string]string{
		"cameras:\n\t- name: x\n":                  "cannot start any token: YAML is indented by blanks",
		"mqtt:\n  qos: 1\n broker: tcp://b:1883\n": "are the keys of one section indented alike",
		"device: {name: @home}\n":                  "a value that begins with @",
		"device: {name: \"a}\n":                    "a quotation mark is opened that nothing closes",
		"mqtt: {qos: 1\n":                          "are the keys of one section indented alike",
	} {
		if _, err := load(t, text, Options{}); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%q: %v, want %q", text, err, want)
		}
	}
}

// Where nobody has named a bundle and there is no demo, that is said, and not which folder is missing alone.
func TestUnnamedBundle(t *testing.T) {
	there, missing, failed := t.TempDir(), filepath.Join(t.TempDir(), "demo"), errors.New("failed")
	for _, tt := range []struct {
		m    Model
		err  error
		want string
	}{
		{Model{Bundle: missing, Demo: missing}, failed,
			"no bundle was named, and the demo's (" + missing + ") is not there"},
		{Model{Bundle: missing, Demo: missing}, nil, "<nil>"},
		{Model{Bundle: there, Demo: there}, failed, "failed"},
		{Model{Bundle: there, Demo: missing}, failed, "failed"},
		{Model{Bundle: missing}, failed, "failed"},
	} {
		if got := fmt.Sprint(tt.m.Unnamed(tt.err)); !strings.HasPrefix(got, tt.want) {
			t.Errorf("%+v, %v: %s, want %s", tt.m, tt.err, got, tt.want)
		}
	}
}
