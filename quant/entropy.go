package quant

import "math"

// smoothing is what every empty cell of a distribution gains, its other cells paying for it
// together: without it a divergence would be infinite.
const smoothing = 1e-4

// prefix holds running sums over the cells of a histogram, so that any group of cells is two
// look-ups.
type prefix struct {
	counts          []float64
	sum, used       []float64 // of counts, of cells that are not empty
	plogp, logs, rp []float64 // of p·log p, log p and 1/p over the cells that are not empty
}

func newPrefix(h *Histogram, cells int) *prefix {
	p := &prefix{counts: make([]float64, cells)}
	for _, s := range []*[]float64{&p.sum, &p.used, &p.plogp, &p.logs, &p.rp} {
		*s = make([]float64, cells+1)
	}
	for i := range cells {
		c := float64(h.Counts[i])
		p.counts[i] = c
		used, log, inverse := 0.0, 0.0, 0.0
		if c > 0 {
			used, log, inverse = 1, math.Log(c), 1/c
		}
		p.sum[i+1], p.used[i+1] = p.sum[i]+c, p.used[i]+used
		p.plogp[i+1], p.logs[i+1], p.rp[i+1] = p.plogp[i]+c*log, p.logs[i]+log, p.rp[i]+inverse
	}
	return p
}

// entropy tries every cell as the last that is kept, from levels+1 on, and takes the one whose
// 8-bit distribution is nearest to the true one, the widest of equals.
func (h *Histogram) entropy(levels int) float64 {
	groups, cells := levels+1, h.cells()
	if cells <= groups {
		return h.Amax()
	}
	p := newPrefix(h, cells)
	best, lowest := cells, math.Inf(1)
	for i := groups; i <= cells; i++ {
		if d := p.divergence(i, groups); d <= lowest {
			best, lowest = i, d
		}
	}
	return h.edge(best)
}

// divergence is the Kullback-Leibler divergence Σ a·log(a/b) of two smoothed distributions over the
// first n cells: a has what lies beyond in its last cell; b has those cells in groups, the
// remainder in the last, each group's count spread evenly over its cells that are not empty. With a
// loss of l to each cell, (p−l)·log(p−l) is taken as (p−l)·(log p − l/p): exact to l², of the order
// of 10⁻⁸ counts.
func (p *prefix) divergence(n, groups int) float64 {
	last := n - 1
	tail := p.sum[len(p.sum)-1] - p.sum[n]
	end := p.counts[last] + tail // what stands in a's last cell
	sa, sb := p.sum[n]+tail, p.sum[n]
	na, nb := p.used[last], p.used[n]
	if end > 0 {
		na++
	}
	if nb == 0 {
		return math.Inf(1)
	}
	lossA, lossB := smoothing*(float64(n)-na)/na, smoothing*(float64(n)-nb)/nb

	// Σ a·log a: the cells before the last from the running sums, the last and the empty ones
	// apart.
	d := p.plogp[last] - lossA*p.logs[last] - lossA*p.used[last] + lossA*lossA*p.rp[last]
	if end > 0 {
		d += (end - lossA) * (math.Log(end) - lossA/end)
	}
	d += (float64(n) - na) * smoothing * math.Log(smoothing)

	// − Σ a·log b, group by group; where b is empty, so is a, but for the last cell.
	size := n / groups
	for g := range groups {
		from, to := g*size, (g+1)*size
		if g == groups-1 {
			to = n
		}
		sum, used := p.sum[to]-p.sum[from], p.used[to]-p.used[from]
		if used == 0 {
			continue
		}
		a := sum - lossA*used
		if to == n && p.counts[last] > 0 {
			a += tail
		}
		d -= a * math.Log(max(sum/used-lossB, smoothing))
	}
	empty := smoothing * (float64(n) - nb)
	if p.counts[last] == 0 && end > 0 {
		empty += end - lossA - smoothing
	}
	d -= empty * math.Log(smoothing)
	return (d + sa*math.Log(sb/sa)) / sa
}
