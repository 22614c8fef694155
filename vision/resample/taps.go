package resample

import "math"

// sampled resizes with a fixed number of taps, however much the picture shrinks: OpenCV's
// INTER_LINEAR, INTER_CUBIC and INTER_AREA where a side grows, and TensorFlow's bilinear. First
// along the rows that are needed, then down.
type sampled struct {
	filter Filter
	x, y   tapAxis
	need   []int32   // source rows that are needed, in order
	slot   []int32   // per source row its place among those
	rows   []float32 // each needed row after the first pass, interleaved; of OpenCV's in whole numbers
}

// tapAxis has for each output pixel taps source pixels, kept inside the picture, and their weights.
type tapAxis struct {
	from   []int32
	weight []float32
	taps   int
}

// cvBits is INTER_RESIZE_COEF_BITS of OpenCV's resize.cpp: weights are integers of 2^-11.
const cvBits = 11

func newSampled(f Filter, g *Geometry) *sampled {
	s := &sampled{filter: f, x: newTapAxis(f, g.SrcWidth, g.DstWidth, g.X, g.Width, true),
		y: newTapAxis(f, g.SrcHeight, g.DstHeight, g.Y, g.Height, false), slot: make([]int32, g.SrcHeight)}
	for i := range s.slot {
		s.slot[i] = -1
	}
	for _, row := range s.y.from {
		if s.slot[row] < 0 {
			s.slot[row] = int32(len(s.need))
			s.need = append(s.need, row)
		}
	}
	s.rows = make([]float32, len(s.need)*3*g.Width)
	return s
}

// newTapAxis tabulates output pixels from..from+count of a line of n that is made from m. Beyond the
// border OpenCV takes one pixel with all the weight along the rows, and the border's row twice.
func newTapAxis(f Filter, m, n, from, count int, across bool) tapAxis {
	taps := map[Filter]func(i, m, n int) (int, []float32){TFBilinear: tfTaps, Cubic: cubicTaps, Linear: cvLinearTaps,
		Area: growTaps}[f]
	a := tapAxis{}
	for i := from; i < from+count; i++ {
		first, w := taps(i, m, n)
		a.taps = len(w)
		if outside := first < 0 || first >= m-1; across && outside && (f == Linear || f == Area) {
			w[0], w[1] = 1<<cvBits, 0
		}
		for k, v := range w {
			a.from = append(a.from, int32(min(max(first+k, 0), m-1)))
			a.weight = append(a.weight, v)
		}
	}
	return a
}

// cubicTaps is OpenCV's: a = -0.75, the place in float32. Its fixed-point weights are for
// processors without vectors; what runs everywhere agrees with unrounded ones.
func cubicTaps(i, m, n int) (int, []float32) {
	scale := 1 / (float64(n) / float64(m))
	at := float32(float64((float64(i)+0.5)*scale) - 0.5)
	first := int(math.Floor(float64(at)))
	x := at - float32(first)
	const a = -0.75
	w := [4]float32{}
	w[0] = float32((float32((float32(a*(x+1))-5*a)*(x+1))+8*a)*(x+1)) - 4*a
	w[1] = float32((float32((a+2)*x)-(a+3))*x*x) + 1
	w[2] = float32((float32((a+2)*(1-x))-(a+3))*(1-x)*(1-x)) + 1
	w[3] = 1 - w[0] - w[1] - w[2]
	return first - 1, w[:]
}

// cvLinearTaps is OpenCV's: the place in float32, weights rounded to 2^-11.
func cvLinearTaps(i, m, n int) (int, []float32) {
	scale := 1 / (float64(n) / float64(m))
	at := float32(float64((float64(i)+0.5)*scale) - 0.5)
	first := int(math.Floor(float64(at)))
	return twoTaps(first, at-float32(first))
}

// growTaps is what OpenCV makes of INTER_AREA where a side grows: each source pixel as wide as it
// becomes, the two that meet in an output pixel by their shares.
func growTaps(i, m, n int) (int, []float32) {
	inverse := float64(n) / float64(m)
	first := int(math.Floor(float64(i) * (1 / inverse)))
	part := float32(float64(i+1) - float64(float64(first+1)*inverse))
	if part = max(part, 0); part > 0 {
		part -= float32(math.Floor(float64(part)))
	}
	return twoTaps(first, part)
}

