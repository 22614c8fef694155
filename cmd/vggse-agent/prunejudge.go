package main

import (
	"context"
	"fmt"
	"io"
	"math"
	"path/filepath"
	"slices"
	"sync"
	"text/tabwriter"
	"time"

	"github.com/vggse/vggse-agent/internal/atomicfile"
	"github.com/vggse/vggse-agent/internal/round"
	"github.com/vggse/vggse-agent/onnx"
	"github.com/vggse/vggse-agent/prune"
	"github.com/vggse/vggse-agent/quant"
	"github.com/vggse/vggse-agent/vgg16se"
	"github.com/vggse/vggse-agent/vision"
)

// candidate is a network to judge.
type candidate struct {
	name string
	make func() *prune.Network // only when it is its turn: its weights are in memory
}

// judge holds the small network against the one that was, and others of its widths.
func (p *pruning) judge(ctx context.Context) (err error) {
	others := []candidate{
		{"pruned", func() *prune.Network { return p.small }},
		{"the same channels, nothing fitted", func() *prune.Network { return p.study.Cut(p.plan) }},
		{"largest weights (L1)", func() *prune.Network { return p.study.Cut(p.study.Largest(p.plan)) }},
		{"by lot", func() *prune.Network { return p.study.Cut(p.study.Random(p.plan, 1)) }},
	}
	if p.fitL1 {
		fitted, err := p.study.Apply(ctx, p.study.Largest(p.plan))
		if err != nil {
			return err
		}
		others = slices.Insert(others, 1, candidate{"largest weights (L1), fitted", func() *prune.Network { return fitted }})
	}
	if p.report.Ways, err = p.judged(ctx, p.held, others); err != nil {
		return err
	}
	p.report.Layers = p.study.Layers(p.plan)
	if lost := 100 * p.report.Ways[1].Lost; p.points > 0 && lost > p.points {
		p.report.Missed = append(p.report.Missed, fmt.Sprintf("%.2f points are lost on %d pictures, %g are allowed", lost, p.report.HeldOut, p.points))
	}
	if p.report.Before, err = prune.SizeOf(p.network); err == nil {
		p.report.Before.Architecture = p.arch.String() // as its manifest says it
		p.report.After, err = prune.SizeOf(p.small)
	}
	return err
}

// open writes a network and loads it.
func (p *pruning) openNetwork(ctx context.Context, name string, n *prune.Network) (quant.Session, error) {
	path := filepath.Join(p.dir, name+".onnx")
	m, err := n.Model()
	if err != nil {
		return nil, err
	}
	if err := atomicfile.WriteFile(path, func(w io.Writer) error { return onnx.Write(w, m) }); err != nil {
		return nil, err
	}
	if err := p.lessMemory(); err != nil {
		return nil, err
	}
	return p.rt.Open(ctx, path, quant.Options{Outputs: []string{vgg16se.Output}})
}

// judged runs the network that was and all candidates over a set; the first way is the network that was. Large networks
// take turns, because only two fit in memory.
func (p *pruning) judged(ctx context.Context, set *pictureSet, candidates []candidate) ([]prune.Way, error) {
	classes := len(p.bundle.Spec.Labels)
	reference := make([][]float32, len(set.files))
	ways := []prune.Way{}
	for _, c := range append([]candidate{{"as it was", func() *prune.Network { return p.network }}}, candidates...) {
		s, err := p.openNetwork(ctx, "judged", c.make())
		if err != nil {
			return nil, err
		}
		var t tally
		var next int
		var mu sync.Mutex
		err = fanOut(ctx, p.pruneFlags.workers, func(ctx context.Context) error {
			x := vision.NewTensor(1, 3, p.size(), p.size())
			for {
				mu.Lock()
				i := next
				next++
				mu.Unlock()
				if i >= len(set.files) || ctx.Err() != nil {
					return ctx.Err()
				}
				if err := set.read(&set.files[i], x, nil); err != nil {
					return err
				}
				logits := make([]float32, classes)
				if err := s.Run(ctx, x, func(_ int, v []float32) { copy(logits, v) }); err != nil {
					return err
				}
				mu.Lock()
				if len(ways) == 0 {
					reference[i] = logits
				}
				t.add(set.files[i].label, reference[i], logits)
				mu.Unlock()
			}
		})
		if err := joinClose(err, s); err != nil {
			return nil, err
		}
		ways = append(ways, t.way(c.name))
	}
	return ways, nil
}

func joinClose(err error, s quant.Session) error {
	if e := s.Close(); err == nil {
		err = e
	}
	return err
}

// tally counts on one set of pictures.
type tally struct{ n, same, labelled, right, right5, lost, won int }

