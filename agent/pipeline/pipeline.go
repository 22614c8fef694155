package pipeline

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"math"
	"sync/atomic"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/vggse/vggse-agent/bundle"
	"github.com/vggse/vggse-agent/camera"
	"github.com/vggse/vggse-agent/mqtt"
	"github.com/vggse/vggse-agent/vision"
)

// Source is one camera. Read fills the frame that it is given and blocks until there is one. The
// frame's memory may be the source's own from then on: it is valid until the frame is given to Read
// again, of this source or the next of the same camera, or the camera is closed.
type Source interface {
	Read(ctx context.Context, f *vision.Frame) error
	Close() error
}

// Classifier is the network: the pictures of t to one row of logits each.
type Classifier interface {
	Run(ctx context.Context, t *vision.Tensor, out vision.Logits) error
}

// Signaller is a Classifier that can tell more of a picture than its logits: RunSignals is Run, and
// fills signals[i] for the picture i.
type Signaller interface {
	Classifier
	SignalSizes() vision.SignalSizes
	// Known tells pictures of the classes from others by Signals.Features; nil: nothing does.
	Known() *vision.Known
	RunSignals(ctx context.Context, t *vision.Tensor, out vision.Logits, signals []*vision.Signals) error
}

// Follower is a Classifier that wants to know when the decisions of a run have been handed over. It
// gets the input and the answer of that run, which it must not keep.
type Follower interface {
	After(ctx context.Context, t *vision.Tensor, out vision.Logits)
}

// ErrSwapped is what a Classifier returns that will be exchanged at once: the pictures wait for the
// network that SwapNetwork brings, and that one answers.
var ErrSwapped = errors.New("another network answers for this one")

// Publisher takes decisions to whoever subscribes. It must not wait for the network, and keeps
// nothing of d after it returns.
type Publisher interface {
	Publish(ctx context.Context, d *vision.Decision) error
	CameraStatus(camera, status string)
	Stats(s mqtt.Stats)
}

// Recorder may take a copy of a frame that a decision was made of. It must not wait for the disk.
type Recorder interface {
	Record(d *vision.Decision, f *vision.Frame)
}

// Camera is one stream of frames through the pipeline.
type Camera struct {
	Name string
	Open func(ctx context.Context) (Source, error) // camera.ErrLost means: try again later
	// Close gives back what the openings share, when no frame is used any more; nil: nothing.
	Close func() error
	// EveryFrame makes the capture wait for the network instead of dropping: for files.
	EveryFrame bool
	// Closed is not opened before somebody enables it.
	Closed bool
	// Decide is its own; the zero value stands for the pipeline's.
	Decide vision.DecideConfig
	// Slow is how long a read may take beyond what is usual, for a camera of a frame a minute.
	Slow time.Duration
	// Regions are the parts of each picture that are classified, each under its own name; empty:
	// the whole picture.
	Regions []camera.Region
	// Watch finds pictures that are there and say nothing; nil: none are looked for.
	Watch *camera.Watch
	// Motion is the change that wakes the network, 0..1; 0: it never sleeps. Asleep it works once
	// per Heartbeat.
	Motion    float64
	Heartbeat time.Duration
}

// Pipeline is the whole program between the cameras and the publisher:
//
//	Source.Read ▶ Preprocessor.Apply ▶ [newest wins] ▶ Classifier.Run ▶ Decider.Decide ▶ Publisher.Publish
//	└─── a capture per camera ─────┘    a stream per   └──────────── one goroutine for all ─────────┘
//	                                  part of a picture
//
// so that capture and preprocessing of the next frame overlap the inference of this one.
type Pipeline struct {
	Cameras    []Camera
	Spec       *bundle.Spec
	Decide     vision.DecideConfig
	Network    Classifier
	Publisher  Publisher
	StatsEvery time.Duration // between two Stats; 0: never
	Log        *slog.Logger
	MaxBatch   int           // pictures of different streams in one Run; 0 is 1
	MaxWait    time.Duration // how long the first of them waits for the others
	Recorder   Recorder      // nil: no picture is kept

	captures []*capture
	streams  []*stream
	ready    chan struct{}           // some stream has a full slot; capacity 1
	binding  atomic.Pointer[binding] // for what is captured from now on
	changes  chan change
	network  deadline    // of the inference
	limit    rateLimit   // of the inference
	prepared atomic.Bool // streams will not change any more
}

// stream is one part of a camera's pictures, mostly the whole, on its way through the pipeline.
type stream struct {
	name     string
	index    int // in Pipeline.streams
	capture  *capture
	region   camera.Region
	box      *mailbox
	next     *slot          // to be filled; the capture's
	binding  *binding       // of the last slot that was filled; the capture's
	motion   *camera.Motion // nil: every frame is classified
	decision vision.Decision
	meter    meter
	taken    bool // has a slot in the batch; the inference's
	drift    driftWatch

	// What commands from outside act on.
	threshold  atomic.Uint64 // a float64, for the decider
	below      atomic.Uint64 // DecideConfig.UnknownBelow, a float64
	thresholds atomic.Pointer[[]vision.ClassThreshold]
	snapshot   atomic.Pointer[snapshot]
}

