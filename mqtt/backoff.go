package mqtt

import (
	"context"
	"math/rand/v2"
	"time"
)

const (
	backoffFirst = time.Second
	backoffEarly = 15 * time.Second // longest wait in the first backoffCalm of an outage
	backoffLong  = 30 * time.Second // and after it
	backoffCalm  = 10 * time.Minute
	backoffFloor = 50 * time.Millisecond
	proven       = 30 * time.Second // a connection that held so long begins the count anew
)

// backoff spaces attempts to connect: full jitter below a doubling limit, so that a thousand
// devices do not come back at once ("Exponential Backoff and Jitter", AWS Architecture Blog, 2015).
// The first attempt after a good connection comes within a second.
type backoff struct {
	attempt int
	since   time.Time     // of the first attempt
	most    time.Duration // longest wait; 0: the usual
}

// next is how long to wait before the next attempt.
func (b *backoff) next(now time.Time) time.Duration {
	if b.attempt == 0 {
		b.since = now
	}
	limit := backoffEarly
	if now.Sub(b.since) > backoffCalm {
		limit = backoffLong
	}
	if d := backoffFirst << min(b.attempt, 5); d < limit {
		limit = d
	}
	if b.most > 0 {
		limit = min(limit, b.most)
	}
	b.attempt++
	return backoffFloor + rand.N(limit)
}

// held tells how long the last connection lasted.
func (b *backoff) held(d time.Duration) {
	if d >= proven {
		b.attempt = 0
	}
}

// pause waits for d, less when ctx ends.
func pause(ctx context.Context, d time.Duration) {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-t.C:
	case <-ctx.Done():
	}
}
