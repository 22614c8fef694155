package resample

// Filter says which source pixels an output pixel is made of.
type Filter uint8

// The filters. The weights of Triangle, Area, Box and Hamming are ≥ 0, so no result leaves 0..255;
// the others are clipped between the two directions as there.
const (
	// Triangle is Pillow's BILINEAR: a tent as wide as two source pixels, or two output pixels
	// where the picture shrinks (antialiasing).
	Triangle Filter = iota
	// Area is the mean over the part of the source that the output pixel covers: OpenCV's
	// INTER_AREA, within one level. Where a side grows it is what OpenCV makes of it, to the byte.
	Area
	// Linear takes the two nearest pixel centres and nothing else: OpenCV's INTER_LINEAR, to the
	// byte.
	Linear
	// Nearest to Lanczos are Pillow's filters of these names, as is Triangle, to the bit. All but
	// Nearest widen where the picture shrinks (antialiasing). Bicubic has a = -0.5, Lanczos three
	// lobes.
	Nearest
	Box
	Hamming
	Bicubic
	Lanczos
	// Cubic is OpenCV's INTER_CUBIC: four taps, a = -0.75, no antialiasing.
	Cubic
	// TFBilinear is tf.image.resize without antialiasing: two taps, results between two bytes.
	TFBilinear

	// Pillow12 together with Triangle or Box to Lanczos is that filter up to Pillow 12, which goes
	// along the rows first, whatever the sizes.
	Pillow12 Filter = 1 << 7
)

// areaTaps appends to w the weights with which output pixel i of n is summed from a line of m source
// pixels, and returns them with the source pixel that the first belongs to. It counts in units of 1/n
// source pixel: pixel x covers [x·n, x·n+n), the output [i·m, i·m+m).
func areaTaps(w []float64, i, n, m int) (int, []float64) {
	first, last := i*m/n, ((i+1)*m+n-1)/n
	for x := first; x < last; x++ {
		covered := min((x+1)*n, (i+1)*m) - max(x*n, i*m)
		w = append(w, float64(covered)/float64(m))
	}
	return first, w
}
