package main

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"runtime"
	"sync"
	"sync/atomic"
	"time"

	"github.com/vggse/vggse-agent/agent/pipeline"
	"github.com/vggse/vggse-agent/bundle"
	"github.com/vggse/vggse-agent/infer"
	"github.com/vggse/vggse-agent/mqtt"
	"github.com/vggse/vggse-agent/mqtt/spool"
	"github.com/vggse/vggse-agent/vision"
)

// rig is the daemon's pipeline and the bare session on one bundle, in this process.
type rig struct {
	network *infer.Network
	bare    *bare
	ring    []vision.Frame
	source  ringSource // of the last play
}

func openRig(ctx context.Context, bundleDir string, threads int) (*rig, error) {
	network, err := infer.OpenBundle(ctx, bundleDir, "fp32",
		infer.Config{Providers: []string{infer.CPU}, Threads: threads})
	if err != nil {
		return nil, err
	}
	path, err := network.Bundle.Path(bundle.FileFP32)
	if err != nil {
		return nil, err
	}
	r := &rig{network: network, ring: pictures(16, 1280, 720)}
	if r.bare, err = openBare(path, &network.Bundle.Spec, network.Info().Threads); err != nil {
		return nil, err
	}
	return r, nil
}

func (r *rig) close() error { return errors.Join(r.bare.close(), r.network.Close()) }

// connect opens a link as the daemon does, to a broker on this machine; stop ends it. Records wait
// in dir, where that is given.
func connect(ctx context.Context, url, dir string) (link *mqtt.Link, stop func(), err error) {
	quiet := slog.New(slog.DiscardHandler)
	config := mqtt.Config{Broker: url, TopicPrefix: "vggse", QoS: 1, StatsInterval: time.Minute,
		Publish: mqtt.Policy{Every: true}}
	if dir != "" {
		config.Spool = mqtt.SpoolConfig{Dir: dir, Bytes: spool.MinBytes}
	}
	link, err = mqtt.NewLink(config, mqtt.Identity{Device: "bench", Cameras: []string{"ring"}}, quiet)
	if err != nil {
		return nil, nil, err
	}
	ctx, cancel := context.WithCancel(ctx)
	var running sync.WaitGroup
	running.Go(func() { link.Run(ctx) })
	return link, func() { cancel(); running.Wait() }, nil
}

// play runs the pipeline for the given time on a source of the given rate.
func (r *rig) play(ctx context.Context, rate float64, length time.Duration, n pipeline.Classifier,
	p pipeline.Publisher) error {
	r.source = ringSource{ring: r.ring, every: time.Duration(float64(time.Second) / rate)}
	open := func(context.Context) (pipeline.Source, error) { return &r.source, nil }
	return r.playAll(ctx, []pipeline.Camera{{Name: "ring", Open: open}}, length, n, p)
}

// playAll runs the pipeline for the given time on cameras.
func (r *rig) playAll(ctx context.Context, cameras []pipeline.Camera, length time.Duration, n pipeline.Classifier,
	p pipeline.Publisher) error {
	ctx, cancel := context.WithTimeout(ctx, length)
	defer cancel()
	opened := pipeline.Pipeline{
		Cameras: cameras, Spec: &r.network.Bundle.Spec, Network: n, Publisher: p,
		Decide: vision.DecideConfig{TopK: 5, Threshold: 0.6, Confirm: 3, Unknown: vision.Unknown},
		Log:    slog.New(slog.DiscardHandler),
	}
	if err := opened.Run(ctx); err != nil && !errors.Is(err, context.DeadlineExceeded) {
		return err
	}
	return nil
}

// counted passes decisions on and counts them.
type counted struct {
	pipeline.Publisher
	n           int
	first, last time.Time
}

func (c *counted) Publish(ctx context.Context, d *vision.Decision) error {
	c.last = time.Now()
	if c.n++; c.n == 1 {
		c.first = c.last
	}
	return c.Publisher.Publish(ctx, d)
}

// rate is decisions per second, from the first to the last.
func (c *counted) rate() float64 { return float64(c.n-1) / c.last.Sub(c.first).Seconds() }

// timed notes the CPU time that the network's runs take in their own thread.
type timed struct {
	pipeline.Classifier
	cpu atomic.Int64
}

func (t *timed) Run(ctx context.Context, in *vision.Tensor, out vision.Logits) error {
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	begin := threadCPU()
	err := t.Classifier.Run(ctx, in, out)
	t.cpu.Add(int64(threadCPU() - begin))
	return err
}