func twoTaps(first int, part float32) (int, []float32) {
	whole := func(v float32) float32 { return float32(math.RoundToEven(float64(v) * (1 << cvBits))) }
	return first, []float32{whole(1 - part), whole(part)}
}

// tfTaps is compute_interpolation_weights with HalfPixelScaler of TensorFlow's resize_bilinear_op.
func tfTaps(i, m, n int) (int, []float32) {
	scale := float32(m) / float32(n)
	at := float32((float32(i)+0.5)*scale) - 0.5
	floor := float32(math.Floor(float64(at)))
	part := at - floor
	return int(floor), []float32{1 - part, part}
}

func (s *sampled) apply(dst *Target, src []byte, stride int) {
	width := len(s.x.from) / s.x.taps
	for i, row := range s.need {
		s.across(s.rows[3*width*i:][:3*width], src[int(row)*stride:])
	}
	for y := range len(s.y.from) / s.y.taps {
		for c := range 3 {
			out := dst.Planes[c][y*dst.Stride:][:width]
			switch s.filter {
			case TFBilinear:
				s.blend(out, y, c, &dst.Tables[c])
			case Cubic:
				s.down(out, y, c, &dst.Tables[c])
			default:
				s.mix(out, y, c, &dst.Tables[c])
			}
		}
	}
}

// across makes the outputs of one source row.
func (s *sampled) across(out []float32, row []byte) {
	for x := range len(s.x.from) / s.x.taps {
		if s.filter != Cubic {
			a, b, w := row[3*s.x.from[2*x]:][:3], row[3*s.x.from[2*x+1]:][:3], s.x.weight[2*x:][:2]
			for c := range 3 {
				left, right := float32(a[c]), float32(b[c])
				if s.filter == TFBilinear {
					out[3*x+c] = left + float32((right-left)*w[1])
				} else { // whole numbers, exact
					out[3*x+c] = left*w[0] + right*w[1]
				}
			}
			continue
		}
		from, w := s.x.from[4*x:][:4], s.x.weight[4*x:][:4]
		for c := range int32(3) {
			out[3*x+int(c)] = float32(w[0]*float32(row[3*from[0]+c])) + float32(w[1]*float32(row[3*from[1]+c])) +
				float32(w[2]*float32(row[3*from[2]+c])) + float32(w[3]*float32(row[3*from[3]+c]))
		}
	}
}

// row is what the first pass made of source row number i of output row y.
func (s *sampled) row(y, i int) []float32 {
	width := 3 * (len(s.x.from) / s.x.taps)
	return s.rows[int(s.slot[s.y.from[y*s.y.taps+i]])*width:][:width]
}

// down sums four rows and rounds to a byte.
func (s *sampled) down(out []float32, y, c int, table *[256]float32) {
	a, b, d, e := s.row(y, 0), s.row(y, 1), s.row(y, 2), s.row(y, 3)
	w := s.y.weight[4*y:][:4]
	for x := range out {
		at := 3*x + c
		v := float32(a[at]*w[0]) + float32(b[at]*w[1]) + float32(d[at]*w[2]) + float32(e[at]*w[3])
		out[x] = table[min(max(int(math.RoundToEven(float64(v))), 0), 255)]
	}
}

// mix is VResizeLinear of OpenCV for bytes: two rows in whole numbers, each product cut to 16 bits.
func (s *sampled) mix(out []float32, y, c int, table *[256]float32) {
	a, b := s.row(y, 0), s.row(y, 1)
	wa, wb := int32(s.y.weight[2*y]), int32(s.y.weight[2*y+1])
	for x := range out {
		at := 3*x + c
		v := (int32(a[at])>>4*wa>>16 + int32(b[at])>>4*wb>>16 + 2) >> 2
		out[x] = table[min(max(v, 0), 255)]
	}
}

// blend lies between two rows; the table is a straight line, of which the numbers between two
// bytes are taken, too.
func (s *sampled) blend(out []float32, y, c int, table *[256]float32) {
	a, b, part := s.row(y, 0), s.row(y, 1), s.y.weight[2*y+1]
	low, slope := float64(table[0]), (float64(table[255])-float64(table[0]))/255
	for x := range out {
		at := 3*x + c
		v := a[at] + float32((b[at]-a[at])*part)
		out[x] = float32(low + float64(slope*float64(v)))
	}
}
