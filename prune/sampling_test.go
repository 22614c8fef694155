package prune

import (
	"slices"
	"testing"
)

// The same picture gives the same places, each once and inside the map; another gives others.
func TestPlaces(t *testing.T) {
	for _, tt := range []struct{ side, n, want int }{{8, 10, 10}, {3, 48, 9}, {1, 5, 1}, {8, 64, 64}} {
		a, again, b := places(tt.side, tt.n, 7), places(tt.side, tt.n, 7), places(tt.side, tt.n, 8)
		if len(a) != tt.want || !slices.Equal(a, again) {
			t.Errorf("%+v: %v, then %v", tt, a, again)
		}
		sorted := slices.Compact(slices.Sorted(slices.Values(a)))
		if len(sorted) != tt.want || sorted[0] < 0 || sorted[len(sorted)-1] >= tt.side*tt.side {
			t.Errorf("%+v: %v are no different places of the map", tt, a)
		}
		if tt.side == 8 && slices.Equal(a, b) {
			t.Errorf("%+v: two pictures have the same places", tt)
		}
	}
}

// A column is what all channels hold at a place; rows may have room for more.
func TestColumns(t *testing.T) {
	v := []float32{1, 2, 3, 4, 10, 20, 30, 40} // two channels of four places
	to := []float64{-1, -1, -1, -1, -1, -1}
	columns(to, v, 4, []int{2, 0}, 3)
	if want := []float64{3, 30, -1, 1, 10, -1}; !slices.Equal(to, want) {
		t.Errorf("%v, want %v", to, want)
	}
}

// A patch is the neighbourhood of a place, channel by channel as a kernel has it, zeros outside.
func TestPatches(t *testing.T) {
	v := []float32{
		1, 2, 3,
		4, 5, 6,
		7, 8, 9,
		10, 20, 30,
		40, 50, 60,
		70, 80, 90,
	}
	for place, want := range map[int][]float64{
		4: {1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 20, 30, 40, 50, 60, 70, 80, 90},
		0: {0, 0, 0, 0, 1, 2, 0, 4, 5, 0, 0, 0, 0, 10, 20, 0, 40, 50},
		5: {2, 3, 0, 5, 6, 0, 8, 9, 0, 20, 30, 0, 50, 60, 0, 80, 90, 0},
		7: {4, 5, 6, 7, 8, 9, 0, 0, 0, 40, 50, 60, 70, 80, 90, 0, 0, 0},
	} {
		to := make([]float64, 19)
		to[18] = 1 // of a constant
		if patches(to, v, 3, []int{place}, 19); !slices.Equal(to[:18], want) || to[18] != 1 {
			t.Errorf("place %d: %v, want %v", place, to, want)
		}
	}
}