func (t *tally) add(label int, reference, own []float32) {
	a, b := vision.TopK(nil, reference, 1)[0], vision.TopK(nil, own, 5)
	t.n++
	same := a == b[0]
	if same {
		t.same++
	}
	if label < 0 {
		return
	}
	t.labelled++
	if b[0] == label {
		t.right++
	}
	if slices.Contains(b, label) {
		t.right5++
	}
	switch {
	case a == label && !same:
		t.lost++
	case b[0] == label && !same:
		t.won++
	}
}

// way sums up. The interval of the loss is that of a difference of paired shares (normal approximation).
func (t *tally) way(name string) prune.Way {
	n, lost, won := float64(t.n), float64(t.n-t.same), 0.0
	w := prune.Way{Name: name, Agreement: float64(t.same) / n}
	if t.labelled > 0 {
		n, lost, won = float64(t.labelled), float64(t.lost), float64(t.won)
		top1, top5 := float64(t.right)/n, float64(t.right5)/n
		w.Top1, w.Top5 = &top1, &top5
	}
	w.Lost = (lost - won) / n
	w.LostHalf = 1.96 * math.Sqrt(max(0, lost+won-(lost-won)*(lost-won)/n)) / n
	return w
}

// measure runs the two networks in turn.
func (p *pruning) measure(ctx context.Context) error {
	a, err := p.openNetwork(ctx, "before", p.network)
	if err != nil {
		return err
	}
	defer a.Close()
	b, err := p.openNetwork(ctx, "after", p.small)
	if err != nil {
		return err
	}
	defer b.Close()
	t := vision.NewTensor(1, 3, p.size(), p.size())
	if err := p.held.read(&p.held.files[0], t, nil); err != nil {
		return err
	}
	l, err := quant.Race(ctx, a, b, t, time.Duration(p.pruneFlags.seconds*float64(time.Second)))
	p.report.Latency = prune.Latency{Before: round.Three(l.FP32), After: round.Three(l.Here), Speedup: round.Three(l.Speedup), BestSpeedup: round.Three(l.BestSpeedup), Runs: l.Runs}
	return err
}

// printPruning is the report for a terminal.
func printPruning(w io.Writer, r *prune.Report, out string) error {
	fmt.Fprintf(w, "%s, fitted on %d pictures, judged on %d others; %s, ONNX Runtime %s\n\n", r.Bundle, r.Fitted, r.HeldOut, r.Machine, r.Runtime)
	t := tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)
	fmt.Fprintln(t, "network\tagreement\ttop-1\tchange (95 %)")
	for _, way := range r.Ways {
		top1 := "–"
		if way.Top1 != nil {
			top1 = fmt.Sprintf("%.2f %%", 100**way.Top1)
		}
		fmt.Fprintf(t, "%s\t%.2f %%\t%s\t%+.2f ± %.2f points\n", way.Name, 100*way.Agreement, top1, 0-100*way.Lost, 100*way.LostHalf)
	}
	if err := t.Flush(); err != nil {
		return err
	}
	b, a := r.Before, r.After
	fmt.Fprintf(w, "\nmultiply-adds %.1f → %.1f million (%.2f×), parameters %s → %s, file %.2f → %.2f MB; %.2f → %.2f ms, %.2f× as fast\n%s\n",
		float64(b.MACs)/1e6, float64(a.MACs)/1e6, float64(b.MACs)/float64(a.MACs), grouped(b.Parameters), grouped(a.Parameters),
		float64(b.Bytes)/1e6, float64(a.Bytes)/1e6, r.Latency.Before, r.Latency.After, r.Latency.Speedup, a.Architecture)
	if len(r.Missed) == 0 {
		fmt.Fprintf(w, "\n%s now holds the bundle and report.html\n", out)
	}
	return nil
}

// kept are pictures that stay in memory once they are read, as far as there is room.
type kept struct {
	set  *pictureSet
	data [][]float32
	room int // pictures
}

// keptBytes is how much memory pictures may take.
const keptBytes = 256 << 20

func newKept(set *pictureSet, size int) *kept {
	return &kept{set: set, data: make([][]float32, len(set.files)), room: keptBytes / (12 * size * size)}
}

func (k *kept) Len() int { return len(k.set.files) }

// Load is only called by one worker for the same picture at a time.
func (k *kept) Load(i int, t *vision.Tensor) error {
	if k.data[i] != nil {
		copy(t.Data, k.data[i])
		return nil
	}
	err := k.set.read(&k.set.files[i], t, nil)
	if err == nil && i < k.room {
		k.data[i] = slices.Clone(t.Data)
	}
	return err
}
