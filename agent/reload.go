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
	host.warn(&c)
	var good *configs.Config // to go back to; nil: c is what the process was started with, or has proved itself
	for {
		ready := false
		host.ready, host.goesBack = func() { ready = true }, good != nil
		next, err := runUntil(ctx, &c, host, asked, load)
		host.alive = "WATCHDOG=1\n"
		switch {
		case next != nil && ctx.Err() == nil && !errors.Is(err, ErrRestart):
			// An end that was asked for is no verdict: neither an opening that was cancelled, nor
			// a disk that is full when what waits is written.
			if err != nil && !errors.Is(err, context.Canceled) {
				host.Log.Error("the end before new settings was not clean", "error", err)
			}
			if ready {
				before := c
				good = &before
			}
			c = *next
		case err != nil && good != nil && !ready && ctx.Err() == nil:
			host.Log.Error("new settings refused, the old ones come back", "error", err)
			c, good = *good, nil
		default:
			return err
		}
	}
}

// warn tells what may not be meant in settings that were read.
func (h *Host) warn(c *configs.Config) {
	for _, warning := range c.Warnings {
		h.Log.Warn("a setting may not be meant", "warning", warning)
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
	files := fingerprint(c)
	host.reload = func() (begin func(), err error) {
		loaded, err := load()
		if err != nil {
			return nil, err
		}
		now := host.swaps.inForce()
		if err := preflight(ctx, &now, &loaded); err != nil {
			return nil, err
		}
		host.warn(&loaded)
		return func() {
			switch {
			case host.swaps.same(loaded) && fingerprint(&loaded) == files:
				host.Log.Info("settings read again: nothing has changed")
			case !host.swaps.take(loaded):
				host.Log.Info("taking new settings", "changed", configs.Changed(&now, &loaded))
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
