package main

import (
	"context"
	"time"

	"github.com/vggse/vggse-agent/demo"
	"github.com/vggse/vggse-agent/model"
)

// pictures are decoded 1280×720 frames of the demo's conveyor, kept in memory so that no decoder is
// measured.
func pictures(n int) []model.Frame {
	scene := demo.NewScene(1, 1280, 720)
	ring := make([]model.Frame, n)
	for i := range ring {
		scene.Render(uint64(10*i), &ring[i])
	}
	return ring
}

// ringSource plays pictures at a fixed rate. Like a camera's driver it copies each into the caller's
// frame, and what is not fetched in time is lost.
type ringSource struct {
	ring  []model.Frame
	every time.Duration
	next  time.Time
	seq   uint64
}

func (s *ringSource) Read(ctx context.Context, f *model.Frame) error {
	now := time.Now()
	if s.next.IsZero() {
		s.next = now
	}
	if wait := s.next.Sub(now); wait > 0 {
		time.Sleep(wait)
	} else if late := -wait / s.every; late > 0 {
		s.seq += uint64(late)
		s.next = s.next.Add(late * s.every)
	}
	s.next = s.next.Add(s.every)
	s.seq++
	picture := &s.ring[s.seq%uint64(len(s.ring))]
	f.Seq, f.Time, f.Camera = s.seq, time.Now(), "ring"
	f.Resize(picture.Width, picture.Height)
	copy(f.Pix, picture.Pix)
	return ctx.Err()
}

func (s *ringSource) Close() error { return nil }
