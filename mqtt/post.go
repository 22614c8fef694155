package mqtt

import (
	"context"
	"crypto/rand"
	"fmt"
	"sync"
	"sync/atomic"
	"time"
)

// Bus is a connection for one who hears and tells, and is no device: it subscribes as Subscribe does,
// and publishes retained messages, of each topic the newest until the broker has it.
type Bus struct {
	opening *opening
	filters []string
	marker  string // topic of a message to itself, which comes behind what was retained
	changed func(error)
	handle  func(Message)

	mu      sync.Mutex
	waiting map[string]*posting
	order   []string // topics of waiting, as they were told
	wake    chan struct{}
}

// posting is what one topic shall say.
type posting struct {
	payload []byte
	done    chan struct{} // closed when the broker has it
}

// The message to itself may be swallowed by access rules: then what was retained is there when nothing
// has come for markerPatience, or at the latest after markerLimit.
const (
	markerPatience = 5 * time.Second
	markerLimit    = 2 * time.Minute
)

// NewBus makes a Bus of the broker in cfg; Run connects it. handle is that of Subscribe, and so is
// changed, but that nil comes when what was retained is there, too: a message that the bus sends to
// itself below the topic markers has come behind it.
func NewBus(cfg Config, markers string, filters []string, changed func(error), handle func(Message)) (*Bus, error) {
	broker, err := ParseBroker(cfg.Broker)
	if err != nil {
		return nil, fmt.Errorf("mqtt: %w", err)
	}
	o := &opening{cfg: &cfg, broker: broker, clientID: cfg.ClientID, limit: watchLimit, inbox: watchInbox,
		room: watchRoom, missed: new(atomic.Uint64)}
	if o.clientID == "" {
		o.clientID = "vggse-fleet-" + rand.Text()[:8]
	}
	marker := markers + "/" + o.clientID
	return &Bus{opening: o, filters: append(filters, marker), marker: marker, changed: changed, handle: handle,
		waiting: make(map[string]*posting), wake: make(chan struct{}, 1)}, nil
}

// Post gives a topic a retained message, in place of one that still waits; empty takes it away. done
// is closed when the broker has it.
func (b *Bus) Post(topic string, payload []byte) (done <-chan struct{}) {
	b.mu.Lock()
	p := b.waiting[topic]
	if p == nil {
		p = &posting{done: make(chan struct{})}
		b.waiting[topic] = p
		b.order = append(b.order, topic)
	}
	p.payload = payload
	b.mu.Unlock()
	select {
	case b.wake <- struct{}{}:
	default:
	}
	return p.done
}

// Run keeps the connection up until ctx ends.
func (b *Bus) Run(ctx context.Context) {
	var wait backoff
	for {
		began := time.Now()
		err := b.once(ctx)
		if ctx.Err() != nil {
			return
		}
		b.changed(fmt.Errorf("%s", b.opening.cfg.reason(err)))
		wait.held(time.Since(began))
		pause(ctx, wait.next(time.Now()))
	}
}

// once is one connection: it subscribes, says so, and then sends one posting after the other.
func (b *Bus) once(ctx context.Context) error {
	s, err := open(ctx, b.opening)
	if err != nil {
		return err
	}
	defer s.close()
	granted := s.subscribe(b.filters...)
	subscribed := granted.Done()
	var sent *posting
	var topic string
	var flight ack
	patience := time.NewTimer(dialTimeout + markerPatience)
	defer patience.Stop()
	complete, began := false, time.Now()
	for {
		var landed <-chan struct{}
		if flight == nil && subscribed == nil {
			if topic, sent = b.next(); sent != nil {
				flight = s.publish(topic, 1, true, sent.payload)
			}
		}
		if flight != nil {
			landed = flight.Done()
		}
		select {
		case <-subscribed:
			if err := granted.Error(); err != nil {
				return err
			}
			subscribed = nil
			s.publish(b.marker, 1, false, []byte(b.opening.clientID)) // what comes of it is seen below
			patience.Reset(markerPatience)
		case <-patience.C:
			if !complete {
				complete = true
				b.changed(nil)
			}
		case <-landed:
			if err := flight.Error(); err != nil {
				return err
			}
			b.landed(topic, sent)
			flight = nil
		case <-b.wake:
		case m := <-s.inbound:
			s.took(m)
			switch {
			case m.Topic != b.marker:
				b.handle(*m)
				if !complete && time.Since(began) < markerLimit {
					patience.Reset(markerPatience)
				}
			case !complete:
				complete = true
				b.changed(nil)
			}
		case err := <-s.lost:
			return err
		case <-ctx.Done():
			return nil
		}
	}
}

// next is a copy of the posting that was told first.
func (b *Bus) next() (string, *posting) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if len(b.order) == 0 {
		return "", nil
	}
	p := *b.waiting[b.order[0]]
	return b.order[0], &p
}

// landed takes out what the broker has, unless something newer waits for the same topic.
func (b *Bus) landed(topic string, sent *posting) {
	b.mu.Lock()
	defer b.mu.Unlock()
	p := b.waiting[topic]
	b.order = b.order[1:]
	if string(p.payload) != string(sent.payload) {
		b.order = append(b.order, topic)
		return
	}
	delete(b.waiting, topic)
	close(p.done)
}
