package agent

import (
	"context"
	"io"
	"log/slog"
	"regexp"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/vggse/vggse-agent/camera"
	"github.com/vggse/vggse-agent/configs"
	"github.com/vggse/vggse-agent/infer"
	"github.com/vggse/vggse-agent/mqtt"
	"github.com/vggse/vggse-agent/mqtt/broker"
	"github.com/vggse/vggse-agent/mqtt/contract"
)

// TestBuildingIsAState: while an engine is built, before there is a link, the service manager,
// /readyz and subscribers hear building_engine with the time it has taken and took last; then the
// early link goes away.
func TestBuildingIsAState(t *testing.T) {
	log := slog.New(slog.NewTextHandler(io.Discard, nil))
	embedded, err := broker.Start("127.0.0.1:0", log)
	if err != nil {
		t.Fatal(err)
	}
	defer embedded.Close()
	c := configs.Config{Device: configs.Device{ID: "edge"},
		Cameras: []configs.Camera{{Config: camera.Config{Name: "line1", Source: "demo://parts", Enabled: true}}},
		Model:   configs.Model{Bundle: "../demo/bundle", Precision: "auto"}, MQTT: mqttConfig(), StateDir: t.TempDir()}
	c.MQTT.Broker = embedded.URL()

	var mu sync.Mutex
	latest := make(map[string]string)
	said := func(topic, part string) bool {
		mu.Lock()
		defer mu.Unlock()
		return strings.Contains(latest[topic], part)
	}
	ctx, stop := context.WithCancel(t.Context())
	watching := make(chan error, 1)
	go func() {
		watching <- mqtt.Subscribe(ctx, c.MQTT, []string{c.MQTT.TopicPrefix + "/edge/#"}, func(error) {},
			func(m mqtt.Message) {
				mu.Lock()
				defer mu.Unlock()
				latest[strings.TrimPrefix(m.Topic, c.MQTT.TopicPrefix+"/edge/")] = string(m.Payload)
			})
	}()
	defer func() {
		stop()
		if err := <-watching; err != nil {
			t.Error(err)
		}
	}()

	o := &observer{log: log, started: time.Now(), cameras: map[string]string{"line1": mqtt.CameraOffline}}
	o.speaksEarly(&earlyLink{config: &c, log: log, every: 50 * time.Millisecond})
	heard := o.hears(infer.Config{Engines: &infer.Engines{}}).Engines.Tell
	b := infer.Building{Provider: infer.TensorRT, Precision: "int8", SHA256: strings.Repeat("5a", 32),
		Last: 341 * time.Second, Why: "there is none yet"}
	heard(b)
	building := regexp.MustCompile(`building_engine: int8 for tensorrt, for [0-9hms]+ so far ` +
		`\(the last one took 5m41s\)`)
	if got := o.sentence(); !building.MatchString(got) {
		t.Errorf("the manager hears %q", got)
	}
	if got := o.Unready(); len(got) != 1 || !strings.Contains(got[0], buildingEngine) {
		t.Errorf("/readyz says %q", got)
	}
	waitFor(t, "health on the broker", func() bool {
		return said("health", `"engine":{"status":"degraded","reason":"building_engine: int8 for tensorrt`) &&
			said("available", "online") && said("info", "tensorrt")
	})
	api, err := contract.New(mqtt.AsyncAPI, map[string]string{"prefix": c.MQTT.TopicPrefix,
		"discovery": "homeassistant"})
	if err != nil {
		t.Fatal(err)
	}
	mu.Lock()
	for topic, payload := range latest {
		m := contract.Message{Topic: c.MQTT.TopicPrefix + "/edge/" + topic, QoS: 1, Retain: true,
			Payload: []byte(payload)}
		if err := api.Sent(m); err != nil && topic != "stats" {
			t.Errorf("%s breaks the contract: %v", topic, err)
		}
	}
	mu.Unlock()
	b.Done, b.Took = true, time.Second
	heard(b)
	waitFor(t, "the early link's end", func() bool { return said("available", "stopped") })
	if got := o.sentence(); strings.Contains(got, buildingEngine) {
		t.Errorf("after the build the manager hears %q", got)
	}
}

// TestSilent: settings with and without listeners are the same settings.
func TestSilent(t *testing.T) {
	a := infer.Config{Threads: 2, Engines: &infer.Engines{Tell: func(infer.Building) {}}}
	if got := silent(a); got.Engines != nil || got.Threads != 2 || a.Engines == nil {
		t.Errorf("silent = %+v", got)
	}
}

func TestEngineCondition(t *testing.T) {
	for want, p := range map[string]*infer.Placement{
		"ok all on tensorrt":      nil,
		"ok nodes: 1 on tensorrt": {Nodes: map[string]int{infer.TensorRT: 1}},
		"degraded nodes: 1 on cpu, 2 on cuda; left to the CPU: /se5/NonZero (NonZero)": {
			Nodes: map[string]int{infer.CUDA: 2, infer.CPU: 1}, OnCPU: []string{"/se5/NonZero (NonZero)"}},
	} {
		if c := engineCondition(infer.Info{Provider: infer.TensorRT, Placement: p}); c.Status+" "+c.Reason != want {
			t.Errorf("engineCondition(%+v) = %+v, want %q", p, c, want)
		}
	}
}
