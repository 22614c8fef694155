// Package backoff spaces attempts to open a camera again.
package backoff

import (
	"math/rand/v2"
	"time"
)

const (
	short = 2 * time.Second
	long  = 30 * time.Second
	// awayAttempts failed in a row mean that the camera has been away for ten minutes or more: the
	// waits alone, at most 2 s each and 1.5 s in the mean, sum up to that.
	awayAttempts = 400
)

// Delay is how long to wait before the given attempt, counted from 0, to open a lost source again:
// from a quarter of a second doubling to 2 s, after ten minutes to 30 s, the upper half of it
// random, so that many agents do not come back in step.
func Delay(attempt int) time.Duration {
	longest := short
	if attempt >= awayAttempts {
		longest = long
	}
	d := min(time.Second/4<<min(max(attempt, 0), 10), longest)
	return d/2 + rand.N(d/2+1)
}
