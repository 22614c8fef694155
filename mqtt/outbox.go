package mqtt

import "sync"

// state is what one topic says now. Of several values between two looks only the newest is sent.
type state struct {
	topic   string
	qos     byte
	retain  bool
	payload []byte
	version uint64 // counts values; 0: there is none yet
	sent    uint64 // version that went to the present connection
}

// outbox holds all that waits for the broker, in bounded memory: states, and the queue of records. Its
// methods may be called from any goroutine, and never wait for one another longer than a copy takes.
type outbox struct {
	mu     sync.Mutex
	states []*state
	queue  queue
	up     bool          // a connection takes what waits
	wake   chan struct{} // something waits; capacity 1
}

func newOutbox(slots int) *outbox {
	return &outbox{queue: newQueue(slots), wake: make(chan struct{}, 1)}
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
func (s *state) setText(text string) {
	s.payload = append(s.payload[:0], text...)
	s.version++
}

// again sends the value of a state once more.
func (o *outbox) again(s *state) {
	o.mu.Lock()
	s.sent = 0
	o.mu.Unlock()
	o.ring()
}

// ring wakes the goroutine of the link.
func (o *outbox) ring() {
	select {
	case o.wake <- struct{}{}:
	default:
	}
}

// connect begins a connection: every retained state and every record without acknowledgement wait again.
func (o *outbox) connect() {
	o.mu.Lock()
	defer o.mu.Unlock()
	for _, s := range o.states {
		s.sent = 0
		if !s.retain {
			s.sent = s.version // what nobody keeps is not worth telling late
		}
	}
	o.queue.rewind()
	o.up = true
}

// disconnect ends it.
func (o *outbox) disconnect() {
	o.mu.Lock()
	o.up = false
	o.mu.Unlock()
}

// publication is a copy of one thing to send.
type publication struct {
	topic   string
	qos     byte
	retain  bool
	payload []byte
	queued  bool   // came from the queue
	pos     uint64 // where
}

// take copies the next thing to send: states first, then the queue. Its payload is the one allocation
// on the way of a message, because paho keeps it until the acknowledgement.
func (o *outbox) take() (publication, bool) {
	o.mu.Lock()
	defer o.mu.Unlock()
	for _, s := range o.states {
		if s.sent != s.version {
			s.sent = s.version
			return publication{s.topic, s.qos, s.retain, append([]byte(nil), s.payload...), false, 0}, true
		}
	}
	r, pos := o.queue.next()
	if r == nil {
		return publication{}, false
	}
	payload := append(make([]byte, 0, len(r.payload)+len(`,"redelivered":false}`)), r.payload...)
	return publication{r.topic, r.qos, false, finish(payload, r.late), true, pos}, true
}

// acked forgets the queue's record at pos and all before it.
func (o *outbox) acked(pos uint64) {
	o.mu.Lock()
	o.queue.acked(pos)
	o.mu.Unlock()
}
