package mqtt

import (
	"context"
	"encoding/json"
	"os"
	"os/exec"
	"strings"
	"testing"
	"time"

	"github.com/vggse/vggse-agent/mqtt/spool"
	"github.com/vggse/vggse-agent/vision"
)

// publish gives the link a decision whose label has just become another one.
func publish(t *testing.T, l *Link, camera, label string, index int) {
	t.Helper()
	d := decision(camera)
	d.Stable = vision.Class{Label: label, Index: index, Score: 0.9}
	d.Top[0], d.Changed = d.Stable, true
	if err := l.Publish(context.Background(), d); err != nil {
		t.Fatal(err)
	}
}

// A late subscriber finds the whole state retained, one that was there hears results and events.
func TestTopicTree(t *testing.T) {
	m := startMosquitto(t)
	early := listen(t, m.port)
	l, stop := runLink(t, testConfig(m.url()), quiet())
	l.CameraStatus("cam01", CameraOnline)
	l.CameraStatus("cam02", CameraDisabled)
	publish(t, l, "cam01", "gear", 2)
	eventually(t, hang, "result heard", func() bool { return early.last("vggse/edge01/cam01/result") != "" })
	l.Stats(Stats{Cameras: []CameraStats{{Name: "cam01", FPS: 14.99, Infer: Percentiles{P50: time.Millisecond}}}})
	l.CameraStatus("cam01", CameraOffline)
	l.CameraStatus("cam01", CameraOnline)
	eventually(t, hang, "camera back", func() bool {
		return len(early.on("vggse/edge01/cam01/event")) == 3 && early.last("vggse/edge01/stats") != "" &&
			l.Waiting() == 0
	})

	late := listen(t, m.port)
	retained := map[string]string{
		"vggse/edge01/available":            "online",
		"vggse/edge01/cam01/status":         "online",
		"vggse/edge01/cam02/status":         "disabled",
		"vggse/edge01/cam01/classification": "gear",
		"vggse/edge01/cam02/classification": "unknown",
	}
	for topic, want := range retained {
		eventually(t, hang, topic+" is "+want, func() bool { return late.last(topic) == want })
		if got := late.on(topic)[0]; got.Retain != 1 || got.QoS != 1 {
			t.Errorf("%s: retained %d, QoS %d", topic, got.Retain, got.QoS)
		}
	}
	for _, topic := range []string{"result", "event"} {
		for _, h := range late.on("vggse/edge01/cam01/" + topic) {
			t.Errorf("%s is retained: %v", topic, h)
		}
	}
	var kinds []string
	for _, h := range early.on("vggse/edge01/cam01/event") {
		kinds = append(kinds, field[string](t, h.Payload, "event_type"))
	}
	if got := strings.Join(kinds, " "); got != "class_changed camera_lost camera_restored" {
		t.Errorf("events: %s", got)
	}
	eventually(t, hang, "health heard", func() bool { return late.last("vggse/edge01/health") != "" })
	if got := field[string](t, late.last("vggse/edge01/health"), "overall"); got != OK {
		t.Errorf("health is %s", got)
	}
	result := early.last("vggse/edge01/cam01/result")
	for key, want := range map[string]any{
		"schema": "vggse.result/1", "device": "edge01", "camera": "cam01", "label": "gear", "previous": "unknown",
		"frame_id": 1.0, "stable": true, "redelivered": true,
	} {
		if got := field[any](t, result, key); got != want && key != "redelivered" {
			t.Errorf("result: %s is %v, want %v", key, got, want)
		}
	}
	stop()
	eventually(t, hang, "stopped", func() bool { return late.last("vggse/edge01/available") == Stopped })
	for _, h := range late.on("vggse/edge01/available") {
		if h.Payload == Offline {
			t.Error("the last will was sent at a clean end")
		}
	}
}

// field is one field of a JSON object.
func field[T any](t *testing.T, text, key string) T {
	t.Helper()
	var all map[string]any
	if err := json.Unmarshal([]byte(text), &all); err != nil {
		t.Fatalf("%v in %q", err, text)
	}
	v, ok := all[key].(T)
	if !ok {
		t.Fatalf("%s is %v (%T) in %s", key, all[key], all[key], text)
	}
	return v
}

// The broker is killed twice and comes back without memory: every accepted record arrives, in
// order, and the retained state is there again.
func TestBrokerKilled(t *testing.T) {
	m := startMosquitto(t)
	way := startProxy(t, m.addr())
	cfg := testConfig(way.url())
	cfg.Publish = Policy{Every: true}
	l, _ := runLink(t, cfg, quiet())
	var seqs []uint64
	collect := func(e *ears) {
		for _, h := range e.on("vggse/edge01/cam01/result") {
			seqs = append(seqs, uint64(field[float64](t, h.Payload, "seq")))
		}
	}
	ctx := context.Background()
	d := decision("cam01")
	sent := uint64(0)
	for round := range 3 {
		if round > 0 {
			m.start()
		}
		e := listen(t, m.port) // before the link is there again
		way.set(false)
		eventually(t, hang, "connected", l.Connected)
		for range 50 {
			l.Publish(ctx, d)
			sent++
		}
		eventually(t, hang, "all acknowledged", func() bool { return l.Waiting() == 0 })
		eventually(t, hang, "retained label",
			func() bool { return e.last("vggse/edge01/cam01/classification") == "gear" })
		eventually(t, hang, "the last one is heard", func() bool {
			last := e.last("vggse/edge01/cam01/result")
			return last != "" && uint64(field[float64](t, last, "seq")) == sent
		})
		collect(e)
		m.kill()
		way.set(true)
		eventually(t, hang, "loss noticed", func() bool { return !l.Connected() })
		for range 50 {
			l.Publish(ctx, d)
			sent++
		}
	}
	heard := uint64(0)
	for _, s := range seqs {
		switch {
		case s == heard+1:
			heard = s
		case s > heard+1:
			t.Fatalf("after %d came %d: %d are missing", heard, s, s-heard-1)
		}
	}
	if want := sent - 50; heard != want { // the last 50 went to nobody
		t.Errorf("heard up to %d, want %d", heard, want)
	}
}

