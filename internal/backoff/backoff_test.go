package backoff

import (
	"testing"
	"time"
)

// A camera that worked is opened again at once, one that fails over and over waits up to two seconds,
// and half a minute only where no picture has come for long.
func TestCamera(t *testing.T) {
	var c Camera
	for i, tt := range []struct {
		worked      time.Duration
		times       int
		least, most time.Duration // of the last
	}{
		{time.Minute, 1, 0, 0},
		{0, 1, 125 * time.Millisecond, 250 * time.Millisecond},
		{time.Second - 1, 1, 250 * time.Millisecond, 500 * time.Millisecond},
		{time.Second - 1, 1000, time.Second, 2 * time.Second},
		{time.Second, 1000, 250 * time.Millisecond, 500 * time.Millisecond},
		{time.Hour, 1, 0, 0},
		{0, awayAttempts + 1, 15 * time.Second, 30 * time.Second},
		{time.Millisecond, 1, time.Second, 2 * time.Second},
		{0, 1, time.Second, 2 * time.Second},
		{steady, 1, 0, 0},
	} {
		var got time.Duration
		for range tt.times {
			got = c.Next(tt.worked)
		}
		if got < tt.least || got > tt.most {
			t.Errorf("%d: %s, want %s to %s", i, got, tt.least, tt.most)
		}
	}
}

func TestDelay(t *testing.T) {
	for attempt, want := range map[int]time.Duration{
		-1: 250 * time.Millisecond, 0: 250 * time.Millisecond, 1: 500 * time.Millisecond, 2: time.Second,
		3:   2 * time.Second,
		100: 2 * time.Second, 399: 2 * time.Second, 400: 30 * time.Second, 1 << 30: 30 * time.Second,
	} {
		least, most := want, time.Duration(0)
		for range 1000 {
			d := Delay(attempt)
			least, most = min(least, d), max(most, d)
		}
		if most > want || least < want/2 || most-least < want/4 {
			t.Errorf("Delay(%d) is between %v and %v, want the upper half of %v", attempt, least, most, want)
		}
	}
}
