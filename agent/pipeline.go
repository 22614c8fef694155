package agent

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"math"
	"runtime"
	"sync/atomic"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/vggse/vggse-agent/camera"
	"github.com/vggse/vggse-agent/model"
	"github.com/vggse/vggse-agent/mqtt"
)

// Source is one camera. Read fills the frame that it is given and blocks until there is one.
type Source interface {
	Read(ctx context.Context, f *model.Frame) error
	Close() error
}

// Classifier is the network: the pictures of t to one row of logits each.
type Classifier interface {
	Run(ctx context.Context, t *model.Tensor, out model.Logits) error
}

// Publisher takes decisions to whoever subscribes. It must not wait for the network, and keeps
// nothing of d after it returns.
type Publisher interface {
	Publish(ctx context.Context, d *model.Decision) error
	CameraStatus(camera, status string)
	Stats(s mqtt.Stats)
}

// Camera is one stream of frames through the pipeline.
type Camera struct {
	Name string
	Open func(ctx context.Context) (Source, error) // camera.ErrLost means: try again later
	// EveryFrame makes the capture wait for the network instead of dropping: for files.
	EveryFrame bool
	// Closed is not opened before somebody enables it.
	Closed bool
	// Decide is its own; the zero value stands for the pipeline's.
	Decide model.DecideConfig
	// Slow is how long a read may take beyond what is usual, for a camera of a frame a minute.
	Slow time.Duration
}

// Pipeline is the whole program between the cameras and the publisher:
//
//	Source.Read ▶ Preprocessor.Apply ▶ [newest wins] ▶ Classifier.Run ▶ Decider.Decide ▶ Publisher.Publish
//	└── one goroutine per camera ──┘                  └───────────── one goroutine ─────────────────┘
//
// so that capture and preprocessing of the next frame overlap the inference of this one.
type Pipeline struct {
	Cameras    []Camera
	Spec       *model.Spec
	Decide     model.DecideConfig
	Network    Classifier
	Publisher  Publisher
	StatsEvery time.Duration // between two Stats; 0: never
	Log        *slog.Logger

	lanes    []*lane
	ready    chan struct{}         // some lane has a full slot; capacity 1
	sight    atomic.Pointer[sight] // for what is captured from now on
	changes  chan change
	network  pulse       // of the inference
	brake    brake       // of the inference
	prepared atomic.Bool // lanes will not change any more
}

// lane is one camera on its way through the pipeline.
type lane struct {
	Camera
	index    int
	box      *mailbox
	first    *slot
	decision model.Decision
	meter    meter
	pulse    pulse // of the capture

	// What commands from outside act on.
	shutter   *shutter
	threshold atomic.Uint64 // a float64, for the decider
	shot      atomic.Pointer[shot]
}

func (l *lane) setThreshold(score float64) { l.threshold.Store(math.Float64bits(score)) }

// lane is the one of a camera; nil: there is none of this name, or the pipeline does not run yet.
func (p *Pipeline) lane(camera string) *lane {
	if !p.prepared.Load() {
		return nil
	}
	for _, l := range p.lanes {
		if l.Name == camera {
			return l
		}
	}
	return nil
}

// prepare makes the lanes: all memory that the steady state needs.
func (p *Pipeline) prepare() error {
	p.ready, p.changes = make(chan struct{}, 1), make(chan change)
	p.network.began = time.Now()
	size := p.Spec.Architecture.InputSize
	for i, c := range p.Cameras {
		if c.Decide == (model.DecideConfig{}) {
			c.Decide = p.Decide
		}
		l := &lane{Camera: c, index: i, shutter: newShutter(!c.Closed)}
		l.setThreshold(c.Decide.Threshold)
		l.box, l.first = newMailbox(1, 3, size, size)
		l.pulse.began = p.network.began
		p.lanes = append(p.lanes, l)
	}
	first, err := p.newSight(p.Network, p.Spec)
	if err != nil {
		return err
	}
	p.sight.Store(first)
	p.prepared.Store(true)
	return nil
}

// Run moves frames until ctx ends (nil), every camera that is open has come to its end (nil), or something
// fails that a retry cannot mend. It returns when all its goroutines have.
func (p *Pipeline) Run(ctx context.Context) error {
	if err := p.prepare(); err != nil {
		return fmt.Errorf("agent: %w", err)
	}
	group, ctx := errgroup.WithContext(ctx)
	captures, captureCtx := errgroup.WithContext(ctx)
	captureCtx, over := context.WithCancel(captureCtx)
	defer over()
	there := &turnout{over: over, open: len(p.lanes)}
	for _, l := range p.lanes {
		captures.Go(func() error { return p.supervise(captureCtx, l, there) })
	}
	ended := make(chan struct{})
	reportCtx, stopReport := context.WithCancel(ctx)
	defer stopReport()
	group.Go(func() error {
		defer close(ended)
		return captures.Wait()
	})
	group.Go(func() error {
		defer stopReport()
		return p.infer(ctx, ended)
	})
	group.Go(func() error { p.report(reportCtx); return nil })
	if err := group.Wait(); err != nil && !errors.Is(err, context.Canceled) {
		return fmt.Errorf("agent: %w", err)
	}
	return nil
}

