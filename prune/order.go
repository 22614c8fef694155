package prune

import (
	"math"

	"gonum.org/v1/gonum/blas/blas64"
	"gonum.org/v1/gonum/mat"
)

// removal says in which order the channels of a group go and what that costs.
type removal struct {
	order []int
	cost  []float64 // after so many channels gone: error of the reader's output as a share of its variance
}

// orderOf finds it for channels with covariance g, of whose error e the reader makes eᵀ·q·e. It is
// Optimal Brain Surgeon on channels: in each step goes the one that the others stand in for best.
// With P the inverse of the covariance of those that are left and M what each original channel is
// as a mix of them, losing j adds M_j·M_jᵀ/P_jj to the covariance of the error.
func orderOf(g, q *mat.SymDense) removal {
	c := g.SymmetricDim()
	energy, mean := 0.0, 0.0
	for i := range c {
		mean += g.At(i, i) / float64(c)
		for j := range c {
			energy += g.At(i, j) * q.At(i, j)
		}
	}
	p := inverse(g, 1e-4*mean)
	k := mat.NewDense(c, c, nil) // Mᵀ·Q·M
	k.Copy(q)
	left := make([]bool, c)
	for i := range left {
		left[i] = true
	}
	r := removal{cost: []float64{0}}
	total := 0.0
	for range c - 1 {
		best, least := -1, math.Inf(1)
		for j := range c {
			if cost := k.At(j, j) / p.At(j, j); left[j] && (cost < least || best < 0) {
				best, least = j, cost
			}
		}
		left[best] = false
		total += max(0, least)
		r.order = append(r.order, best)
		r.cost = append(r.cost, total/max(energy, math.SmallestNonzeroFloat64))
		forget(p, k, best)
	}
	for j, l := range left {
		if l {
			r.order = append(r.order, j)
		}
	}
	return r
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

// forget takes channel j out of p, and what the others take over of it into k.
func forget(p, k *mat.Dense, j int) {
	c, _ := p.Dims()
	pj, kj := mat.Col(nil, j, p), mat.Col(nil, j, k)
	d := 1 / pj[j]
	x, y := vector(pj), vector(kj)
	blas64.Ger(-d, y, x, k.RawMatrix())
	blas64.Ger(-d, x, y, k.RawMatrix())
	blas64.Ger(d*d*kj[j], x, x, k.RawMatrix())
	blas64.Ger(-d, x, x, p.RawMatrix())
	for i := range c {
		for _, m := range []*mat.Dense{p, k} {
			m.Set(i, j, 0)
			m.Set(j, i, 0)
		}
	}
	p.Set(j, j, 1)
}

func vector(v []float64) blas64.Vector { return blas64.Vector{N: len(v), Inc: 1, Data: v} }

// mixOf says what every channel is as a mix of the kept ones, and of a constant: width × kept, and
// width.
func mixOf(g *mat.SymDense, mean []float64, keep []int) (*mat.Dense, []float64) {
	c := g.SymmetricDim()
	mix, shift := selection(keep, c), make([]float64, c)
	among := mat.NewSymDense(len(keep), nil)
	little := 0.0
	for i := range c {
		little += 1e-4 * g.At(i, i) / float64(c)
	}
	for i, a := range keep {
		for j, b := range keep[i:] {
			among.SetSym(i, i+j, g.At(a, b))
		}
		among.SetSym(i, i, among.At(i, i)+little+1e-30)
	}
	var chol mat.Cholesky
	if !chol.Factorize(among) {
		return mix, shift
	}
	kept := make([]bool, c)
	for _, k := range keep {
		kept[k] = true
	}
	for ch := range c {
		if kept[ch] {
			continue
		}
		with := mat.NewVecDense(len(keep), nil)
		for i, k := range keep {
			with.SetVec(i, g.At(ch, k))
		}
		var w mat.VecDense
		if chol.SolveVecTo(&w, with) != nil {
			continue
		}
		shift[ch] = mean[ch]
		for i, k := range keep {
			mix.Set(ch, i, w.AtVec(i))
			shift[ch] -= w.AtVec(i) * mean[k]
		}
	}
	return mix, shift
}
