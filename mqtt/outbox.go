package mqtt

import (
	"context"
	"sync"
	"sync/atomic"
	"time"

	"github.com/vggse/vggse-agent/mqtt/spool"
)

// state is what one topic says now. Of several values between two looks only the newest is sent.
type state struct {
	topic   string
	qos     byte
	retain  bool
	payload []byte
	version uint64 // counts values; 0: there is none yet
	sent    uint64 // version that went to the present connection
	refused uint64 // version that is not sent again: the broker does not take it, or it was the last word
	gone    bool   // the topic is being taken from the broker
}

// outbox holds all that waits for the broker, in bounded memory: states, and the spool of records.
type outbox struct {
	mu     sync.Mutex // guards the states
	states []*state
	spool  *spool.Spool
	record spool.Record  // taken last; its memory is used again
	wake   chan struct{} // something waits; capacity 1

	idling atomic.Bool   // who flushes is idle, and is to be called
	called chan struct{} // capacity 1
}

func newOutbox(s *spool.Spool) *outbox {
	return &outbox{spool: s, wake: make(chan struct{}, 1), called: make(chan struct{}, 1)}
}

// add makes the state of a topic. States are sent in the order in which they were added.
func (o *outbox) add(topic string, qos byte, retain bool) *state {
	s := &state{topic: topic, qos: qos, retain: retain}
	o.states = append(o.states, s)
	return s
}

// set gives a state its newest value; the same one again is none.
func (o *outbox) set(s *state, payload []byte) {
	o.mu.Lock()
	s.set(payload)
	o.mu.Unlock()
	o.ring()
}

func (s *state) set(payload []byte) {
	if s.version > 0 && s.retain && string(s.payload) == string(payload) {
		return
	}
	s.payload = append(s.payload[:0], payload...)
	s.version++
}

// setText is set for a text, without a copy of it.
func (o *outbox) setText(s *state, text string) {
	o.mu.Lock()
	s.payload = append(s.payload[:0], text...)
	s.version++
	o.mu.Unlock()
}

// again sends the value of a state once more.
func (o *outbox) again(s *state) {
	o.mu.Lock()
	s.sent = 0
	o.mu.Unlock()
	o.ring()
}

// ring wakes the goroutine of the link, and who flushes.
func (o *outbox) ring() {
	select {
	case o.wake <- struct{}{}:
	default:
	}
	if o.idling.CompareAndSwap(true, false) {
		o.called <- struct{}{} // there is room: who is idle has taken the last call, or never got one
	}
}

// idle waits for a ring, at most as long as given. Where a record came after last it does not.
func (o *outbox) idle(ctx context.Context, most time.Duration, last uint64) {
	o.idling.Store(true)
	timer := time.NewTimer(most)
	defer timer.Stop()
	if o.spool.Last() == last {
		select {
		case <-ctx.Done():
		case <-timer.C:
		case <-o.called:
			return
		}
	}
	if !o.idling.CompareAndSwap(true, false) {
		<-o.called
	}
}

// connect begins a connection: every retained state and every record without acknowledgement wait
// again.
func (o *outbox) connect() {
	o.mu.Lock()
	for _, s := range o.states {
		s.sent = 0
		if !s.retain {
			s.sent = s.version // what nobody keeps is not worth telling late
		}
	}
	o.mu.Unlock()
	o.spool.Connect()
}

// publication is a copy of one thing to send: the value of a state, or a record.
type publication struct {
	topic   string
	qos     byte
	retain  bool
	payload []byte
	state   *state // nil: a record
	seq     uint64 // of the record
}

// take copies the next thing to send: states first, then records. Its payload is the one allocation
// on the way of a message, because paho keeps it until the acknowledgement.
func (o *outbox) take() (publication, bool) {
	if p, ok := o.takeState(); ok {
		return p, true
	}
	r := &o.record
	if !o.spool.Take(r) {
		return publication{}, false
	}
	payload := append(make([]byte, 0, len(r.Payload)+len(`,"redelivered":false}`)), r.Payload...)
	return publication{topic: r.Topic, qos: r.QoS, payload: finish(payload, r.Late), seq: r.Seq}, true
}

func (o *outbox) takeState() (publication, bool) {
	o.mu.Lock()
	defer o.mu.Unlock()
	for _, s := range o.states {
		if s.version > 0 && s.sent != s.version && s.refused != s.version {
			s.sent = s.version
			return publication{topic: s.topic, qos: s.qos, retain: s.retain,
				payload: append([]byte(nil), s.payload...), state: s}, true
		}
	}
	return publication{}, false
}

// refuse gives up what the broker does not take.
func (o *outbox) refuse(p *publication) {
	if p.state == nil {
		o.spool.Refuse(p.seq)
		return
	}
	o.mu.Lock()
	p.state.refused = p.state.version
	o.mu.Unlock()
}
