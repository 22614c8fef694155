package reference

import (
	"fmt"
	"math"
	"slices"

	"gonum.org/v1/gonum/mat"

	"github.com/vggse/vggse-agent/vision"
)

// Limits of what is kept of the pictures.
const (
	StoredBytes   = 8 << 20 // of coordinates, at most
	storedOfClass = 200     // pictures of a class
	leastStored   = 5       // of a class that has as many
	storedDims    = 256
	basisPictures = 512 // that the directions are made of
)

// Quantiles are those that are kept of each channel, 0..1.
var Quantiles = []float64{0.01, 0.05, 0.25, 0.5, 0.75, 0.95, 0.99}

// Stored is what stands in for pictures of a network's classes: see bundle.ReferenceName.
type Stored struct {
	Labels      []string
	Precision   string // of the network that made the features
	Judged      string // "folders", or "network" where that said what a picture shows
	Pictures    int    // that there were
	Mean        []float32
	Axes        []float32 // dims × width; empty: dims is width
	Coordinates []float32 // kept × dims
	Class       []int     // of the kept ones: places in Labels
	Means       []float32 // labels × dims
	Covariance  []float32 // dims × dims

	// Of each attention block, len(Quantiles) × channels; empty: not known.
	Squeeze, Gates [][]float32
}

// Width is the number of features of a picture.
func (s *Stored) Width() int { return len(s.Mean) }

// Dims is the number of coordinates of a picture.
func (s *Stored) Dims() int {
	if len(s.Axes) == 0 {
		return s.Width()
	}
	return len(s.Axes) / s.Width()
}

// Has tells whether pictures of a label are kept.
func (s *Stored) Has(label string) bool {
	return slices.ContainsFunc(s.Class, func(c int) bool { return s.Labels[c] == label })
}

// Features writes those of the kept picture i into out, Width numbers, as far as the directions hold
// them.
func (s *Stored) Features(i int, out []float32) {
	dims, width := s.Dims(), s.Width()
	own := s.Coordinates[i*dims:][:dims]
	copy(out, s.Mean)
	if len(s.Axes) == 0 {
		for k, v := range own {
			out[k] += v
		}
		return
	}
	for d, v := range own {
		for k, a := range s.Axes[d*width:][:width] {
			out[k] += v * a
		}
	}
}

// Store keeps features of the pictures, whose classes are places in labels; nil where fewer than
// leastStored of each class would fit.
func Store(pictures []Picture, labels []string) (*Stored, error) {
	if len(pictures) == 0 {
		return nil, nil
	}
	s := &Stored{Labels: labels, Pictures: len(pictures), Judged: "folders", Mean: meanOf(pictures)}
	if err := s.directions(pictures); err != nil {
		return nil, err
	}
	dims := s.Dims()
	most := min(storedOfClass, StoredBytes/(2*dims*len(labels)))
	if most < leastStored {
		return nil, nil
	}
	s.Means, s.Covariance = make([]float32, len(labels)*dims), make([]float32, dims*dims)
	all, count := s.project(pictures), make([]int, len(labels))
	for i, p := range pictures {
		if count[p.Class]++; count[p.Class] <= most {
			s.Class = append(s.Class, p.Class)
			s.Coordinates = append(s.Coordinates, single(all[i*dims:][:dims])...)
		}
	}
	s.moments(pictures, all, count)
	s.channels(pictures)
	return s, nil
}

func meanOf(pictures []Picture) []float32 {
	sum := make([]float64, len(pictures[0].Features))
	for _, p := range pictures {
		for k, v := range p.Features {
			sum[k] += float64(v) / float64(len(pictures))
		}
	}
	return single(sum)
}

// directions finds the axes, of pictures evenly of the classes.
func (s *Stored) directions(pictures []Picture) error {
	width := s.Width()
	if width <= storedDims {
		return nil
	}
	of := evenly(pictures, len(s.Labels))
	of = of[:min(len(of), basisPictures)]
	rows := mat.NewDense(len(of), width, nil)
	for i, p := range of {
		if len(p.Features) != width {
			return fmt.Errorf("a picture has %d features, another %d", len(p.Features), width)
		}
		for k, v := range p.Features {
			rows.Set(i, k, float64(v))
		}
	}
	axes, err := principal(rows, min(storedDims, len(of)))
	if err == nil {
		s.Axes = single(axes.RawMatrix().Data)
	}
	return err
}

