package prune

import (
	"math"
	"math/rand/v2"
	"slices"
	"testing"

	"gonum.org/v1/gonum/mat"
)

// mixed draws n samples of as many channels as there are rows in mix, each a mix of independent
// sources plus a little of its own, row by row.
func mixed(n int, mix [][]float64, own float64, seed uint64) []float64 {
	r := rand.New(rand.NewPCG(seed, 3))
	x := make([]float64, 0, n*len(mix))
	source := make([]float64, len(mix[0]))
	for range n {
		for i := range source {
			source[i] = r.NormFloat64()
		}
		for _, row := range mix {
			v := own * r.NormFloat64()
			for i, w := range row {
				v += w * source[i]
			}
			x = append(x, v)
		}
	}
	return x
}

// sumsOf are the second moments of samples, of a 1 after each last.
func sumsOf(x []float64, width int) *mat.SymDense {
	n := len(x) / width
	m := mat.NewDense(n, width+1, nil)
	for s := range n {
		for i := range width {
			m.Set(s, i, x[s*width+i])
		}
		m.Set(s, width, 1)
	}
	xx := mat.NewSymDense(width+1, nil)
	xx.SymOuterK(1, m.T())
	return xx
}

// reader has an output for each channel, which is it times its size, and no bias.
func reader(sizes ...float64) *mat.Dense {
	w := mat.NewDense(len(sizes)+1, len(sizes), nil)
	for i, v := range sizes {
		w.Set(i, i, v)
	}
	return w
}

func removalOf(xx *mat.SymDense, w *mat.Dense, channels, taps int) removal {
	k := known{xx: xx, weights: w}
	return orderOf(xx, w, channels, taps, k.power())
}

func ones64(n int) []float64 {
	v := make([]float64, n)
	for i := range v {
		v[i] = 1
	}
	return v
}

// What the others can stand in for goes first and costs next to nothing, whatever its size; what
// nobody can goes last.
func TestOrderOf(t *testing.T) {
	for _, tt := range []struct {
		name  string
		mix   [][]float64
		free  int   // channels that cost nothing
		first []int // of these, some go first
	}{
		{"a copy", [][]float64{{1, 0}, {0, 1}, {0, 1}}, 1, []int{1, 2}},
		{"a copy three times as large", [][]float64{{1, 0}, {0, 1}, {0, 3}}, 1, []int{1, 2}},
		{"a sum of two", [][]float64{{1, 0, 0}, {0, 1, 0}, {1, 1, 0}, {0, 0, 1}}, 1, []int{0, 1, 2}},
		{"two copies", [][]float64{{1, 0}, {1, 0}, {0, 2}, {0, 2}}, 2, []int{0, 1, 2, 3}},
		{"a dead one", [][]float64{{1, 0}, {0, 0}, {0, 1}}, 1, []int{1}},
	} {
		width := len(tt.mix)
		r := removalOf(sumsOf(mixed(4000, tt.mix, 0, 1), width), reader(ones64(width)...), width, 1)
		if sorted := slices.Sorted(slices.Values(r.order)); !slices.Equal(sorted, upTo(width)) {
			t.Errorf("%s: the order %v does not hold every channel once", tt.name, r.order)
		}
		if !slices.Contains(tt.first, r.order[0]) {
			t.Errorf("%s: %d goes first, want one of %v", tt.name, r.order[0], tt.first)
		}
		if len(r.cost) != width || r.cost[0] != 0 || !slices.IsSorted(r.cost) {
			t.Errorf("%s: costs %v", tt.name, r.cost)
		}
		if free := r.cost[tt.free]; free > 1e-3 {
			t.Errorf("%s: %d channels that say nothing cost %g", tt.name, tt.free, free)
		}
		if tt.free+1 < width && r.cost[tt.free+1] < 0.05 {
			t.Errorf("%s: one that says something costs %g", tt.name, r.cost[tt.free+1])
		}
	}
}

// The reader decides too: a channel that it hardly looks at goes before one that it needs.
func TestOrderAsksTheReader(t *testing.T) {
	xx := sumsOf(mixed(4000, [][]float64{{1, 0, 0}, {0, 1, 0}, {0, 0, 1}}, 0, 2), 3)
	for least := range 3 {
		sizes := ones64(3)
		sizes[least] = 0.1
		if r := removalOf(xx, reader(sizes...), 3, 1); r.order[0] != least {
			t.Errorf("channel %d counts a tenth, %d goes first", least, r.order[0])
		}
	}
}

