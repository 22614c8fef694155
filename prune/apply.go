package prune

import (
	"context"
	"errors"
	"slices"

	"gonum.org/v1/gonum/mat"

	"github.com/vggse/vggse-agent/onnx"
)

// Limits on the work of Apply.
const (
	gatePictures = 1024      // that gates are fitted on
	stageBytes   = 512 << 20 // of what a tensor holds for all pictures
)

// application is a network that loses channels, layer by layer in the order of the forward pass.
type application struct {
	*Analysis
	n    *VGG
	plan Plan
	from *stage // the last tensor of n that will not change any more and fits in memory
}

// Apply takes the channels out that are not in p and fits each reader to what it put out in the
// network that was.
func (s *Analysis) Apply(ctx context.Context, p Plan) (*VGG, error) {
	a := &application{Analysis: s, n: s.network.clone(), plan: p}
	touched := false
	for i := range s.groups {
		g := &s.groups[i]
		if len(p[i]) < g.width {
			touched = true
			s.narrow(a.n, i, p[i])
		}
		if !touched || s.few(g) {
			continue
		}
		if g.gate != nil {
			if err := a.refitGate(ctx, i); err != nil {
				return nil, err
			}
		}
		if err := a.refit(ctx, i); err != nil {
			return nil, err
		}
		s.bench.progress("fitting layers", i+1, len(s.groups))
	}
	return a.n, nil
}

// refitGate lets the gate see the channels that are gone as a mix of those that are left.
func (a *application) refitGate(ctx context.Context, i int) error {
	g, k, keep := &a.groups[i], &a.known[i], a.plan[i]
	each := len(k.gate[0]) / g.width
	train, judge, err := a.gather(ctx, gathering{tensor: g.before, p: len(keep), q: g.width, each: each,
		samples: min(gatePictures, k.pictures),
		fill: func(picture int, v, rows []float32, row int) {
			x := k.gateSamples(g, v, len(keep), picture)
			for r := range each {
				copy(rows[r*row:], x[r*len(keep):][:len(keep)])
				copy(rows[r*row+len(keep):], k.gate[picture][r*g.width:][:g.width])
			}
		}})
	if err != nil {
		return err
	}
	mix, _ := fit(train, judge, mat.DenseCopyOf(selection(keep, g.width).T())) // kept × width
	for _, p := range g.gate.Params {
		if endsWith(p.Name, gateColumns) {
			a.n.own[p.Name] = fold(a.network.values(p.Name), p.Shape[0], 1, mat.DenseCopyOf(mix.T()))
		}
	}
	return nil
}

// refit fits the reader of g: all of its weights where that can be solved, else a mix of channels.
func (a *application) refit(ctx context.Context, i int) error {
	g, k, keep := &a.groups[i], a.known[i], a.plan[i]
	samples := k.each * k.pictures
	if p := len(keep)*g.taps + 1; k.taps != g.taps && !g.dense() && p <= largestNormal && samples >= 2*p {
		k.taps = g.taps // now it can be solved
	}
	targets, q := k.out, g.reader.Params[0].Shape[0]
	if k.taps != g.taps {
		targets, q = k.in, g.width
	}
	p := len(keep)*k.taps + 1
	if samples < 2*p {
		return nil
	}
	last := i+1 == len(a.groups)
	pictures, next := k.pictures, a.next(g, len(keep))
	if next != nil {
		pictures = a.bench.Pictures.Len()
	}
	train, judge, err := a.gather(ctx, gathering{tensor: g.in, p: p, q: q, each: k.each, samples: k.pictures,
		pictures: pictures, keep: k.taps == g.taps && !last, weigh: !last, stage: next,
		fill: func(picture int, v, rows []float32, row int) {
			k.inputs(rows, row, g, v, len(keep), picture)
			for r := range k.each {
				copy(rows[r*row+p:], targets[picture][r*q:][:q])
			}
		}})
	if err != nil {
		return err
	}
	if next != nil {
		a.from = next
	}
	if k.taps != g.taps {
		best, _ := fit(train, judge, k.mixed(g, keep))
		mix, shift := mixOf(best)
		weight, bias := g.reader.Params[0], g.reader.Params[1]
		a.n.reread(g, a.network.values(weight.Name), a.network.values(bias.Name), mix, shift)
		return nil
	}
	best, solver := fit(train, judge, readerWeights(a.n, g, len(keep)))
	if !last && solver != nil {
		if best, err = a.bench.rectified(ctx, train, judge, best, solver); err != nil {
			return err
		}
	}
	a.n.setReader(g, best)
	return nil
}

// next is the stage that begins with the input of the reader of g, where it is small, behind a gate
// and its pool, and fits in memory for all pictures; nil elsewhere.
func (a *application) next(g *group, channels int) *stage {
	if g.gate == nil || g.dense() {
		return nil
	}
	n := a.bench.Pictures.Len()
	if int64(n)*int64(channels*g.side*g.side)*4 > stageBytes {
		return nil
	}
	side := int64(g.side)
	return &stage{g.in, [4]int64{1, int64(channels), side, side}, make([][]float32, n)}
}

// gathering says what gather sums up.
type gathering struct {
	tensor            string
	p, q              int // numbers that go in, and that should come out
	each              int // samples of a picture
	samples, pictures int // of the first pictures; so many are looked at all the same
	keep, weigh       bool
	stage             *stage // where the tensor goes; nil: nowhere
	fill              func(picture int, v, rows []float32, row int)
}

// gather sums up what a tensor of the network holds and what should be made of it, which fill
// writes into the rows of a picture: the last shard apart.
func (a *application) gather(ctx context.Context, w gathering) (train, judge *moments, err error) {
	m, err := a.n.Model()
	if err != nil {
		return nil, nil, err
	}
	product, err := a.bench.product(ctx, w.p+w.q, sumsGraph(w.p, w.q), "sums")
	if err != nil {
		return nil, nil, err
	}
	defer func() { err = errors.Join(err, product.Close()) }()
	sums := make([]*collector, shards)
	for k := range sums {
		sums[k] = &collector{moments: newMoments(w.p, w.q), product: product}
		sums[k].keep = w.keep
	}
	looks := []look{{m, []string{w.tensor}, a.from}}
	err = a.bench.each(ctx, max(w.samples, w.pictures), looks, func(shard, picture int, out [][]float32) error {
		if w.stage != nil {
			w.stage.values[picture] = slices.Clone(out[0])
		}
		if picture >= w.samples {
			return nil
		}
		rows, err := sums[shard].grow(ctx, w.each)
		if err != nil {
			return err
		}
		w.fill(picture, out[0], rows, w.p+w.q)
		if w.weigh {
			a.weigh(rows, picture)
		}
		return nil
	})
	if err != nil {
		return nil, nil, err
	}
	if train, err = merged(ctx, sums[:shards-1]); err != nil {
		return nil, nil, err
	}
	judge, err = merged(ctx, sums[shards-1:])
	return train, judge, err
}

// Bytes is how long the file of the network is.
func (n *VGG) Bytes() (int64, error) {
	m, err := n.Model()
	if err != nil {
		return 0, err
	}
	return onnx.Size(m), nil
}
