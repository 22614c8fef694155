package prune

import (
	"math"

	"gonum.org/v1/gonum/blas"
	"gonum.org/v1/gonum/blas/blas64"
	"gonum.org/v1/gonum/mat"
)

// moments are sums over samples of what goes into a linear map, x of p numbers, and what should
// come out, y of q: all that least squares needs.
type moments struct {
	p, q, n int
	xx      *mat.SymDense // p × p
	xy      *mat.Dense    // p × q
	yy      float64       // of all of y
	samples               // all of them, where keep is set
	keep    bool
}

// samples are rows of x and of y.
type samples struct{ x, y []float32 }

func newMoments(p, q int) *moments {
	m := &moments{p: p, q: q, xx: mat.NewSymDense(p, nil)}
	if q > 0 {
		m.xy = mat.NewDense(p, q, nil)
	}
	return m
}

// add takes in n samples, x n×p and y n×q, row by row.
func (m *moments) add(n int, x, y []float64) {
	m.n += n
	if m.keep {
		m.x, m.y = appended(m.x, x), appended(m.y, y)
	}
	a := blas64.General{Rows: n, Cols: m.p, Stride: m.p, Data: x}
	blas64.Syrk(blas.Trans, 1, a, 1, m.xx.RawSymmetric())
	if m.q == 0 {
		return
	}
	b := blas64.General{Rows: n, Cols: m.q, Stride: m.q, Data: y}
	blas64.Gemm(blas.Trans, blas.NoTrans, 1, a, b, 1, m.xy.RawMatrix())
	for _, v := range y[:n*m.q] {
		m.yy += v * v
	}
}

func appended(to []float32, v []float64) []float32 {
	for _, x := range v {
		to = append(to, float32(x))
	}
	return to
}

// merge adds o.
func (m *moments) merge(o *moments) {
	m.n, m.yy = m.n+o.n, m.yy+o.yy
	m.x, m.y = append(m.x, o.x...), append(m.y, o.y...)
	m.xx.AddSym(m.xx, o.xx)
	if m.q > 0 {
		m.xy.Add(m.xy, o.xy)
	}
}

// loss is the squared error of y = w'·x over the samples, w p × q, as a share of y's own square.
func (m *moments) loss(w *mat.Dense) float64 {
	var aw mat.Dense
	aw.Mul(m.xx, w)
	sum := m.yy
	for i := range m.p {
		for j := range m.q {
			sum += w.At(i, j) * (aw.At(i, j) - 2*m.xy.At(i, j))
		}
	}
	return sum / max(m.yy, math.SmallestNonzeroFloat64)
}

// ridges are the strengths that fit tries, as shares of the mean square of an input.
var ridges = []float64{1e-5, 1e-4, 1e-3, 1e-2, 1e-1, 1}

// fit returns the w, p × q, that is best in train and not far from start, as far as judge says: the
// ridge is the one whose w has the least loss there. It is start itself where nothing is better.
func fit(train, judge *moments, start *mat.Dense) *mat.Dense {
	best, least := start, judge.loss(start)
	var solver *mat.Cholesky
	mean := 0.0
	for i := range train.p {
		mean += train.xx.At(i, i) / float64(train.p)
	}
	xx := mat.NewSymDense(train.p, nil)
	var rhs mat.Dense
	for _, r := range ridges {
		xx.CopySym(train.xx)
		for i := range train.p {
			xx.SetSym(i, i, xx.At(i, i)+r*mean)
		}
		var chol mat.Cholesky
		if !chol.Factorize(xx) {
			continue
		}
		rhs.Scale(r*mean, start)
		rhs.Add(&rhs, train.xy)
		w := new(mat.Dense)
		if chol.SolveTo(w, &rhs) != nil {
			continue
		}
		if loss := judge.loss(w); loss < least {
			best, least, solver = w, loss, &chol
		}
	}
	if train.keep && solver != nil {
		best = rectified(train, judge, best, solver)
	}
	return best
}
