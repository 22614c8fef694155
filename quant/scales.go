package quant

import (
	"fmt"
	"math"
	"runtime"
	"slices"

	"golang.org/x/sync/errgroup"

	"github.com/vggse/vggse-agent/eval"
)

// Method is a way to choose the largest magnitude that a site keeps; what is larger is clipped to
// it.
type Method string

// The methods, and Auto: for each site the one with the lowest error.
const (
	MinMax     Method = "minmax"     // the largest magnitude seen: nothing is clipped
	Percentile Method = "percentile" // 99.999 % of all values, zeros included, are at or below it
	Entropy    Method = "entropy"    // lowest Kullback-Leibler divergence (Migacz, GTC 2017)
	MSE        Method = "mse"        // lowest mean squared error
	Auto       Method = "auto"
)

// Methods are those that choose by themselves.
var Methods = []Method{MinMax, Percentile, Entropy, MSE}

// Levels of the two integer types: the largest code that stands for Threshold.
const (
	LevelsS8 = 127 // signed, zero point 0
	LevelsU8 = 255 // unsigned, zero point 0, for what is never negative
)

// percentile is the share of values that Percentile keeps.
const percentile = 0.99999

// Threshold is the magnitude that the method keeps of what h counted, in 1..levels codes. It is 1
// where all values are zero: any scale will do.
func (h *Histogram) Threshold(m Method, levels int) (float64, error) {
	if h.Amax() == 0 {
		return 1, nil
	}
	switch m {
	case MinMax:
		return h.Amax(), nil
	case Percentile:
		return h.percentile(percentile), nil
	case Entropy:
		return h.entropy(levels), nil
	case MSE:
		return h.mse(levels), nil
	}
	return 0, fmt.Errorf("quant: unknown method %q: one of %v", m, Methods)
}

// edge is the upper end of cell i-1, no more than the largest magnitude.
func (h *Histogram) edge(i int) float64 { return math.Min(float64(i)*h.Width(), h.Amax()) }

func (h *Histogram) percentile(share float64) float64 {
	want := uint64(math.Ceil(share * float64(h.Count())))
	n := h.Zeros
	for i, c := range h.Counts {
		if n += c; n >= want && c > 0 {
			return h.edge(i + 1)
		}
	}
	return h.Amax()
}

// candidates of MSE: even parts of the largest magnitude, and the first of them that it tries.
const (
	candidates = 256
	firstTried = 16
)

func (h *Histogram) mse(levels int) float64 {
	best, lowest := h.Amax(), math.Inf(1)
	for i := firstTried; i <= candidates; i++ {
		c := h.Amax() * float64(i) / candidates
		if e := h.Error(c, levels); e < lowest {
			best, lowest = c, e
		}
	}
	return best
}

// Error is the mean squared error of rounding to the codes 0..levels of scale threshold/levels,
// with clipping at threshold. The density inside a cell is taken as uniform and cells are split
// where the nearest code changes: over [a, b] with code value q the error is ((b−q)³−(a−q)³)/3.
func (h *Histogram) Error(threshold float64, levels int) float64 {
	scale, w := threshold/float64(levels), h.Width()
	sum := 0.0
	for i := range h.cells() {
		if h.Counts[i] == 0 {
			continue
		}
		a, end := float64(i)*w, min(float64(i+1)*w, h.Amax())
		if end <= a { // the largest value is the cell's own lower end, and so are all in it
			d := a - scale*min(float64(levels), math.Floor(a/scale+0.5))
			sum += float64(h.Counts[i]) * d * d
			continue
		}
		density := float64(h.Counts[i]) / (end - a)
		code := math.Floor(a/scale + 0.5)
		for a < end {
			b := end
			if code < float64(levels) {
				b = min(end, (code+0.5)*scale)
			} else {
				code = float64(levels)
			}
			q := code * scale
			sum += density * ((b-q)*(b-q)*(b-q) - (a-q)*(a-q)*(a-q)) / 3
			a = b
			code++
		}
	}
	if n := h.Count(); n > 0 {
		return sum / float64(n)
	}
	return 0
}

// Clipped is the share of values above threshold; a cell that it divides counts in proportion.
func (h *Histogram) Clipped(threshold float64) float64 {
	w, above := h.Width(), 0.0
	for i, c := range h.Counts {
		from := float64(i) * w
		above += float64(c) * min(1, max(0, (from+w-threshold)/w))
	}
	if n := h.Count(); n > 0 && threshold < h.Amax() {
		return above / float64(n)
	}
	return 0
}

