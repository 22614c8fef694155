package resample

import "math"

// pillowBits is PRECISION_BITS of Pillow's Resample.c: weights are integers of 2^-22.
const pillowBits = 32 - 8 - 2

// pillow resizes to the bit as Pillow up to 12 does (src/libImaging/Resample.c): first along the
// rows, rounded and clipped to bytes, then along the columns. Filters with weights below zero
// overshoot, so the order and the clipping between matter: Pillow 13 goes along the columns first
// where that is less work, and hard edges then differ by up to 29 levels for bicubic (measured,
// testdata/pillow.py in both).
type pillow struct {
	x, y   pillowAxis
	top    int    // first source row that is needed
	height int    // how many
	rows   []byte // those after the first pass, 3·outputs of x each
	sums   []int32
}

// pillowAxis is one direction: for each output pixel its first source pixel, how many there are,
// and taps weights, zero beyond count.
type pillowAxis struct {
	first, count, weight []int32
	taps                 int
}

// kernelOf is the filter as a function of the distance, and how far it reaches; ok is false for the
// filters that are not Pillow's.
func (f Filter) kernelOf() (weight func(x float64) float64, support float64, ok bool) {
	switch f {
	case Nearest:
		return nil, 0, true
	case Box:
		return box, 0.5, true
	case Hamming:
		return hamming, 1, true
	case Bicubic:
		return bicubic, 2, true
	case Lanczos:
		return lanczos, 3, true
	}
	return nil, 0, false
}

func box(x float64) float64 {
	if x > -0.5 && x <= 0.5 {
		return 1
	}
	return 0
}

func hamming(x float64) float64 {
	x = math.Abs(x)
	switch {
	case x == 0:
		return 1
	case x >= 1:
		return 0
	}
	x *= math.Pi
	return math.Sin(x) / x * (float64(float32(0.54)) + float64(float32(0.46))*math.Cos(x)) // as Pillow's C has them
}

func bicubic(x float64) float64 {
	const a = -0.5
	x = math.Abs(x)
	switch {
	case x < 1:
		return ((a+2)*x-(a+3))*x*x + 1
	case x < 2:
		return (((x-5)*x+8)*x - 4) * a
	}
	return 0
}

func lanczos(x float64) float64 {
	if x < -3 || x >= 3 {
		return 0
	}
	return sinc(x) * sinc(x/3)
}

func sinc(x float64) float64 {
	if x == 0 {
		return 1
	}
	x *= math.Pi
	return math.Sin(x) / x
}

func newPillow(f Filter, g *Geometry) *pillow {
	p := &pillow{
		x: newPillowAxis(f, g.SrcWidth, g.DstWidth, g.X, g.Width),
		y: newPillowAxis(f, g.SrcHeight, g.DstHeight, g.Y, g.Height),
	}
	bottom := 0
	p.top = math.MaxInt
	for i, first := range p.y.first {
		p.top, bottom = min(p.top, int(first)), max(bottom, int(first+p.y.count[i]))
	}
	p.height = bottom - p.top
	p.rows, p.sums = make([]byte, 3*g.Width*p.height), make([]int32, 3*g.Width)
	return p
}

// newPillowAxis is precompute_coeffs and normalize_coeffs_8bpc for output pixels from..from+count
// of a line of n that is made from m source pixels; for Nearest it is ImagingScaleAffine of
// Geometry.c.
func newPillowAxis(f Filter, m, n, from, count int) pillowAxis {
	if f == Nearest {
		return nearestAxis(m, n, from, count)
	}
	kernel, support, _ := f.kernelOf()
	scale := float64(m) / float64(n)
	stretch := max(scale, 1)
	support *= stretch
	a := pillowAxis{taps: int(math.Ceil(support))*2 + 1}
	w := make([]float64, a.taps)
	for i := from; i < from+count; i++ {
		centre := (float64(i) + 0.5) * scale
		first := max(int(centre-support+0.5), 0)
		taps := min(int(centre+support+0.5), m) - first
		sum := 0.0
		for k := range taps {
			w[k] = kernel((float64(k+first) - centre + 0.5) * (1 / stretch))
			sum += w[k]
		}
		a.first, a.count = append(a.first, int32(first)), append(a.count, int32(taps))
		for k := range a.taps {
			v := 0.0
			if k < taps && sum != 0 {
				v = w[k] / sum
			}
			a.weight = append(a.weight, int32(v*(1<<pillowBits)+math.Copysign(0.5, v)))
		}
	}
	return a
}

// nearestAxis adds up the places as Pillow does: a product would differ where one is nearly whole.
func nearestAxis(m, n, from, count int) pillowAxis {
	a := pillowAxis{taps: 1}
	step := float64(m) / float64(n)
	at := step * 0.5
	for i := range from + count {
		if i >= from {
			a.first = append(a.first, int32(min(int(at), m-1)))
			a.count, a.weight = append(a.count, 1), append(a.weight, 1<<pillowBits)
		}
		at += step
	}
	return a
}

// apply is Plan.Apply in Go: what the C code is tested against.
func (p *pillow) apply(dst *Target, src []byte, stride int) {
	width := 3 * len(p.x.first)
	for y := range p.height {
		p.across(p.rows[y*width:][:width], src[(p.top+y)*stride:])
	}
	for y := range p.y.first {
		p.down(y, dst)
	}
}

// across makes the outputs of one source row.
func (p *pillow) across(out, row []byte) {
	for i, first := range p.x.first {
		weights := p.x.weight[i*p.x.taps:][:p.x.count[i]]
		from := row[3*first:][:3*len(weights)]
		s0, s1, s2 := int32(1)<<(pillowBits-1), int32(1)<<(pillowBits-1), int32(1)<<(pillowBits-1)
		for k, w := range weights {
			s0 += w * int32(from[3*k])
			s1 += w * int32(from[3*k+1])
			s2 += w * int32(from[3*k+2])
		}
		out[3*i], out[3*i+1], out[3*i+2] = clip(s0), clip(s1), clip(s2)
	}
}

// down makes output row y of the rows between.
func (p *pillow) down(y int, dst *Target) {
	for j := range p.sums {
		p.sums[j] = 1 << (pillowBits - 1)
	}
	first := int(p.y.first[y]) - p.top
	for k, w := range p.y.weight[y*p.y.taps:][:p.y.count[y]] {
		for j, v := range p.rows[(first+k)*len(p.sums):][:len(p.sums)] {
			p.sums[j] += w * int32(v)
		}
	}
	for c := range 3 {
		out := dst.Planes[c][y*dst.Stride:]
		for x := range p.x.first {
			out[x] = dst.Tables[c][clip(p.sums[3*x+c])]
		}
	}
}

func clip(sum int32) byte { return byte(min(max(sum>>pillowBits, 0), 255)) }
