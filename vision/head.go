package vision

import (
	"errors"
	"fmt"
	"math"
)

// Head is the last layer of a classifier, which runs here instead of in the network's graph: so one
// head serves every precision, and another one needs no new engine. With x the features of a
// picture it answers
//
//	logits = Weight·x + Bias                               where Mean is nil, else
//	logits = Weight·(x − Mean)/‖x − Mean‖ + Bias,
//
// the form of SimpleShot (Wang et al. 2019, arXiv 1911.04623). NewHead makes it; it does not change
// after that, and any goroutine may use it.
type Head struct {
	Mean   []float32 // width; nil: features as they come
	Weight []float32 // classes × width, row by row
	Bias   []float32 // classes

	offset []float32 // Weight·Mean
}

// MaxFeatures is the largest number of features of a picture.
const MaxFeatures = 1 << 16

// NewHead checks the numbers and keeps the slices.
func NewHead(mean, weight, bias []float32) (*Head, error) {
	classes := len(bias)
	if classes == 0 || len(weight) == 0 || len(weight)%classes != 0 {
		return nil, fmt.Errorf("a head of %d weights and %d biases is none: weight must be classes × features",
			len(weight),
			classes)
	}
	h := &Head{Mean: mean, Weight: weight, Bias: bias}
	switch width := h.Width(); {
	case width > MaxFeatures:
		return nil, fmt.Errorf("a head of %d features: at most %d are taken", width, MaxFeatures)
	case mean != nil && len(mean) != width:
		return nil, fmt.Errorf("a head whose mean has %d numbers for %d features", len(mean), width)
	}
	for _, values := range [][]float32{mean, weight, bias} {
		for _, v := range values {
			if math.IsNaN(float64(v)) || math.IsInf(float64(v), 0) {
				return nil, errors.New("a head holds what is no number: teach or import again")
			}
		}
	}
	if mean != nil {
		h.offset = make([]float32, classes)
		for c := range h.offset {
			h.offset[c] = float32(dot(h.row(c), mean))
		}
	}
	return h, nil
}

// Width is the number of features of a picture.
func (h *Head) Width() int { return len(h.Weight) / len(h.Bias) }

// Classes is the number of logits of a picture.
func (h *Head) Classes() int { return len(h.Bias) }

func (h *Head) row(class int) []float32 {
	w := h.Width()
	return h.Weight[class*w : (class+1)*w]
}

// Apply writes the logits of the pictures whose features follow one another, N × Width, into out,
// N × Classes. It allocates nothing. Features that are no numbers give logits that are none.
func (h *Head) Apply(features []float32, out Logits) {
	width, classes := h.Width(), h.Classes()
	for len(features) >= width && len(out) >= classes {
		x := features[:width]
		scale := h.scale(x)
		for c := range classes {
			v := dot(h.row(c), x)
			if h.offset != nil {
				v -= float64(h.offset[c])
			}
			out[c] = float32(v*scale) + h.Bias[c]
		}
		features, out = features[width:], out[classes:]
	}
}

// scale is 1/‖x − Mean‖, 0 where x is Mean; 1 without Mean.
func (h *Head) scale(x []float32) float64 {
	if h.Mean == nil {
		return 1
	}
	sum := 0.0
	for i, v := range x {
		d := float64(v) - float64(h.Mean[i])
		sum += d * d
	}
	if sum == 0 {
		return 0
	}
	return 1 / math.Sqrt(sum)
}

// dot is the product of two vectors of one length, in four sums, so that additions need not wait
// for one another.
func dot(a, b []float32) float64 {
	var s0, s1, s2, s3 float64
	b = b[:len(a)]
	i := 0
	for ; i+4 <= len(a); i += 4 {
		s0 += float64(a[i]) * float64(b[i])
		s1 += float64(a[i+1]) * float64(b[i+1])
		s2 += float64(a[i+2]) * float64(b[i+2])
		s3 += float64(a[i+3]) * float64(b[i+3])
	}
	for ; i < len(a); i++ {
		s0 += float64(a[i]) * float64(b[i])
	}
	return s0 + s1 + s2 + s3
}
