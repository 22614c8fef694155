package infer

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"
)

// loaded is a network in ONNX Runtime, with the engines that answer by it.
type loaded struct {
	mu      sync.Mutex // held while C runs
	session *session   // nil once the last engine is closed
	users   int

	watch   sync.Mutex      // guards what a cancelled ctx does from its own goroutine
	done    <-chan struct{} // of the ctx that unwatch belongs to
	unwatch func() bool
}

// follow makes the end of ctx terminate the run. It allocates only when ctx is another one than
// before: a daemon runs with one.
func (l *loaded) follow(ctx context.Context) {
	l.watch.Lock()
	defer l.watch.Unlock()
	done, s := ctx.Done(), l.session
	if done == l.done {
		return
	}
	l.leave()
	s.resume()
	l.done = done
	l.unwatch = context.AfterFunc(ctx, func() {
		l.watch.Lock()
		defer l.watch.Unlock()
		if l.done == done {
			s.terminate()
		}
	})
}

// leave forgets the ctx of the last run; l.watch is held.
func (l *loaded) leave() {
	if l.unwatch != nil {
		l.unwatch()
	}
	l.done, l.unwatch = nil, nil
}

// sharing is another engine on the same loaded network, which answers as net says: with another
// output of it, or another head. nil: the network does not give what net wants. Each of the two is
// closed by itself, and the network goes with the last.
func (e *Engine) sharing(net ModelFile) *Engine {
	e.mu.Lock()
	defer e.mu.Unlock()
	if e.closed || net.Size != e.net.Size || net.Input != e.net.Input {
		return nil
	}
	place := slices.IndexFunc(e.session.outputs, func(o output) bool { return o.name == net.Output })
	if place < 0 || e.session.outputs[place].width != net.columns() {
		return nil
	}
	e.users++
	return &Engine{net: net, info: e.info, signals: e.signals, answers: place, loaded: e.loaded}
}

// Close waits for the run in progress, then frees the network, unless another engine answers by it,
// and, with the last engine, ONNX Runtime. It may be called twice.
func (e *Engine) Close() error {
	e.mu.Lock()
	defer e.mu.Unlock()
	if e.closed {
		return nil
	}
	e.closed = true
	if e.users--; e.users > 0 {
		return nil
	}
	e.watch.Lock()
	e.leave()
	e.watch.Unlock()
	err := errors.Join(e.session.close(), release())
	e.session = nil
	trim()
	if err != nil {
		return fmt.Errorf("infer: close: %w", err)
	}
	return nil
}
