package prune

import (
	"context"
	"errors"

	"gonum.org/v1/gonum/mat"
)

// Limits on the work of rectified.
const (
	rectifiedRounds = 12
	rectifiedWork   = 600e9 // multiply-adds
	rectifiedIdle   = 4     // rounds without a better w
)

// rectified betters a least-squares fit w, p × q, of what goes through a ReLU next: where y is not
// above zero, nothing below zero is an error (the asymmetric nonlinear case of Zhang et al., arXiv
// 1505.06798). Each round moves the targets there to what comes out of w, if that is below zero,
// and fits again with the same factors, with Nesterov's momentum. The w that is best on judge's
// samples stays.
func (b *Bench) rectified(ctx context.Context, train, judge *moments, w *mat.Dense,
	solver *mat.Cholesky) (*mat.Dense, error) {
	rounds := min(rectifiedRounds, int(rectifiedWork/(2*float64(train.n)*float64(train.p)*float64(train.q))))
	_, least, err := b.rectifiedStep(ctx, judge, w)
	if err != nil {
		return nil, err
	}
	best, idle := w, 0
	now, ahead := w, mat.DenseCopyOf(w)
	for k := range rounds {
		towards, _, err := b.rectifiedStep(ctx, train, ahead)
		if err != nil {
			return nil, err
		}
		var step, next, move mat.Dense
		if solver.SolveTo(&step, towards) != nil {
			break
		}
		next.Add(ahead, &step)
		_, loss, err := b.rectifiedStep(ctx, judge, &next)
		if err != nil {
			return nil, err
		}
		if loss < least {
			best, least, idle = mat.DenseCopyOf(&next), loss, 0
		} else if idle++; idle == rectifiedIdle {
			break
		}
		move.Sub(&next, now)
		move.Scale(float64(k)/float64(k+3), &move)
		ahead.Add(&next, &move)
		now = &next
	}
	return best, nil
}

// rectifiedStep is xᵀ·(y − x·w), p × q, without what the ReLU hides, and the squared error behind
// the ReLU, over the samples of m.
func (b *Bench) rectifiedStep(ctx context.Context, m *moments, w *mat.Dense) (step *mat.Dense, loss float64,
	err error) {
	p, err := b.product(ctx, m.p+m.q, rectifiedGraph(w), "step", "loss")
	if err != nil {
		return nil, 0, err
	}
	defer func() { err = errors.Join(err, p.Close()) }()
	step = mat.NewDense(m.p, m.q, nil)
	for _, rows := range m.blocks {
		err := p.run(ctx, rows, func(output int, v []float32) {
			if output == 1 {
				loss += float64(v[0]) * float64(len(rows)/p.m*m.q)
				return
			}
			for i, x := range v {
				step.RawMatrix().Data[i] += float64(x)
			}
		})
		if err != nil {
			return nil, 0, err
		}
	}
	return step, loss, nil
}

func appended(to []float32, v []float64) []float32 {
	for _, x := range v {
		to = append(to, float32(x))
	}
	return to
}
