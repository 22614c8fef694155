package resample

import "math"

// Filter says which source pixels an output pixel is made of.
type Filter uint8

// The filters. The weights of Triangle and Area are ≥ 0 and sum to 1, so no result leaves
// 0..255; the others are clipped between the two directions as there.
const (
	// Triangle is Pillow's BILINEAR: a tent as wide as two source pixels, or two output pixels
	// where the picture shrinks (antialiasing). Source: precompute_coeffs in Pillow's
	// src/libImaging/Resample.c.
	Triangle Filter = iota
	// Area is the mean over the part of the source that the output pixel covers: OpenCV's
	// INTER_AREA, within one level. Where a side grows it is what OpenCV makes of it, to the byte.
	Area
	// Linear takes the two nearest pixel centres and nothing else: OpenCV's INTER_LINEAR, to the
	// byte.
	Linear
	// Nearest to Lanczos are Pillow's filters of these names, to the bit. Box to Lanczos widen
	// where the picture shrinks (antialiasing). Bicubic has a = -0.5, Lanczos three lobes.
	Nearest
	Box
	Hamming
	Bicubic
	Lanczos
	// Cubic is OpenCV's INTER_CUBIC: four taps, a = -0.75, no antialiasing.
	Cubic
	// TFBilinear is tf.image.resize without antialiasing: two taps, results between two bytes.
	TFBilinear
)

// taps appends to w the weights with which output pixel i of n is summed from a line of m source
// pixels, and returns them with the source pixel that the first belongs to.
func (f Filter) taps(w []float64, i, n, m int) (first int, weights []float64) {
	if f == Area {
		return areaTaps(w, i, n, m)
	}
	return triangleTaps(w, i, n, m)
}

func triangleTaps(w []float64, i, n, m int) (int, []float64) {
	scale := float64(m) / float64(n)
	support := max(scale, 1)
	centre := (float64(i) + 0.5) * scale
	first := max(int(centre-support+0.5), 0)
	last := min(int(centre+support+0.5), m)
	sum := 0.0
	for x := first; x < last; x++ {
		v := max(0, 1-math.Abs(float64(x)-centre+0.5)/support)
		w = append(w, v)
		sum += v
	}
	for k := range w {
		w[k] /= sum
	}
	return first, w
}

// areaTaps counts in units of 1/n source pixel: pixel x covers [x·n, x·n+n), the output [i·m,
// i·m+m).
func areaTaps(w []float64, i, n, m int) (int, []float64) {
	first, last := i*m/n, ((i+1)*m+n-1)/n
	for x := first; x < last; x++ {
		covered := min((x+1)*n, (i+1)*m) - max(x*n, i*m)
		w = append(w, float64(covered)/float64(m))
	}
	return first, w
}
