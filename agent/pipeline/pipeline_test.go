package pipeline

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"os"
	"runtime"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"go.uber.org/goleak"

	"github.com/vggse/vggse-agent/bundle"
	"github.com/vggse/vggse-agent/camera"
	"github.com/vggse/vggse-agent/camera/cameratest"
	"github.com/vggse/vggse-agent/camera/worker"
	"github.com/vggse/vggse-agent/mqtt"
	"github.com/vggse/vggse-agent/vision"
)

// hangs is how long the tests wait for what must come: it ends a test that hangs, however busy the
// machine is.
const hangs = 2 * time.Minute

func TestMain(m *testing.M) {
	if worker.Asked(os.Args) {
		os.Exit(worker.Main())
	}
	goleak.VerifyTestMain(m, goleak.Cleanup(func(code int) {
		cameratest.Cleanup()
		os.Exit(code)
	}))
}

// fakeSource delivers grey frames; the brightness of each is its label.
type fakeSource struct {
	frames int // then err
	err    error
	every  time.Duration
	closed *atomic.Int32
	n      int
}

func (s *fakeSource) Read(ctx context.Context, f *vision.Frame) error {
	if s.n == s.frames {
		if s.err == nil {
			<-ctx.Done()
			return ctx.Err()
		}
		return s.err
	}
	if s.every > 0 {
		time.Sleep(s.every)
	}
	s.n++
	f.Resize(8, 8)
	for i := range f.Pix {
		f.Pix[i] = byte(s.n % 2 * 255)
	}
	f.Seq, f.Time = uint64(s.n), time.Now()
	return ctx.Err()
}

func (s *fakeSource) Close() error { s.closed.Add(1); return nil }

// fakeNetwork says class 1 for bright pictures, class 0 for dark ones.
type fakeNetwork struct {
	took time.Duration
	err  error
}

func (n *fakeNetwork) Run(_ context.Context, t *vision.Tensor, out vision.Logits) error {
	time.Sleep(n.took)
	out[0], out[1] = 0, 10*(t.Data[0]-0.5)
	return n.err
}

// recorder keeps what was published.
type published struct {
	mu        sync.Mutex
	decisions []vision.Decision
	statuses  []string
	full      chan struct{} // closed at want decisions
	want      int
}

func (r *published) Publish(_ context.Context, d *vision.Decision) error {
	r.mu.Lock()
	defer r.mu.Unlock()
	var copied vision.Decision
	d.CopyTo(&copied)
	r.decisions = append(r.decisions, copied)
	if len(r.decisions) == r.want {
		close(r.full)
	}
	return nil
}

func (r *published) CameraStatus(camera, status string) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.statuses = append(r.statuses, camera+" "+status)
}

func testPipeline(n Classifier, p Publisher, cameras ...Camera) *Pipeline {
	spec := &bundle.Spec{
		Architecture: bundle.Architecture{InputSize: 4, Classes: 2}, Labels: []string{"dark", "bright"},
		Preprocess: vision.Preprocess{
			Resize: vision.ResizeSquash, Filter: vision.FilterPILBilinear, Channels: vision.ChannelsRGB,
			Scale: 1.0 / 255, Std: [3]float64{1, 1, 1},
		},
	}
	return &Pipeline{
		Cameras: cameras, Spec: spec, Network: n, Publisher: p, Log: slog.New(slog.DiscardHandler),
		Decide: vision.DecideConfig{TopK: 2, Threshold: 0.6, Confirm: 1, Unknown: vision.Unknown},
	}
}

func TestPipelineClassifiesEveryFrameOfAFile(t *testing.T) {
	var closed atomic.Int32
	source := &fakeSource{frames: 20, err: io.EOF, closed: &closed}
	r := &published{}
	p := testPipeline(&fakeNetwork{took: time.Millisecond}, r, Camera{
		Name: "file", Open: func(context.Context) (Source, error) { return source, nil }, EveryFrame: true,
	})
	if err := p.Run(t.Context()); err != nil {
		t.Fatal(err)
	}
	if len(r.decisions) != 20 || closed.Load() != 1 {
		t.Fatalf("%d decisions, closed %d times; want 20 and 1", len(r.decisions), closed.Load())
	}
	for i, d := range r.decisions {
		want := []string{"bright", "dark"}[i%2]
		if d.Frame != uint64(i+1) || d.Stable.Label != want || d.Camera != "file" {
			t.Errorf("decision %d = frame %d %q of %q, want %d %q", i, d.Frame, d.Stable.Label, d.Camera, i+1, want)
		}
		if l := d.Latency; l.Infer < time.Millisecond || l.Total < l.Infer || l.Preprocess <= 0 {
			t.Errorf("decision %d: latency %+v", i, l)
		}
	}
	if got := strings.Join(r.statuses, ", "); got != "file online, file offline" {
		t.Errorf("statuses = %s", got)
	}
}

