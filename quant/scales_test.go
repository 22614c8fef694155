package quant

import (
	"math"
	"math/rand/v2"
	"testing"
)

// slowDivergence is the definition, cell by cell.
func slowDivergence(counts []float64, n, groups int) float64 {
	a, b := make([]float64, n), make([]float64, n)
	copy(a, counts)
	for _, c := range counts[n:] {
		a[n-1] += c
	}
	size := n / groups
	for g := range groups {
		from, to := g*size, (g+1)*size
		if g == groups-1 {
			to = n
		}
		sum, used := 0.0, 0.0
		for _, c := range counts[from:to] {
			if sum += c; c > 0 {
				used++
			}
		}
		for i := from; i < to; i++ {
			if counts[i] > 0 {
				b[i] = sum / used
			}
		}
	}
	smooth := func(v []float64) (total float64) {
		used := 0.0
		for _, x := range v {
			if total += x; x > 0 {
				used++
			}
		}
		loss := smoothing * (float64(n) - used) / used
		for i := range v {
			if v[i] > 0 {
				v[i] -= loss
			} else {
				v[i] = smoothing
			}
		}
		return total
	}
	sa, sb, d := smooth(a), smooth(b), 0.0
	for i := range a {
		d += a[i] * math.Log(a[i]/sa/(b[i]/sb))
	}
	return d / sa
}

// exponential is what a ReLU leaves: half zeros, a tail, here and there an outlier.
func exponential(n int, seed uint64) *Histogram {
	r, h := rand.New(rand.NewPCG(seed, 2)), NewHistogram()
	v := make([]float32, n)
	for i := range v {
		if r.IntN(2) == 0 {
			v[i] = float32(r.ExpFloat64())
		}
		if r.IntN(5000) == 0 {
			v[i] *= 5
		}
	}
	h.Add(v)
	return h
}

func TestDivergenceIsTheDefinition(t *testing.T) {
	for seed := range uint64(3) {
		h := exponential(20000, seed)
		cells := h.cells()
		p := newPrefix(h, cells)
		for n := 256; n <= cells; n += 97 {
			got, want := p.divergence(n, 256), slowDivergence(p.counts, n, 256)
			if math.Abs(got-want) > 1e-6*max(1, want) {
				t.Fatalf("seed %d, %d of %d cells: got %g, want %g", seed, n, cells, got, want)
			}
		}
	}
}

// The error from the histogram is that of rounding the values themselves, but for their place in a
// cell.
func TestErrorIsThatOfRounding(t *testing.T) {
	r := rand.New(rand.NewPCG(1, 1))
	v := make([]float32, 200_000)
	for i := range v {
		v[i] = float32(r.ExpFloat64())
	}
	h := NewHistogram()
	h.Add(v)
	for _, share := range []float64{0.2, 0.5, 0.8, 1} {
		for _, levels := range []int{LevelsS8, LevelsU8} {
			c := h.Amax() * share
			scale, want := c/float64(levels), 0.0
			for _, x := range v {
				q := min(math.RoundToEven(float64(x)/scale), float64(levels)) * scale
				want += (float64(x) - q) * (float64(x) - q)
			}
			want /= float64(len(v))
			if got := h.Error(c, levels); math.Abs(got-want) > 0.01*want {
				t.Errorf("threshold %.2f, %d levels: got %g, want %g", c, levels, got, want)
			}
		}
	}
}

// A gate of a block that says nothing is 0.5 throughout, the lower end of a cell: clipping it must
// cost.
func TestConstantIsNotClipped(t *testing.T) {
	h := NewHistogram()
	h.Add([]float32{0.5, 0.5, 0.5})
	if e := h.Error(0.25, LevelsU8); math.Abs(e-0.0625) > 1e-12 {
		t.Errorf("clipped to a half: error %g, want 0.25²", e)
	}
	if c, _ := h.Threshold(MSE, LevelsU8); math.Abs(h.Error(c, LevelsU8)) > 1e-6 {
		t.Errorf("mse keeps %g of a constant 0.5", c)
	}
}

func TestThresholds(t *testing.T) {
	h := exponential(500_000, 9)
	for _, levels := range []int{LevelsS8, LevelsU8} {
		lowest := math.Inf(1)
		got := map[Method]float64{}
		for _, m := range Methods {
			c, err := h.Threshold(m, levels)
			if err != nil || !(c > 0 && c <= h.Amax()) {
				t.Fatalf("%s: %g, %v", m, c, err)
			}
			got[m] = c
			lowest = min(lowest, h.Error(c, levels))
		}
		if got[MinMax] != h.Amax() || got[Percentile] >= got[MinMax] || h.Error(got[MSE], levels) > lowest*1.0001 {
			t.Errorf("%d levels: %v, amax %g", levels, got, h.Amax())
		}
	}
	if _, err := h.Threshold("kl", LevelsS8); err == nil {
		t.Error("an unknown method was taken")
	}
	dead := NewHistogram()
	dead.Add(make([]float32, 100))
	for _, m := range Methods {
		if c, err := dead.Threshold(m, LevelsU8); c != 1 || err != nil {
			t.Errorf("%s of zeros only: %g, %v", m, c, err)
		}
	}
}

func BenchmarkEntropy(b *testing.B) {
	h := exponential(500_000, 9)
	for b.Loop() {
		h.entropy(LevelsU8)
	}
}
