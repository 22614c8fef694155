package pipeline

import (
	"context"
	"testing"
	"testing/synctest"
	"time"
)

// fill marks a slot so that a test can tell frames apart.
func fill(s *slot, seq uint64) *slot {
	s.frame.Seq = seq
	return s
}

func TestMailboxNewestWins(t *testing.T) {
	b, s := newMailbox(1, 3, 2, 2)
	for seq := uint64(1); seq <= 5; seq++ {
		s = b.put(fill(s, seq))
	}
	got := b.take()
	if got == nil || got.frame.Seq != 5 {
		t.Fatalf("take = %+v, want frame 5", got)
	}
	if b.drops() != 4 {
		t.Errorf("drops = %d, want 4", b.drops())
	}
	if again := b.take(); again != nil {
		t.Errorf("take of an empty box = %+v, want nil", again)
	}
	// While frame 5 is being classified, two more come: the writer never waits for the reader.
	s = b.put(fill(s, 6))
	s = b.put(fill(s, 7))
	b.giveBack(got)
	if got = b.take(); got.frame.Seq != 7 {
		t.Errorf("take = frame %d, want 7", got.frame.Seq)
	}
	if s == got {
		t.Error("the writer fills the slot that the reader holds")
	}
}

func TestMailboxPassesOverFramesThatGainNothing(t *testing.T) {
	b, s := newMailbox(1, 3, 2, 2)
	at := time.Now()
	if b.fresh(at) {
		t.Error("an empty box passes over a frame")
	}
	s.frame.Time = at
	b.put(s)
	if !b.fresh(at.Add(young-1)) || b.drops() != 1 {
		t.Errorf("a frame %s younger is taken, drops = %d", young-1, b.drops())
	}
	if b.fresh(at.Add(young)) || b.drops() != 1 {
		t.Errorf("a frame %s younger is passed over, drops = %d", young, b.drops())
	}
}

func TestMailboxDoesNotAllocate(t *testing.T) {
	b, s := newMailbox(1, 3, 2, 2)
	if n := testing.AllocsPerRun(100, func() {
		s = b.put(s)
		s = b.put(s)
		b.giveBack(b.take())
	}); n != 0 {
		t.Errorf("%v allocations a frame, want 0", n)
	}
}

func TestMailboxDrainWaitsForTheReader(t *testing.T) { synctest.Test(t, mailboxDrainWaitsForTheReader) }

func mailboxDrainWaitsForTheReader(t *testing.T) {
	b, s := newMailbox(1, 3, 2, 2)
	if !b.drain(t.Context()) {
		t.Fatal("drain of an empty box = false")
	}
	s = b.put(fill(s, 1))
	done := make(chan bool)
	go func() { done <- b.drain(t.Context()) }()
	synctest.Wait()
	select {
	case <-done:
		t.Fatal("drain returned while a frame waited")
	default:
	}
	b.giveBack(b.take())
	if !<-done {
		t.Error("drain = false after the frame was taken")
	}
	b.put(fill(s, 2))
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if b.drain(ctx) {
		t.Error("drain = true with a frame waiting and ctx ended")
	}
}