func TestPipelineReopensALostCamera(t *testing.T) {
	opens := 0
	var closed atomic.Int32
	r := &published{want: 6, full: make(chan struct{})}
	p := testPipeline(&fakeNetwork{}, r,
		Camera{Name: "cam", EveryFrame: true, Open: func(context.Context) (Source, error) {
			opens++
			if opens == 2 {
				return nil, fmt.Errorf("not there yet: %w", camera.ErrLost)
			}
			return &fakeSource{frames: 3, err: camera.ErrLost, closed: &closed}, nil
		}})
	ctx, cancel := context.WithCancel(t.Context())
	go func() { <-r.full; cancel() }()
	if err := p.Run(ctx); err != nil {
		t.Fatal(err)
	}
	want := "cam online, cam offline, cam online"
	if got := strings.Join(r.statuses, ", "); !strings.HasPrefix(got, want) {
		t.Errorf("statuses = %s, want %s", got, want)
	}
	if got := int(closed.Load()); got != opens-1 {
		t.Errorf("%d sources closed, want %d", got, opens-1)
	}
}

func TestPipelineStopsOnWhatRetriesCannotMend(t *testing.T) {
	var closed atomic.Int32
	broken := errors.New("broken network")
	source := func(context.Context) (Source, error) { return &fakeSource{frames: 5, closed: &closed}, nil }
	p := testPipeline(&fakeNetwork{err: broken}, &published{}, Camera{Name: "a", Open: source})
	if err := p.Run(t.Context()); !errors.Is(err, broken) {
		t.Errorf("Run = %v, want %v", err, broken)
	}
	missing := errors.New("no such file")
	p = testPipeline(&fakeNetwork{}, &published{},
		Camera{Name: "b", Open: func(context.Context) (Source, error) { return nil, missing }})
	if err := p.Run(t.Context()); !errors.Is(err, missing) || !strings.Contains(err.Error(), "camera b") {
		t.Errorf("Run = %v, want %v of camera b", err, missing)
	}
}

// One camera that is wrong does not end the others, and those decide when the end has come; where
// all are wrong, the first one's reason is the end.
func TestPipelineGoesOnBesideAWrongCamera(t *testing.T) {
	var closed atomic.Int32
	missing := errors.New("no such file")
	wrong := func(context.Context) (Source, error) { return nil, missing }
	good := func(context.Context) (Source, error) {
		return &fakeSource{frames: 5, err: io.EOF, closed: &closed}, nil
	}
	r := &published{}
	p := testPipeline(&fakeNetwork{}, r, Camera{Name: "wrong", Open: wrong},
		Camera{Name: "good", Open: good, EveryFrame: true}, Camera{Name: "worse", Open: wrong})
	if err := p.Run(t.Context()); err != nil {
		t.Errorf("Run = %v beside a good camera", err)
	}
	r.mu.Lock()
	if n := len(r.decisions); n != 5 {
		t.Errorf("%d decisions of the good camera, want 5", n)
	}
	r.mu.Unlock()
	p = testPipeline(&fakeNetwork{}, &published{}, Camera{Name: "a", Open: wrong}, Camera{Name: "b", Open: wrong})
	if err := p.Run(t.Context()); !errors.Is(err, missing) {
		t.Errorf("Run = %v where all are wrong, want %v", err, missing)
	}
}

// TestPipelineIsFair: a camera ten times as fast as another gets no more of a saturated network.
func TestPipelineIsFair(t *testing.T) { synctest.Test(t, pipelineIsFair) }

func pipelineIsFair(t *testing.T) {
	var closed atomic.Int32
	r := &published{want: 60, full: make(chan struct{})}
	open := func(every time.Duration) func(context.Context) (Source, error) {
		return func(context.Context) (Source, error) {
			return &fakeSource{frames: 1 << 30, every: every, closed: &closed}, nil
		}
	}
	p := testPipeline(&fakeNetwork{took: 8 * time.Millisecond}, r,
		Camera{Name: "fast", Open: open(300 * time.Microsecond)},
		Camera{Name: "slow", Open: open(3 * time.Millisecond)})
	ctx, cancel := context.WithCancel(t.Context())
	go func() { <-r.full; cancel() }()
	if err := p.Run(ctx); err != nil {
		t.Fatal(err)
	}
	count := map[string]int{}
	for _, d := range r.decisions[:60] {
		count[d.Camera]++
	}
	if count["slow"] < 25 || count["fast"] < 25 {
		t.Errorf("decisions by camera = %v, want about 30 each", count)
	}
}

func (r *published) Stats(mqtt.Stats) {}

// discard publishes nothing.
type discard struct{ n int }

func (d *discard) Publish(context.Context, *vision.Decision) error { d.n++; return nil }
func (d *discard) CameraStatus(string, string)                     {}
func (d *discard) Stats(mqtt.Stats)                                {}

// TestPipelineDoesNotAllocatePerFrame runs two lengths of film and compares.
func TestPipelineDoesNotAllocatePerFrame(t *testing.T) {
	run := func(frames int) uint64 {
		var closed atomic.Int32
		p := testPipeline(&fakeNetwork{}, &discard{},
			Camera{Name: "a", EveryFrame: true, Open: func(context.Context) (Source, error) {
				return &fakeSource{frames: frames, err: io.EOF, closed: &closed}, nil
			}})
		var before, after runtime.MemStats
		runtime.ReadMemStats(&before)
		if err := p.Run(t.Context()); err != nil {
			t.Fatal(err)
		}
		runtime.ReadMemStats(&after)
		return after.Mallocs - before.Mallocs
	}
	run(10)
	short, long := run(100), run(2100)
	if perFrame := (float64(long) - float64(short)) / 2000; perFrame > 0.05 {
		t.Errorf("%.2f allocations a frame (%d for 100 frames, %d for 2,100), want 0", perFrame, short, long)
	}
}
