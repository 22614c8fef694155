package mqtt

import (
	"encoding/json"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"
)

// runAs is a link of an identity with a state folder, connected.
func runAs(t *testing.T, cfg Config, change func(*Identity)) (l *Link, stop func()) {
	t.Helper()
	id := testIdentity()
	change(&id)
	l, err := NewLink(cfg, id, quiet())
	if err != nil {
		t.Fatal(err)
	}
	stop = start(t, l)
	eventually(t, hang, "connected", l.Connected)
	return l, stop
}

// leftOn lists the topics that a broker has retained below a prefix.
func leftOn(t *testing.T, m *mosquitto, prefix, last string) []string {
	t.Helper()
	late := listen(t, m.port)
	eventually(t, hang, last+" is retained", func() bool { return late.last(last) != "" })
	mark := exec.Command(needMosquitto(t, "mosquitto_pub"), "-p", strconv.Itoa(m.port), "-q", "1", "-t", "mark", "-m",
		"x")
	if out, err := mark.CombinedOutput(); err != nil {
		t.Fatalf("%v: %s", err, out)
	}
	eventually(t, hang, "the mark", func() bool { return late.last("mark") != "" }) // behind all that is retained
	late.mu.Lock()
	defer late.mu.Unlock()
	var topics []string
	for _, h := range late.all {
		if h.Retain == 1 && strings.HasPrefix(h.Topic, prefix) {
			topics = append(topics, h.Topic)
		}
	}
	return topics
}

// What a camera or a prefix that is gone has left on the broker is taken away by the next run, also
// where that one is ended before it can; another device's is left alone.
func TestNothingStale(t *testing.T) {
	m := startMosquitto(t)
	cfg := testConfig(m.url())
	cfg.StateDir = t.TempDir()
	remembered := func() (topics []string) {
		text, err := os.ReadFile(filepath.Join(cfg.StateDir, "retained.json"))
		var file retainedTopics
		if err == nil {
			err = json.Unmarshal(text, &file)
		}
		if err != nil {
			t.Fatal(err)
		}
		return file.Topics
	}
	l, stop := runAs(t, cfg, func(*Identity) {})
	l.Enabled("cam02", true)
	publish(t, l, "cam02", "gear", 1)
	eventually(t, hang, "acknowledged", func() bool { return l.Waiting() == 0 })
	stop()
	if got := leftOn(t, m, "vggse/edge01/cam02/", "vggse/edge01/cam02/enabled/state"); len(got) != 4 {
		t.Errorf("retained of cam02: %v", got)
	}
	away := cfg
	away.Broker = "tcp://127.0.0.1:1"
	// never reaches the broker
	l, err := NewLink(away, Identity{Device: "edge01", Cameras: []string{"cam01"}, Model: testIdentity().Model},
		quiet())
	if err != nil {
		t.Fatal(err)
	}
	if err := l.out.spool.Close(); err != nil {
		t.Fatal(err)
	}
	_, stop = runAs(t, cfg, func(id *Identity) { id.Cameras = []string{"cam01"} })
	gone := func() bool { return !slices.Contains(remembered(), "vggse/edge01/cam02/status") }
	eventually(t, hang, "cam02 forgotten", gone)
	stop()
	if got := leftOn(t, m, "vggse/edge01/cam02/", "vggse/edge01/cam01/status"); len(got) > 0 {
		t.Errorf("still retained: %v", got)
	}

	elsewhere := testConfig(m.url())
	elsewhere.StateDir, elsewhere.TopicPrefix = cfg.StateDir, "factory/hall"
	elsewhere.tap = nil // another prefix than the judge's
	_, stop = runAs(t, elsewhere, func(id *Identity) { id.Cameras = []string{"cam01"} })
	eventually(t, hang, "the old prefix forgotten",
		func() bool { return !slices.Contains(remembered(), "vggse/edge01/info") })
	stop()
	if got := leftOn(t, m, "vggse/", "factory/hall/edge01/info"); len(got) > 0 {
		t.Errorf("still retained: %v", got)
	}
	_, stop = runAs(t, cfg, func(id *Identity) { id.Device = "edge02" }) // a copy of the folder, or a new name
	stop()
	if got := leftOn(t, m, "factory/", "vggse/edge02/info"); len(got) < 5 {
		t.Errorf("edge02 took away what is edge01's: left are %v", got)
	}
}

