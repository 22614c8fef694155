package teach

import (
	"math"
	"math/bits"
	"path/filepath"
	"regexp"

	"gonum.org/v1/gonum/floats"
	"gonum.org/v1/gonum/mat"
)

// example is a picture with the features of its views; the first view is the picture as it is.
type example struct {
	picture int // its place in the list of pictures
	class   int
	group   int // pictures of one group are of one moment: they never stand on both sides of a split
	hash    uint64
	views   [][]float32
	stored  func() []float32 // of a picture of which only stored features are left: these; it has no views
	rest    []rest           // of each view, what the layer that the network has says of it, in a learner
	copy    bool             // another one of its group and class shows the same: it does not count
	like    int              // of a copy: the place of that other one
	// Stored features of a class that has pictures, too: heads are fitted to it and what is lost of its class
	// is told by it, but nothing else is measured by it.
	witness bool
	known   bool  // in a learner: the layer that the network has answers rightly
	err     error // it could not be read: nothing else holds
}

// fits tells whether heads are fitted to the picture, counts whether they are measured by it, too.
func (e *example) fits() bool   { return e.err == nil && !e.copy }
func (e *example) counts() bool { return e.fits() && !e.witness }

// view is the features of a look at the picture; 0 is the picture as it is.
func (e *example) view(i int) []float32 {
	if e.stored != nil {
		return e.stored()
	}
	return e.views[i]
}

// Limits of what counts as the same picture.
const (
	sameCosine = 0.995 // of features
	sameBits   = 2     // of the difference hash, at most
)

// moment is the minute and the camera in the name of a file that 'samples' kept.
var moment = regexp.MustCompile(`^(\d{8}T\d{4})\d{2}\.\d{3}Z-(.+?)-`)

// group numbers the groups of examples, by file name and likeness, and marks copies. paths are
// those of the pictures. It returns how many groups there are.
func group(examples []example, paths []string) int {
	moments, groups := map[string]int{}, 0
	for i := range examples {
		e := &examples[i]
		e.group = -1
		if m := moment.FindStringSubmatch(filepath.Base(paths[e.picture])); m != nil && e.err == nil {
			key := m[1] + " " + m[2]
			if _, ok := moments[key]; !ok {
				moments[key] = groups
				groups++
			}
			e.group = moments[key]
		}
	}
	for i := range examples {
		e := &examples[i]
		if e.err != nil {
			continue
		}
		for j := range i {
			f := &examples[j]
			if f.err == nil && !f.copy && same(e, f) {
				e.copy, e.like = e.class == f.class, j
				if e.group < 0 {
					e.group = f.group
				}
				break
			}
		}
		if e.group < 0 {
			e.group = groups
			groups++
		}
	}
	return groups
}

// same tells whether two pictures show the same.
func same(a, b *example) bool {
	return bits.OnesCount64(a.hash^b.hash) <= sameBits && cosine(a.view(0), b.view(0)) > sameCosine
}

func cosine(a, b []float32) float64 {
	var aa, bb, ab float64
	for i := range a {
		x, y := float64(a[i]), float64(b[i])
		aa, bb, ab = aa+x*x, bb+y*y, ab+x*y
	}
	if aa == 0 || bb == 0 {
		return 0
	}
	return ab / math.Sqrt(aa*bb)
}

// meanOf is the mean of so many features of the pictures, the first view of each, that are fitted to.
func meanOf(examples []example, width int) []float64 {
	mean := make([]float64, width)
	n := 0
	for i := range examples {
		e := &examples[i]
		if !e.fits() {
			continue
		}
		for k, v := range e.views[0][:width] {
			mean[k] += float64(v)
		}
		n++
	}
	floats.Scale(1/float64(max(1, n)), mean)
	return mean
}

// space is how features become rows: centred and of length 1, or as they come, divided by one
// number.
type space struct {
	mean  []float64 // nil: as they come
	scale float64
}

// row writes x into out; zeros where it is the mean. Of what x has more than out, only the length
// counts.
func (s *space) row(x []float32, out []float64) {
	copyRow(out, x)
	if s.mean == nil {
		floats.Scale(1/s.scale, out)
		return
	}
	floats.Sub(out, s.mean)
	norm := floats.Norm(out, 2)
	for _, v := range x[len(out):] {
		norm = math.Hypot(norm, float64(v))
	}
	if norm > 0 {
		floats.Scale(1/norm, out)
	}
}

// lengthOf is the mean length of the features of the pictures that are fitted to, 1 where all are zero.
func lengthOf(examples []example) float64 {
	sum, n := 0.0, 0.0
	for i := range examples {
		if e := &examples[i]; e.fits() {
			square := 0.0
			for _, v := range e.views[0] {
				square += float64(v) * float64(v)
			}
			sum, n = sum+math.Sqrt(square), n+1
		}
	}
	if sum == 0 {
		return 1
	}
	return sum / n
}

// rowsOf are all views of the examples that are fitted to. Every class weighs the same, so that none is
// given up for a larger one; of a class, what is stored weighs as much as the pictures.
func rowsOf(examples []example, s *space, classes, width int) *rows {
	n, count := 0, make([][2]float64, classes)
	for i := range examples {
		if e := &examples[i]; e.fits() {
			n += len(e.views)
			count[e.class][e.part()] += float64(len(e.views))
		}
	}
	r := &rows{x: mat.NewDense(n, width, nil)}
	for i := range examples {
		e := &examples[i]
		if !e.fits() {
			continue
		}
		own, other := count[e.class][e.part()], count[e.class][1-e.part()]
		weight := float64(n) / own
		if other > 0 {
			weight /= 2
		}
		for _, v := range e.views {
			s.row(v, r.x.RawRowView(len(r.class)))
			r.class = append(r.class, e.class)
			r.weight = append(r.weight, weight)
		}
		r.rest = append(r.rest, e.rest...)
	}
	return r
}

// part is 1 for stored features of a class that has pictures, too.
func (e *example) part() int {
	if e.witness {
		return 1
	}
	return 0
}
