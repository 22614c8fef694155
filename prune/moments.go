package prune

import (
	"context"
	"math"

	"gonum.org/v1/gonum/mat"
)

// moments are sums over samples of what goes into a linear map, x of p numbers, and what should
// come out, y of q: all that least squares needs.
type moments struct {
	p, q, n int
	xx      *mat.SymDense // p × p
	xy      *mat.Dense    // p × q
	yy      float64       // of all of y
	blocks  [][]float32   // the samples themselves, rows of x and y, where keep is set
	keep    bool
}

func newMoments(p, q int) *moments {
	m := &moments{p: p, q: q, xx: mat.NewSymDense(p, nil)}
	if q > 0 {
		m.xy = mat.NewDense(p, q, nil)
	}
	return m
}

// blockRows is how many samples are multiplied at a time: few enough to be added up in float32.
const blockRows = 1024

// collector adds samples to moments, a block at a time.
type collector struct {
	*moments
	product *product // of sumsGraph(p, q)
	rows    []float32
}

// grow is room for n more samples, rows of p + q zeros.
func (c *collector) grow(ctx context.Context, n int) ([]float32, error) {
	if len(c.rows) >= blockRows*(c.p+c.q) {
		if err := c.flush(ctx); err != nil {
			return nil, err
		}
	}
	at, need := len(c.rows), len(c.rows)+n*(c.p+c.q)
	if c.rows == nil {
		c.rows = make([]float32, 0, max(need, (blockRows+n)*(c.p+c.q)))
	}
	c.rows = append(c.rows, make([]float32, need-at)...)
	return c.rows[at:], nil
}

// flush adds up what is in rows.
func (c *collector) flush(ctx context.Context) error {
	width := c.p + c.q
	if len(c.rows) == 0 {
		return nil
	}
	err := c.product.run(ctx, c.rows, func(_ int, v []float32) {
		xx := c.xx.RawSymmetric()
		for i := range c.p {
			row := v[i*width:][:width]
			to := xx.Data[i*xx.Stride:]
			for j := i; j < c.p; j++ {
				to[j] += float64(row[j])
			}
			for j, x := range row[c.p:] {
				c.xy.RawMatrix().Data[i*c.q+j] += float64(x)
			}
		}
	})
	for i := c.p; i < len(c.rows); i += width {
		for _, y := range c.rows[i:][:c.q] {
			c.yy += float64(y) * float64(y)
		}
	}
	c.n += len(c.rows) / width
	if c.keep {
		c.blocks, c.rows = append(c.blocks, c.rows), nil
	} else {
		c.rows = c.rows[:0]
	}
	return err
}

// merge adds o.
func (m *moments) merge(o *moments) {
	m.n, m.yy, m.blocks = m.n+o.n, m.yy+o.yy, append(m.blocks, o.blocks...)
	m.xx.AddSym(m.xx, o.xx)
	if m.q > 0 {
		m.xy.Add(m.xy, o.xy)
	}
}

// merged are the moments of all collectors, in those of the first.
func merged(ctx context.Context, all []*collector) (*moments, error) {
	for i, c := range all {
		if err := c.flush(ctx); err != nil {
			return nil, err
		}
		if i > 0 {
			all[0].merge(c.moments)
		}
	}
	return all[0].moments, nil
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
// ridge is the one whose w has the least loss there; and the factors that it was found with. It is
// start itself, with none, where nothing is better.
func fit(train, judge *moments, start *mat.Dense) (best *mat.Dense, solver *mat.Cholesky) {
	least, worse := judge.loss(start), 0
	best = start
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
			best, least, solver, worse = w, loss, &chol, 0
		} else if worse++; worse == 2 && solver != nil {
			break // the loss has its least between too little and too much
		}
	}
	return best, solver
}
