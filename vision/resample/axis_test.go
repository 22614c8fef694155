package resample

import (
	"math"
	"testing"
)

// The weights of every output pixel are ≥ 0, sum to one exactly, lie inside the source, fit the
// kernel's padding, and are within one unit of the exact ones.
func TestAxisWeights(t *testing.T) {
	for _, c := range []struct{ src, dst int }{
		{1, 1}, {1, 50}, {2, 3}, {7, 7}, {50, 49}, {1280, 196}, {720, 110}, {17, 64}, {30000, 3}, {4097, 96},
	} {
		a := newAxis(c.src, c.dst, 0, c.dst, maxShiftDown)
		if a.taps%4 != 0 {
			t.Errorf("%d→%d: %d taps, want a multiple of 4", c.src, c.dst, a.taps)
		}
		for i := range a.first {
			weights := a.weight[i*a.taps:][:a.taps]
			first, exact := areaTaps(nil, i, c.dst, c.src)
			if n := int(a.count[i]); first != int(a.first[i]) || len(exact) != n || n < 1 || first < 0 ||
				first+n > c.src {
				t.Fatalf("%d→%d, pixel %d: %d pixels from %d", c.src, c.dst, i, n, first)
			}
			sum := 0
			for k, w := range weights {
				sum += int(w)
				want := 0.0
				if k < len(exact) {
					want = math.Ldexp(exact[k], a.shift)
				}
				if w < 0 || math.Abs(float64(w)-want) > 1+1e-6 {
					t.Fatalf("%d→%d, pixel %d, weight %d: got %d, want %.3f ± 1", c.src, c.dst, i, k,
						w, want)
				}
			}
			if sum != 1<<a.shift {
				t.Fatalf("%d→%d, pixel %d: weights sum to %d, want %d", c.src, c.dst, i, sum,
					1<<a.shift)
			}
		}
	}
}

func TestTaps(t *testing.T) {
	for _, c := range []struct {
		name      string
		i, n, m   int
		wantFirst int
		want      []float64
	}{
		{"area of whole pixels", 1, 3, 6, 2, []float64{0.5, 0.5}},
		{"area of parts", 1, 2, 3, 1, []float64{1. / 3, 2. / 3}},
		{"area enlarges", 1, 3, 2, 0, []float64{0.5, 0.5}},
	} {
		first, got := areaTaps(nil, c.i, c.n, c.m)
		ok := first == c.wantFirst && len(got) == len(c.want)
		for k := 0; ok && k < len(got); k++ {
			ok = math.Abs(got[k]-c.want[k]) < 1e-12
		}
		if !ok {
			t.Errorf("%s: got %v from %d, want %v from %d", c.name, got, first, c.want, c.wantFirst)
		}
	}
}
