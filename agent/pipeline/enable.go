package pipeline

import (
	"context"
	"sync"
)

// enabled says whether a camera is meant to be open. Whoever changes it waits for nothing.
type enabled struct {
	mu      sync.Mutex
	on      bool
	changed chan struct{}      // closed at the next turn
	close   context.CancelFunc // ends the use of the camera; nil: it is not in use
}

func newEnabled(open bool) *enabled { return &enabled{on: open, changed: make(chan struct{})} }

// turn opens or closes; the same again is none.
func (s *enabled) set(open bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.on == open {
		return
	}
	s.on = open
	close(s.changed)
	s.changed = make(chan struct{})
	if !open && s.close != nil {
		s.close()
	}
}

// look returns whether it is open, and what closes when that changes.
func (s *enabled) state() (open bool, turned <-chan struct{}) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.on, s.changed
}

// use returns a context for the use of the camera: it ends with ctx, and when the camera is
// disabled.
func (s *enabled) use(ctx context.Context) (context.Context, context.CancelFunc) {
	s.mu.Lock()
	defer s.mu.Unlock()
	ctx, cancel := context.WithCancel(ctx)
	s.close = cancel
	if !s.on {
		cancel()
	}
	return ctx, cancel
}

// openCount counts the cameras that may still deliver. When none is left but closed ones, and one
// has come to its end, there is nothing to wait for: a film is over.
type openCount struct {
	mu    sync.Mutex
	open  int
	wrong int // of the open ones, those that fail
	ended bool
	over  func() // called then
}

// comes and goes tell of a camera that is opened, or closed; ends of one that has come to its end.
func (t *openCount) comes() { t.change(1, false) }
func (t *openCount) goes()  { t.change(-1, false) }
func (t *openCount) ends()  { t.change(-1, true) }

func (t *openCount) change(by int, ended bool) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.open += by
	t.ended = t.ended || ended
	t.check()
}

// fails tells of an open camera that is wrong; ok is whether another one may still deliver.
func (t *openCount) fails() (ok bool) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.wrong++
	if t.ended {
		t.check()
		return true
	}
	return t.wrong < t.open
}

// recovers tells that one that was wrong is so no more, or is closed.
func (t *openCount) recovers() {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.wrong--
}

func (t *openCount) check() {
	if t.open == t.wrong && t.ended {
		t.over()
	}
}
