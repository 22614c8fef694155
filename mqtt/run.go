package mqtt

import (
	"context"
	"errors"
	"time"
)

const (
	window     = 20               // publications without acknowledgement (Mosquitto forwards 20 at a time)
	ackTimeout = 30 * time.Second // an acknowledgement that takes longer will not come
	reassert   = 60 * time.Second // between two tellings of "online"
	stopLimit  = time.Second      // for the last messages, "stopped" and its acknowledgement
	inboxSlots = 256
	inboxLimit = 64 << 10 // bytes of an inbound packet
)

// Run connects, publishes and connects again until ctx ends; then it sends what still waits, as far as
// half a second goes, publishes "stopped", and returns when every goroutine of the connection has ended.
// A missing broker is weather, told once per change: the error is always nil.
func (l *Link) Run(ctx context.Context) error {
	var wait backoff
	trouble := ""
	o := &opening{
		cfg: &l.cfg, broker: l.broker, clientID: l.cfg.ClientID, limit: inboxLimit, inbox: inboxSlots,
		will: &will{l.topics.available, offline},
	}
	for {
		what := "broker not reached, trying again"
		s, err := open(ctx, o)
		if err == nil {
			what, trouble = "broker lost, connecting again", ""
			began := time.Now()
			l.log.Info("broker connected", "broker", l.broker.String())
			err = l.serve(ctx, s)
			wait.held(time.Since(began))
		}
		if ctx.Err() != nil {
			return nil
		}
		if why := reason(err); why != trouble {
			trouble = why
			l.log.Warn(what, "broker", l.broker.String(), "error", why)
		}
		pause(ctx, wait.next(time.Now()))
	}
}

// serve sends over one session until it is lost or ctx ends.
func (l *Link) serve(ctx context.Context, s *session) error {
	l.out.connect()
	l.connected.Store(true)
	c := &conversation{Link: l, session: s, subscribed: s.subscribe(l.topics.available)}
	err := c.talk(ctx)
	l.connected.Store(false)
	l.out.disconnect()
	if err != nil {
		s.abort(err)
		return err
	}
	s.close()
	return nil
}

// flight is a publication under way.
type flight struct {
	ack    ack
	since  time.Time
	queued bool
	pos    uint64
}

// conversation is the use of one session. One goroutine does it all: it fills the window, waits for the
// oldest acknowledgement, and so lets the queue forget its records in their order.
type conversation struct {
	*Link
	*session
	subscribed ack
	flights    []flight // oldest first, at most window
}

var errSilent = errors.New("broker does not acknowledge")

func (c *conversation) talk(ctx context.Context) error {
	tick := time.NewTicker(time.Second)
	defer tick.Stop()
	told := time.Now()
	stop := ctx.Done()
	var ending <-chan time.Time
	subscribed := c.subscribed.Done()
	for {
		c.tellLoss()
		c.fill()
		if stop == nil && len(c.flights) == 0 {
			return c.farewell()
		}
		var head <-chan struct{}
		if len(c.flights) > 0 {
			head = c.flights[0].ack.Done()
		}
		select {
		case <-c.out.wake:
		case <-head:
			if err := c.land(); err != nil {
				return err
			}
		case err := <-c.lost:
			return err
		case <-subscribed:
			if err := c.subscribed.Error(); err != nil {
				return err
			}
			subscribed = nil
		case m := <-c.inbound:
			c.take(m)
		case now := <-tick.C:
			if len(c.flights) > 0 && now.Sub(c.flights[0].since) > ackTimeout {
				return errSilent
			}
			c.checkHealth()
			if now.Sub(told) >= reassert {
				told = now
				c.out.again(c.available)
			}
		case <-stop:
			stop = nil
			timer := time.NewTimer(stopLimit / 2)
			defer timer.Stop()
			ending = timer.C
		case <-ending:
			return c.farewell()
		}
	}
}

// fill sends as long as the window has room.
func (c *conversation) fill() {
	for len(c.flights) < window {
		p, ok := c.out.take()
		if !ok {
			return
		}
		c.flights = append(c.flights, flight{c.publish(p.topic, p.qos, p.retain, p.payload), time.Now(), p.queued, p.pos})
	}
}

// land takes the oldest publication out of the window: its acknowledgement is there.
func (c *conversation) land() error {
	f := c.flights[0]
	if err := f.ack.Error(); err != nil {
		return c.cause(err)
	}
	c.flights = append(c.flights[:0], c.flights[1:]...)
	if f.queued {
		c.out.acked(f.pos)
	}
	return nil
}

// cause waits for the reason of a lost connection, which comes right after the tokens have failed.
func (c *conversation) cause(err error) error {
	select {
	case why := <-c.lost:
		return why
	case <-time.After(closeGrace):
		return err
	}
}

// take looks at a message that came in. The only one asked for is the own availability, which a last
// will that was late may have overwritten.
func (c *conversation) take(m Message) {
	if m.Topic == c.topics.available && string(m.Payload) != online {
		c.out.again(c.available)
	}
}

// farewell publishes "stopped" and waits for its acknowledgement, for what is left of stopLimit.
func (c *conversation) farewell() error {
	a := c.publish(c.topics.available, 1, true, []byte(stopped))
	limit := time.NewTimer(stopLimit / 2)
	defer limit.Stop()
	select {
	case <-a.Done():
		return a.Error()
	case err := <-c.lost:
		return err
	case <-limit.C:
		return errSilent
	}
}
