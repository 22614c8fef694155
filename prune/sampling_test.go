package prune

import (
	"slices"
	"testing"

	"github.com/vggse/vggse-agent/vgg16se"
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
	to := []float32{-1, -1, -1, -1, -1, -1}
	columns(to, v, 4, []int{2, 0}, 3)
	if want := []float32{3, 30, -1, 1, 10, -1}; !slices.Equal(to, want) {
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
	for place, want := range map[int][]float32{
		4: {1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 20, 30, 40, 50, 60, 70, 80, 90},
		0: {0, 0, 0, 0, 1, 2, 0, 4, 5, 0, 0, 0, 0, 10, 20, 0, 40, 50},
		5: {2, 3, 0, 5, 6, 0, 8, 9, 0, 20, 30, 0, 50, 60, 0, 80, 90, 0},
		7: {4, 5, 6, 7, 8, 9, 0, 0, 0, 40, 50, 60, 70, 80, 90, 0, 0, 0},
	} {
		to := make([]float32, 19)
		to[18] = 1 // of a constant
		if patches(to, v, 3, []int{place}, 19); !slices.Equal(to[:18], want) || to[18] != 1 {
			t.Errorf("place %d: %v, want %v", place, to, want)
		}
	}
}

// What is a sample follows from how many numbers the reader has and how many pictures there are.
func TestSamplingOf(t *testing.T) {
	conv, dense := vgg16se.Layer{Op: vgg16se.OpConv}, vgg16se.Layer{Op: vgg16se.OpLinear}
	for _, tt := range []struct {
		name  string
		g     group
		width int
		n     int
		want  sampling
	}{
		{"few numbers, many pictures", group{reader: conv, taps: 9, side: 32}, 16, 8000, sampling{9, 7, 3333}},
		{"more numbers: more pictures", group{reader: conv, taps: 9, side: 8}, 128, 8000, sampling{9, 6, 4612}},
		{"few pictures: more of each", group{reader: conv, taps: 9, side: 8}, 128, 512, sampling{9, 55, 512}},
		{"all of a small map", group{reader: conv, taps: 9, side: 4}, 128, 512, sampling{9, 16, 512}},
		{"not enough for all taps", group{reader: conv, taps: 9, side: 4}, 128, 100, sampling{1, 16, 100}},
		{"too many numbers", group{reader: conv, taps: 9, side: 28}, 512, 8000, sampling{1, 7, 3333}},
		{"a picture is one sample", group{reader: dense, taps: 4, side: 1}, 128, 8000, sampling{4, 1, 8000}},
		{"of too many numbers", group{reader: dense, taps: 49, side: 1}, 512, 8000, sampling{1, 7, 3333}},
	} {
		if got := samplingOf(&tt.g, tt.width, tt.n); got != tt.want {
			t.Errorf("%s: %+v, want %+v", tt.name, got, tt.want)
		}
	}
}
