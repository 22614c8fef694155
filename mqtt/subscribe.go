package mqtt

import (
	"context"
	"crypto/rand"
	"fmt"
	"sync/atomic"
	"time"
)

const (
	watchLimit = 1 << 20  // bytes of an inbound packet: snapshots come too
	watchInbox = 1 << 14  // messages that wait
	watchRoom  = 16 << 20 // bytes of them
)

// Watch subscribes to filters at the broker of cfg and hands every message to handle, in the order
// of their arrival, until ctx ends; it connects again after a loss. Each change of the connection
// goes to changed: nil when the subscription stands, else why it does not. Both are called from
// this goroutine, and must not take long: what more than 16,384 waiting messages, or 16 MiB of them,
// bring is lost.
func Subscribe(ctx context.Context, cfg Config, filters []string, changed func(error), handle func(Message)) error {
	broker, err := ParseBroker(cfg.Broker)
	if err != nil {
		return fmt.Errorf("mqtt: watch: %w", err)
	}
	o := &opening{cfg: &cfg, broker: broker, clientID: cfg.ClientID, limit: watchLimit, inbox: watchInbox,
		room: watchRoom, missed: new(atomic.Uint64)}
	if o.clientID == "" {
		o.clientID = "vggse-watch-" + rand.Text()[:8]
	}
	var wait backoff
	for {
		began := time.Now()
		err := watchOnce(ctx, o, filters, changed, handle)
		if ctx.Err() != nil {
			return nil
		}
		changed(fmt.Errorf("%s", cfg.reason(err)))
		wait.held(time.Since(began))
		pause(ctx, wait.next(time.Now()))
	}
}

func watchOnce(ctx context.Context, o *opening, filters []string, changed func(error), handle func(Message)) error {
	s, err := open(ctx, o)
	if err != nil {
		return err
	}
	defer s.close()
	granted := s.subscribe(filters...)
	done := granted.Done()
	for {
		select {
		case <-done:
			if err := granted.Error(); err != nil {
				return err
			}
			done = nil
			changed(nil)
		case m := <-s.inbound:
			s.took(m)
			handle(*m)
		case err := <-s.lost:
			return err
		case <-ctx.Done():
			return nil
		}
	}
}
