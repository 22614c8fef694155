package agent

import (
	"errors"
	"fmt"
	"log/slog"
	"testing"
	"time"

	"github.com/vggse/vggse-agent/agent/pipeline"
	"github.com/vggse/vggse-agent/api"
	"github.com/vggse/vggse-agent/camera"
	"github.com/vggse/vggse-agent/configs"
	"github.com/vggse/vggse-agent/live"
	"github.com/vggse/vggse-agent/mqtt"
	"github.com/vggse/vggse-agent/vision"
)

// pageOf is the live page of an agent with one camera of two regions, which does not run.
func pageOf(t *testing.T) (*livePage, *mqtt.Link) {
	t.Helper()
	c := configs.Config{
		HTTP: api.Config{Listen: "127.0.0.1:0", Pictures: true}, Device: configs.Device{ID: "edge"},
		Cameras: []configs.Camera{{Config: camera.Config{Name: "line1", Source: "demo://parts", Enabled: true,
			ROI: []string{"left 0 0 0.5 1", "right 0.5 0 0.5 1"}}}},
	}
	log := slog.New(slog.DiscardHandler)
	o, err := newObserver(&c, Host{Log: log})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { o.server.Close() })
	link, err := mqtt.NewLink(mqttConfig(), mqtt.Identity{Device: "edge", Cameras: c.Streams()}, log)
	if err != nil {
		t.Fatal(err)
	}
	return o.page, link
}

// What is not well is told the worst first, and what changes is remembered once.
func TestPageTellsTroubles(t *testing.T) {
	p, link := pageOf(t)
	if got := p.Troubles(); len(got) != 1 || got[0].Part != "start" {
		t.Errorf("while it starts: %+v", got)
	}
	p.look() // with nothing to look at
	p.mu.Lock()
	p.pipeline, p.link, p.broker = stubPipeline(&stubNetwork{}, &stubPublisher{}), link, "tcp://b:1883"
	p.mu.Unlock()
	link.Health("model", mqtt.Condition{Status: mqtt.OK})
	p.look()
	before := p.live.Noted()
	link.Health("model", mqtt.Condition{Status: mqtt.Degraded, Reason: "refused: rtsp://user:secret@h"})
	link.Health("disk", mqtt.Condition{Status: mqtt.Failed, Reason: "full"})
	p.look()
	p.look()
	var told []string
	for _, e := range p.live.Events(before) {
		told = append(told, e.Part+" "+e.Text)
	}
	if got := fmt.Sprint(told); got != "[disk failed: full model degraded: refused: rtsp://***@h]" {
		t.Errorf("events: %s", got)
	}
	var parts []string
	for _, x := range p.Troubles() {
		parts = append(parts, x.Part)
	}
	if got := fmt.Sprint(parts); got != "[disk broker model]" {
		t.Errorf("troubles: %s", got)
	}
	if d := p.Device(); d.Broker.URL != "tcp://b:1883" || d.Broker.Connected || len(d.Parts) != 4 {
		t.Errorf("device: %+v", d)
	}
	if err := p.SetThreshold("line1-left", 0.5); !errors.Is(err, errStarting) {
		t.Errorf("acting before there is anybody to act: %v", err)
	}
}

// Every stream of a camera knows why it does not deliver, and that it is dark; what passes to the
// subscribers is shown.
func TestPageHearsWhatPasses(t *testing.T) {
	p, link := pageOf(t)
	passes := observed{link, p.observer}
	var _ pipeline.Reasons = passes
	err := p.live.Use(live.Network{Labels: []string{"a", "b"}, Size: 8,
		Decide: func(string) vision.DecideConfig { return vision.DecideConfig{TopK: 1, Confirm: 1} }})
	if err != nil {
		t.Fatal(err)
	}
	passes.CameraStatus("line1-left", mqtt.CameraStalled)
	passes.CameraReason("line1-left", fmt.Errorf("rtsp://u:secret@h: %w", camera.ErrDark))
	class := vision.Class{Label: "b", Index: 1, Score: 0.75}
	d := &vision.Decision{Camera: "line1-left", Time: time.Now(), Top: []vision.Class{class}, Stable: class,
		Changed: true}
	if err := passes.Publish(t.Context(), d); err != nil {
		t.Fatal(err)
	}
	var s live.State
	if err := p.live.State("line1-left", &s); err != nil || s.Status != mqtt.CameraStalled || !s.Dark ||
		s.Why == "" || s.Stable != class || s.Began[1] != 1 {
		t.Errorf("state: %+v, %v", s, err)
	}
	passes.CameraReason("line1-left", nil)
	if err := p.live.State("line1-left", &s); err != nil || s.Why != "" || s.Dark {
		t.Errorf("when it delivers again: %+v, %v", s, err)
	}
	if err := p.live.State("line1-right", &s); err != nil || s.Seen || s.Status != "" {
		t.Errorf("the other region: %+v, %v", s, err)
	}
}
