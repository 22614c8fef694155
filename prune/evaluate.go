package prune

import (
	"context"
	"errors"
	"fmt"
	"io"
	"path/filepath"
	"slices"
	"sync"
	"time"

	"github.com/vggse/vggse-agent/dataset"
	"github.com/vggse/vggse-agent/eval"
	"github.com/vggse/vggse-agent/infer"
	"github.com/vggse/vggse-agent/internal/round"
	"github.com/vggse/vggse-agent/vgg16se"
	"github.com/vggse/vggse-agent/vision"
)

// candidate is a network to evaluate.
type candidate struct {
	name string
	make func() *VGG // only when it is its turn: its weights are in memory
}

// evaluate holds the small network against the one that was, and others of its widths.
func (p *pruning) evaluate(ctx context.Context) (err error) {
	others := []candidate{
		{"pruned", func() *VGG { return p.small }},
		{"the same channels, nothing fitted", func() *VGG { return p.study.Cut(p.plan) }},
		{"largest weights (L1)", func() *VGG { return p.study.Cut(p.study.Largest(p.plan)) }},
		{"by lot", func() *VGG { return p.study.Cut(p.study.Random(p.plan, 1)) }},
	}
	if p.report.Ways, err = p.compare(ctx, p.held, others); err != nil {
		return err
	}
	p.report.Layers = p.study.Layers(p.plan)
	if missed := gate(100*p.report.Ways[1].Lost, p.Points, p.report.HeldOut); missed != "" {
		p.report.Missed = append(p.report.Missed, missed)
	}
	if p.report.Before, err = SizeOf(p.network); err == nil {
		p.report.Before.Architecture = p.arch.String() // as its manifest says it
		p.report.After, err = SizeOf(p.small)
	}
	return err
}

// gate says what was missed: more points lost than allowed, where there is a limit; "": nothing.
func gate(lost, allowed float64, pictures int) string {
	if allowed <= 0 || lost <= allowed {
		return ""
	}
	return fmt.Sprintf("%.2f points are lost on %d pictures, %g are allowed", lost, pictures, allowed)
}

// open writes a network and loads it.
func (p *pruning) open(ctx context.Context, name string, n *VGG) (*infer.Probe, error) {
	path := filepath.Join(p.dir, name+".onnx")
	m, err := n.Model()
	if err != nil {
		return nil, err
	}
	if err := writeNow(path, m); err != nil {
		return nil, err
	}
	if err := p.lessMemory(); err != nil {
		return nil, err
	}
	return p.prober.Open(ctx, path, infer.ProbeOptions{Outputs: []string{vgg16se.Output}})
}

// compare runs the network that was and all candidates over a set; the first way is the network
// that was. Large networks take turns, because only two fit in memory.
func (p *pruning) compare(ctx context.Context, set *dataset.Set, candidates []candidate) ([]Way, error) {
	reference := make([][]float32, set.Len())
	ways := []Way{}
	for _, c := range append([]candidate{{"as it was", func() *VGG { return p.network }}}, candidates...) {
		s, err := p.open(ctx, "judged", c.make())
		if err != nil {
			return nil, err
		}
		counts, err := p.count(ctx, s, set, reference, len(ways) == 0)
		if err := errors.Join(err, s.Close()); err != nil {
			return nil, err
		}
		if len(ways) == 0 {
			p.checkOrder(set, reference)
		}
		ways = append(ways, way(c.name, &counts))
	}
	return ways, nil
}

// checkOrder says where the answers of the network that was show that its labels stand in another
// order than the folders.
func (p *pruning) checkOrder(set *dataset.Set, answers [][]float32) {
	guesses := make([]dataset.Summary, len(answers))
	for i, logits := range answers {
		guesses[i] = dataset.Summary{Class: set.Pictures[i].Label, Guess: -1}
		if top := vision.TopK(nil, logits, 1); len(top) == 1 {
			guesses[i].Guess = top[0]
		}
	}
	for _, f := range dataset.LabelOrder(guesses, p.bundle.Spec.Labels) {
		p.progress.Say("warning: %s: %s (%s)", f.Check, f.Evidence, f.Cure)
	}
}

// count counts the answers of s to the pictures of a set against those of the reference; first
// makes them the reference.
func (p *pruning) count(ctx context.Context, s *infer.Probe, set *dataset.Set, reference [][]float32,
	first bool) (eval.Counts, error) {
	var counts eval.Counts
	var mu sync.Mutex
	set.Rewind()
	err := eval.Parallel(ctx, p.Workers, func(ctx context.Context) error {
		x := vision.NewTensor(1, 3, p.size(), p.size())
		for {
			i, label, err := set.Next(ctx, x)
			if errors.Is(err, io.EOF) {
				return nil
			} else if err != nil {
				return err
			}
			var logits []float32
			if err := s.Run(ctx, x, func(_ int, v []float32) { logits = slices.Clone(v) }); err != nil {
				return err
			}
			mu.Lock()
			if first {
				reference[i] = logits
			}
			counts.Add(label, reference[i], logits)
			mu.Unlock()
		}
	})
	return counts, err
}

// way sums up.
func way(name string, c *eval.Counts) Way {
	w := Way{Name: name, Agreement: float64(c.Same) / float64(c.Images)}
	if c.Labelled > 0 {
		top1, top5 := float64(c.Right)/float64(c.Labelled), float64(c.Right5)/float64(c.Labelled)
		w.Top1, w.Top5 = &top1, &top5
	}
	w.Lost, w.LostHalf = c.Loss()
	return w
}

// measure runs the two networks in turn.
func (p *pruning) measure(ctx context.Context) error {
	a, err := p.open(ctx, "before", p.network)
	if err != nil {
		return err
	}
	defer a.Close()
	b, err := p.open(ctx, "after", p.small)
	if err != nil {
		return err
	}
	defer b.Close()
	t := vision.NewTensor(1, 3, p.size(), p.size())
	if err := p.held.Load(0, t); err != nil {
		return err
	}
	l, err := eval.Race(ctx, a, b, t, time.Duration(p.Seconds*float64(time.Second)))
	p.report.Latency = Latency{Before: round.Three(l.FP32), After: round.Three(l.Here), Speedup: round.Three(l.Speedup),
		BestSpeedup: round.Three(l.BestSpeedup), Runs: l.Runs}
	return err
}
