// Package backoff spaces attempts to open a camera again.
package backoff

import (
	"math/rand/v2"
	"time"
)

const (
	short = 2 * time.Second
	long  = 30 * time.Second
	// steady is how long a camera has worked where its loss is no more of what went before.
	steady = 5 * time.Second
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

// Camera spaces the attempts to open one camera again. One that was lost after it had worked well is
// opened at once, as where its process was killed; one that is lost again and again, also where a few
// pictures come in between, waits ever longer, so that it takes nothing from the others.
type Camera struct{ failed int }

// Next is how long to wait before the next attempt, for a camera that has just been lost and had given
// pictures for so long, 0 where none came.
func (c *Camera) Next(worked time.Duration) time.Duration {
	switch {
	case worked >= steady:
		c.failed = 0
		return 0
	case worked >= time.Second:
		c.failed = min(c.failed, 1)
	case worked > 0: // it is not away
		c.failed = min(c.failed, 4)
	}
	d := Delay(c.failed)
	c.failed++
	return d
}
