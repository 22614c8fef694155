package vgg16se

import (
	"math"

	"github.com/vggse/vggse-agent/vgg16se/checkpoint"
)

// infer takes the sizes from the shapes of the weights; what is not there keeps the article's value.
func infer(names map[string]*checkpoint.Tensor, l layout) Architecture {
	var out, squeezed [5]int
	var linear [3][2]int // rows, columns
	for i, m := range l.modules(Architecture{}) {
		t := names[m.source(m.Params[0])]
		if t == nil || len(t.Shape) < 2 || min(t.Shape[0], t.Shape[1]) < 1 || max(t.Shape[0], t.Shape[1]) > limit*limit {
			continue
		}
		rows, columns := int(t.Shape[0]), int(t.Shape[1])
		switch m.Op {
		case OpConv:
			out[m.stage] = rows
		case OpSE:
			squeezed[m.stage] = rows
		case OpLinear:
			linear[i-len(l.modules(Architecture{}))+3] = [2]int{rows, columns}
		}
	}
	a := Architecture{NoSE: !l.se, Width: inferWidth(out), Hidden: linear[0][0], Hidden2: linear[1][0], Classes: linear[2][0]}
	a.Reduction = inferReduction(out, squeezed)
	if out[4] > 0 {
		a.PoolSize = int(math.Round(math.Sqrt(float64(linear[0][1]) / float64(out[4]))))
	}
	return a
}

// inferWidth finds a factor that rounds to every stage's channels, if there is one the plain ratio of the widest.
func inferWidth(out [5]int) float64 {
	low, high, ratio := 0.0, math.Inf(1), 0.0
	for i, c := range out {
		if c == 0 {
			continue
		}
		full := float64(channels[i])
		low, high = max(low, (float64(c)-0.5)/full), min(high, (float64(c)+0.5)/full)
		ratio = float64(c) / full
	}
	if ratio >= low && ratio < high || low >= high {
		return ratio
	}
	return (low + high) / 2
}

// inferReduction finds the factor that divides every stage's channels to its squeezed ones; 0, the
// article's, where there is none.
func inferReduction(out, squeezed [5]int) int {
	fits := func(r int) bool {
		for i, c := range out {
			if squeezed[i] > 0 && max(1, c/r) != squeezed[i] {
				return false
			}
		}
		return true
	}
	if squeezed[4] == 0 {
		return 0
	}
	for r := out[4] / squeezed[4]; r > 0 && r <= out[4]; r++ {
		if fits(r) {
			return r
		}
	}
	return 0
}
