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

// planAhead is how many steps of one layer are looked at: where channels take time in blocks, the
// first may save none.
const planAhead = 8

// Plan takes channels out, where that costs the answers least for the time that it saves, until the
// network has at most macs multiply-adds; then it moves channels from layer to layer as long as the
// error of the answers, times the time, becomes less. Time is what Measure found; without it,
// multiply-adds are all that counts. It is an error where the widths run out before.
func (s *Analysis) Plan(macs int64, step int) (Plan, error) {
	widths := make([]int, len(s.groups))
	for i, g := range s.groups {
		widths[i] = g.width
	}
	for s.macs(widths) > float64(macs) {
		best, to := -1, 0
		if s.times != nil {
			best, to = s.cheapest(widths, step, s.seconds)
		}
		if best < 0 {
			best, to = s.cheapest(widths, step, s.macs)
		}
		if best < 0 {
			return nil, fmt.Errorf("with %d channels everywhere there are still %.0f multiply-adds, %d are wanted: "+
				"ask for less", step, s.macs(widths), macs)
		}
		widths[best] = to
	}
	for s.exchange(widths, step, float64(macs)) {
	}
	return s.keeping(widths), nil
}

// cheapest is the group, and its new width, that costs the answers least for what it saves; -1
// where nothing saves anything.
func (s *Analysis) cheapest(widths []int, step int, spent func(widths []int) float64) (best, to int) {
	best = -1
	now, least := spent(widths), math.Inf(1)
	for i, w := range widths {
		if s.Groups[i].Sensitivity == 0 {
			continue
		}
		fewer := slices.Clone(widths)
		for _, width := range narrower(w, step) {
			fewer[i] = width
			saved := now - spent(fewer)
			if ratio := (s.loss(i, width) - s.loss(i, w)) / saved; saved > 0 && ratio < least {
				best, to, least = i, width, ratio
			}
		}
	}
	return best, to
}

// narrower are the next multiples of step below a width.
func narrower(w, step int) (next []int) {
	for width := (w - 1) / step * step; width >= step && len(next) < planAhead; width -= step {
		next = append(next, width)
	}
	return next
}

// exchange makes one layer wider, for which another may become narrower: the best of all such
// moves, within so many multiply-adds. It says whether any was worth it.
func (s *Analysis) exchange(widths []int, step int, macs float64) bool {
	worth := func(w []int) float64 {
		sum := 0.0
		for i, width := range w {
			sum += s.loss(i, width)
		}
		if s.times != nil {
			sum *= s.seconds(w)
		}
		return sum
	}
	least, found := worth(widths)*(1-1e-6), false
	now, best := slices.Clone(widths), slices.Clone(widths)
	wider := func(j int) { // another is narrower already, or as it was
		for n := 1; n <= planAhead && now[j] < s.groups[j].width; n++ {
			now[j] = min(s.groups[j].width, widths[j]+n*step)
			if v := worth(now); v < least && s.macs(now) <= macs {
				least, found = v, true
				copy(best, now)
			}
		}
		now[j] = widths[j]
	}
	for i, w := range widths {
		tries := []int{w}
		if s.Groups[i].Sensitivity != 0 {
			tries = append(tries, narrower(w, step)...)
		}
		for _, now[i] = range tries {
			for j := range now {
				if j != i {
					wider(j)
				}
			}
		}
		now[i] = w
	}
	copy(widths, best)
	return found
}

// loss is what the answers lose, as a share of their variance, when group i has that width.
func (s *Analysis) loss(i, width int) float64 {
	return s.Groups[i].Sensitivity * s.removal[i].cost[s.groups[i].width-width]
}

// macs are the multiply-adds with other widths.
func (s *Analysis) macs(widths []int) float64 {
	all, _ := s.with(widths).MACs()
	return float64(all)
}

// seconds is the time of all layers with other widths.
func (s *Analysis) seconds(widths []int) (sum float64) {
	in, out := 0, 0 // the first takes in what it does, and the last puts it out
	for k := range s.times {
		if k < len(widths) {
			out = widths[k]
		}
		sum += s.times[k].of(in, out)
		in = out
	}
	return sum
}

// with is the architecture with other widths.
func (s *Analysis) with(widths []int) vgg16se.Architecture {
	a := s.network.Arch
	n := copy(a.Channels[:a.Convolutions()], widths)
	a.Hidden, a.Hidden2 = widths[n], widths[n+1]
	return a
}

func (s *Analysis) keeping(widths []int) Plan {
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

// Largest is a plan of the same widths that keeps the channels whose weights are largest (L1 norm
// of the filter; Li et al., arXiv 1608.08710): what ours is measured against.
func (s *Analysis) Largest(p Plan) Plan {
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
func (s *Analysis) Random(p Plan, seed uint64) Plan {
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
func (s *Analysis) replan(p Plan, rank func(*group) []float64) Plan {
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
func (s *Analysis) Cut(p Plan) *VGG {
	n := s.network.clone()
	for i := range s.groups {
		n.cut(&s.groups[i], p[i], nil, nil)
	}
	return n
}
