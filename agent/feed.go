package agent

import (
	"context"
	"errors"
	"fmt"
	"io"
	"time"

	"github.com/vggse/vggse-agent/camera"
	"github.com/vggse/vggse-agent/internal/backoff"
	"github.com/vggse/vggse-agent/vision"
)

// feed is one camera: what keeps it open, and the lanes that its pictures go to.
type feed struct {
	Camera
	lanes   []*lane
	shutter *shutter
	pulse   pulse        // of the capture
	frame   vision.Frame // the whole picture, where the lanes take parts of it
}

// supervise keeps one camera open while its shutter is: a lost one is opened again with back-off, and each
// change of its state is told once.
func (p *Pipeline) supervise(ctx context.Context, f *feed, there *turnout) error {
	status := &cameraStatus{name: f.Name, parts: f.lanes, publisher: p.Publisher, log: p.Log}
	for attempt := 0; ; attempt++ {
		open, turned := f.shutter.look()
		if !open {
			status.disabled()
			there.goes()
			select {
			case <-ctx.Done():
				return nil
			case <-turned:
			}
			there.comes()
			attempt = -1
			continue
		}
		use, done := f.shutter.hold(ctx)
		worked, err := p.capture(use, f, status)
		closed := use.Err() != nil
		done()
		switch {
		case ctx.Err() != nil:
			return nil
		case closed:
			continue
		case errors.Is(err, io.EOF) && !errors.Is(err, camera.ErrLost): // a film's end, not a server's that hung up
			status.ended()
			there.ends()
			return nil
		case !errors.Is(err, camera.ErrLost):
			return fmt.Errorf("camera %s: %w", f.Name, err)
		}
		status.lost(err)
		if worked {
			attempt = 0
		}
		select {
		case <-ctx.Done():
			return nil
		case <-turned:
		case <-time.After(backoff.Delay(attempt)):
		}
	}
}

// capture opens the camera and reads, preprocesses and hands over frames until it is lost; worked is whether
// there was a picture worth something.
func (p *Pipeline) capture(ctx context.Context, f *feed, status *cameraStatus) (worked bool, err error) {
	defer f.pulse.rest()
	f.pulse.within(f.patience())
	source, err := f.Open(ctx)
	if err != nil {
		return false, err
	}
	defer func() { err = errors.Join(err, source.Close()) }()
	for {
		f.pulse.within(f.patience())
		start := time.Now()
		picture := f.picture()
		if err := source.Read(ctx, picture); err != nil {
			return worked, err
		}
		read := time.Now()
		if f.Watch != nil {
			if err := f.Watch.Look(picture); errors.Is(err, camera.ErrDark) {
				status.lost(err)
				continue
			} else if err != nil {
				return worked, err
			}
		}
		worked = true
		status.online()
		for _, l := range f.lanes {
			if err := p.fill(l, picture, start, read); err != nil {
				return worked, err
			}
		}
		f.pulse.rest()
		if f.EveryFrame {
			if err := f.drain(ctx); err != nil {
				return worked, err
			}
		}
		p.handOver(f)
	}
}

// picture is where the next one is read to: straight into the slot where it is classified as a whole.
func (f *feed) picture() *vision.Frame {
	if len(f.lanes) == 1 && f.lanes[0].region.Whole() {
		return &f.lanes[0].next.frame
	}
	return &f.frame
}

// fill makes the lane's part of a picture ready for the network; where that gains nothing, next stays unfilled.
func (p *Pipeline) fill(l *lane, picture *vision.Frame, start, read time.Time) error {
	s := l.next
	s.filled = false
	l.meter.captured.Add(1)
	if !l.feed.EveryFrame && l.box.fresh(picture.Time) {
		return nil
	}
	if &s.frame != picture {
		if err := l.region.Cut(picture, &s.frame); err != nil {
			return err
		}
	}
	v := p.sight.Load()
	if l.motion != nil && !l.motion.moved(&s.frame, v != l.sight) {
		l.meter.still.Add(1)
		return nil
	}
	l.sight = v
	if err := v.prepare(v.lanes[l.index].prep, s); err != nil {
		return err
	}
	s.ready, s.filled = time.Now(), true
	s.capture, s.prep = read.Sub(start), s.ready.Sub(read)
	return nil
}

// drain waits until the network has taken what was handed over before.
func (f *feed) drain(ctx context.Context) error {
	for _, l := range f.lanes {
		if !l.box.drain(ctx) {
			return ctx.Err()
		}
	}
	return nil
}

// handOver gives the filled slots to the inference.
func (p *Pipeline) handOver(f *feed) {
	for _, l := range f.lanes {
		if l.next.filled {
			l.next = l.box.put(l.next)
		}
	}
	select {
	case p.ready <- struct{}{}:
	default:
	}
}
