package main

import (
	"context"
	"errors"
	"fmt"
	"math"
	"time"

	"github.com/vggse/vggse-agent/agent/pipeline"
	"github.com/vggse/vggse-agent/camera"
	"github.com/vggse/vggse-agent/camera/worker"
	"github.com/vggse/vggse-agent/vision"
)

// camerasReport measures what several cameras at one network cost, and how old a picture is when
// the network gets it.
func (o *options) camerasReport(ctx context.Context, r *report) error {
	for _, n := range []struct {
		title, bundle string
		threads       int
		length        float64
		width, height int
	}{
		{"demo network, one inference thread", o.demo, 1, o.seconds, 640, 360},
		{"demo network, one inference thread", o.demo, 1, o.seconds, 1280, 720},
		{"full-size network, all cores", o.full, 0, 5 * o.seconds, 1280, 720},
	} {
		r.section(fmt.Sprintf("Four cameras of %d×%d against one, %s", n.width, n.height, n.title))
		rig, err := openRig(ctx, n.bundle, n.threads)
		if err != nil {
			return err
		}
		rig.ring = pictures(16, n.width, n.height)
		err = rig.manyReport(ctx, r, o.pairs, time.Duration(n.length*float64(time.Second)))
		if err == nil && n.bundle == o.demo && n.width == 1280 {
			err = rig.ageReport(ctx, r, time.Duration(o.age*float64(time.Second)))
		}
		if err := errors.Join(err, rig.close()); err != nil {
			return err
		}
	}
	return nil
}

// manyReport offers the network twice what it can take, from one camera and from four in turn.
func (r *rig) manyReport(ctx context.Context, out *report, pairs int, length time.Duration) error {
	took, err := r.bare.loop(length)
	if err != nil {
		return err
	}
	offered := 2 * 1000 / mean(took)
	var one, four, uneven []float64
	for range pairs {
		single, err := r.share(ctx, 1, offered, length)
		if err != nil {
			return err
		}
		several, err := r.share(ctx, 4, offered, length)
		if err != nil {
			return err
		}
		least, most := math.Inf(1), 0.0
		for _, n := range several.by {
			least, most = min(least, n), max(most, n)
		}
		one, four = append(one, single.rate()), append(four, several.rate())
		uneven = append(uneven, (most-least)/(float64(several.n)/4))
	}
	ratio := ratios(four, one)
	out.fact("frames offered, a second", fmt.Sprintf("%.1f", offered))
	out.fact("one camera, images/s", spread(one))
	out.fact("four cameras together, images/s", spread(four))
	out.atLeast("four / one", median(ratio), 0.97, spread(ratio))
	out.atMost("between the camera with the most answers and that with the least, share of the mean", median(uneven),
		0.05, spread(uneven))
	return nil
}

// shared counts decisions, by camera too.
type shared struct {
	counted
	by map[string]float64
}

func (s *shared) Publish(ctx context.Context, d *vision.Decision) error {
	s.by[d.Camera]++
	return s.counted.Publish(ctx, d)
}

// share plays from n cameras that offer so many frames a second together.
func (r *rig) share(ctx context.Context, n int, offered float64, length time.Duration) (*shared, error) {
	s := &shared{counted: counted{Publisher: discard{}}, by: map[string]float64{}}
	var cameras []pipeline.Camera
	for i := range n {
		source := &ringSource{ring: r.ring, every: time.Duration(float64(n) * float64(time.Second) / offered)}
		name := fmt.Sprint("ring", i)
		s.by[name] = 0
		cameras = append(cameras,
			pipeline.Camera{Name: name, Open: func(context.Context) (pipeline.Source, error) { return source, nil }})
	}
	if err := r.playAll(ctx, cameras, length, r.network, s); err != nil {
		return nil, err
	}
	if s.n < 3 {
		return nil, fmt.Errorf("the pipeline answered only %d times in %v", s.n, length)
	}
	return s, nil
}

// sourceRate is that of the camera whose frames' age is measured.
const sourceRate = 30

// halfRate is a network that takes every second frame of it.
type halfRate struct {
	pipeline.Classifier
	next time.Time
}

func (h *halfRate) Run(ctx context.Context, in *vision.Tensor, out vision.Logits) error {
	err := h.Classifier.Run(ctx, in, out)
	pause(time.Until(h.next))
	h.next = time.Now().Add(2 * time.Second / sourceRate)
	return err
}

// ages notes how old each frame was when the network got it, in milliseconds.
type ages struct {
	discard
	all []float64
}

func (a *ages) Publish(_ context.Context, d *vision.Decision) error {
	a.all = append(a.all, float64(d.Latency.Total-d.Latency.Infer-d.Latency.Post)/1e6)
	return nil
}

// ageReport plays a real 1280×720 source to a network of half its rate.
func (r *rig) ageReport(ctx context.Context, out *report, length time.Duration) error {
	out.section(fmt.Sprintf("Age of a frame at its inference: a source of %d frames a second, a network of half "+
		"that, %.0f s", sourceRate, length.Seconds()))
	process := worker.New(camera.Config{Name: "test", Source: fmt.Sprintf("gst:videotestsrc is-live=true ! "+
		"video/x-raw,width=1280,height=720,framerate=%d/1", sourceRate)})
	defer process.Close()
	open := func(ctx context.Context) (pipeline.Source, error) { return process.Open(ctx) }
	var a ages
	if err := r.playAll(ctx, []pipeline.Camera{{Name: "test", Open: open}}, length, &halfRate{Classifier: r.network},
		&a); err != nil {
		return err
	}
	if float64(len(a.all)) < length.Seconds()*sourceRate/4 {
		return fmt.Errorf("only %d frames in %v", len(a.all), length)
	}
	half := len(a.all) / 2
	before, after := percentile(a.all[:half], 99), percentile(a.all[half:], 99)
	out.atMost("p99, ms (bar: one interval + 10)", percentile(a.all, 99), 1000.0/sourceRate+10,
		fmt.Sprintf("%.1f (p50 %.1f, %d frames)", percentile(a.all, 99), median(a.all), len(a.all)))
	out.atMost("p99 of the second half less that of the first, ms", after-before, 5,
		fmt.Sprintf("%.1f (%.1f → %.1f)", after-before, before, after))
	return nil
}
