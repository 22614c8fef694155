// Package eval holds one network against another: agreement, top-1, SQNR, confidence intervals,
// latency.
package eval

import (
	"context"
	"sync"
)

// Parallel runs work on n goroutines and waits for all; the first error ends the others.
func Parallel(ctx context.Context, n int, work func(context.Context) error) error {
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	var group sync.WaitGroup
	for range n {
		group.Go(func() {
			if err := work(ctx); err != nil {
				cancel(err)
			}
		})
	}
	group.Wait()
	return context.Cause(ctx)
}
