package vision

import (
	"errors"
	"fmt"
	"math"
	"slices"
	"sort"
)

// Known says how much a picture looks like one of the known classes, by the features that the last
// layer reads: the Mahalanobis distance of the features, brought to length 1, to the nearest class
// in the space of their principal components,
//
//	score = min over classes ‖Axes·x/‖x‖ − Centres[class]‖²,
//
// turned into a p-value by the scores of pictures of known classes, its reference. NewKnown makes
// it; it does not change after that, and any goroutine may use it.
type Known struct {
	Axes    []float32 // dims × width, row by row: the components, scaled so that the classes spread by 1
	Centres []float32 // classes × dims; one row where the classes are not told apart
	Null    []float32 // scores of the reference's pictures, the smallest first

	// Channels is the same of what the attention blocks squeeze (Signals.Levels), of all classes as one; nil:
	// it is not known. It tells light, focus and colour that changed, which features are made to overlook.
	Channels *Known

	dims, width int
}

// MaxNull is the largest number of reference pictures.
const MaxNull = 4096

// maxDims is the largest number of principal components.
const maxDims = 256

// NewKnown checks the numbers, dims to a row of Centres, and keeps the slices.
func NewKnown(axes, centres, null []float32, dims int) (*Known, error) {
	if dims < 1 || dims > maxDims || len(axes) == 0 || len(axes)%dims != 0 || len(axes)/dims > MaxFeatures ||
		len(centres) == 0 || len(centres)%dims != 0 || len(null) == 0 || len(null) > MaxNull {
		return nil, fmt.Errorf("a reference of %d axes, %d centres and %d scores in %d dimensions is none",
			len(axes), len(centres), len(null), dims)
	}
	for _, values := range [][]float32{axes, centres, null} {
		for _, v := range values {
			if v-v != 0 {
				return nil, errors.New("a reference holds what is no number: calibrate or teach again")
			}
		}
	}
	if !slices.IsSorted(null) {
		return nil, errors.New("the scores of a reference are not in order: calibrate or teach again")
	}
	return &Known{Axes: axes, Centres: centres, Null: null, dims: dims, width: len(axes) / dims}, nil
}

// Width is the number of features of a picture.
func (k *Known) Width() int { return k.width }

// Dims is the room that Score needs.
func (k *Known) Dims() int { return k.dims }

// Score is how little a picture looks like a known class; x are its Width features, room is for
// Dims numbers and may be used again. It allocates nothing. Features that are no numbers give +Inf.
func (k *Known) Score(x, room []float32) float32 {
	square := dot(x, x)
	scale := 0.0
	if square > 0 {
		scale = 1 / math.Sqrt(square)
	}
	room = room[:k.dims]
	for i := range room {
		room[i] = float32(dot(k.Axes[i*k.width:(i+1)*k.width], x) * scale)
	}
	least := math.Inf(1)
	for c := k.Centres; len(c) > 0; c = c[k.dims:] {
		sum := 0.0
		for i, v := range room {
			d := float64(v) - float64(c[i])
			sum += d * d
		}
		least = min(least, sum)
	}
	if math.IsNaN(least) {
		return float32(math.Inf(1))
	}
	return float32(least)
}

// PValue is the share of the reference's pictures, this one among them, with at least such a score:
// from 1/(n+1) for what looks like none of them to 1. It is uniform for pictures like those of the
// reference, so that a limit of 0.05 calls one in twenty of these unknown.
func (k *Known) PValue(score float32) float32 {
	at := sort.Search(len(k.Null), func(i int) bool { return k.Null[i] >= score })
	return float32(1+len(k.Null)-at) / float32(1+len(k.Null))
}
