package prune

import (
	"context"
	"math"

	"gonum.org/v1/gonum/mat"

	"github.com/vggse/vggse-agent/onnx"
)

// largestNormal is the most inputs of an output that least squares are solved for in full (its
// matrix is that squared, for each shard); beyond, channels are mixed alike in all taps, as before
// the first fully connected layer of the full-size network.
const largestNormal = 1300

// Samples for each unknown number of an output, at least, and at least of a picture, because its
// neighbours tell little new.
const (
	samplesEach    = 24
	samplesLeast   = 20_000
	samplesPicture = 6
)

// Apply takes the channels out that are not in p, layer by layer in the order of the forward pass,
// and fits each reader to what it put out in the network that was.
func (s *Analysis) Apply(ctx context.Context, p Plan) (*VGG, error) {
	n := s.network.clone()
	touched := false
	for i := range s.groups {
		g := &s.groups[i]
		if len(p[i]) < g.width {
			touched = true
			mix, shift := mixOf(s.cov[i], s.mean[i], p[i])
			n.cut(g, p[i], mix, shift)
		}
		if !touched {
			continue
		}
		if g.gate != nil {
			if err := s.refitGate(ctx, n, g, p[i]); err != nil {
				return nil, err
			}
		}
		if err := s.refit(ctx, n, g, p[i]); err != nil {
			return nil, err
		}
		s.bench.progress("fitting layers", i+1, len(s.groups))
	}
	return n, nil
}

// refitGate lets the gate see the channels that are gone as a mix of those that are left.
func (s *Analysis) refitGate(ctx context.Context, n *VGG, g *group, keep []int) error {
	train, judge, err := s.gather(ctx, n, g.before, g.before, sampling{in: len(keep), out: g.width})
	if err != nil {
		return err
	}
	mix := fit(train, judge, mat.DenseCopyOf(selection(keep, g.width).T())) // kept × width
	for _, p := range g.gate.Params {
		if endsWith(p.Name, gateColumns) {
			n.own[p.Name] = fold(s.network.values(p.Name), p.Shape[0], 1, mat.DenseCopyOf(mix.T()))
		}
	}
	return nil
}

// refit fits the reader of g: all of its weights where that can be solved, else a mix of channels.
func (s *Analysis) refit(ctx context.Context, n *VGG, g *group, keep []int) error {
	weight, bias := g.reader.Params[0], g.reader.Params[1]
	out := weight.Shape[0]
	unknown := len(keep)*g.taps + 1
	full := sampling{in: unknown - 1, out: out, constant: true, patch: !g.dense(), whole: g.dense(),
		rectified: g.index+1 < len(s.groups)}
	if unknown <= largestNormal && s.samples(g, full) >= 2*unknown {
		start := mat.NewDense(unknown, out, nil)
		w, b := n.values(weight.Name), n.values(bias.Name)
		for o := range out {
			for i := range unknown - 1 {
				start.Set(i, o, float64(w[o*(unknown-1)+i]))
			}
			start.Set(unknown-1, o, float64(b[o]))
		}
		train, judge, err := s.gather(ctx, n, g.in, g.out, full)
		if err != nil {
			return err
		}
		best := fit(train, judge, start)
		fitted, moved := make([]float32, out*(unknown-1)), make([]float32, out)
		for o := range out {
			for i := range unknown - 1 {
				fitted[o*(unknown-1)+i] = float32(best.At(i, o))
			}
			moved[o] = float32(best.At(unknown-1, o))
		}
		n.own[weight.Name], n.own[bias.Name] = fitted, moved
		return nil
	}
	mixing := sampling{in: len(keep), out: g.width, constant: true}
	if s.samples(g, mixing) < 2*len(keep) {
		return nil
	}
	train, judge, err := s.gather(ctx, n, g.in, g.in, mixing)
	if err != nil {
		return err
	}
	mix, shift := mixOf(s.cov[g.index], s.mean[g.index], keep)
	start := mat.NewDense(len(keep)+1, g.width, nil)
	start.Slice(0, len(keep), 0, g.width).(*mat.Dense).Copy(mix.T())
	start.SetRow(len(keep), shift)
	best := fit(train, judge, start)
	n.reread(g, s.network.values(weight.Name), s.network.values(bias.Name),
		mat.DenseCopyOf(best.Slice(0, len(keep), 0, g.width).T()), mat.Row(nil, len(keep), best))
	return nil
}

// sampling says what a sample is: a column of channels at a place, a 3×3 patch of them, or a whole
// picture's.
type sampling struct {
	in, out      int // numbers
	constant     bool
	patch, whole bool
	rectified    bool // a ReLU comes next
}

// samples is how many there are of a group's input.
func (s *Analysis) samples(g *group, a sampling) int {
	area := g.side * g.side
	if g.dense() && !a.whole {
		area = g.taps
	}
	return area * s.bench.Pictures.Len()
}

// gather sums up what goes into from in the network n and what to is in the network that was: the
// last shard apart.
func (s *Analysis) gather(ctx context.Context, n *VGG, from, to string, a sampling) (train, judge *moments, err error) {
	m, err := n.Model()
	if err != nil {
		return nil, nil, err
	}
	p := a.in
	if a.constant {
		p++
	}
	pictures, total := s.bench.Pictures.Len(), max(samplesLeast, samplesEach*p)
	if !a.whole {
		pictures = min(pictures, total/samplesPicture)
	}
	each := (total + pictures - 1) / pictures
	sums := make([]*moments, shards)
	for k := range sums {
		sums[k] = newMoments(p, a.out)
		sums[k].keep = a.rectified
	}
	looks := []look{{m, []string{from}}, {s.model, []string{to}}}
	err = s.bench.each(ctx, pictures, looks, func(shard, picture int, out [][]float32) error {
		at, area := []int{0}, 1
		if !a.whole {
			area = len(out[1]) / a.out
			at = places(int(math.Round(math.Sqrt(float64(area)))), each, picture)
		}
		x, y := make([]float64, len(at)*p), make([]float64, len(at)*a.out)
		if a.patch {
			patches(x, out[0], int(math.Round(math.Sqrt(float64(area)))), at, p)
		} else {
			columns(x, out[0], area, at, p)
		}
		columns(y, out[1], area, at, a.out)
		if a.constant {
			for r := range at {
				x[r*p+p-1] = 1
			}
		}
		sums[shard].add(len(at), x, y)
		return nil
	})
	if err != nil {
		return nil, nil, err
	}
	for k := 1; k < shards-1; k++ {
		sums[0].merge(sums[k])
	}
	return sums[0], sums[shards-1], nil
}

// Bytes is how long the file of the network is.
func (n *VGG) Bytes() (int64, error) {
	m, err := n.Model()
	if err != nil {
		return 0, err
	}
	return onnx.Size(m), nil
}
