package vgg16se

import (
	"math"
	"slices"

	"github.com/vggse/vggse-agent/vgg16se/checkpoint"
)

// infer takes the sizes from the shapes of the weights; what is not there keeps the article's
// value.
func infer(names map[string]*checkpoint.Tensor, l layout) Architecture {
	var out [16]int
	var squeezed [5]int
	var linear [][2]int // rows, columns
	for _, m := range l.modules(Architecture{}) {
		rows, columns := 0, 0
		t := names[m.source(m.Params[0])]
		if t != nil && len(t.Shape) >= 2 && min(t.Shape[0], t.Shape[1]) >= 1 &&
			max(t.Shape[0], t.Shape[1]) <= limit*limit {
			rows, columns = int(t.Shape[0]), int(t.Shape[1])
		}
		switch {
		case m.Op == OpConv:
			out[m.conv] = rows
		case m.Op == OpLinear:
			linear = append(linear, [2]int{rows, columns})
		case m.Op != OpSSE:
			squeezed[m.stage] = rows
		}
	}
	a := Architecture{Attention: l.attention, Depths: l.depths, Hidden: linear[0][0], Hidden2: linear[1][0],
		Classes: linear[2][0]}
	a.Width, a.Channels = inferWidth(out, l.depths)
	a.Reduction, a.Squeezed = inferReduction(a, squeezed)
	if last := out[a.Convolutions()-1]; last > 0 {
		a.PoolSize = int(math.Round(math.Sqrt(float64(linear[0][1]) / float64(last))))
	}
	return a
}

// inferWidth finds a factor that rounds to the channels of every convolution; where there is none,
// the channels themselves.
func inferWidth(out [16]int, depths [5]int) (width float64, irregular [16]int) {
	low, high, ratio := 0.0, math.Inf(1), 0.0
	k := 0
	for i, depth := range depths {
		for range depth {
			if c := out[k]; c > 0 {
				full := float64(channels[i])
				low, high = max(low, (float64(c)-0.5)/full), min(high, (float64(c)+0.5)/full)
				ratio = float64(c) / full
			}
			k++
		}
	}
	switch {
	case low >= high && !slices.Contains(out[:k], 0):
		return 0, out
	case ratio >= low && ratio < high || low >= high:
		return ratio, irregular
	}
	return (low + high) / 2, irregular
}

// inferReduction finds the factor that divides every stage's channels to its squeezed ones; where
// there is none, the squeezed ones themselves.
func inferReduction(a Architecture, squeezed [5]int) (reduction int, irregular [5]int) {
	if slices.Contains(squeezed[:], 0) {
		return 0, irregular
	}
	var last [5]int // channels at the end of each stage
	a, k := a.Full(), 0
	for i, depth := range a.Depths {
		k += depth
		last[i] = a.conv(k-1, i)
	}
	for r := max(1, last[4]/squeezed[4]); r <= last[4]; r++ {
		if max(1, last[4]/r) != squeezed[4] {
			break
		}
		fits := true
		for i, c := range last {
			fits = fits && max(1, c/r) == squeezed[i]
		}
		if fits {
			return r, irregular
		}
	}
	return 0, squeezed
}
