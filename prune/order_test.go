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

// covariance is that of samples, which have mean 0 but for chance.
func covariance(x []float64, width int) *mat.SymDense {
	m := newMoments(width, 0)
	n := len(x) / width
	m.add(n, x, nil)
	g := mat.NewSymDense(width, nil)
	for i := range width {
		for j := i; j < width; j++ {
			g.SetSym(i, j, m.xx.At(i, j)/float64(n))
		}
	}
	return g
}

func identity(n int) *mat.SymDense {
	q := mat.NewSymDense(n, nil)
	for i := range n {
		q.SetSym(i, i, 1)
	}
	return q
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
		r := orderOf(covariance(mixed(4000, tt.mix, 0, 1), width), identity(width))
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
	g := covariance(mixed(4000, [][]float64{{1, 0, 0}, {0, 1, 0}, {0, 0, 1}}, 0, 2), 3)
	for least := range 3 {
		q := identity(3)
		q.SetSym(least, least, 0.01)
		if r := orderOf(g, q); r.order[0] != least {
			t.Errorf("channel %d counts a hundredth, %d goes first", least, r.order[0])
		}
	}
}

// The cost is what it says: the error of the reader's output, as a share, when the kept channels
// stand in for the others as well as they can.
func TestOrderCostIsTheError(t *testing.T) {
	const width, out, n = 5, 3, 6000
	r := rand.New(rand.NewPCG(4, 4))
	mix := make([][]float64, width)
	for i := range mix {
		mix[i] = []float64{r.NormFloat64(), r.NormFloat64(), r.NormFloat64()}
	}
	x := mixed(n, mix, 0.3, 5)
	g := covariance(x, width)
	weights := mat.NewDense(out, width, nil)
	for o := range out {
		for i := range width {
			weights.Set(o, i, r.NormFloat64())
		}
	}
	var ww mat.Dense
	ww.Mul(weights.T(), weights)
	q := mat.NewSymDense(width, slices.Clone(ww.RawMatrix().Data))
	removed := orderOf(g, q)
	for gone := 1; gone < width; gone++ {
		keep := slices.Sorted(slices.Values(removed.order[gone:]))
		standIn, _ := mixOf(g, make([]float64, width), keep)
		noise, power := 0.0, 0.0
		for s := range n {
			row := x[s*width:][:width]
			for o := range out {
				want, got := 0.0, 0.0
				for i := range width {
					w := weights.At(o, i)
					want += w * row[i]
					for k, c := range keep {
						got += w * standIn.At(i, k) * row[c]
					}
				}
				noise, power = noise+(got-want)*(got-want), power+want*want
			}
		}
		if share := noise / power; math.Abs(share-removed.cost[gone]) > 0.02*max(share, 0.05) {
			t.Errorf("%d channels gone: an error of %.4f, promised %.4f", gone, share, removed.cost[gone])
		}
	}
}

// The kept channels stand for themselves, the others are their best mix, and the constant takes
// what the means are off.
func TestMixOf(t *testing.T) {
	// channel 2 is 2·channel 0 − channel 1
	g := covariance(mixed(2000, [][]float64{{1, 0}, {0, 1}, {2, -1}}, 0, 7), 3)
	mean := []float64{10, 3, 18}
	mix, shift := mixOf(g, mean, []int{0, 1})
	for i, want := range [][]float64{{1, 0}, {0, 1}, {2, -1}} {
		for k, w := range want {
			if math.Abs(mix.At(i, k)-w) > 2e-3 {
				t.Errorf("channel %d takes %.4f of the kept %d, want %g", i, mix.At(i, k), k, w)
			}
		}
	}
	if shift[0] != 0 || shift[1] != 0 || math.Abs(shift[2]-1) > 0.05 {
		t.Errorf("constants %v, want 0, 0 and 18 − 2·10 + 3", shift)
	}
	if mix, shift := mixOf(mat.NewSymDense(2, nil), []float64{5, 6}, []int{0}); mix.At(0, 0) != 1 ||
		math.Abs(mix.At(1, 0)) > 1e-9 || math.Abs(shift[1]-6) > 1e-9 {
		t.Errorf("channels that never move: %v, %v; want the mean as a constant", mat.Formatted(mix), shift)
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
