package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"runtime"
	"time"

	"github.com/vggse/vggse-agent/bundle"
	"github.com/vggse/vggse-agent/infer"
	"github.com/vggse/vggse-agent/internal/atomicfile"
	"github.com/vggse/vggse-agent/onnx"
	"github.com/vggse/vggse-agent/vision"
)

// signalsReport measures what the outputs for features, squeeze and gates cost, and what a last
// layer in Go costs against one in the graph, in every precision that the CPU provider runs.
func (o *options) signalsReport(ctx context.Context, r *report) error {
	few, err := o.drawn(ctx, "few", 39, 12)
	if err != nil {
		return err
	}
	demo := filepath.Join(o.scratch, "signals-demo")
	if _, err := os.Stat(demo); err != nil {
		if _, err := o.calibrate(ctx, "--bundle", o.demo, "--images", few, "--out", demo, "--method", "minmax",
			"--budget", "none", "--min-agreement", "0", "--seconds", "1"); err != nil {
			return err
		}
	}
	for _, n := range []struct {
		title, bundle string
		seconds       float64
	}{{"demo network", demo, o.seconds}, {"full-size network", o.full, 3 * o.seconds}} {
		b, err := bundle.Open(n.bundle)
		if err != nil {
			return err
		}
		r.section("Signals: " + n.title + ", CPU provider, one thread")
		for _, key := range []string{bundle.FileFP32, bundle.FileFP16, bundle.FileINT8CPU} {
			if _, ok := b.Spec.Files[key]; !ok {
				continue // -full may name one that is calibrated
			}
			if err := o.signalsOf(ctx, r, b, key, n.seconds); err != nil {
				return err
			}
		}
	}
	return nil
}

// signalsOf compares one file with itself without signals, and with a head in Go.
func (o *options) signalsOf(ctx context.Context, r *report, b *bundle.Bundle, key string, seconds float64) error {
	path, err := b.Path(key)
	if err != nil {
		return err
	}
	output := b.Spec.Output.Name
	plain := filepath.Join(o.scratch, "plain.onnx")
	defer os.Remove(plain)
	if err := rewrite(path, plain, func(m *onnx.Model) error {
		m.Conceal(output)
		return nil
	}); err != nil {
		return err
	}
	with, without := modelOf(b, path), modelOf(b, plain)
	took, err := duel(ctx, with, without, o.pairs, seconds)
	if err != nil {
		return err
	}
	r.atMost(key+": a run with all signals over one without", median(took.ratio), 1.01,
		fmt.Sprintf("%s; %.3g ms without", spread(took.ratio), took.base))
	if with.Head, err = headOf(b); err != nil {
		return err
	}
	with.Output, with.Features = onnx.FeaturesOutput, with.Head.Width()
	if took, err = duel(ctx, with, without, o.pairs, seconds); err != nil {
		return err
	}
	r.fact(key+": with the last layer in Go, behind all signals", spread(took.ratio))
	return nil
}

func modelOf(b *bundle.Bundle, path string) infer.ModelFile {
	return infer.ModelFile{Path: path, Input: b.Spec.Input.Name, Output: b.Spec.Output.Name,
		Size: b.Spec.Architecture.InputSize, Classes: len(b.Spec.Labels)}
}

// headOf is the last layer of a bundle's FP32 file.
func headOf(b *bundle.Bundle) (*vision.Head, error) {
	path, err := b.Path(bundle.FileFP32)
	if err != nil {
		return nil, err
	}
	m, err := onnx.Open(path)
	if err != nil {
		return nil, err
	}
	defer m.Close()
	last, err := m.LastLayer(b.Spec.Output.Name)
	if err != nil {
		return nil, err
	}
	weight, bias, err := last.Values()
	if err != nil {
		return nil, err
	}
	return vision.NewHead(nil, weight, bias)
}

func rewrite(from, to string, change func(*onnx.Model) error) error {
	m, err := onnx.Open(from)
	if err != nil {
		return err
	}
	defer m.Close()
	if err := change(m); err != nil {
		return err
	}
	return atomicfile.WriteFile(to, func(w io.Writer) error { return onnx.Write(w, m) })
}

// dueled are the ratios of one network's time to another's, and the other's median in ms.
type dueled struct {
	ratio []float64
	base  float64
}

// duel runs two networks in turn, block by block, for about so many seconds; of each pair of blocks
// it takes the ratio of the fastest runs, by the time that their thread was on a core, which other
// programs on the machine change least.
func duel(ctx context.Context, a, b infer.ModelFile, pairs int, seconds float64) (d dueled, err error) {
	runtime.LockOSThread() // ONNX Runtime's one thread is the caller
	defer runtime.UnlockOSThread()
	c := infer.Config{Providers: []string{infer.CPU}, Threads: 1}
	var engines [2]*infer.Engine
	for i, net := range []infer.ModelFile{a, b} {
		if engines[i], err = infer.Open(ctx, c, net); err != nil {
			return d, err
		}
		defer func() { err = errors.Join(err, engines[i].Close()) }()
	}
	x := vision.NewTensor(1, 3, a.Size, a.Size)
	for i := range x.Data {
		x.Data[i] = float32(i*2654435761%1000)/500 - 1
	}
	out, signals := make(vision.Logits, a.Classes), []*vision.Signals{engines[0].SignalSizes().New()}
	block := time.Duration(seconds / float64(pairs) / 2 * float64(time.Second))
	fastest := func(i int) (best time.Duration, err error) {
		best = time.Hour
		for begin, runs := time.Now(), 0; runs < 3 || time.Since(begin) < block; runs++ {
			start := threadCPU()
			if err := engines[i].RunSignals(ctx, x, out, signals[:1-i]); err != nil {
				return 0, err
			}
			best = min(best, threadCPU()-start)
		}
		return best, nil
	}
	var base []float64
	for range pairs {
		one, err := fastest(0)
		if err != nil {
			return d, err
		}
		other, err := fastest(1)
		if err != nil {
			return d, err
		}
		d.ratio = append(d.ratio, float64(one)/float64(other))
		base = append(base, float64(other)/1e6)
	}
	d.base = median(base)
	return d, nil
}
