package prune

import (
	"math"
	"math/rand/v2"
	"testing"

	"gonum.org/v1/gonum/mat"
)

// linear draws n samples x of p numbers and y = w'x plus noise of q, row by row.
func linear(n int, w *mat.Dense, noise float64, seed uint64) (x, y []float64) {
	r := rand.New(rand.NewPCG(seed, 11))
	p, q := w.Dims()
	for range n {
		row := make([]float64, p)
		for i := range row {
			row[i] = r.NormFloat64()
		}
		x = append(x, row...)
		for j := range q {
			v := noise * r.NormFloat64()
			for i := range p {
				v += w.At(i, j) * row[i]
			}
			y = append(y, v)
		}
	}
	return x, y
}

func drawn(p, q int, seed uint64) *mat.Dense {
	r := rand.New(rand.NewPCG(seed, 12))
	w := mat.NewDense(p, q, nil)
	for i := range p {
		for j := range q {
			w.Set(i, j, r.NormFloat64())
		}
	}
	return w
}

func momentsOf(n, p, q int, x, y []float64, keep bool) *moments {
	m := newMoments(p, q)
	m.keep = keep
	m.add(n, x, y)
	return m
}

// Sums of samples in one go and of parts that are merged are the same, and so are the samples kept.
func TestMomentsMerge(t *testing.T) {
	const n, p, q = 90, 4, 3
	x, y := linear(n, drawn(p, q, 1), 0.2, 2)
	whole := momentsOf(n, p, q, x, y, true)
	parts := momentsOf(30, p, q, x[:30*p], y[:30*q], true)
	rest := momentsOf(60, p, q, x[30*p:], y[30*q:], true)
	parts.merge(rest)
	if parts.n != n || len(parts.x) != n*p || len(parts.y) != n*q || math.Abs(parts.yy-whole.yy) > 1e-9*whole.yy {
		t.Errorf("%d samples, %d and %d numbers, %g; want %d and %g", parts.n, len(parts.x), len(parts.y), parts.yy, n,
			whole.yy)
	}
	if !mat.EqualApprox(parts.xx, whole.xx, 1e-9) || !mat.EqualApprox(parts.xy, whole.xy, 1e-9) {
		t.Error("the sums of products differ")
	}
	for i := range x {
		if float32(x[i]) != whole.x[i] {
			t.Fatalf("number %d is kept as %g, was %g", i, whole.x[i], x[i])
		}
	}
}

// loss is the squared error of the samples themselves, as a share.
func TestMomentsLoss(t *testing.T) {
	const n, p, q = 200, 5, 2
	w := drawn(p, q, 3)
	x, y := linear(n, w, 0.5, 4)
	m := momentsOf(n, p, q, x, y, false)
	for name, try := range map[string]*mat.Dense{"the truth": w, "nothing": mat.NewDense(p, q, nil),
		"something else": drawn(p, q, 5)} {
		noise, power := 0.0, 0.0
		for s := range n {
			for j := range q {
				got := 0.0
				for i := range p {
					got += try.At(i, j) * x[s*p+i]
				}
				want := y[s*q+j]
				noise, power = noise+(want-got)*(want-got), power+want*want
			}
		}
		if got, want := m.loss(try), noise/power; math.Abs(got-want) > 1e-9*max(1, want) {
			t.Errorf("%s: a loss of %g, want %g", name, got, want)
		}
	}
}

// With many samples the fit finds the truth from anywhere; with few it does not go far from where
// it starts, and never ends worse than there.
func TestFit(t *testing.T) {
	const p, q = 12, 4
	truth := drawn(p, q, 6)
	near := mat.DenseCopyOf(truth)
	near.Set(0, 0, near.At(0, 0)+0.05)
	for _, tt := range []struct {
		name    string
		samples int
		noise   float64
		start   *mat.Dense
		most    float64 // loss on samples that were not fitted to
	}{
		{"many samples, from nothing", 4000, 0.01, mat.NewDense(p, q, nil), 1e-3},
		{"many samples, from elsewhere", 4000, 0.01, drawn(p, q, 7), 1e-3},
		{"fewer samples than unknowns, from the truth nearly", 6, 0.01, near, 1e-3},
		{"nothing but noise", 60, 100, truth, 2},
	} {
		x, y := linear(tt.samples, truth, tt.noise, 8)
		judgeX, judgeY := linear(500, truth, tt.noise, 9)
		judge := momentsOf(500, p, q, judgeX, judgeY, false)
		got := fit(momentsOf(tt.samples, p, q, x, y, false), judge, tt.start)
		if loss, before := judge.loss(got), judge.loss(tt.start); loss > tt.most || loss > before {
			t.Errorf("%s: a loss of %g, at the start %g, at most %g wanted", tt.name, loss, before, tt.most)
		}
	}
}