// pairs are the numbers of the interleaved runs, pair by pair.
type pairs struct {
	bareRate, pipelineRate []float64 // images per second
	sourceRate             []float64 // frames per second that the source delivered, at twice bareRate if it could
	bareCPU, pipelineCPU   []float64 // milliseconds per image, of the whole process
	bareRun, frameToWire   []float64 // milliseconds, of all pairs together
}

// measure interleaves bare loops with the pipeline: at twice the network's rate for throughput, on
// a real broker; at half of it for latency, on one that notes when a result arrives.
func (r *rig) measure(ctx context.Context, n int, length time.Duration, brokerURL string) (*pairs, error) {
	link, stop, err := connect(ctx, brokerURL, "")
	if err != nil {
		return nil, err
	}
	defer stop()
	w, err := openWire()
	if err != nil {
		return nil, err
	}
	defer w.server.Close()
	wired, stopWired, err := connect(ctx, w.url, "")
	if err != nil {
		return nil, err
	}
	defer stopWired()
	if _, err := r.bare.loop(length / 2); err != nil { // warm-up
		return nil, err
	}
	m := &pairs{}
	for range n {
		begin := processCPU()
		took, err := r.bare.loop(length)
		if err != nil {
			return nil, err
		}
		bareCPU := float64(processCPU()-begin) / 1e6 / float64(len(took))
		rate := 1000 / mean(took)
		c := &counted{Publisher: link}
		begin = processCPU()
		if err := r.play(ctx, 2*rate, length, r.network, c); err != nil {
			return nil, err
		}
		pipelineCPU := float64(processCPU()-begin) / 1e6 / float64(c.n)
		if c.n < 3 {
			return nil, fmt.Errorf("the pipeline answered only %d times in %v", c.n, length)
		}
		m.sourceRate = append(m.sourceRate, float64(r.source.reads)/length.Seconds())
		if err := r.play(ctx, rate/2, length, r.network, wired); err != nil {
			return nil, err
		}
		time.Sleep(100 * time.Millisecond) // what is on its way arrives
		m.bareRun, m.frameToWire = append(m.bareRun, took...), append(m.frameToWire, w.take()...)
		m.bareRate, m.pipelineRate = append(m.bareRate, rate), append(m.pipelineRate, c.rate())
		m.bareCPU, m.pipelineCPU = append(m.bareCPU, bareCPU), append(m.pipelineCPU, pipelineCPU)
	}
	return m, nil
}

// steady passes decisions on and notes what the process spends between two of them.
type steady struct {
	counted
	network     *timed
	from, until int           // decisions
	cpu         time.Duration // outside the network's runs
	allocations uint64
}

func (s *steady) Publish(ctx context.Context, d *vision.Decision) error {
	if s.n == s.from || s.n == s.until {
		var memory runtime.MemStats
		runtime.ReadMemStats(&memory)
		s.cpu = processCPU() - time.Duration(s.network.cpu.Load()) - s.cpu
		s.allocations = memory.Mallocs - s.allocations
	}
	return s.counted.Publish(ctx, d)
}

// outside measures, with one inference thread, what a frame costs beside the network's run: CPU in
// milliseconds, and allocations. The source has half the network's rate, so that no frame is
// dropped.
func (r *rig) outside(ctx context.Context, rate float64, length time.Duration, p pipeline.Publisher) (cpu,
	allocations float64, err error) {
	n := &timed{Classifier: r.network}
	expected := int(rate / 2 * length.Seconds())
	s := &steady{counted: counted{Publisher: p}, network: n, from: expected / 10, until: expected * 8 / 10}
	if err := r.play(ctx, rate/2, length, n, s); err != nil {
		return 0, 0, err
	}
	if s.n <= s.until || s.from == s.until {
		return 0, 0, fmt.Errorf("the pipeline answered only %d times in %v", s.n, length)
	}
	frames := float64(s.until - s.from)
	return float64(s.cpu) / 1e6 / frames, float64(s.allocations) / frames, nil
}

// discard is a publisher that does nothing.
type discard struct{}

func (discard) Publish(context.Context, *vision.Decision) error { return nil }
func (discard) CameraStatus(string, string)                     {}
func (discard) Stats(mqtt.Stats)                                {}

func mean(v []float64) float64 {
	sum := 0.0
	for _, x := range v {
		sum += x
	}
	return sum / float64(len(v))
}
