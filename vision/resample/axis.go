package resample

import "math"

// axis is one direction of a resize: for each output pixel the source pixels and their weights, as
// integers of 2^-shift.
type axis struct {
	first  []int32 // per output pixel: its first source pixel
	count  []int32 // per output pixel: how many source pixels, 1..taps
	weight []int16 // per output pixel: taps weights ≥ 0 that sum to 1<<shift, zero beyond count
	taps   int     // even
	shift  int
}

// newAxis tabulates Area for output pixels from..from+count of a line of n that is made from m source
// pixels. shift is as large as 16-bit weights allow, at most maxShift.
func newAxis(m, n, from, count, maxShift int) axis {
	a := axis{first: make([]int32, count), count: make([]int32, count)}
	lines := make([][]float64, count)
	highest := 0.0
	for i := range lines {
		first, w := areaTaps(nil, from+i, n, m)
		a.first[i], a.count[i], lines[i] = int32(first), int32(len(w)), w
		a.taps = max(a.taps, (len(w)+3)&^3)
		for _, v := range w {
			highest = max(highest, v)
		}
	}
	for a.shift < maxShift && math.Ldexp(highest, a.shift+1)+1 <= math.MaxInt16 {
		a.shift++
	}
	a.weight = make([]int16, count*a.taps)
	for i, w := range lines {
		quantize(a.weight[i*a.taps:], w, a.shift)
	}
	return a
}

// quantize rounds the running sum rather than each weight, so that the integers sum to 1<<shift
// exactly and a grey picture keeps its grey. No weight is off by more than one unit.
func quantize(dst []int16, w []float64, shift int) {
	sum, done := 0.0, 0
	for i, v := range w {
		sum += v
		upTo := int(math.Round(math.Ldexp(sum, shift)))
		dst[i] = int16(upTo - done)
		done = upTo
	}
}

// reach is the half-open range of source pixels that the axis touches.
func (a *axis) reach() (lo, hi int) {
	lo = math.MaxInt
	for i, first := range a.first {
		lo, hi = min(lo, int(first)), max(hi, int(first+a.count[i]))
	}
	return lo, hi
}
