package main

import (
	"context"
	"time"

	"golang.org/x/sys/unix"

	"github.com/vggse/vggse-agent/demo"
	"github.com/vggse/vggse-agent/vision"
)

// pictures are decoded frames of the demo's conveyor, kept in memory so that no decoder is
// measured.
func pictures(n, width, height int) []vision.Frame {
	scene := demo.NewScene(1, width, height)
	ring := make([]vision.Frame, n)
	for i := range ring {
		scene.Render(uint64(10*i), &ring[i])
	}
	return ring
}

// ringSource plays pictures at a fixed rate. Like a camera's driver it copies each into the
// caller's frame, and what is not fetched in time is lost.
type ringSource struct {
	ring  []vision.Frame
	every time.Duration
	next  time.Time
	seq   uint64
	reads int
}

func (s *ringSource) Read(ctx context.Context, f *vision.Frame) error {
	now := time.Now()
	if s.next.IsZero() {
		s.next = now
	}
	if wait := s.next.Sub(now); wait > 0 {
		pause(wait)
	} else if late := -wait / s.every; late > 0 {
		s.seq += uint64(late)
		s.next = s.next.Add(late * s.every)
	}
	s.next = s.next.Add(s.every)
	s.seq++
	s.reads++
	picture := &s.ring[s.seq%uint64(len(s.ring))]
	f.Seq, f.Time, f.Camera = s.seq, time.Now(), "ring"
	f.Resize(picture.Width, picture.Height)
	copy(f.Pix, picture.Pix)
	return ctx.Err()
}

// fine is the longest sleep that is left to the kernel. The runtime's timers round up to a
// millisecond, and a source of 1500 frames a second would have 800; but a thread that blocks in the
// kernel keeps the runtime's monitor awake, which took 0.3 ms of CPU a frame: of the source, not of
// what is measured.
const fine = 2 * time.Millisecond

func pause(d time.Duration) {
	if d > fine {
		time.Sleep(d)
		return
	}
	t := unix.NsecToTimespec(int64(d))
	for unix.Nanosleep(&t, &t) == unix.EINTR {
	}
}

func (s *ringSource) Close() error { return nil }
