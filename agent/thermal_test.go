package agent

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/vggse/vggse-agent/agent/pipeline"
	"github.com/vggse/vggse-agent/device"
	"github.com/vggse/vggse-agent/mqtt"
)

// TestGovernorSteps: near a limit it goes down step by step, in between it stays, and it comes back
// slowly.
func TestGovernorSteps(t *testing.T) {
	hot := device.Headroom{Zone: "gpu", Celsius: 97, Limit: 99}
	warm := device.Headroom{Zone: "gpu", Celsius: 93, Limit: 99}
	cool := device.Headroom{Zone: "gpu", Celsius: 60, Limit: 99}
	current := device.Headroom{Rail: "VDD_IN", Share: 0.97}
	var b governor
	look := func(h device.Headroom, events uint64, share float64, said string) {
		t.Helper()
		b.look(h, &device.Throttle{Events: map[string]uint64{"under_voltage": events}}, 20)
		if b.share() != share || !strings.Contains(b.sentence(), said) {
			t.Fatalf("share %g, %q, want %g and %q", b.share(), b.sentence(), share, said)
		}
	}
	look(cool, 7, 1, "")
	look(hot, 7, 0.75, "slowed to 15.0 of 20.0 frames/s: gpu at 97 °C, slowed down by the kernel from 99 on")
	look(current, 7, 0.5, "VDD_IN at 97 % of the current that raises its alarm")
	look(hot, 7, 0.25, "slowed to 5.0 of 20.0")
	look(hot, 7, 0.25, "slowed to 5.0 of 20.0")
	if got := b.every; got != 200*time.Millisecond {
		t.Errorf("at 5 frames/s every = %s", got)
	}
	for range 2 * calmLooks {
		look(warm, 7, 0.25, "slowed")
	}
	for range calmLooks - 1 {
		look(cool, 7, 0.25, "slowed")
	}
	look(cool, 7, 0.5, "slowed to 10.0")
	look(cool, 8, 0.25, "more current than it may")
	for range 3 * calmLooks {
		b.look(cool, nil, 5)
	}
	look(cool, 8, 1, "")
	if b.every != 0 {
		t.Error("something is held back after the end")
	}
}

// TestGovernorWithoutFrames: where nothing is classified there is nothing to slow down.
func TestGovernorWithoutFrames(t *testing.T) {
	var b governor
	if b.look(device.Headroom{Zone: "cpu", Celsius: 99, Limit: 99}, nil, 0) || b.every != 0 {
		t.Errorf("braked at no frames: %q", b.sentence())
	}
}

// sysfs writes a thermal zone with a limit of 99 °C below root.
func sysfs(t *testing.T, root, milli string) {
	t.Helper()
	zone := filepath.Join(root, "sys/class/thermal/thermal_zone0")
	err := os.MkdirAll(zone, 0o755)
	for name, text := range map[string]string{"type": "gpu-thermal", "temp": milli, "trip_point_0_type": "passive",
		"trip_point_0_temp": "99000"} {
		err = errors.Join(err, os.WriteFile(filepath.Join(zone, name), []byte(text+"\n"), 0o644))
	}
	if err != nil {
		t.Fatal(err)
	}
}

// TestHeatLowersTheRate: a pipeline on a machine that gets hot classifies fewer frames, says why,
// and goes on at full rate when the machine is cool again.
func TestHeatLowersTheRate(t *testing.T) { synctest.Test(t, heatLowersTheRate) }

func heatLowersTheRate(t *testing.T) {
	root := t.TempDir()
	sysfs(t, root, "60000")
	var closed atomic.Int32
	p := stubPipeline(&stubNetwork{}, &stubPublisher{},
		pipeline.Camera{Name: "a", Open: func(context.Context) (pipeline.Source, error) {
			return &stubSource{frames: 1 << 30, every: time.Millisecond, closed: &closed}, nil
		}})
	link, err := mqtt.NewLink(mqttConfig(), mqtt.Identity{Device: "edge", Cameras: []string{"a"}},
		slog.New(slog.DiscardHandler))
	if err != nil {
		t.Fatal(err)
	}
	m := &manager{}
	o := &observer{
		host: Host{Manager: m, Watchdog: 90 * time.Millisecond}, log: slog.New(slog.DiscardHandler),
		started: time.Now(),
		sensors: sensors{device.At(root), root}, cameras: map[string]string{"a": mqtt.CameraOnline}, pipeline: p,
		link:  link,
		share: 1, braking: true,
	}
	ctx, cancel := context.WithCancel(t.Context())
	var all sync.WaitGroup
	all.Go(func() {
		if err := p.Run(ctx); err != nil {
			t.Error(err)
		}
	})
	all.Go(func() { _ = o.run(ctx) })
	waitFor(t, "frames", func() bool { f := p.Counts(); return len(f) > 0 && f[0].Classified > 100 })
	if o.ratio() != 1 {
		t.Error("a cool machine is slowed down")
	}
	sysfs(t, root, "98000")
	waitFor(t, "the brake", func() bool { return m.heard("slowed to ") && m.heard("gpu at 98 °C") })
	waitFor(t, "its last step", func() bool { return o.ratio() == governorSteps[len(governorSteps)-1] })
	least := o.least()
	begin, before := time.Now(), p.Counts()[0].Classified
	time.Sleep(20 * least)
	n := p.Counts()[0].Classified - before
	took := time.Since(begin) // includes the whole time in which they were counted
	if most := uint64(took/least) + 2; n > most {
		t.Errorf("%d frames in %s, want at most one every %s", n, took, least)
	}
	sysfs(t, root, "60000")
	waitFor(t, "the full rate", func() bool { return o.ratio() == 1 })
	cancel()
	all.Wait()
}

func (o *observer) ratio() float64 {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.share
}

// least is the least time between two frames, as the sentence of the governor has it.
func (o *observer) least() time.Duration {
	o.mu.Lock()
	defer o.mu.Unlock()
	var rate float64
	if _, err := fmt.Sscanf(o.slowed, "slowed to %f of", &rate); err != nil {
		panic(err)
	}
	return time.Duration(float64(time.Second) / rate)
}