// Choice is what the four methods make of one site, and which one was taken.
type Choice struct {
	Site       string             `json:"tensor"`
	Layer      string             `json:"layer"`
	Method     Method             `json:"method"`         // the one whose threshold was taken
	Threshold  float64            `json:"threshold"`      // largest magnitude kept
	Low        float64            `json:"low,omitempty"`  // least value kept, where some are below 0
	High       float64            `json:"high,omitempty"` // and the largest one then
	Thresholds map[Method]float64 `json:"thresholds"`
	SQNR       map[Method]float64 `json:"sqnr_db"` // of this tensor alone
	Clipped    float64            `json:"clipped"` // share of values
	Zeros      float64            `json:"zeros"`   // share of values
	Max        float64            `json:"max"`

	lowest Method // the one with the lowest error
}

// on is the method for a site. Entropy and percentile judge a distribution by its shape; a gate
// multiplies a whole channel, and one that is clipped takes every value of it along: it keeps its
// largest value, as do the means behind it.
func (m Method) on(k Kind) Method {
	if (k == SEGate || k == Squeeze) && m != MSE {
		return MinMax
	}
	return m
}

// levels is how many of the codes of a site stand for its largest magnitude: of unsigned ones for
// values on both sides of 0 as many as are on the wider side.
func (h *Histogram) levels(signed bool, levels int) int {
	if !signed || h.Negative == 0 || levels != LevelsU8 {
		return levels
	}
	span := max(0, float64(h.Max)) - float64(h.Min)
	return max(1, int(LevelsU8*h.Amax()/span))
}

// Choose picks a threshold for every site but the picture by method m, for codes up to levels.
func Choose(n *Graph, c *Collection, m Method, levels int) ([]Choice, error) {
	if m != Auto && !slices.Contains(Methods, m) {
		return nil, fmt.Errorf("quant: unknown method %q: auto or one of %v", m, Methods)
	}
	all, err := weigh(n, c, levels)
	if err != nil {
		return nil, err
	}
	return pick(n, c, all, m), nil
}

// weigh is what each method makes of each site: the same whichever is then picked.
func weigh(n *Graph, c *Collection, levels int) ([]Choice, error) {
	sites := n.Sites[1:]
	all := make([]Choice, len(sites))
	var group errgroup.Group
	group.SetLimit(runtime.GOMAXPROCS(0))
	for i, s := range sites {
		group.Go(func() (err error) {
			all[i], err = weighed(&s, c.Stats[s.Name].Histogram, levels)
			return err
		})
	}
	return all, group.Wait()
}

func weighed(s *Site, h *Histogram, levels int) (Choice, error) {
	ch := Choice{Site: s.Name, Layer: s.Layer, Max: h.Amax(), Thresholds: map[Method]float64{},
		SQNR: map[Method]float64{}}
	if total := h.Count(); total > 0 {
		ch.Zeros = float64(h.Zeros) / float64(total)
	}
	levels = h.levels(s.Signed, levels)
	power, lowest := h.Power(), math.Inf(1)
	for _, method := range Methods {
		t, err := h.Threshold(method.on(s.Kind), levels)
		if err != nil {
			return ch, err
		}
		e := h.Error(t, levels)
		ch.Thresholds[method], ch.SQNR[method] = t, eval.SQNR(power, e)
		if e < lowest {
			ch.lowest, lowest = method, e
		}
	}
	return ch, nil
}

// pick takes the thresholds of m from what weigh found.
func pick(n *Graph, c *Collection, all []Choice, m Method) []Choice {
	choices := slices.Clone(all)
	for i, s := range n.Sites[1:] {
		ch, h := &choices[i], c.Stats[s.Name].Histogram
		if ch.Method = m; m == Auto {
			ch.Method = ch.lowest
		}
		ch.Threshold = ch.Thresholds[ch.Method]
		if s.Signed && h.Negative > 0 {
			ch.Low, ch.High = max(float64(h.Min), -ch.Threshold), max(0, min(float64(h.Max), ch.Threshold))
			if s.Floor < 0 {
				ch.Low = max(ch.Low, s.Floor)
			}
		}
		ch.Clipped = h.Clipped(ch.Threshold)
	}
	return choices
}