// All taps of a channel count together: one whose taps others have goes before one of whose taps
// one is its own, though that is smaller.
func TestOrderSeesAllTaps(t *testing.T) {
	// three channels of two taps; the first is the second's, tap by tap
	mix := [][]float64{{2, 0, 0}, {0, 2, 0}, {2, 0, 0}, {0, 2, 0}, {1, 0, 0}, {0, 0, 1}}
	r := removalOf(sumsOf(mixed(4000, mix, 0, 3), 6), reader(ones64(6)...), 3, 2)
	if r.order[0] == 2 || r.cost[1] > 1e-3 {
		t.Errorf("channel %d goes first, for %g", r.order[0], r.cost[1])
	}
	// the third one's first tap is nobody's loss, its second is
	if r.cost[2] < 0.04 || r.order[1] != 2 {
		t.Errorf("channel %d goes next, for %g", r.order[1], r.cost[2])
	}
}

// The cost is what it says: the error of the reader's output, as a share, when its weights are
// fitted to the kept channels; and fitted finds them.
func TestOrderCostIsTheError(t *testing.T) {
	const channels, taps, out, n = 4, 2, 3, 6000
	const width = channels * taps
	r := rand.New(rand.NewPCG(4, 4))
	mix := make([][]float64, width)
	for i := range mix {
		mix[i] = []float64{r.NormFloat64(), r.NormFloat64(), r.NormFloat64(), r.NormFloat64()}
	}
	x := mixed(n, mix, 0.3, 5)
	for i := range x {
		x[i] += 0.7 // a mean
	}
	xx := sumsOf(x, width)
	w := drawn(width+1, out, 6)
	k := known{xx: xx, weights: w}
	removed := orderOf(xx, w, channels, taps, k.power())
	for gone := 1; gone < channels; gone++ {
		keep := slices.Sorted(slices.Values(removed.order[gone:]))
		now, places := fitted(xx, w, keep, channels, taps), rowsOf(keep, channels, taps, width+1)
		noise, power := 0.0, 0.0
		means := make([]float64, out)
		answer := func(w *mat.Dense, places []int, s, o int) (sum float64) {
			for i, p := range places {
				v := 1.0
				if p < width {
					v = x[s*width+p]
				}
				sum += w.At(i, o) * v
			}
			return sum
		}
		for s := range n {
			for o := range out {
				means[o] += answer(w, upTo(width+1), s, o) / n
			}
		}
		for s := range n {
			for o := range out {
				want := answer(w, upTo(width+1), s, o)
				noise += math.Pow(want-answer(now, places, s, o), 2)
				power += math.Pow(want-means[o], 2)
			}
		}
		if share := noise / power; math.Abs(share-removed.cost[gone]) > 0.02*max(share, 0.05) {
			t.Errorf("%d channels gone: an error of %.4f, promised %.4f", gone, share, removed.cost[gone])
		}
	}
}

// Kept channels stand for themselves, the others are their best mix, and the constant takes what
// the means are off.
func TestMixOf(t *testing.T) {
	// channel 2 is 2·channel 0 − channel 1, with other means
	x := mixed(2000, [][]float64{{1, 0}, {0, 1}, {2, -1}}, 0, 7)
	for i := range x {
		x[i] += []float64{10, 3, 18}[i%3]
	}
	mix, shift := mixOf(fitted(sumsOf(x, 3), reader(1, 1, 1), []int{0, 1}, 3, 1))
	for i, want := range [][]float64{{1, 0}, {0, 1}, {2, -1}} {
		for k, w := range want {
			if math.Abs(mix.At(i, k)-w) > 0.02 {
				t.Errorf("channel %d takes %.4f of the kept %d, want %g", i, mix.At(i, k), k, w)
			}
		}
	}
	if math.Abs(shift[0]) > 0.02 || math.Abs(shift[1]) > 0.02 || math.Abs(shift[2]-1) > 0.1 {
		t.Errorf("constants %v, want 0, 0 and 18 − 2·10 + 3", shift)
	}
}

// inverse holds for channels that are the same, or dead.
func TestInverse(t *testing.T) {
	for name, g := range map[string]*mat.SymDense{
		"two that are one": mat.NewSymDense(2, []float64{1, 1, 1, 1}),
		"a dead one":       mat.NewSymDense(2, []float64{1, 0, 0, 0}),
		"all dead":         mat.NewSymDense(2, nil),
		"plain":            mat.NewSymDense(2, []float64{2, 0.5, 0.5, 1}),
	} {
		const little = 1e-4
		p := inverse(g, little)
		var one mat.Dense
		with := mat.DenseCopyOf(g)
		for i := range 2 {
			with.Set(i, i, with.At(i, i)+little+1e-30)
		}
		one.Mul(p, with)
		for i := range 2 {
			for j := range 2 {
				want := 0.0
				if i == j {
					want = 1
				}
				if math.Abs(one.At(i, j)-want) > 1e-6 {
					t.Errorf("%s: the product is %v", name, mat.Formatted(&one))
				}
			}
		}
	}
}
