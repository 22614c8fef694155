package prune

import (
	"fmt"
	"math"
	"math/rand/v2"
	"slices"

	"github.com/vggse/vggse-agent/vgg16se"
)

// Plan says which channels of every group stay.
type Plan [][]int

// Plan takes channels out, step at a time and always where that costs the answers least for the multiply-adds it saves, until the
// network has at most macs of them. It is an error where the widths run out before.
func (s *Study) Plan(macs int64, step int) (Plan, error) {
	widths := make([]int, len(s.groups))
	for i, g := range s.groups {
		widths[i] = g.width
	}
	for {
		a := s.with(widths)
		if all, _ := a.MACs(); all <= macs {
			return s.keeping(widths), nil
		}
		best, least := -1, math.Inf(1)
		for i, w := range widths {
			to := (w - 1) / step * step
			if to < step || s.Groups[i].Sensitivity == 0 {
				continue
			}
			fewer := slices.Clone(widths)
			fewer[i] = to
			before, _ := a.MACs()
			after, _ := s.with(fewer).MACs()
			cost := s.removal[i].cost[s.groups[i].width-to] - s.removal[i].cost[s.groups[i].width-w]
			if ratio := s.Groups[i].Sensitivity * cost / float64(before-after); ratio < least {
				best, least = i, ratio
			}
		}
		if best < 0 {
			all, _ := a.MACs()
			return nil, fmt.Errorf("prune: with %d channels everywhere there are still %d multiply-adds, %d are wanted: ask for less", step, all, macs)
		}
		widths[best] = (widths[best] - 1) / step * step
	}
}

// with is the architecture with other widths.
func (s *Study) with(widths []int) vgg16se.Architecture {
	a := s.network.Arch
	n := copy(a.Channels[:], widths)
	a.Hidden, a.Hidden2 = widths[n], widths[n+1]
	return a
}

func (s *Study) keeping(widths []int) Plan {
	p := make(Plan, len(widths))
	for i, w := range widths {
		p[i] = s.kept(i, w)
	}
	return p
}

// Widths are the channels that stay of every group.
func (p Plan) Widths() []int {
	w := make([]int, len(p))
	for i, keep := range p {
		w[i] = len(keep)
	}
	return w
}

// Largest is a plan of the same widths that keeps the channels whose weights are largest (L1 norm of the filter; Li et al.,
// arXiv 1608.08710): what ours is measured against.
func (s *Study) Largest(p Plan) Plan {
	return s.replan(p, func(g *group) []float64 {
		w := s.network.values(g.maker.Params[0].Name)
		each := len(w) / g.width
		size := make([]float64, g.width)
		for i, v := range w {
			size[i/each] += math.Abs(float64(v))
		}
		return size
	})
}

// Random is a plan of the same widths that keeps channels by lot.
func (s *Study) Random(p Plan, seed uint64) Plan {
	r := rand.New(rand.NewPCG(seed, 2))
	return s.replan(p, func(g *group) []float64 {
		lots := make([]float64, g.width)
		for i := range lots {
			lots[i] = r.Float64()
		}
		return lots
	})
}

// replan keeps the highest of each group.
func (s *Study) replan(p Plan, rank func(*group) []float64) Plan {
	q := make(Plan, len(p))
	for i, keep := range p {
		values := rank(&s.groups[i])
		order := upTo(len(values))
		slices.SortStableFunc(order, func(a, b int) int {
			switch {
			case values[a] > values[b]:
				return -1
			case values[a] < values[b]:
				return 1
			}
			return 0
		})
		q[i] = slices.Clone(order[:len(keep)])
		slices.Sort(q[i])
	}
	return q
}

// Cut takes the channels out and changes nothing else: exact surgery.
func (s *Study) Cut(p Plan) *Network {
	n := s.network.clone()
	for i := range s.groups {
		n.cut(&s.groups[i], p[i], nil, nil)
	}
	return n
}
