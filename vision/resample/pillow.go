package resample

import "math"

// pillowBits is PRECISION_BITS of Pillow's Resample.c: weights are integers of 2^-22.
const pillowBits = 32 - 8 - 2

// pillow resizes to the bit as Pillow does (src/libImaging/Resample.c): one direction after the
// other, rounded and clipped to bytes between. Which comes first matters by up to a level, and with
// weights below zero by more at hard edges: up to Pillow 12 it is the rows, always; Pillow 13
// goes down the columns first where the height shrinks by more than twice what the width does.
type pillow struct {
	x, y         pillowAxis
	columnsFirst bool
	left, top    int // first source column and row that are needed
	columns      int // how many
	height       int
	rows         []byte // what stands between the two: all rows across, or one row of columns down
	line         []byte // one row of the window
	sums         []int32
}

// pillowAxis is one direction: for each output pixel its first source pixel, how many there are,
// and taps weights, a multiple of 4, zero beyond count; a weight is high·2^11 + low.
type pillowAxis struct {
	first, count, weight []int32
	high, low            []int16
	taps                 int
}

// kernelOf is the filter as a function of the distance, and how far it reaches; ok is false for the
// filters that are not Pillow's.
func (f Filter) kernelOf() (weight func(x float64) float64, support float64, ok bool) {
	switch f &^ Pillow12 {
	case Nearest:
		return nil, 0, true
	case Triangle:
		return triangle, 1, true
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

func triangle(x float64) float64 { return max(0, 1-math.Abs(x)) }

func hamming(x float64) float64 {
	x = math.Abs(x)
	switch {
	case x == 0:
		return 1
	case x >= 1:
		return 0
	}
	x *= math.Pi
	a, b := float64(float32(0.54)), float64(float32(0.46)) // as Pillow's C has them
	return math.Sin(x) / x * (a + float64(b*math.Cos(x)))
}

func bicubic(x float64) float64 {
	const a = -0.5
	x = math.Abs(x)
	switch {
	case x < 1:
		return float64((float64((a+2)*x)-(a+3))*x*x) + 1
	case x < 2:
		return (float64((float64((x-5)*x)+8)*x) - 4) * a
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
	shrinks := g.SrcHeight - g.DstHeight
	p.columnsFirst = f&Pillow12 == 0 && f != Nearest && shrinks > max(0, 2*(g.SrcWidth-g.DstWidth))
	p.left, p.columns = p.x.move()
	p.top, p.height = p.y.move()
	between := 3 * g.Width * p.height
	if p.columnsFirst {
		between = 3 * p.columns
	}
	// the kernel writes four bytes for three
	p.rows, p.line = make([]byte, between+1), make([]byte, 3*g.Width+1)
	p.sums = make([]int32, 3*max(g.Width, p.columns))
	return p
}

// move makes the first source pixel that is needed number 0, and returns which it was and how many
// are needed.
func (a *pillowAxis) move() (first, count int) {
	first, end := math.MaxInt, 0
	for i, from := range a.first {
		first, end = min(first, int(from)), max(end, int(from+a.count[i]))
	}
	for i := range a.first {
		a.first[i] -= int32(first)
	}
	return first, end - first
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
	a := pillowAxis{taps: (int(math.Ceil(support))*2 + 4) &^ 3}
	w := make([]float64, a.taps)
	for i := from; i < from+count; i++ {
		centre := float64((float64(i) + 0.5) * scale) // rounded: arm64 would multiply and add in one
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
			a.add(int32(v*(1<<pillowBits) + math.Copysign(0.5, v)))
		}
	}
	return a
}

// pillowLow is how many bits of a weight are in its low part.
const pillowLow = 11

// add appends a weight.
func (a *pillowAxis) add(w int32) {
	a.weight = append(a.weight, w)
	a.high, a.low = append(a.high, int16(w>>pillowLow)), append(a.low, int16(w&(1<<pillowLow-1)))
}

// nearestAxis adds up the places as Pillow does: a product would differ where one is nearly whole.
func nearestAxis(m, n, from, count int) pillowAxis {
	a := pillowAxis{taps: 4}
	step := float64(m) / float64(n)
	at := step * 0.5
	for i := range from + count {
		if i >= from {
			a.first = append(a.first, int32(min(int(at), m-1)))
			a.count = append(a.count, 1)
			for _, w := range []int32{1 << pillowBits, 0, 0, 0} {
				a.add(w)
			}
		}
		at += step
	}
	return a
}

// apply is Plan.Apply in Go: what the C code is tested against.
func (p *pillow) apply(dst *Target, src []byte, stride int) {
	width := 3 * len(p.x.first)
	src = src[p.top*stride+3*p.left:]
	if !p.columnsFirst {
		for y := range p.height {
			p.across(p.rows[y*width:][:width], src[y*stride:])
		}
	}
	for y := range p.y.first {
		if p.columnsFirst {
			p.down(p.rows[:3*p.columns], y, src, stride)
			p.across(p.line[:width], p.rows)
		} else {
			p.down(p.line[:width], y, p.rows, width)
		}
		for c := range 3 {
			out := dst.Planes[c][y*dst.Stride:]
			for x := range p.x.first {
				out[x] = dst.Tables[c][p.line[3*x+c]]
			}
		}
	}
}

// across makes the outputs of one row.
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

// down makes output row y of rows that lie stride apart.
func (p *pillow) down(out []byte, y int, rows []byte, stride int) {
	sums := p.sums[:len(out)]
	for j := range sums {
		sums[j] = 1 << (pillowBits - 1)
	}
	for k, w := range p.y.weight[y*p.y.taps:][:p.y.count[y]] {
		for j, v := range rows[(int(p.y.first[y])+k)*stride:][:len(out)] {
			sums[j] += w * int32(v)
		}
	}
	for j, sum := range sums {
		out[j] = clip(sum)
	}
}

func clip(sum int32) byte { return byte(min(max(sum>>pillowBits, 0), 255)) }