// supervise keeps one camera open while its shutter is: a lost one is opened again with back-off, and each
// change of its state is told once.
func (p *Pipeline) supervise(ctx context.Context, l *lane, there *turnout) error {
	status := &cameraStatus{name: l.Name, publisher: p.Publisher, log: p.Log}
	next := l.first
	for attempt := 0; ; attempt++ {
		open, turned := l.shutter.look()
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
		frames := l.meter.captured.Load()
		use, done := l.shutter.hold(ctx)
		var err error
		next, err = p.capture(use, l, next, status)
		closed := use.Err() != nil
		done()
		switch {
		case ctx.Err() != nil:
			return nil
		case closed:
			continue
		case errors.Is(err, io.EOF):
			status.ended()
			there.ends()
			return nil
		case !errors.Is(err, camera.ErrLost):
			return fmt.Errorf("camera %s: %w", l.Name, err)
		}
		status.lost(err)
		if l.meter.captured.Load() > frames {
			attempt = 0 // it worked in between
		}
		select {
		case <-ctx.Done():
			return nil
		case <-turned:
		case <-time.After(camera.Backoff(attempt)):
		}
	}
}

// capture opens the camera and reads, preprocesses and hands over frames until it is lost. It
// returns the slot that is to be filled next, for the try after this one.
func (p *Pipeline) capture(ctx context.Context, l *lane, s *slot, status *cameraStatus) (next *slot, err error) {
	defer l.pulse.rest()
	l.pulse.within(l.patience())
	source, err := l.Open(ctx)
	if err != nil {
		return s, err
	}
	defer func() { err = errors.Join(err, source.Close()) }()
	for {
		l.pulse.within(l.patience())
		start := time.Now()
		if err := source.Read(ctx, &s.frame); err != nil {
			return s, err
		}
		read := time.Now()
		if !l.EveryFrame && l.box.fresh(s.frame.Time) {
			l.meter.captured.Add(1)
			l.pulse.rest()
			continue
		}
		v := p.sight.Load()
		if err := v.prepare(v.lanes[l.index].prep, s); err != nil {
			return s, err
		}
		s.ready = time.Now()
		s.capture, s.prep = read.Sub(start), s.ready.Sub(read)
		l.meter.captured.Add(1)
		l.pulse.rest()
		status.online()
		if l.EveryFrame && !l.box.drain(ctx) {
			return s, ctx.Err()
		}
		s = l.box.put(s)
		select {
		case p.ready <- struct{}{}:
		default:
		}
	}
}

// infer classifies the newest slot of each camera in turn until ctx ends, or until every camera has
// ended and nothing waits any more. It keeps its thread: handed from one to the next it lost a tenth of the
// network's rate (bench ring, demo network, two cores).
func (p *Pipeline) infer(ctx context.Context, ended <-chan struct{}) error {
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	v := p.sight.Load()
	var ran time.Time
	for turn := 0; ; {
		p.brake.wait(ctx, ran)
		select {
		case c := <-p.changes:
			v = p.exchange(c)
		default:
		}
		l, s := p.next(&turn)
		if s == nil {
			select {
			case <-ctx.Done():
				return ctx.Err()
			case c := <-p.changes:
				v = p.exchange(c)
				continue
			case <-p.ready:
				continue
			case <-ended:
			}
			if l, s = p.next(&turn); s == nil {
				return ctx.Err()
			}
		}
		ran = time.Now()
		err := p.classify(ctx, v, l, s)
		l.expose(&s.frame)
		l.box.giveBack(s)
		if err != nil {
			return err
		}
	}
}

// next takes the newest slot of the first camera that has one, starting behind the camera that was
// served last: a fast camera cannot starve a slow one.
func (p *Pipeline) next(turn *int) (*lane, *slot) {
	for i := range p.lanes {
		l := p.lanes[(*turn+i)%len(p.lanes)]
		if s := l.box.take(); s != nil {
			*turn += i + 1
			return l, s
		}
	}
	return nil, nil
}

// classify runs the network of v on one slot, decides and publishes.
func (p *Pipeline) classify(ctx context.Context, v *sight, l *lane, s *slot) error {
	own := &v.lanes[l.index]
	if s.sight != v {
		if err := v.prepare(own.late, s); err != nil {
			return err
		}
	}
	start := time.Now()
	p.network.within(networkPatience)
	err := v.network.Run(ctx, s.tensor, v.out)
	p.network.rest()
	if err != nil {
		return err
	}
	ran := time.Now()
	d := &l.decision
	d.Camera, d.Frame, d.Time = l.Name, s.frame.Seq, s.frame.Time
	own.decider.SetThreshold(math.Float64frombits(l.threshold.Load()))
	own.decider.Decide(v.out, d)
	now := time.Now()
	d.Latency = model.Latency{
		Capture: s.capture, Preprocess: s.prep, Wait: start.Sub(s.ready),
		Infer: ran.Sub(start), Post: now.Sub(ran), Total: now.Sub(s.frame.Time),
	}
	l.meter.add(&d.Latency)
	return p.Publisher.Publish(ctx, d)
}
