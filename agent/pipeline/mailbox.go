package pipeline

import (
	"context"
	"sync"
	"time"

	"github.com/vggse/vggse-agent/vision"
)

// young is the difference in age between two frames that is not worth a preprocessing.
const young = 5 * time.Millisecond

// slot is one frame on its way to the network, with the tensor made of it.
type slot struct {
	frame   vision.Frame
	tensor  *vision.Tensor
	binding *binding      // that the tensor was made for
	capture time.Duration // inside Read
	prep    time.Duration // inside Apply
	ready   time.Time     // when the tensor stood
	filled  bool          // there is something in it for the network
}

// mailbox hands the newest slot of one camera to the inference. Three slots go round: one is being
// filled, one is being classified, and the third waits here, full or empty. Newest wins: a full
// slot that nobody took goes back to be filled again, and counts as dropped.
type mailbox struct {
	mu      sync.Mutex
	newest  *slot
	spare   []*slot
	dropped uint64
	taken   chan struct{} // signalled when newest was taken; capacity 1
}

func newMailbox(n, channels, height, width int) (*mailbox, *slot) {
	b := &mailbox{spare: make([]*slot, 0, 3), taken: make(chan struct{}, 1)}
	for range 2 {
		b.spare = append(b.spare, &slot{tensor: vision.NewTensor(n, channels, height, width)})
	}
	return b, &slot{tensor: vision.NewTensor(n, channels, height, width)}
}

// put hands over a full slot and returns the one to fill next.
func (b *mailbox) put(full *slot) *slot {
	b.mu.Lock()
	defer b.mu.Unlock()
	if old := b.newest; old != nil {
		b.newest = full
		b.dropped++
		return old
	}
	b.newest = full
	last := len(b.spare) - 1
	next := b.spare[last]
	b.spare = b.spare[:last]
	return next
}

// fresh reports whether a frame taken at t would gain nothing over the one that waits here already;
// it then counts as dropped, and need not be preprocessed.
func (b *mailbox) fresh(t time.Time) bool {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.newest == nil || t.Sub(b.newest.frame.Time) >= young {
		return false
	}
	b.dropped++
	return true
}

// take hands out the newest slot, or nil. It comes back through giveBack before the next take.
func (b *mailbox) take() *slot {
	b.mu.Lock()
	defer b.mu.Unlock()
	s := b.newest
	if s != nil {
		b.newest = nil
		select {
		case b.taken <- struct{}{}:
		default:
		}
	}
	return s
}

// giveBack returns a slot that take handed out.
func (b *mailbox) giveBack(s *slot) {
	b.mu.Lock()
	b.spare = append(b.spare, s)
	b.mu.Unlock()
}

// drain waits until the full slot, if there is one, was taken; false when ctx ended first.
func (b *mailbox) drain(ctx context.Context) bool {
	for {
		b.mu.Lock()
		full := b.newest != nil
		b.mu.Unlock()
		if !full {
			return true
		}
		select {
		case <-b.taken:
		case <-ctx.Done():
			return false
		}
	}
}

func (b *mailbox) drops() uint64 {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.dropped
}
