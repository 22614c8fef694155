// Package reference says what pictures of the known classes look like to a network:
//
//	features of pictures ──Fit──▶ vision.Known
//
// so that a picture of something else can be told by its features.
package reference

import (
	"errors"
	"fmt"
	"math"
	"runtime"
	"slices"

	"golang.org/x/sync/errgroup"
	"gonum.org/v1/gonum/floats"
	"gonum.org/v1/gonum/mat"

	"github.com/vggse/vggse-agent/vision"
)

// Limits of a reference.
const (
	MostPictures  = 1000 // that are used
	LeastPictures = 40
	mostDims      = 64
	picturesADim  = 8 // for each principal component
	// of channels: what light and focus do to them is in directions in which they hardly spread
	mostChannelDims     = 160
	picturesAChannelDim = 3
	leastOfClass        = 5 // pictures of each class, or the classes are not told apart
	folds               = 5
	ridge               = 0.01 // of the mean variance, added to each component's
)

// Picture is what a reference is made of.
type Picture struct {
	Class    int             // of the network's
	Features []float32       // what the last layer reads
	Signals  *vision.Signals // of the attention blocks; nil: not known
}

// ErrTooFew is what Fit wraps where there are not enough pictures.
var ErrTooFew = fmt.Errorf("fewer than %d pictures", LeastPictures)

// Fit makes a reference of pictures of a network with so many classes. Each picture's own score
// comes from a fit without the fifth of the pictures that it is in. With under five pictures of a
// class all classes are one: then what is told is whether a picture looks like any of them.
// Where the pictures have squeezed channels, what is known of these is among it.
func Fit(pictures []Picture, classes int) (*vision.Known, error) {
	k, err := fit(pictures, classes, mostDims, picturesADim)
	if err != nil {
		return nil, err
	}
	levels := make([]Picture, len(pictures))
	for i, p := range pictures {
		if p.Signals == nil || len(p.Signals.Squeeze) == 0 {
			return k, nil
		}
		var z vision.SignalSizes
		for _, row := range p.Signals.Squeeze {
			z.Channels = append(z.Channels, len(row))
		}
		levels[i].Features = make([]float32, z.Levels())
		p.Signals.Levels(levels[i].Features)
	}
	k.Channels, err = fit(levels, 1, mostChannelDims, picturesAChannelDim)
	return k, err
}

func fit(pictures []Picture, classes, most, aDim int) (*vision.Known, error) {
	rows, class, err := table(pictures, classes)
	if err != nil {
		return nil, err
	}
	n, width := rows.Dims()
	dims := min(most, width, n/aDim)
	scores, group := make([]float64, n), errgroup.Group{}
	group.SetLimit(runtime.GOMAXPROCS(0))
	for fold := range folds {
		group.Go(func() error {
			s, err := newSpace(rows, class, dims, func(i int) bool { return i%folds != fold })
			for i := fold; i < n && err == nil; i += folds {
				scores[i] = s.distance(rows.RawRowView(i))
			}
			return err
		})
	}
	s, err := newSpace(rows, class, dims, func(int) bool { return true })
	if err := errors.Join(err, group.Wait()); err != nil {
		return nil, err
	}
	slices.Sort(scores)
	return s.known(scores)
}

// table is the features, of length 1, of at most MostPictures, evenly of the classes, with their
// classes.
func table(pictures []Picture, classes int) (*mat.Dense, []int, error) {
	pictures = evenly(pictures, classes)
	if len(pictures) < LeastPictures {
		return nil, nil, fmt.Errorf("a reference of %d pictures: %w", len(pictures), ErrTooFew)
	}
	width := len(pictures[0].Features)
	rows, class, count := mat.NewDense(len(pictures), width, nil), make([]int, len(pictures)), make([]int, classes)
	for i, p := range pictures {
		if len(p.Features) != width {
			return nil, nil, fmt.Errorf("a picture has %d features, another %d", len(p.Features), width)
		}
		class[i] = p.Class
		count[p.Class]++
		row := rows.RawRowView(i)
		for k, v := range p.Features {
			row[k] = float64(v)
		}
		if norm := floats.Norm(row, 2); norm > 0 {
			floats.Scale(1/norm, row)
		}
	}
	if slices.Min(count) < leastOfClass {
		clear(class)
	}
	return rows, class, nil
}

// evenly takes at most MostPictures, of the classes in turn, in their order.
func evenly(pictures []Picture, classes int) []Picture {
	of := make([][]Picture, classes)
	for _, p := range pictures {
		of[p.Class] = append(of[p.Class], p)
	}
	var out []Picture
	for round := 0; ; round++ {
		before := len(out)
		for _, all := range of {
			if round < len(all) && len(out) < MostPictures {
				out = append(out, all[round])
			}
		}
		if len(out) == before {
			return out
		}
	}
}

