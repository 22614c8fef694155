package configs

import (
	"math"
	"testing"
	"time"
)

// A statement may ask for more than the settings, never for less, and for nothing that has no end.
func TestStricter(t *testing.T) {
	own := Trial{Hold: 10 * time.Minute, Frames: 1000, Agreement: 0.5, Unknown: 0.2, Latency: 1.5}
	for _, tt := range []struct {
		what        string
		other, want Trial
	}{
		{"nothing", Trial{}, own},
		{"less", Trial{0, time.Minute, 10, 0.1, 0.9, 4}, own},
		{"more", Trial{0, time.Hour, 2000, 0.9, 0.1, 1.1}, Trial{0, time.Hour, 2000, 0.9, 0.1, 1.1}},
		{"what cannot be", Trial{0, -time.Hour, -1, 7, -1, 0.5}, own},
		{"without an end",
			Trial{Hold: math.MaxInt64, Frames: math.MaxInt}, Trial{0, mostHold, mostFrames, 0.5, 0.2, 1.5}},
	} {
		if got := own.Stricter(tt.other); got != tt.want {
			t.Errorf("%s: %+v, want %+v", tt.what, got, tt.want)
		}
	}
	if got := (Trial{}).Stricter(Trial{Unknown: 0.3, Latency: 2}); got != (Trial{Unknown: 0.3, Latency: 2}) {
		t.Errorf("bounds where there are none: %+v", got)
	}
}
