package teach

import (
	"math"

	"gonum.org/v1/gonum/floats"

	"github.com/vggse/vggse-agent/vision"
)

// Bounds of temperature: beyond them scores say nothing.
const coldest, hottest = 1e-3, 1e3

// temperature is what logits are divided by so that their softmax fits the classes best (Guo et al.
// 2017, arXiv 1706.04599): the lowest mean negative log likelihood, by golden section over its
// logarithm, in which it has one minimum. classes of −1 are left out.
func temperature(logits []vision.Logits, class []int) float64 {
	low, high := math.Log(coldest), math.Log(hottest)
	ratio := (math.Sqrt(5) - 1) / 2
	a, b := high-ratio*(high-low), low+ratio*(high-low)
	fa, fb := likelihood(logits, class, math.Exp(a)), likelihood(logits, class, math.Exp(b))
	for high-low > 1e-4 {
		if fa < fb {
			high, b, fb = b, a, fa
			a = high - ratio*(high-low)
			fa = likelihood(logits, class, math.Exp(a))
		} else {
			low, a, fa = a, b, fb
			b = low + ratio*(high-low)
			fb = likelihood(logits, class, math.Exp(b))
		}
	}
	return math.Exp((low + high) / 2)
}

// likelihood is the mean negative logarithm of what the softmax of logits/t gives the classes; 0
// where there are none. Every class weighs the same: else many old pictures would speak for a head
// that never answers with a label of few.
func likelihood(logits []vision.Logits, class []int, t float64) float64 {
	var sum, n []float64
	var row []float64
	for i, l := range logits {
		if class[i] < 0 || l == nil {
			continue
		}
		if n == nil {
			sum, n = make([]float64, len(l)), make([]float64, len(l))
		}
		row = row[:0]
		for _, v := range l {
			row = append(row, float64(v)/t)
		}
		sum[class[i]] += floats.LogSumExp(row) - row[class[i]]
		n[class[i]]++
	}
	all, classes := 0.0, 0.0
	for c := range n {
		if n[c] > 0 {
			all, classes = all+sum[c]/n[c], classes+1
		}
	}
	return all / max(1, classes)
}