// What cannot be bettered is handed back itself.
func TestFitLeavesTheBest(t *testing.T) {
	truth := drawn(3, 2, 10)
	x, y := linear(100, truth, 0, 11)
	m := momentsOf(100, 3, 2, x, y, false)
	wrong := momentsOf(100, 3, 2, x, make([]float64, len(y)), false) // says that all answers are 0
	if got := fit(wrong, m, truth); got != truth {
		t.Errorf("%v was taken for better than the truth", mat.Formatted(got))
	}
}

// The error that a ReLU hides is none: outputs below zero where zero is wanted cost nothing, above
// they do.
func TestRectifiedLoss(t *testing.T) {
	for _, tt := range []struct {
		y, out, loss, step float64 // of one sample with x = 1
	}{
		{2, 1, 1, 1},
		{2, -1, 4, 3},  // it should have come through: the step is to 2 itself
		{-2, -5, 0, 0}, // both are hidden
		{-2, 1, 1, -1}, // only what is above zero shows
		{-2, -1, 0, 0},
		{0, 0.5, 0.25, -0.5},
	} {
		m := momentsOf(1, 1, 1, []float64{1}, []float64{tt.y}, true)
		w := mat.NewDense(1, 1, []float64{tt.out})
		if got := m.rectifiedLoss(w); math.Abs(got-tt.loss) > 1e-6 {
			t.Errorf("%g for %g: a loss of %g, want %g", tt.out, tt.y, got, tt.loss)
		}
		if got := m.rectifiedError(w).At(0, 0); math.Abs(got-tt.step) > 1e-6 {
			t.Errorf("%g for %g: a step of %g, want %g", tt.out, tt.y, got, tt.step)
		}
	}
}

// Behind a ReLU the fit that knows of it is better than least squares, on samples that neither saw.
func TestRectifiedBeatsLeastSquares(t *testing.T) {
	const p, q, n = 6, 8, 3000
	truth := drawn(p+2, q, 13) // of two inputs the fit knows nothing
	draw := func(seed uint64) *moments {
		x, y := linear(n, truth, 0.1, seed)
		var seen []float64
		for s := range n {
			seen = append(seen, x[s*(p+2):][:p]...)
		}
		for i := range y { // an output that is seldom above zero
			y[i] -= 2
		}
		return momentsOf(n, p, q, seen, y, true)
	}
	train, judge, other := draw(14), draw(15), draw(16)
	start := mat.NewDense(p, q, nil)
	plain := *train
	plain.keep = false
	squares, better := fit(&plain, judge, start), fit(train, judge, start)
	a, b := other.rectifiedLoss(squares), other.rectifiedLoss(better)
	if t.Logf("least squares %.4g, rectified %.4g", a, b); !(b < 0.9*a) {
		t.Errorf("least squares loses %.4g behind the ReLU, the fit that knows of it %.4g", a, b)
	}
}

// Without samples to judge on that get better, the least-squares fit stays.
func TestRectifiedKeepsWhatIsBest(t *testing.T) {
	truth := drawn(3, 2, 20)
	x, y := linear(300, truth, 0, 21)
	for i := range y {
		y[i] = math.Abs(y[i]) // nothing is hidden
	}
	m := momentsOf(300, 3, 2, x, y, true)
	var chol mat.Cholesky
	if !chol.Factorize(m.xx) {
		t.Fatal("the samples are too much alike")
	}
	w := new(mat.Dense)
	if err := chol.SolveTo(w, m.xy); err != nil {
		t.Fatal(err)
	}
	got := rectified(m, m, w, &chol)
	if before, after := m.rectifiedLoss(w), m.rectifiedLoss(got); after > before {
		t.Errorf("the loss went from %g to %g", before, after)
	}
}
