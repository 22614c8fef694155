package reference

import (
	"slices"
	"sort"

	"gonum.org/v1/gonum/mat"
)

// LeftOut is how well pictures of one class are told from those of others when the reference has
// none of it.
type LeftOut struct {
	Class int
	AUROC float64   // the chance that one of its pictures looks less known than a known one
	Found []float64 // share of its pictures that are found, where each of Alarms of the known ones are called unknown
}

// Alarms are shares of known pictures that are called unknown.
var Alarms = []float64{0.01, 0.02, 0.05, 0.1, 0.2, 0.5}

// mostLeftOut bounds the classes that are left out, each of which takes a fit.
const mostLeftOut = 12

// LeaveOut leaves out one class after the other, twelve at most, evenly chosen. The others that
// known names are fitted to every second picture, and measured on those between. A class is passed
// over where too few pictures are left.
func LeaveOut(pictures []Picture, classes int, known func(class int) bool) ([]LeftOut, error) {
	rows, class, err := table(pictures, classes)
	if err != nil {
		return nil, err
	}
	n, width := rows.Dims()
	var all []LeftOut
	for at := range min(classes, mostLeftOut) {
		left := at * classes / min(classes, mostLeftOut)
		fit := 0
		take := func(i int) bool { return class[i] != left && known(class[i]) && i/classes%2 == 0 }
		for i := range n {
			if take(i) {
				fit++
			}
		}
		if fit < LeastPictures/2 {
			continue
		}
		s, err := newSpace(rows, class, min(mostDims, width, fit/picturesADim), take)
		if err != nil {
			return nil, err
		}
		if l, ok := s.measure(rows, class, left, take, known); ok {
			all = append(all, l)
		}
	}
	return all, nil
}

// measure scores the pictures of the class that is left out, and the known ones that were not fitted
// to.
func (s *space) measure(rows *mat.Dense, class []int, left int, fitted func(i int) bool,
	known func(class int) bool) (l LeftOut, ok bool) {
	var in, out []float64
	for i, c := range class {
		switch {
		case c == left:
			out = append(out, s.distance(rows.RawRowView(i)))
		case known(c) && !fitted(i):
			in = append(in, s.distance(rows.RawRowView(i)))
		}
	}
	if len(in) == 0 || len(out) == 0 {
		return l, false
	}
	l = LeftOut{Class: left, AUROC: AUROC(in, out)}
	for _, share := range Alarms { // AUROC has sorted both
		limit := in[min(len(in)-1, int(float64(len(in))*(1-share)))]
		above := len(out) - sort.Search(len(out), func(i int) bool { return out[i] > limit })
		l.Found = append(l.Found, float64(above)/float64(len(out)))
	}
	return l, true
}

// AUROC is the chance that a value of high is above one of low, half of it where they are equal. Both
// are sorted in place.
func AUROC(low, high []float64) float64 {
	slices.Sort(low)
	slices.Sort(high)
	sum := 0.0
	for _, v := range high {
		below := sort.SearchFloat64s(low, v)
		equal := sort.Search(len(low), func(i int) bool { return low[i] > v }) - below
		sum += float64(below) + float64(equal)/2
	}
	return sum / float64(len(low)) / float64(len(high))
}
