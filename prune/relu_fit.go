package prune

import (
	"gonum.org/v1/gonum/blas"
	"gonum.org/v1/gonum/blas/blas32"
	"gonum.org/v1/gonum/mat"
)

// Limits on the work of rectified.
const (
	rectifiedRounds = 24
	rectifiedWork   = 150e9 // multiply-adds
	rectifiedIdle   = 4     // rounds without a better w
)

// rectified betters a least-squares fit w, p × q, of what goes through a ReLU next: where y is not
// above zero, nothing below zero is an error (the asymmetric nonlinear case of Zhang et al., arXiv
// 1505.06798). Each round moves the targets there to what comes out of w, if that is below zero,
// and fits again with the same factors, with Nesterov's momentum. The w that is best on judge's
// samples stays.
func rectified(train, judge *moments, w *mat.Dense, solver *mat.Cholesky) *mat.Dense {
	rounds := min(rectifiedRounds, int(rectifiedWork/(2*float64(train.n)*float64(train.p)*float64(train.q))))
	best, least, idle := w, judge.rectifiedLoss(w), 0
	now, ahead := w, mat.DenseCopyOf(w)
	for k := range rounds {
		var step, next, move mat.Dense
		if solver.SolveTo(&step, train.rectifiedError(ahead)) != nil {
			break
		}
		next.Add(ahead, &step)
		if loss := judge.rectifiedLoss(&next); loss < least {
			best, least, idle = mat.DenseCopyOf(&next), loss, 0
		} else if idle++; idle == rectifiedIdle {
			break
		}
		move.Sub(&next, now)
		move.Scale(float64(k)/float64(k+3), &move)
		ahead.Add(&next, &move)
		now = &next
	}
	return best
}

// rectifiedError is xᵀ·(y − x·w), p × q, without what the ReLU hides.
func (m *moments) rectifiedError(w *mat.Dense) *mat.Dense {
	z := m.outputs(w)
	for i, y := range m.y {
		switch {
		case y > 0:
			z.Data[i] = y - z.Data[i]
		default:
			z.Data[i] = min(0, -z.Data[i])
		}
	}
	g := blas32.General{Rows: m.p, Cols: m.q, Stride: m.q, Data: make([]float32, m.p*m.q)}
	blas32.Gemm(blas.Trans, blas.NoTrans, 1, blas32.General{Rows: m.n, Cols: m.p, Stride: m.p, Data: m.x}, z, 0, g)
	d := mat.NewDense(m.p, m.q, nil)
	for i, v := range g.Data {
		d.RawMatrix().Data[i] = float64(v)
	}
	return d
}

// rectifiedLoss is the squared error behind the ReLU.
func (m *moments) rectifiedLoss(w *mat.Dense) float64 {
	z, sum := m.outputs(w), 0.0
	for i, y := range m.y {
		d := float64(max(0, y) - max(0, z.Data[i]))
		sum += d * d
	}
	return sum
}

// outputs are x·w, n × q.
func (m *moments) outputs(w *mat.Dense) blas32.General {
	v := blas32.General{Rows: m.p, Cols: m.q, Stride: m.q, Data: appended(nil, w.RawMatrix().Data)}
	z := blas32.General{Rows: m.n, Cols: m.q, Stride: m.q, Data: make([]float32, m.n*m.q)}
	blas32.Gemm(blas.NoTrans, blas.NoTrans, 1, blas32.General{Rows: m.n, Cols: m.p, Stride: m.p, Data: m.x}, v, 0, z)
	return z
}
