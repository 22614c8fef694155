package pipeline

import (
	"context"
	"sync/atomic"
	"time"
)

// rateLimit is the least time from one run of the network to the next. The zero value limits
// nothing.
type rateLimit struct{ every atomic.Int64 }

// Limit holds the network back: at least every passes from one picture to the next; 0: nothing
// does. It may be called from any goroutine.
func (p *Pipeline) Limit(every time.Duration) { p.limit.every.Store(int64(every)) }

// wait holds the next run of the network back, the last having begun at last.
func (r *rateLimit) wait(ctx context.Context, last time.Time) {
	rest := time.Duration(r.every.Load()) - time.Since(last)
	if rest <= 0 {
		return
	}
	timer := time.NewTimer(rest)
	defer timer.Stop()
	select {
	case <-ctx.Done():
	case <-timer.C:
	}
}
