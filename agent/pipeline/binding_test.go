package pipeline

import (
	"context"
	"io"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/vggse/vggse-agent/vision"
)

// opposite says the reverse of fakeNetwork, and how large its input was.
type opposite struct{ size atomic.Int64 }

func (n *opposite) Run(_ context.Context, t *vision.Tensor, out vision.Logits) error {
	n.size.Store(t.Shape[2])
	out[0], out[1], out[2] = 10*(t.Data[0]-0.5), 0, -10
	return nil
}

// TestChange: from one frame to the next another network answers, with another input size and other
// labels; no frame of the film is lost, the source stays open, and the network before is not run
// again.
func TestChange(t *testing.T) { synctest.Test(t, changeMidFilm) }

func changeMidFilm(t *testing.T) {
	const frames = 200
	var closed atomic.Int32
	source := &fakeSource{frames: frames, err: io.EOF, every: time.Millisecond, closed: &closed}
	r := &published{full: make(chan struct{}), want: 20}
	p := testPipeline(&fakeNetwork{}, r, Camera{
		Name: "film", EveryFrame: true, Open: func(context.Context) (Source, error) { return source, nil },
	})
	other := *p.Spec
	other.Architecture.InputSize, other.Labels = 8, []string{"hell", "dunkel", "nichts"}
	if err := p.SwapNetwork(t.Context(), &opposite{}, &other, nil); err == nil {
		t.Error("a pipeline that does not run takes another network")
	}
	ended := make(chan error, 1)
	go func() { ended <- p.Run(t.Context()) }()
	<-r.full
	wrong := other
	wrong.Labels = []string{vision.Unknown}
	if err := p.SwapNetwork(t.Context(), &opposite{}, &wrong, nil); err == nil {
		t.Error("labels that hold the word for none are taken")
	}
	n, last := &opposite{}, 0
	err := p.SwapNetwork(t.Context(), n, &other, func() {
		r.mu.Lock()
		last = len(r.decisions)
		r.mu.Unlock()
	})
	if err != nil {
		t.Fatal(err)
	}
	if err := <-ended; err != nil {
		t.Fatal(err)
	}
	if len(r.decisions) != frames || closed.Load() != 1 || n.size.Load() != 8 || last < 20 || last >= frames {
		t.Fatalf("%d decisions, %d after the change, closed %d times, input %d", len(r.decisions), frames-last,
			closed.Load(), n.size.Load())
	}
	for i, d := range r.decisions {
		names := []string{"bright", "dark"}
		if i >= last {
			names = []string{"hell", "dunkel"}
		}
		if d.Frame != uint64(i+1) || d.Stable.Label != names[i%2] {
			t.Errorf("decision %d of %d = frame %d %q, want %q", i, last, d.Frame, d.Stable.Label, names[i%2])
		}
	}
}

// TestChangeWithoutFrames: a network is exchanged also while no camera delivers, and a wish ends
// with its context.
func TestChangeWithoutFrames(t *testing.T) {
	var closed atomic.Int32
	p := testPipeline(&fakeNetwork{}, &discard{}, Camera{Name: "still", Open: func(context.Context) (Source, error) {
		return &fakeSource{closed: &closed}, nil
	}})
	ctx, cancel := context.WithCancel(t.Context())
	ended := make(chan error, 1)
	go func() { ended <- p.Run(ctx) }()
	await(t, "the pipeline", p.prepared.Load)
	if err := p.SwapNetwork(ctx, &fakeNetwork{}, p.Spec, func() {}); err != nil {
		t.Error(err)
	}
	cancel()
	if err := <-ended; err != nil {
		t.Error(err)
	}
	if err := p.SwapNetwork(ctx, &fakeNetwork{}, p.Spec, func() {}); err != context.Canceled {
		t.Errorf("after the end: %v", err)
	}
}

// TestChangeOfBatches: also where a run takes several pictures, each is answered by the network of
// now, at its size.
func TestChangeOfBatches(t *testing.T) {
	var closed, wrong atomic.Int32
	r := &published{want: 50, full: make(chan struct{})}
	var cameras []Camera
	for _, name := range []string{"a", "b", "c"} {
		cameras = append(cameras, Camera{Name: name, Open: func(context.Context) (Source, error) {
			return &steadySource{grey: 255, closed: &closed}, nil
		}})
	}
	sized := func(size int64) Classifier {
		return networkFunc(func(t *vision.Tensor, out vision.Logits) {
			if n := t.Shape[0]; t.Shape != [4]int64{n, 3, size, size} || int64(len(t.Data)) != n*3*size*size {
				wrong.Add(1)
			}
			judge(t, out)
		})
	}
	p := testPipeline(sized(4), r, cameras...)
	p.MaxBatch, p.MaxWait = 3, 20*time.Millisecond
	ctx, cancel := context.WithCancel(t.Context())
	ended := make(chan error, 1)
	go func() { ended <- p.Run(ctx) }()
	await(t, "the pipeline", p.prepared.Load)
	spec := *p.Spec
	for i := range 20 {
		spec.Architecture.InputSize = 4 + i%3
		if err := p.SwapNetwork(ctx, sized(int64(spec.Architecture.InputSize)), &spec, func() {}); err != nil {
			t.Fatal(err)
		}
		time.Sleep(2 * time.Millisecond)
	}
	<-r.full
	cancel()
	if err := <-ended; err != nil {
		t.Fatal(err)
	}
	if wrong.Load() != 0 {
		t.Errorf("%d runs had an input of the size of another network", wrong.Load())
	}
	for _, d := range r.decisions {
		if d.Stable.Label != "bright" {
			t.Fatalf("frame %d of %s is %s", d.Frame, d.Camera, d.Stable.Label)
		}
	}
}

// await polls until is holds.
func await(t *testing.T, what string, is func() bool) {
	t.Helper()
	for end := time.Now().Add(time.Minute); !is(); time.Sleep(time.Millisecond) {
		if time.Now().After(end) {
			t.Fatalf("%s did not come", what)
		}
	}
}