// principal are the first dims principal directions of the rows, from the smaller one of the two
// products of the centred rows with themselves.
func principal(rows *mat.Dense, dims int) (*mat.Dense, error) {
	n, width := rows.Dims()
	x := mat.DenseCopyOf(rows)
	mean := make([]float64, width)
	for i := range n {
		floats.Add(mean, x.RawRowView(i))
	}
	floats.Scale(1/float64(n), mean)
	for i := range n {
		floats.Sub(x.RawRowView(i), mean)
	}
	side := min(n, width)
	square := mat.NewSymDense(side, nil)
	if n < width {
		square.SymOuterK(1, x)
	} else {
		square.SymOuterK(1, x.T())
	}
	var e mat.EigenSym
	if !e.Factorize(square, true) {
		return nil, fmt.Errorf("the principal components of %d pictures cannot be found", n)
	}
	var vectors mat.Dense
	e.VectorsTo(&vectors)
	last := mat.DenseCopyOf(vectors.Slice(0, side, side-dims, side).(*mat.Dense).T()) // dims × side
	if n >= width {
		return last, nil
	}
	axes := mat.NewDense(dims, width, nil)
	axes.Mul(last, x)
	for i := range dims {
		if row := axes.RawRowView(i); floats.Norm(row, 2) > 0 {
			floats.Scale(1/floats.Norm(row, 2), row)
		}
	}
	return axes, nil
}

// space is that of the principal components, in which the classes are normal distributions with
// one covariance.
type space struct {
	axes    *mat.Dense    // dims × width
	centres [][]float64   // of the classes that have pictures
	inverse *mat.TriDense // of the covariance's lower factor: behind it the classes spread by 1
}

// newSpace fits the rows that take asks for.
func newSpace(rows *mat.Dense, class []int, dims int, take func(i int) bool) (*space, error) {
	of, taken := []int{}, []int{}
	for i, c := range class {
		if take(i) {
			of, taken = append(of, c), append(taken, i)
		}
	}
	_, width := rows.Dims()
	part := mat.NewDense(len(taken), width, nil)
	for to, from := range taken {
		copy(part.RawRowView(to), rows.RawRowView(from))
	}
	s := &space{}
	var err error
	if s.axes, err = principal(part, dims); err != nil {
		return nil, err
	}
	var y mat.Dense
	y.Mul(part, s.axes.T())
	covariance := s.spread(&y, of)
	var factor mat.Cholesky
	if !factor.Factorize(covariance) {
		return nil, fmt.Errorf("%d pictures have no spread to measure others by", len(taken))
	}
	var lower mat.TriDense
	factor.LTo(&lower)
	s.inverse = mat.NewTriDense(dims, mat.Lower, nil)
	if err := s.inverse.InverseTri(&lower); err != nil {
		return nil, err
	}
	for i, c := range s.centres {
		white := mat.NewVecDense(dims, nil)
		white.MulVec(s.inverse, mat.NewVecDense(dims, c))
		s.centres[i] = white.RawVector().Data
	}
	return s, nil
}

// spread finds the centres of the classes of the rows y, and returns how the rows spread around
// them.
func (s *space) spread(y *mat.Dense, class []int) *mat.SymDense {
	n, dims := y.Dims()
	count, centre := map[int]float64{}, map[int][]float64{}
	for i, c := range class {
		if centre[c] == nil {
			centre[c] = make([]float64, dims)
			s.centres = append(s.centres, centre[c])
		}
		floats.Add(centre[c], y.RawRowView(i))
		count[c]++
	}
	for c, v := range centre {
		floats.Scale(1/count[c], v)
	}
	covariance, off := mat.NewSymDense(dims, nil), make([]float64, dims)
	for i, c := range class {
		floats.SubTo(off, y.RawRowView(i), centre[c])
		covariance.SymRankOne(covariance, 1/float64(n), mat.NewVecDense(dims, off))
	}
	own := ridge*mat.Trace(covariance)/float64(dims) + 1e-12
	for k := range dims {
		covariance.SetSym(k, k, covariance.At(k, k)+own)
	}
	return covariance
}

// distance is the squared Mahalanobis distance of features of length 1 to the nearest class.
func (s *space) distance(x []float64) float64 {
	dims, width := s.axes.Dims()
	y := mat.NewVecDense(dims, nil)
	y.MulVec(s.axes, mat.NewVecDense(width, x))
	y.MulVec(s.inverse, y)
	least := math.Inf(1)
	for _, c := range s.centres {
		d := floats.Distance(y.RawVector().Data, c, 2)
		least = min(least, d*d)
	}
	return least
}

// known is s, with the scores of the reference.
func (s *space) known(null []float64) (*vision.Known, error) {
	dims, width := s.axes.Dims()
	axes := mat.NewDense(dims, width, nil)
	axes.Mul(s.inverse, s.axes)
	return vision.NewKnown(single(axes.RawMatrix().Data), single(slices.Concat(s.centres...)), single(null), dims)
}

func single(v []float64) []float32 {
	out := make([]float32, len(v))
	for i, x := range v {
		out[i] = float32(x)
	}
	return out
}
