package agent

import (
	"context"
	"errors"
	"os"
	"sync/atomic"

	"golang.org/x/sync/errgroup"

	"github.com/vggse/vggse-agent/configs"
)

// errReload is the cause of a context's end where Run shall begin again with other settings.
var errReload = errors.New("other settings")

// RunReloading is Run, which begins again with the settings that load returns each time something
// comes from asked. Settings that load refuses change nothing; with settings that do not come as
// far as READY the ones before come back. host.Log stays the same.
func RunReloading(ctx context.Context, c configs.Config, host Host, asked <-chan os.Signal,
	load func() (configs.Config, error)) error {
	var good *configs.Config // to go back to; nil: c is what the process was started with, or has proved itself
	for {
		ready := false
		host.ready = func() { ready = true }
		next, err := runUntil(ctx, &c, host, asked, load)
		host.alive = "WATCHDOG=1\n"
		switch {
		case err == nil && next != nil && ctx.Err() == nil:
			before := c
			good, c = &before, *next
		case err != nil && good != nil && !ready && ctx.Err() == nil:
			host.Log.Error("new settings refused, the old ones come back", "error", err)
			c, good = *good, nil
		default:
			return err
		}
	}
}

// runUntil is Run until it ends by itself (next is nil) or there are other settings. Where these
// differ in the network alone, Run goes on with it, and c is told.
func runUntil(ctx context.Context, c *configs.Config, host Host, asked <-chan os.Signal,
	load func() (configs.Config, error)) (*configs.Config, error) {
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	var next atomic.Pointer[configs.Config]
	host.swaps = newSwapRequests(*c, func(loaded configs.Config) {
		host.notify("RELOADING=1\nSTATUS=taking new settings")
		next.Store(&loaded)
		cancel(errReload)
	})
	defer func() { *c = host.swaps.inForce() }()
	host.reload = func() (begin func(), err error) {
		loaded, err := load()
		if err != nil {
			return nil, err
		}
		return func() {
			if !host.swaps.take(loaded) {
				host.Log.Info("taking new settings")
				host.swaps.anew(loaded)
			}
		}, nil
	}
	var group errgroup.Group
	group.Go(func() error {
		defer cancel(nil)
		return Run(ctx, *c, host)
	})
	group.Go(func() error {
		for {
			select {
			case <-ctx.Done():
				return nil
			case <-asked:
			}
			begin, err := host.reload()
			if err != nil {
				host.Log.Error("new settings refused, the old ones go on", "error", err)
				continue
			}
			begin()
		}
	})
	err := group.Wait()
	return next.Load(), err
}
