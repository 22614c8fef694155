package eval

import (
	"math"
	"slices"
	"testing"
)

// logitsFor are logits of eight classes whose best is best and whose last is worst.
func logitsFor(best, worst int) []float32 {
	v := []float32{0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8}
	v[best], v[worst] = 9, -9
	return v
}

var noNumbers = slices.Repeat([]float32{float32(math.NaN())}, 8)

// Each picture counts for what the two networks say of it, and of its class where that is known.
func TestCountsAdd(t *testing.T) {
	for _, tt := range []struct {
		name           string
		label          int
		reference, own []float32
		want           Counts
	}{
		{"both right", 3, logitsFor(3, 0), logitsFor(3, 1),
			Counts{Images: 1, Same: 1, Labelled: 1, Right: 1, Right5: 1, ReferenceRight: 1, ReferenceRight5: 1}},
		{"lost", 3, logitsFor(3, 0), logitsFor(4, 3),
			Counts{Images: 1, Labelled: 1, ReferenceRight: 1, ReferenceRight5: 1, Lost: 1}},
		{"lost, but among the best five", 6, logitsFor(6, 0), logitsFor(4, 0),
			Counts{Images: 1, Labelled: 1, Right5: 1, ReferenceRight: 1, ReferenceRight5: 1, Lost: 1}},
		{"won", 3, logitsFor(4, 3), logitsFor(3, 0),
			Counts{Images: 1, Labelled: 1, Right: 1, Right5: 1, ReferenceRight5: 0, Won: 1}},
		{"both wrong alike", 0, logitsFor(5, 0), logitsFor(5, 0), Counts{Images: 1, Same: 1, Labelled: 1}},
		{"no class, the same", -1, logitsFor(5, 0), logitsFor(5, 1), Counts{Images: 1, Same: 1}},
		{"no class, another", -1, logitsFor(5, 0), logitsFor(6, 0), Counts{Images: 1}},
		{"no number", 3, logitsFor(3, 0), noNumbers,
			Counts{Images: 1, Labelled: 1, ReferenceRight: 1, ReferenceRight5: 1, Lost: 1}},
	} {
		var c Counts
		if c.Add(tt.label, tt.reference, tt.own); c != tt.want {
			t.Errorf("%s: %+v, want %+v", tt.name, c, tt.want)
		}
	}
}

// The loss is of top-1 where classes are known, of agreement where none is; its interval narrows
// with the root of the pictures, and is nothing where nothing changed.
func TestCountsLoss(t *testing.T) {
	for _, tt := range []struct {
		name       string
		c          Counts
		lost, half float64
	}{
		{"nothing", Counts{Images: 100, Same: 100, Labelled: 100}, 0, 0},
		{"as many won", Counts{Images: 100, Same: 80, Labelled: 100, Lost: 8, Won: 8}, 0, 0.0784},
		{"ten lost", Counts{Images: 100, Same: 90, Labelled: 100, Lost: 10}, 0.1, 0.0588},
		{"a thousand of ten thousand", Counts{Images: 10000, Same: 9000, Labelled: 10000, Lost: 1000}, 0.1, 0.00588},
		{"gained", Counts{Images: 100, Same: 95, Labelled: 100, Won: 5}, -0.05, 0.0427},
		{"half labelled", Counts{Images: 100, Same: 50, Labelled: 50, Lost: 5}, 0.1, 0.0832},
		{"none labelled", Counts{Images: 50, Same: 40}, 0.2, 0.1109},
		{"all lost", Counts{Images: 10, Labelled: 10, Lost: 10}, 1, 0},
	} {
		lost, half := tt.c.Loss()
		if math.Abs(lost-tt.lost) > 1e-12 || math.Abs(half-tt.half) > 1e-4 {
			t.Errorf("%s: %g ± %g, want %g ± %g", tt.name, lost, half, tt.lost, tt.half)
		}
	}
}

// A share's interval is Wilson's: inside 0 to 1, around the share, wide for few, and known values.
func TestNewShare(t *testing.T) {
	for _, tt := range []struct {
		hits, of  int
		low, high float64
	}{
		{0, 0, 0, 1},
		{0, 10, 0, 0.2775},
		{10, 10, 0.7225, 1},
		{5, 10, 0.2366, 0.7634},
		{81, 263, 0.2553, 0.3662}, // Newcombe 1998, table I
		{990, 1000, 0.9817, 0.9946},
	} {
		s := NewShare(tt.hits, tt.of)
		if math.Abs(s.Low-tt.low) > 5e-5 || math.Abs(s.High-tt.high) > 5e-5 || s.Low > s.Value || s.High < s.Value {
			t.Errorf("%d of %d: %+v, want %g to %g", tt.hits, tt.of, s, tt.low, tt.high)
		}
	}
	for n := range 200 {
		for hits := range n + 1 {
			if s := NewShare(hits, n); s.Low < 0 || s.High > 1 || s.Low > s.High || n > 0 && (s.Low > s.Value+1e-12 ||
				s.High < s.Value-1e-12) {
				t.Fatalf("%d of %d: %+v", hits, n, s)
			}
		}
	}
}

// SQNR is a ratio in decibels with an end.
func TestSQNR(t *testing.T) {
	for _, tt := range []struct{ power, err, want float64 }{{100, 1, 20}, {1, 1, 0}, {1, 10, -10}, {1, 0, 200},
		{0, 1, 200}, {1, 1e-30, 200}} {
		if got := SQNR(tt.power, tt.err); math.Abs(got-tt.want) > 1e-9 {
			t.Errorf("%g over %g: %g dB, want %g", tt.power, tt.err, got, tt.want)
		}
	}
}
