package agent

import (
	"context"
	"sync"
)

// shutter says whether a camera is meant to be open. Whoever turns it waits for nothing.
type shutter struct {
	mu     sync.Mutex
	open   bool
	turned chan struct{}      // closed at the next turn
	close  context.CancelFunc // ends the use of the camera; nil: it is not in use
}

func newShutter(open bool) *shutter { return &shutter{open: open, turned: make(chan struct{})} }

// turn opens or closes; the same again is none.
func (s *shutter) turn(open bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.open == open {
		return
	}
	s.open = open
	close(s.turned)
	s.turned = make(chan struct{})
	if !open && s.close != nil {
		s.close()
	}
}

// look returns whether it is open, and what closes when that changes.
func (s *shutter) look() (open bool, turned <-chan struct{}) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.open, s.turned
}

// hold returns a context for the use of the camera: it ends with ctx, and when the shutter closes.
func (s *shutter) hold(ctx context.Context) (context.Context, context.CancelFunc) {
	s.mu.Lock()
	defer s.mu.Unlock()
	ctx, cancel := context.WithCancel(ctx)
	s.close = cancel
	if !s.open {
		cancel()
	}
	return ctx, cancel
}

// turnout counts the cameras that may still deliver. When none is left but closed ones, and one has come to its
// end, there is nothing to wait for: a film is over.
type turnout struct {
	mu    sync.Mutex
	open  int
	ended bool
	over  func() // called then
}

// comes and goes tell of a camera that is opened, or closed; ends of one that has come to its end.
func (t *turnout) comes() { t.change(1, false) }
func (t *turnout) goes()  { t.change(-1, false) }
func (t *turnout) ends()  { t.change(-1, true) }

func (t *turnout) change(by int, ended bool) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.open += by
	t.ended = t.ended || ended
	if t.open == 0 && t.ended {
		t.over()
	}
}
