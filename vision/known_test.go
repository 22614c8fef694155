package vision

import (
	"math"
	"strings"
	"testing"
)

// known has two axes of three features, two classes and four reference scores.
func known(t *testing.T) *Known {
	t.Helper()
	k, err := NewKnown([]float32{2, 0, 0, 0, 2, 0}, []float32{2, 0, 0, 2}, []float32{0.1, 0.2, 0.4, 0.8}, 2)
	if err != nil {
		t.Fatal(err)
	}
	return k
}

func TestKnownScores(t *testing.T) {
	k := known(t)
	room := make([]float32, k.Dims())
	for _, c := range []struct {
		x    []float32
		want float64
	}{
		{[]float32{3, 0, 0}, 0},                // the first class, whatever the length
		{[]float32{0, 0.5, 0}, 0},              // the second
		{[]float32{0, 0, 7}, 4},                // neither: (0, 0) is 2 away from both
		{[]float32{1, 1, 0}, 8 - 4*math.Sqrt2}, // (√2, √2) to (2, 0)
		{[]float32{0, 0, 0}, 4},
	} {
		if got := k.Score(c.x, room); math.Abs(float64(got)-c.want) > 1e-5 {
			t.Errorf("%v: %g, want %g", c.x, got, c.want)
		}
	}
	if got := k.Score([]float32{float32(math.NaN()), 0, 0}, room); !math.IsInf(float64(got), 1) {
		t.Errorf("no number: %g", got)
	}
	for _, c := range [][2]float32{{0, 1}, {0.1, 1}, {0.15, 0.8}, {0.4, 0.6}, {0.8, 0.4}, {0.9, 0.2},
		{float32(math.Inf(1)), 0.2}} {
		if got := k.PValue(c[0]); got != c[1] {
			t.Errorf("p of %g is %g, want %g", c[0], got, c[1])
		}
	}
	if n := testing.AllocsPerRun(20, func() { k.PValue(k.Score([]float32{1, 2, 3}, room)) }); n > 0 {
		t.Errorf("%g allocations", n)
	}
}

func TestNewKnownRefuses(t *testing.T) {
	inf := float32(math.Inf(1))
	for says, c := range map[string]struct {
		axes, centres, null []float32
		dims                int
	}{
		"5 axes":       {make([]float32, 5), make([]float32, 2), make([]float32, 2), 2},
		"0 dimensions": {make([]float32, 4), make([]float32, 2), make([]float32, 2), 0},
		"0 scores":     {make([]float32, 4), make([]float32, 2), nil, 2},
		"no number":    {[]float32{1, inf}, []float32{1, 2}, []float32{1}, 2},
		"not in order": {[]float32{1, 2}, []float32{1, 2}, []float32{2, 1}, 2},
		"3 centres":    {make([]float32, 4), make([]float32, 3), make([]float32, 2), 2},
	} {
		if _, err := NewKnown(c.axes, c.centres, c.null, c.dims); err == nil || !strings.Contains(err.Error(), says) {
			t.Errorf("%s: %v", says, err)
		}
	}
}
