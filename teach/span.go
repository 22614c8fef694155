package teach

import (
	"math"

	"gonum.org/v1/gonum/floats"
	"gonum.org/v1/gonum/mat"

	"github.com/vggse/vggse-agent/vision"
)

// mostDirections bounds the space that heads are fitted in, and with it memory and time.
const mostDirections = 512

// A picture that is longer than this share of itself outside of the directions before it adds one.
const leastOutside = 1e-4

// span is where heads are fitted: the space of the pictures themselves, where they have more
// features than mostDirections. A regularised layer lies in the space of what it is fitted to, so up
// to so many pictures that is no restriction; what lies outside of it counts for the length of a
// picture only.
type span struct {
	axes  *mat.Dense // directions × width, at right angles and of length 1; nil: features as they are
	width int
}

// newSpan takes the directions of some pictures: also, then of the examples of labels that first
// names, half of the directions at most, then of the others, in turn of the labels.
func newSpan(examples []example, classes int, first func(class int) bool, also ...[]float32) *span {
	s := &span{width: widthOf(examples)}
	if s.width <= mostDirections {
		return s
	}
	s.axes = mat.NewDense(mostDirections, s.width, nil)
	n, room := 0, make([]float64, s.width)
	add := func(x []float32) {
		if n == mostDirections {
			return
		}
		length := widen(x, room)
		for range 2 { // once leaves what rounding leaves
			for d := range n {
				axis := s.axes.RawRowView(d)
				floats.AddScaled(room, -floats.Dot(axis, room), axis)
			}
		}
		if rest := floats.Norm(room, 2); rest > leastOutside*length {
			floats.ScaleTo(s.axes.RawRowView(n), 1/rest, room)
			n++
		}
	}
	for _, x := range also {
		add(x)
	}
	fresh := inTurn(examples, classes, first)
	for _, i := range fresh[:min(len(fresh), mostDirections/2)] {
		add(examples[i].view(0))
	}
	for _, i := range inTurn(examples, classes, func(class int) bool { return !first(class) }) {
		add(examples[i].view(0))
	}
	s.axes = mat.DenseCopyOf(s.axes.Slice(0, n, 0, s.width))
	return s
}

// widen writes x into out and returns its length.
func widen(x []float32, out []float64) float64 {
	for k, v := range x {
		out[k] = float64(v)
	}
	return floats.Norm(out, 2)
}

// inTurn are the places of the examples that count, one of each class that want asks for, then a
// second one of each, and so on.
func inTurn(examples []example, classes int, want func(class int) bool) []int {
	of, most := make([][]int, classes), 0
	for i := range examples {
		if e := &examples[i]; e.fits() && want(e.class) {
			of[e.class] = append(of[e.class], i)
			most = max(most, len(of[e.class]))
		}
	}
	var out []int
	for round := range most {
		for _, all := range of {
			if round < len(all) {
				out = append(out, all[round])
			}
		}
	}
	return out
}

// dims is the number of directions.
func (s *span) dims() int {
	if s.axes == nil {
		return s.width
	}
	n, _ := s.axes.Dims()
	return n
}

// narrow is x along the directions, and how long it is outside of them.
func (s *span) narrow(x []float32) []float32 {
	if s.axes == nil {
		return x
	}
	row, out := make([]float64, s.width), make([]float32, s.dims()+1)
	length := widen(x, row)
	square := length * length
	for d := range s.dims() {
		v := floats.Dot(s.axes.RawRowView(d), row)
		square -= v * v
		out[d] = float32(v)
	}
	out[s.dims()] = float32(math.Sqrt(max(0, square)))
	return out
}

// narrowLayer is a layer on the features as one on their directions, its rows first.
func (s *span) narrowLayer(old *vision.Head, classes int) *linear {
	l := newLinear(classes, s.dims())
	for c := range old.Classes() {
		row := old.Weight[c*s.width:][:s.width]
		l.bias[c] = float64(old.Bias[c])
		copyRow(l.weight.RawRowView(c), s.narrow(row))
	}
	return l
}

// copyRow copies as many numbers as out has.
func copyRow(out []float64, from []float32) {
	for k := range out {
		out[k] = float64(from[k])
	}
}

// widenRow adds the direction-wise row to out, one number a feature.
func (s *span) widenRow(row, out []float64) {
	if s.axes == nil {
		floats.Add(out, row)
		return
	}
	for d, v := range row {
		floats.AddScaled(out, v, s.axes.RawRowView(d))
	}
}
