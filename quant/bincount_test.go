package quant

import (
	"math"
	"math/rand/v2"
	"testing"
)

// The vector kernel and plain Go see the same, to the bit, in maps of any size.
func TestBincount(t *testing.T) {
	r := rand.New(rand.NewPCG(7, 7))
	for _, size := range [][2]int{{1, 1}, {3, 7}, {5, 49}, {4, 512}, {2, 3001}, {64, 1}} {
		channels, area := size[0], size[1]
		v := make([]float32, channels*area)
		for i := range v {
			v[i] = max(0, float32(r.NormFloat64()))
		}
		scale := float32(Bins / 8)
		if channels*area > 20 {
			v[3], v[11], v[17] = -1, float32(math.Inf(1)), float32(math.NaN())
		}
		var got, want bins
		m, n := make([]moments, channels), make([]moments, channels)
		limit := math.Float32bits(3) // some channels are below, some not
		count(&got, v, scale, limit, m)
		counted(&want, v, scale, limit, n)
		if fold(got) != fold(want) {
			t.Errorf("%v: other cells", size)
		}
		count(nil, v, 0, 0, m)
		for k := range m {
			w := n[k]
			if math.Float64bits(m[k].sum) != math.Float64bits(w.sum) && w.sum == w.sum || m[k].low != w.low ||
				m[k].high != w.high {
				t.Errorf("%v, channel %d: %+v, in Go %+v", size, k, m[k], w)
			}
		}
	}
	count(new(bins), nil, 1, 1, make([]moments, 2))
}

// fold adds up the cells of zeros: which of them one goes to does not matter.
func fold(t bins) bins {
	for i := Bins + 1; i < len(t); i++ {
		t[Bins], t[i] = t[Bins]+t[i], 0
	}
	return t
}
