package prune

import (
	"errors"
	"math"
	"math/rand/v2"
	"slices"
	"testing"

	"gonum.org/v1/gonum/mat"

	"github.com/vggse/vggse-agent/infer"
	"github.com/vggse/vggse-agent/vgg16se"
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

// momentsOf adds samples up one by one, and keeps them.
func momentsOf(n, p, q int, x, y []float64) *moments {
	m := newMoments(p, q)
	m.n = n
	var rows []float32
	for s := range n {
		xs, ys := x[s*p:][:p], y[s*q:][:q]
		rows = appended(appended(rows, xs), ys)
		for i, a := range xs {
			for j := i; j < p; j++ {
				m.xx.SetSym(i, j, m.xx.At(i, j)+a*xs[j])
			}
			for j, b := range ys {
				m.xy.Set(i, j, m.xy.At(i, j)+a*b)
			}
		}
		for _, b := range ys {
			m.yy += b * b
		}
	}
	m.blocks = [][]float32{rows}
	return m
}

// testBench is a bench that has no pictures.
func testBench(t *testing.T) *Bench {
	t.Helper()
	if _, err := infer.Version(infer.Config{}); errors.Is(err, infer.ErrNoLibrary) {
		t.Skip("ONNX Runtime not found (make deps)")
	}
	return &Bench{Runtime: infer.Prober{Config: infer.Config{Threads: 1}, Input: vgg16se.Input}, Dir: t.TempDir()}
}

// What the runtime adds up block by block, and is merged, is what the samples add up to; they are
// kept where that is wanted.
func TestCollector(t *testing.T) {
	const n, p, q, each = 3 * blockRows / 2, 7, 3, 12
	x, y := linear(n, drawn(p, q, 1), 0.2, 2)
	want := momentsOf(n, p, q, x, y)
	b := testBench(t)
	for _, keep := range []bool{true, false} {
		product, err := b.product(t.Context(), p+q, sumsGraph(p, q), "sums")
		if err != nil {
			t.Fatal(err)
		}
		defer product.Close()
		parts := []*collector{{moments: newMoments(p, q), product: product},
			{moments: newMoments(p, q), product: product}}
		var kept []float32
		for part, c := range parts {
			c.keep = keep
			for s := part * n / 2; s < (part+1)*n/2; s += each {
				rows, err := c.grow(t.Context(), each)
				if err != nil {
					t.Fatal(err)
				}
				copy(rows, want.blocks[0][s*(p+q):][:each*(p+q)])
			}
			if err := c.flush(t.Context()); err != nil {
				t.Fatal(err)
			}
		}
		m := parts[0].moments
		m.merge(parts[1].moments)
		if m.n != n || math.Abs(m.yy-want.yy) > 1e-6*want.yy || !mat.EqualApprox(m.xx, want.xx, 1e-4) ||
			!mat.EqualApprox(m.xy, want.xy, 1e-3) {
			t.Errorf("%d samples, %g, want %d and %g, or the sums of products differ", m.n, m.yy, n, want.yy)
		}
		for _, rows := range m.blocks {
			kept = append(kept, rows...)
		}
		if keep && !slices.Equal(kept, want.blocks[0]) || !keep && kept != nil {
			t.Errorf("%d numbers are kept, or others than came in; keep is %v", len(kept), keep)
		}
	}
}

// loss is the squared error of the samples themselves, as a share.
func TestMomentsLoss(t *testing.T) {
	const n, p, q = 200, 5, 2
	w := drawn(p, q, 3)
	x, y := linear(n, w, 0.5, 4)
	m := momentsOf(n, p, q, x, y)
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
		judge := momentsOf(500, p, q, judgeX, judgeY)
		got, _ := fit(momentsOf(tt.samples, p, q, x, y), judge, tt.start)
		if loss, before := judge.loss(got), judge.loss(tt.start); loss > tt.most || loss > before {
			t.Errorf("%s: a loss of %g, at the start %g, at most %g wanted", tt.name, loss, before, tt.most)
		}
	}
}

// What cannot be bettered is handed back itself.
func TestFitLeavesTheBest(t *testing.T) {
	truth := drawn(3, 2, 10)
	x, y := linear(100, truth, 0, 11)
	m := momentsOf(100, 3, 2, x, y)
	wrong := momentsOf(100, 3, 2, x, make([]float64, len(y))) // says that all answers are 0
	if got, solver := fit(wrong, m, truth); got != truth || solver != nil {
		t.Errorf("%v was taken for better than the truth", mat.Formatted(got))
	}
}

// The error that a ReLU hides is none: outputs below zero where zero is wanted cost nothing, above
// they do.
func TestRectifiedStep(t *testing.T) {
	b := testBench(t)
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
		m := momentsOf(1, 1, 1, []float64{1}, []float64{tt.y})
		step, loss, err := b.rectifiedStep(t.Context(), m, mat.NewDense(1, 1, []float64{tt.out}))
		if err != nil {
			t.Fatal(err)
		}
		if math.Abs(loss-tt.loss) > 1e-6 || math.Abs(step.At(0, 0)-tt.step) > 1e-6 {
			t.Errorf("%g for %g: a loss of %g and a step of %g, want %g and %g", tt.out, tt.y, loss, step.At(0, 0),
				tt.loss, tt.step)
		}
	}
}

// Behind a ReLU the fit that knows of it is better than least squares, on samples that neither saw.
func TestRectifiedBeatsLeastSquares(t *testing.T) {
	const p, q, n = 6, 8, 3000
	b := testBench(t)
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
		return momentsOf(n, p, q, seen, y)
	}
	train, judge, other := draw(14), draw(15), draw(16)
	squares, solver := fit(train, judge, mat.NewDense(p, q, nil))
	better, err := b.rectified(t.Context(), train, judge, squares, solver)
	if err != nil {
		t.Fatal(err)
	}
	loss := func(w *mat.Dense) float64 {
		_, v, err := b.rectifiedStep(t.Context(), other, w)
		if err != nil {
			t.Fatal(err)
		}
		return v
	}
	before, after := loss(squares), loss(better)
	if t.Logf("least squares %.4g, rectified %.4g", before, after); !(after < 0.9*before) {
		t.Errorf("least squares loses %.4g behind the ReLU, the fit that knows of it %.4g", before, after)
	}
}

// Where nothing is hidden, the least-squares fit stays: no step makes it better.
func TestRectifiedKeepsWhatIsBest(t *testing.T) {
	b := testBench(t)
	x, y := linear(300, drawn(3, 2, 20), 0, 21)
	for i := range y {
		y[i] = math.Abs(y[i]) // nothing is hidden
	}
	m := momentsOf(300, 3, 2, x, y)
	var chol mat.Cholesky
	if !chol.Factorize(m.xx) {
		t.Fatal("the samples are too much alike")
	}
	w := new(mat.Dense)
	if err := chol.SolveTo(w, m.xy); err != nil {
		t.Fatal(err)
	}
	got, err := b.rectified(t.Context(), m, m, w, &chol)
	if err != nil {
		t.Fatal(err)
	}
	_, before, err := b.rectifiedStep(t.Context(), m, w)
	if err != nil {
		t.Fatal(err)
	}
	if _, after, err := b.rectifiedStep(t.Context(), m, got); err != nil || after > before {
		t.Errorf("the loss went from %g to %g, %v", before, after, err)
	}
}
