package mqtt

import (
	"sync/atomic"
	"testing"
)

// said is a message of paho's with n bytes.
type said int

func (said) Duplicate() bool   { return false }
func (said) Qos() byte         { return 0 }
func (said) Retained() bool    { return false }
func (said) Topic() string     { return "x" }
func (said) MessageID() uint16 { return 0 }
func (m said) Payload() []byte { return make([]byte, m) }
func (said) Ack()              {}

// Messages wait for a slow reader as far as their bytes go, not only their number.
func TestWhatWaitsIsBounded(t *testing.T) {
	s := &session{inbound: make(chan *Message, watchInbox), missed: new(atomic.Uint64), room: watchRoom}
	fits := watchRoom >> 20
	for range 2 * fits {
		s.receive(nil, said(1<<20))
	}
	if len(s.inbound) != fits || s.missed.Load() != uint64(fits) {
		t.Errorf("of %d messages of 1 MiB %d wait and %d are missed, want %d", 2*fits, len(s.inbound), s.missed.Load(),
			fits)
	}
	s.took(<-s.inbound)
	s.receive(nil, said(1<<20))
	s.receive(nil, said(1))
	if len(s.inbound) != fits || s.missed.Load() != uint64(fits)+1 {
		t.Errorf("in the place of one %d wait, %d are missed", len(s.inbound), s.missed.Load())
	}
}
