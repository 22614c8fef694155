package prune

import (
	"math"

	"gonum.org/v1/gonum/blas"
	"gonum.org/v1/gonum/blas/blas64"
	"gonum.org/v1/gonum/mat"
)

// removal says in which order the channels of a group go and what that costs.
type removal struct {
	order []int
	cost  []float64 // after so many channels gone: error of the reader's output as a share of its variance
}

// jitter is what is added to second moments before they are inverted, as a share of the inputs' mean
// variance: dead channels need it.
const jitter = 1e-4

// little is that for second moments whose last number is a constant.
func little(xx *mat.SymDense) float64 {
	p, sum := xx.SymmetricDim()-1, 0.0
	for i := range p {
		sum += xx.At(i, i) - xx.At(i, p)*xx.At(i, p)/xx.At(p, p)
	}
	return jitter * max(0, sum) / float64(p)
}

// orderOf finds it for a reader whose inputs have the second moments xx, p × p, and the weights w,
// p × q: taps numbers of each channel, one channel after the other, then others, which stay. It is
// Optimal Brain Surgeon on channels: in each step goes the one without which the reader's output,
// all other weights fitted anew, changes least (backward elimination as in OSSCAR, Meng et al.,
// arXiv 2403.12983). With P the inverse of the moments of what is left, and W the weights fitted to
// it, losing the numbers J of a channel costs W_Jᵀ·P_JJ⁻¹·W_J. power is the variance of the output.
func orderOf(xx *mat.SymDense, w *mat.Dense, channels, taps int, power float64) removal {
	e := newElimination(xx, w, channels, taps)
	r := removal{cost: []float64{0}}
	total := 0.0
	for len(e.channels) > 1 {
		at, cost := e.least()
		total += max(0, cost)
		r.order = append(r.order, e.channels[at])
		r.cost = append(r.cost, total/max(power, math.SmallestNonzeroFloat64))
		e.remove(at)
	}
	r.order = append(r.order, e.channels...)
	return r
}

// elimination is a state of orderOf: what is left, the taps of a channel together.
type elimination struct {
	channels []int // of those that are left
	taps     int
	n        int        // numbers left
	p        *mat.Dense // the inverse of their moments, n × n in its upper left
	w        *mat.Dense // weights fitted to them, n rows
}

func newElimination(xx *mat.SymDense, w *mat.Dense, channels, taps int) *elimination {
	return &elimination{upTo(channels), taps, xx.SymmetricDim(), inverse(xx, little(xx)), mat.DenseCopyOf(w)}
}

// inverse of g with a little on the diagonal, which dead channels need.
func inverse(g *mat.SymDense, little float64) *mat.Dense {
	c := g.SymmetricDim()
	a := mat.NewSymDense(c, nil)
	a.CopySym(g)
	for i := range c {
		a.SetSym(i, i, a.At(i, i)+little+1e-30)
	}
	var chol mat.Cholesky
	var inv mat.SymDense
	p := mat.NewDense(c, c, nil)
	if chol.Factorize(a) && chol.InverseTo(&inv) == nil {
		p.Copy(&inv)
		return p
	}
	for i := range c { // no covariance at all: channels stand for themselves
		p.Set(i, i, 1/a.At(i, i))
	}
	return p
}

// root is the lower Cholesky factor of P_JJ for the channel at a place, taps × taps, row by row.
func (e *elimination) root(at int) []float64 {
	t := e.taps
	l := make([]float64, t*t)
	for i := range t {
		for j := range i + 1 {
			v := e.p.At(at*t+i, at*t+j)
			for k := range j {
				v -= l[i*t+k] * l[j*t+k]
			}
			if i == j {
				l[i*t+i] = math.Sqrt(max(v, 1e-300))
			} else {
				l[i*t+j] = v / l[j*t+j]
			}
		}
	}
	return l
}

// under solves L·X = rows for rows of any length, in place.
func under(l []float64, t int, rows [][]float64) {
	for i := range t {
		for k := range i {
			blas64.Axpy(-l[i*t+k], vector(rows[k]), vector(rows[i]))
		}
		blas64.Scal(1/l[i*t+i], vector(rows[i]))
	}
}