// Another model than the one of the run before is told of, as is one that comes while the agent
// runs; the same one again is not.
func TestModelEvents(t *testing.T) {
	m := startMosquitto(t)
	e := listen(t, m.port)
	cfg := testConfig(m.url())
	cfg.StateDir = t.TempDir()
	told := func() (changes []string) {
		for _, h := range e.on("vggse/edge01/event") {
			var event struct {
				Type            string `json:"event_type"`
				Model, Previous ModelInfo
			}
			if err := json.Unmarshal([]byte(h.Payload), &event); err != nil {
				t.Fatal(err)
			}
			if event.Type == "model_changed" {
				changes = append(changes, event.Previous.Version+" to "+event.Model.Version)
			}
		}
		return changes
	}
	_, stop := runAs(t, cfg, func(*Identity) {})
	stop()
	l, stop := runAs(t, cfg, func(id *Identity) { id.Model.Version = "2" })
	third := l.id.Model
	third.Version = "3"
	l.Model(third, nil)
	l.Model(third, nil)
	eventually(t, hang, "both changes", func() bool { return len(told()) == 2 })
	stop()
	_, stop = runAs(t, cfg, func(id *Identity) { id.Model.Version = "3" })
	stop()
	if got := strings.Join(told(), ", "); got != "1 to 2, 2 to 3" {
		t.Errorf("told of %s", got)
	}
}

// A clock that is set is a step; one that runs a little fast, or two readings that took long, are
// none.
func TestClockStep(t *testing.T) {
	var c clock
	boot, wall := time.Hour, time.Unix(1_700_000_000, 0)
	look := func() time.Duration {
		return c.step(func() time.Duration { return boot }, func() time.Time { return wall })
	}
	pass := func(b, w time.Duration) { boot += b; wall = wall.Add(w) }
	if got := look(); got != 0 {
		t.Errorf("first look: %s", got)
	}
	pass(time.Second, time.Second+500*time.Microsecond)
	if got := look(); got != 0 {
		t.Errorf("slewing: %s", got)
	}
	pass(time.Second, -time.Hour)
	if got := look(); got != -time.Hour-time.Second {
		t.Errorf("set back: %s", got)
	}
	pass(time.Second, time.Second)
	if got := look(); got != 0 {
		t.Errorf("after it: %s", got)
	}
	slow := func() time.Duration { boot += 40 * time.Millisecond; return boot }
	if got := c.step(slow, func() time.Time { boot += time.Minute; return wall }); got != 0 {
		t.Errorf("readings a minute apart: %s", got)
	}
}

// TestDamagedMemory: of a topic with one flipped bit the broker would be told that it is gone: it may
// be another program's. No bit of the file makes one.
func TestDamagedMemory(t *testing.T) {
	topic := "vggse/edge01/cam02/enabled/state"
	var written retainedTopics
	written.recall(t.TempDir(), "edge01", quiet())
	written.Topics, written.Model, written.dirty = []string{topic}, &ModelInfo{Version: "1"}, true
	written.save(quiet())
	text, err := os.ReadFile(written.path)
	if err != nil {
		t.Fatal(err)
	}
	known := 0
	for bit := range 8 * len(text) {
		damaged := slices.Clone(text)
		damaged[bit/8] ^= 1 << (bit % 8)
		if err := os.WriteFile(written.path, damaged, 0o600); err != nil {
			t.Fatal(err)
		}
		var m retainedTopics
		m.recall(filepath.Dir(written.path), "edge01", quiet())
		switch {
		case len(m.Topics) == 1 && m.Topics[0] == topic && m.Model != nil && *m.Model == *written.Model:
			known++
		case len(m.Topics) > 0 || m.Model != nil || m.Device != "edge01":
			t.Fatalf("bit %d: topics %q, model %v of %q", bit, m.Topics, m.Model, m.Device)
		}
	}
	if known > 4*len(text) {
		t.Errorf("%d of %d flips passed", known, 8*len(text))
	}
}