// Who is killed cannot say so: the broker does.
func TestLastWill(t *testing.T) {
	m := startMosquitto(t)
	e := listen(t, m.port)
	agent := exec.Command(os.Args[0])
	agent.Env = append(os.Environ(), helperBroker+"="+m.url())
	agent.Stderr = os.Stderr
	if err := agent.Start(); err != nil {
		t.Fatal(err)
	}
	eventually(t, hang, "results", func() bool { return len(e.on("vggse/edge01/cam01/result")) > 5 })
	if got := e.last("vggse/edge01/available"); got != Online {
		t.Errorf("availability is %q", got)
	}
	agent.Process.Kill()
	agent.Wait()
	eventually(t, hang, "offline", func() bool { return e.last("vggse/edge01/available") == Offline })
	late := listen(t, m.port)
	eventually(t, hang, "offline is retained",
		func() bool { return late.last("vggse/edge01/available") == Offline })
	// and it comes back under its name
	_, stop := runLink(t, testConfig(m.url()), quiet())
	eventually(t, hang, "online", func() bool { return e.last("vggse/edge01/available") == Online })
	stop()
}

// What somebody else writes to the availability topic does not stay there.
func TestReassert(t *testing.T) {
	m := startMosquitto(t)
	e := listen(t, m.port)
	_, stop := runLink(t, testConfig(m.url()), quiet())
	defer stop()
	eventually(t, hang, "online", func() bool { return e.last("vggse/edge01/available") == Online })
	n := len(e.on("vggse/edge01/available"))
	pub := exec.Command(needMosquitto(t, "mosquitto_pub"), "-p", strings.Split(m.addr(), ":")[1], "-r", "-q", "1",
		"-t", "vggse/edge01/available", "-m", Offline)
	if out, err := pub.CombinedOutput(); err != nil {
		t.Fatalf("%v: %s", err, out)
	}
	eventually(t, hang, "online again", func() bool {
		return len(e.on("vggse/edge01/available")) >= n+2 && e.last("vggse/edge01/available") == Online
	})
}

// The queue is bounded: the oldest records are dropped, counted, and told of.
func TestOverflowIsTold(t *testing.T) {
	m := startMosquitto(t)
	e := listen(t, m.port)
	cfg := testConfig(m.url())
	cfg.Publish = Policy{Every: true}
	l, err := NewLink(cfg, testIdentity(), quiet())
	if err != nil {
		t.Fatal(err)
	}
	const extra = 100
	for range spool.MemoryRecords + extra {
		l.Publish(context.Background(), decision("cam01"))
	}
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan struct{})
	go func() { defer close(done); l.Run(ctx) }()
	defer func() { cancel(); <-done }()
	eventually(t, hang, "loss told", func() bool {
		return e.last("vggse/edge01/event") != "" &&
			l.Waiting() == 0
	})
	event := e.last("vggse/edge01/event")
	for key, want := range map[string]any{
		"event_type": "queue_dropped", "reason": "full", "records": float64(extra), "from_seq": 1.0,
		"to_seq": float64(extra),
	} {
		if got := field[any](t, event, key); got != want {
			t.Errorf("%s is %v, want %v in %s", key, got, want, event)
		}
	}
	eventually(t, hang, "all others arrive",
		func() bool { return len(e.on("vggse/edge01/cam01/result")) == spool.MemoryRecords })
}

// Publishing into the queue allocates nothing, whether results are taken or the policy holds them
// back.
func TestPublishAllocates(t *testing.T) {
	for name, policy := range map[string]Policy{"every": {Every: true},
		"policy": {Deadband: 0.05, Heartbeat: time.Minute, MaxRate: 5}} {
		cfg := testConfig("tcp://127.0.0.1:1")
		cfg.Publish = policy
		l, err := NewLink(cfg, testIdentity(), quiet())
		if err != nil {
			t.Fatal(err)
		}
		d := decision("cam01")
		for range spool.MemoryRecords + 1 { // once around, so that the memory is there
			l.Publish(context.Background(), d)
		}
		if got := testing.AllocsPerRun(1000, func() { l.Publish(context.Background(), d) }); got != 0 {
			t.Errorf("%s: %g allocations", name, got)
		}
	}
}

func BenchmarkPublish(b *testing.B) {
	cfg := testConfig("tcp://127.0.0.1:1")
	cfg.Publish = Policy{Every: true}
	l, err := NewLink(cfg, testIdentity(), quiet())
	if err != nil {
		b.Fatal(err)
	}
	d := decision("cam01")
	b.ReportAllocs()
	for b.Loop() {
		l.Publish(context.Background(), d)
	}
}

func TestUnknownCamera(t *testing.T) {
	l, err := NewLink(testConfig("tcp://127.0.0.1:1"), testIdentity(), quiet())
	if err != nil {
		t.Fatal(err)
	}
	if err := l.Publish(context.Background(), decision("cam99")); err == nil ||
		!strings.Contains(err.Error(), "cam99") {
		t.Errorf("got %v", err)
	}
	l.CameraStatus("cam99", CameraOnline)
}