// least is the place of the channel that costs least, and what it does.
func (e *elimination) least() (at int, cost float64) {
	_, q := e.w.Dims()
	cost = math.Inf(1)
	rows := make([][]float64, e.taps)
	for i := range rows {
		rows[i] = make([]float64, q)
	}
	for c := range e.channels {
		for i := range rows {
			copy(rows[i], e.w.RawRowView(c*e.taps+i))
		}
		under(e.root(c), e.taps, rows)
		sum := 0.0
		for _, r := range rows {
			sum += blas64.Dot(vector(r), vector(r))
		}
		if sum < cost {
			at, cost = c, sum
		}
	}
	return at, cost
}

// remove takes the channel at a place out: the others take over what they can.
func (e *elimination) remove(at int) {
	t := e.taps
	l := e.root(at)
	v, w := make([][]float64, t), make([][]float64, t) // L⁻¹·P_J and L⁻¹·W_J
	for i := range t {
		v[i] = append([]float64(nil), e.p.RawRowView(at*t + i)[:e.n]...)
		w[i] = append([]float64(nil), e.w.RawRowView(at*t+i)...)
	}
	under(l, t, v)
	under(l, t, w)
	p := e.p.RawMatrix()
	for i := range e.n {
		pi, wi := vector(p.Data[i*p.Stride:][:e.n]), vector(e.w.RawRowView(i))
		for k := range t {
			blas64.Axpy(-v[k][i], vector(v[k]), pi)
			blas64.Axpy(-v[k][i], vector(w[k]), wi)
		}
	}
	// what comes after moves up
	for i := (at + 1) * t; i < e.n; i++ {
		copy(e.w.RawRowView(i-t), e.w.RawRowView(i))
	}
	for i := range e.n {
		row := p.Data[i*p.Stride:][:e.n]
		copy(row[at*t:], row[(at+1)*t:])
	}
	for i := (at + 1) * t; i < e.n; i++ {
		copy(p.Data[(i-t)*p.Stride:][:e.n-t], p.Data[i*p.Stride:][:e.n-t])
	}
	e.n -= t
	e.channels = append(e.channels[:at], e.channels[at+1:]...)
}

func vector(v []float64) blas64.Vector { return blas64.Vector{N: len(v), Inc: 1, Data: v} }

// fitted are the weights of a reader that has only some channels left, and what its weights were
// with all of them, w: for inputs with second moments xx, k·taps + others × q.
func fitted(xx *mat.SymDense, w *mat.Dense, keep []int, channels, taps int) *mat.Dense {
	p := xx.SymmetricDim()
	_, q := w.Dims()
	rows := rowsOf(keep, channels, taps, p)
	among, with := mat.NewSymDense(len(rows), nil), mat.NewDense(len(rows), p, nil)
	more := little(xx) + 1e-30
	for i, a := range rows {
		for j, b := range rows[i:] {
			among.SetSym(i, i+j, xx.At(a, b))
		}
		among.SetSym(i, i, among.At(i, i)+more)
		for j := range p {
			with.Set(i, j, xx.At(a, j))
		}
		with.Set(i, a, with.At(i, a)+more) // with all channels kept w stays
	}
	y := mat.NewDense(len(rows), q, nil)
	blas64.Gemm(blas.NoTrans, blas.NoTrans, 1, with.RawMatrix(), w.RawMatrix(), 0, y.RawMatrix())
	var chol mat.Cholesky
	best := new(mat.Dense)
	if !chol.Factorize(among) || chol.SolveTo(best, y) != nil {
		best = mat.NewDense(len(rows), q, nil)
		for i, a := range rows {
			best.SetRow(i, w.RawRowView(a))
		}
	}
	return best
}

// rowsOf are the numbers of the kept channels among p inputs, those after all channels included.
func rowsOf(keep []int, channels, taps, p int) []int {
	var rows []int
	for _, k := range keep {
		for t := range taps {
			rows = append(rows, k*taps+t)
		}
	}
	for i := channels * taps; i < p; i++ {
		rows = append(rows, i)
	}
	return rows
}
