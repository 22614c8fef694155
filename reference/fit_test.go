package reference

import (
	"errors"
	"math"
	"math/rand/v2"
	"testing"

	"github.com/vggse/vggse-agent/vision"
)

// clouds are n pictures of classes whose features lie around directions of their own, wide in a few
// directions and narrow in the others, as features do.
func clouds(seed uint64, n, classes, width int, spread float64) []Picture {
	rng := rand.New(rand.NewPCG(seed, 7))
	var out []Picture
	for i := range n {
		p := Picture{Class: i % classes, Features: make([]float32, width)}
		for k := range p.Features {
			p.Features[k] = float32(spread * rng.NormFloat64())
			if k >= 20 {
				p.Features[k] /= 100
			}
		}
		p.Features[p.Class] += 5
		scale := float32(0.5 + rng.Float64()) // lengths tell nothing
		for k := range p.Features {
			p.Features[k] *= scale
		}
		out = append(out, p)
	}
	return out
}

// pValues of pictures.
func pValues(k *vision.Known, pictures []Picture) []float64 {
	room, out := make([]float32, k.Dims()), []float64{}
	for _, p := range pictures {
		out = append(out, float64(k.PValue(k.Score(p.Features, room))))
	}
	return out
}

func below(v []float64, limit float64) float64 {
	n := 0
	for _, p := range v {
		if p < limit {
			n++
		}
	}
	return float64(n) / float64(len(v))
}

// The p-values of fresh pictures of the known classes are uniform; those of another class are small.
func TestFit(t *testing.T) {
	for _, width := range []int{20, 400} { // more pictures than features, and fewer
		k, err := Fit(clouds(1, 300, 4, width, 0.2), 4)
		if err != nil {
			t.Fatal(err)
		}
		if want := min(width, 300/picturesADim, mostDims); k.Dims() != want || k.Width() != width ||
			len(k.Centres) != 4*want || len(k.Null) != 300 {
			t.Errorf("%d features: %d dims, %d centres, %d scores", width, k.Dims(), len(k.Centres), len(k.Null))
		}
		fresh := pValues(k, clouds(2, 1000, 4, width, 0.2))
		// 300 scores tell a limit of 0.05 to ± 0.03, of 0.5 to ± 0.08.
		if a, b := below(fresh, 0.05), below(fresh, 0.5); math.Abs(a-0.05) > 0.03 || math.Abs(b-0.5) > 0.08 {
			t.Errorf("%d features: %.3f of the known pictures are below 0.05, %.3f below 0.5", width, a, b)
		}
		other := clouds(3, 50, 5, width, 0.2)
		unknown := pValues(k, []Picture{other[4], other[9], other[14], other[19]})
		if got := below(unknown, 0.01); got < 1 {
			t.Errorf("%d features: pictures of an unknown class have p-values of %v", width, unknown)
		}
	}
}

// With under five pictures of a class the classes are one; with too few in all there is no reference.
func TestFitOfFew(t *testing.T) {
	pictures := clouds(1, 60, 3, 12, 0.2)
	k, err := Fit(pictures, 4) // none of the fourth
	if err != nil {
		t.Fatal(err)
	}
	if len(k.Centres) != k.Dims() {
		t.Errorf("%d centres of %d", len(k.Centres), k.Dims())
	}
	if _, err := Fit(pictures[:LeastPictures-1], 3); !errors.Is(err, ErrTooFew) {
		t.Errorf("%v", err)
	}
	for i := range pictures {
		clear(pictures[i].Features)
	}
	room := make([]float32, mostDims)
	if k, err = Fit(pictures, 3); err == nil && k.PValue(k.Score(make([]float32, 12), room)) < 0.5 {
		t.Error("what is like every picture of the reference is called unknown")
	}
}

// The same pictures give the same reference; at most MostPictures are used, evenly of the classes.
func TestFitTakesEvenly(t *testing.T) {
	pictures := append(clouds(1, 1500, 1, 8, 0.3), Picture{Class: 1, Features: make([]float32, 8)})
	got := evenly(pictures, 2)
	if len(got) != MostPictures || got[1].Class != 1 || got[2].Class != 0 {
		t.Errorf("%d pictures, %d, %d", len(got), got[1].Class, got[2].Class)
	}
	a, err := Fit(pictures, 2)
	if err != nil {
		t.Fatal(err)
	}
	b, err := Fit(pictures, 2)
	if err != nil {
		t.Fatal(err)
	}
	for i := range a.Axes {
		if a.Axes[i] != b.Axes[i] {
			t.Fatal("another time, another reference")
		}
	}
}