func (l *stream) setThreshold(score float64) { l.threshold.Store(math.Float64bits(score)) }

func (l *stream) setUnknownBelow(p float64) { l.below.Store(math.Float64bits(p)) }

// Running tells whether the streams are there: Enable, SetThreshold and Snapshot act from then on.
func (p *Pipeline) Running() bool { return p.prepared.Load() }

// Enable opens or closes the named camera. It waits for nothing.
func (p *Pipeline) Enable(camera string, on bool) {
	if f := p.camera(camera); f != nil {
		f.enabled.set(on)
	}
}

// SetThreshold sets the score below which a class does not count, for all streams of the named
// camera.
func (p *Pipeline) SetThreshold(camera string, score float64) {
	if f := p.camera(camera); f != nil {
		for _, l := range f.streams {
			l.setThreshold(score)
		}
	}
}

// SetThresholds sets those of single classes, in place of what SetThreshold says, for all streams of
// the named camera. own is kept.
func (p *Pipeline) SetThresholds(camera string, own []vision.ClassThreshold) {
	if f := p.camera(camera); f != nil {
		for _, l := range f.streams {
			l.thresholds.Store(&own)
		}
	}
}

// Labels are those of the network that answers; nil before the pipeline runs.
func (p *Pipeline) Labels() []string {
	if !p.prepared.Load() {
		return nil
	}
	return p.binding.Load().names
}

// SetUnknownBelow sets the p-value below which a frame shows none of the classes, for all streams of
// the named camera.
func (p *Pipeline) SetUnknownBelow(camera string, limit float64) {
	if f := p.camera(camera); f != nil {
		for _, l := range f.streams {
			l.setUnknownBelow(limit)
		}
	}
}

// camera is the capture of a camera; nil: there is none, or the pipeline does not run yet.
func (p *Pipeline) camera(camera string) *capture {
	if !p.prepared.Load() {
		return nil
	}
	for _, f := range p.captures {
		if f.Name == camera {
			return f
		}
	}
	return nil
}

// stream is the one of a name; nil: there is none, or the pipeline does not run yet.
func (p *Pipeline) stream(name string) *stream {
	if !p.prepared.Load() {
		return nil
	}
	for _, l := range p.streams {
		if l.name == name {
			return l
		}
	}
	return nil
}

// prepare makes captures and streams: all memory that the steady state needs.
func (p *Pipeline) prepare() error {
	p.ready, p.changes = make(chan struct{}, 1), make(chan change)
	p.network.began = time.Now()
	for _, c := range p.Cameras {
		if c.Decide.TopK == 0 { // it has none of its own
			c.Decide = p.Decide
		}
		f := &capture{Camera: c, enabled: newEnabled(!c.Closed)}
		f.deadline.began = p.network.began
		regions := c.Regions
		if len(regions) == 0 {
			regions = []camera.Region{{}}
		}
		for _, r := range regions {
			f.streams = append(f.streams, p.newStream(f, r))
		}
		p.captures = append(p.captures, f)
	}
	first, err := p.newBinding(p.Network, p.Spec)
	if err != nil {
		return err
	}
	p.binding.Store(first)
	p.prepared.Store(true)
	return nil
}

// newStream adds the stream of a part of the capture's pictures.
func (p *Pipeline) newStream(f *capture, r camera.Region) *stream {
	l := &stream{name: r.Of(f.Name), index: len(p.streams), capture: f, region: r}
	l.setThreshold(f.Decide.Threshold)
	l.setUnknownBelow(f.Decide.UnknownBelow)
	own, _ := vision.ParseThresholds(f.Decide.Thresholds) // newBinding refuses what is none
	l.thresholds.Store(&own)
	size := p.Spec.Architecture.InputSize
	l.box, l.next = newMailbox(1, 3, size, size)
	if f.Motion > 0 && !f.EveryFrame {
		l.motion = camera.NewMotion(f.Motion, f.Decide.Confirm, f.Heartbeat)
	}
	p.streams = append(p.streams, l)
	return l
}

// Run moves frames until ctx ends (nil), every camera that is open has come to its end (nil), or
// something fails that a retry cannot mend. It returns when all its goroutines have.
func (p *Pipeline) Run(ctx context.Context) error {
	if err := p.prepare(); err != nil {
		return fmt.Errorf("agent: %w", err)
	}
	group, ctx := errgroup.WithContext(ctx)
	captures, captureCtx := errgroup.WithContext(ctx)
	captureCtx, over := context.WithCancel(captureCtx)
	defer over()
	there := &openCount{over: over, open: len(p.captures)}
	for _, f := range p.captures {
		captures.Go(func() error { return p.supervise(captureCtx, f, there) })
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
	err := group.Wait()
	if errors.Is(err, context.Canceled) {
		err = nil
	}
	if err = errors.Join(err, p.closeCameras()); err != nil {
		return fmt.Errorf("agent: %w", err)
	}
	return nil
}

func (p *Pipeline) closeCameras() error {
	var errs []error
	for _, c := range p.Cameras {
		if c.Close != nil {
			errs = append(errs, c.Close())
		}
	}
	return errors.Join(errs...)
}
