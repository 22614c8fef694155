package mqtt

import (
	"context"
	"errors"
	"math/rand/v2"
	"net"
	"time"
)

const (
	backoffFirst = time.Second
	backoffEarly = 15 * time.Second // longest wait in the first backoffCalm of an outage
	backoffLong  = 30 * time.Second // and after it
	backoffCalm  = 10 * time.Minute
	backoffBusy  = 4 * time.Minute // longest where the broker takes connections and does not answer them
	backoffFloor = 50 * time.Millisecond
	proven       = 30 * time.Second // a connection that held so long begins the count anew
)

// backoff spaces attempts to connect: full jitter below a doubling limit, so that a thousand
// devices do not come back at once ("Exponential Backoff and Jitter", AWS Architecture Blog, 2015).
// The first attempt after a good connection comes within a second.
//
// A broker that has more to do than it can takes connections and does not answer in time. Who gives up
// has cost it as much as who stays, so those who come again must be fewer than it can answer: their
// limit is 30 s, then doubles up to 4 minutes.
type backoff struct {
	attempt int
	busy    int           // attempts that the broker took and did not answer
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
	if b.busy > 0 {
		limit = min(backoffEarly<<min(b.busy, 4), backoffBusy)
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
		b.attempt, b.busy = 0, 0
	}
}

// failed tells why an attempt got no connection. An attempt that got nowhere says nothing about how busy
// the broker is: its queue may be full, or the network away.
func (b *backoff) failed(err error) {
	switch {
	case unanswered(err):
		b.busy++
	case !isLate(err):
		b.busy = 0
	}
}

// unanswered reports whether an attempt failed because the peer took the connection and then said nothing
// in time.
func unanswered(err error) bool {
	var op *net.OpError
	return isLate(err) && !(errors.As(err, &op) && op.Op == "dial")
}

func isLate(err error) bool {
	var e net.Error
	return errors.As(err, &e) && e.Timeout()
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
