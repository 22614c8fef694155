package quant

import (
	"github.com/vggse/vggse-agent/onnx"
)

// Correction returns, for each layer that the plan keeps in integers, what its bias needs so that
// rounding the weights leaves the mean of every output channel where it was: −Σ (Wq−W)·E[x] over
// the channel's weights (Nagel et al. 2019, section 4.2.1), with the means that c has seen. It
// counts padding as if it were picture.
func Correction(n *Graph, c *Collection, p *Plan) (map[string][]float32, error) {
	codes, err := p.codes(n)
	if err != nil {
		return nil, err
	}
	all := map[string][]float32{}
	for i := range n.Layers {
		l := &n.Layers[i]
		w, sums := n.graph.Initializer(l.Weight), c.Stats[l.Reads].Sums
		if l.columns {
			w = n.stored(l)
		}
		if l.Bias == "" || !p.integer(l) || int64(len(sums)) != w.Dims[1]*l.groups {
			continue
		}
		mean := make([]float64, len(sums))
		for k, s := range sums {
			mean[k] = float64(s) * sumUnit / float64(c.Images)
		}
		in, bits, bias := 1.0, Bits8, (*onnx.Tensor)(nil) // as EmitTRT has them
		if p.Levels == LevelsU8 {
			in, bits, bias = float64(codes[l.In].scale), p.Bits, n.graph.Initializer(l.Bias)
		}
		if p.Levels == LevelsU8 {
			w, mean = n.stored(l), append(mean, make([]float64, l.Pad)...)
		}
		scales := weightScales(n.channelScales(l, p.Levels == LevelsU8, bits), bias, in)
		all[l.Name] = shifts(w, scales, bits, mean, int(l.groups))
	}
	return all, nil
}

// shifts are the corrections of one layer, by output channel, whose groups of outputs read groups
// of channels.
func shifts(w *onnx.Tensor, scales []float32, bits WeightBits, mean []float64, groups int) []float32 {
	limit := 127.0
	if bits == Bits7 {
		limit = 64
	}
	add, all := make([]float32, len(scales)), filters(w)
	overRows(len(all), len(w.Data), func(o int) {
		f, s := &all[o], float64(scales[o])
		sum, from := 0.0, o/max(1, len(scales)/groups)*f.channels
		for k := range f.channels {
			if mean[from+k] == 0 {
				continue
			}
			off := 0.0
			for i := k * f.area; i < (k+1)*f.area; i++ {
				v := f.values.at(i)
				off += nearest(v/s, -limit, limit)*s - v
			}
			sum += off * mean[from+k]
		}
		add[o] = float32(-sum)
	})
	return add
}