// project is the coordinates of the pictures, row by row.
func (s *Stored) project(pictures []Picture) []float64 {
	dims, width := s.Dims(), s.Width()
	out := make([]float64, len(pictures)*dims)
	if len(s.Axes) == 0 {
		for i, p := range pictures {
			for k, v := range p.Features {
				out[i*dims+k] = float64(v) - float64(s.Mean[k])
			}
		}
		return out
	}
	axes, part := mat.NewDense(dims, width, nil), mat.NewDense(basisPictures, width, nil)
	for k, v := range s.Axes {
		axes.RawMatrix().Data[k] = float64(v)
	}
	for from := 0; from < len(pictures); from += basisPictures {
		n := min(basisPictures, len(pictures)-from)
		for i := range n {
			row := part.RawRowView(i)
			for k, v := range pictures[from+i].Features {
				row[k] = float64(v) - float64(s.Mean[k])
			}
		}
		mat.NewDense(n, dims, out[from*dims:][:n*dims]).Mul(part.Slice(0, n, 0, width), axes.T())
	}
	return out
}

// moments are the mean of each class and the spread around it, of all pictures.
func (s *Stored) moments(pictures []Picture, all []float64, count []int) {
	dims := s.Dims()
	means := make([]float64, len(s.Means))
	for i, p := range pictures {
		for d, v := range all[i*dims:][:dims] {
			means[p.Class*dims+d] += v / float64(count[p.Class])
		}
	}
	off := mat.NewDense(len(pictures), dims, all)
	for i, p := range pictures {
		row := off.RawRowView(i)
		for d := range row {
			row[d] -= means[p.Class*dims+d]
		}
	}
	spread := mat.NewSymDense(dims, nil)
	spread.SymOuterK(1/float64(len(pictures)), off.T())
	for i := range dims {
		for j := range dims {
			s.Covariance[i*dims+j] = float32(spread.At(i, j))
		}
	}
	s.Means = single(means)
}

// channels are the quantiles of what the attention blocks said, where they said something of all
// pictures.
func (s *Stored) channels(pictures []Picture) {
	first := pictures[0].Signals
	if first == nil {
		return
	}
	for b := range first.Gates {
		s.Squeeze = append(s.Squeeze, quantiles(pictures, func(s *vision.Signals) []float32 { return s.Squeeze[b] }))
		s.Gates = append(s.Gates, quantiles(pictures, func(s *vision.Signals) []float32 { return s.Gates[b] }))
	}
}

// Usual are, for each channel of all attention blocks one behind the other, the median of its gate and
// how it spreads: the standard deviation of the normal distribution that has as wide a range from the
// 5th to the 95th percentile. blocks are the channels of each block; nil where they are others.
func (s *Stored) Usual(blocks []int) (middle, spread []float32) {
	if len(blocks) != len(s.Gates) {
		return nil, nil
	}
	const wide = 2 * 1.6448536 // standard deviations of a normal distribution between the two
	low, half, high := slices.Index(Quantiles, 0.05), slices.Index(Quantiles, 0.5), slices.Index(Quantiles, 0.95)
	for b, n := range blocks {
		q := s.Gates[b]
		if len(q) != n*len(Quantiles) {
			return nil, nil
		}
		middle = append(middle, q[half*n:(half+1)*n]...)
		for c := range n {
			spread = append(spread, (q[high*n+c]-q[low*n+c])/wide)
		}
	}
	return middle, spread
}

// quantiles of each channel, by nearest rank.
func quantiles(pictures []Picture, of func(*vision.Signals) []float32) []float32 {
	channels := len(of(pictures[0].Signals))
	out, values := make([]float32, len(Quantiles)*channels), make([]float32, len(pictures))
	for c := range channels {
		for i := range pictures {
			values[i] = of(pictures[i].Signals)[c]
		}
		slices.Sort(values)
		for q, share := range Quantiles {
			out[q*channels+c] = values[int(math.Round(share*float64(len(values)-1)))]
		}
	}
	return out
}
