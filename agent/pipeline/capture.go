package pipeline

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

// capture is one camera: what keeps it open, and the streams that its pictures go to.
type capture struct {
	Camera
	streams  []*stream
	enabled  *enabled
	deadline deadline     // of the capture
	frame    vision.Frame // the whole picture, where the streams take parts of it
}

// supervise keeps one camera open while it is enabled: a lost one is opened again with back-off,
// and each change of its state is told once. One that is wrong is told too, and tried again, for a
// file may come and a disk be mounted; it ends the others only where all are wrong.
func (p *Pipeline) supervise(ctx context.Context, f *capture, there *openCount) error {
	status := &cameraStatus{name: f.Name, streams: f.streams, publisher: p.Publisher, log: p.Log}
	failing := false // with what another try may not mend
	var waits backoff.Camera
	for {
		open, turned := f.enabled.state()
		if !open {
			if failing {
				failing = false
				there.recovers()
			}
			status.disabled()
			there.goes()
			select {
			case <-ctx.Done():
				return nil
			case <-turned:
			}
			there.comes()
			waits = backoff.Camera{}
			continue
		}
		use, done := f.enabled.use(ctx)
		worked, err := p.read(use, f, status)
		closed := use.Err() != nil
		done()
		switch {
		case ctx.Err() != nil:
			return nil
		case closed:
			continue
		case errors.Is(err, io.EOF) && !errors.Is(err, camera.ErrLost): // a film's end, not a server's that hung up
			status.ended(err)
			if failing {
				there.recovers()
			}
			there.ends()
			return nil
		case !errors.Is(err, camera.ErrLost):
			if worked > 0 && failing {
				there.recovers()
			}
			if (!failing || worked > 0) && !there.fails() {
				return fmt.Errorf("camera %s: %w", f.Name, err)
			}
			failing = true
			status.failed(err)
		default:
			if failing {
				failing = false
				there.recovers()
			}
			status.lost(err)
		}
		select {
		case <-ctx.Done():
			return nil
		case <-turned:
		case <-time.After(waits.Next(worked)):
		}
	}
}

// capture opens the camera and reads, preprocesses and hands over frames until it is lost; worked
// is for how long there were pictures worth something, 0 where there was none.
func (p *Pipeline) read(ctx context.Context, f *capture, status *cameraStatus) (worked time.Duration, err error) {
	defer f.deadline.clear()
	f.deadline.set(f.stepLimit())
	source, err := f.Open(ctx)
	if err != nil {
		return 0, err
	}
	defer func() { err = errors.Join(err, source.Close()) }()
	var first time.Time
	for {
		f.deadline.set(f.stepLimit())
		start := time.Now()
		picture := f.picture()
		if err := source.Read(ctx, picture); err != nil {
			return worked, err
		}
		read := time.Now()
		status.skips(source)
		if f.Watch != nil {
			if err := f.Watch.Look(picture); errors.Is(err, camera.ErrDark) {
				status.lost(err)
				continue
			} else if err != nil {
				return worked, err
			}
		}
		if first.IsZero() {
			first = read
		}
		worked = max(read.Sub(first), 1)
		status.online(source)
		for _, l := range f.streams {
			if err := p.fill(l, picture, start, read); err != nil {
				return worked, err
			}
		}
		f.deadline.clear()
		if f.EveryFrame {
			if err := f.drain(ctx); err != nil {
				return worked, err
			}
		}
		p.handOver(f)
	}
}

// picture is where the next one is read to: straight into the slot where it is classified as a
// whole.
func (f *capture) picture() *vision.Frame {
	if len(f.streams) == 1 && f.streams[0].region.Whole() {
		return &f.streams[0].next.frame
	}
	return &f.frame
}

// fill makes the stream's part of a picture ready for the network; where that gains nothing, next
// stays unfilled.
func (p *Pipeline) fill(l *stream, picture *vision.Frame, start, read time.Time) error {
	s := l.next
	s.filled = false
	l.meter.captured.Add(1)
	if !l.capture.EveryFrame && l.box.fresh(picture.Time) {
		return nil
	}
	if &s.frame != picture {
		if err := l.region.Cut(picture, &s.frame); err != nil {
			return err
		}
	}
	v := p.binding.Load()
	if l.motion != nil && !l.motion.Moved(&s.frame, v != l.binding) {
		l.meter.still.Add(1)
		return nil
	}
	l.binding = v
	if err := v.prepare(v.streams[l.index].prep, s); err != nil {
		return err
	}
	s.ready, s.filled = time.Now(), true
	s.capture, s.prep = read.Sub(start), s.ready.Sub(read)
	return nil
}

// drain waits until the network has taken what was handed over before.
func (f *capture) drain(ctx context.Context) error {
	for _, l := range f.streams {
		if !l.box.drain(ctx) {
			return ctx.Err()
		}
	}
	return nil
}

// handOver gives the filled slots to the inference.
func (p *Pipeline) handOver(f *capture) {
	for _, l := range f.streams {
		if l.next.filled {
			l.next = l.box.put(l.next)
		}
	}
	select {
	case p.ready <- struct{}{}:
	default:
	}
}
