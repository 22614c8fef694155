package logging

import (
	"context"
	"log/slog"
	"sync"
	"time"
)

// How often the same message, of the same camera, is written in a window of time. What is beyond it
// is counted and told with the next one that is written: a fault that repeats with every frame must
// not fill a disk.
const (
	logBurst  = 20
	logWindow = time.Minute
)

// limiter is a slog.Handler in front of another. Debugging is not limited: who asks for it wants
// all.
type limiter struct {
	slog.Handler
	about string // what WithAttrs has said of the camera
	seen  *logged
}

// logged is shared by a limiter and those made of it.
type logged struct {
	sync.Mutex
	now     func() time.Time
	entries map[entry]*repeats
}

type entry struct{ message, about string }

// repeats counts one message within a window.
type repeats struct {
	since           time.Time
	written, hidden int
}

func newLimiter(h slog.Handler) *limiter {
	return &limiter{Handler: h, seen: &logged{now: time.Now, entries: map[entry]*repeats{}}}
}

func (l *limiter) Handle(ctx context.Context, r slog.Record) error {
	if r.Level >= slog.LevelInfo {
		about := l.about
		r.Attrs(func(a slog.Attr) bool {
			about = cameraOf(about, a)
			return true
		})
		hidden, write := l.seen.count(entry{r.Message, about})
		if !write {
			return nil
		}
		if hidden > 0 {
			r.AddAttrs(slog.Int("hidden_before", hidden))
		}
	}
	return l.Handler.Handle(ctx, r)
}

func cameraOf(about string, a slog.Attr) string {
	if a.Key == "camera" {
		return a.Value.String()
	}
	return about
}

// count says whether a message is to be written, and how many like it were not since the last that
// was.
func (s *logged) count(e entry) (hidden int, write bool) {
	s.Lock()
	defer s.Unlock()
	now := s.now()
	t := s.entries[e]
	if t == nil || now.Sub(t.since) >= logWindow {
		if t != nil {
			hidden = t.hidden
		} else {
			s.forget(now)
		}
		s.entries[e] = &repeats{since: now, written: 1}
		return hidden, true
	}
	if t.written == logBurst {
		t.hidden++
		return 0, false
	}
	t.written++
	return 0, true
}

// forget drops windows that ended with nothing to tell.
func (s *logged) forget(now time.Time) {
	for e, t := range s.entries {
		if t.hidden == 0 && now.Sub(t.since) >= logWindow {
			delete(s.entries, e)
		}
	}
}

func (l *limiter) WithAttrs(attrs []slog.Attr) slog.Handler {
	about := l.about
	for _, a := range attrs {
		about = cameraOf(about, a)
	}
	return &limiter{Handler: l.Handler.WithAttrs(attrs), about: about, seen: l.seen}
}

func (l *limiter) WithGroup(name string) slog.Handler {
	return &limiter{Handler: l.Handler.WithGroup(name), about: l.about, seen: l.seen}
}
