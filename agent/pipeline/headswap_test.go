package pipeline

import (
	"context"
	"errors"
	"io"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/vggse/vggse-agent/demo"
	"github.com/vggse/vggse-agent/infer"
	"github.com/vggse/vggse-agent/infer/infertest"
	"github.com/vggse/vggse-agent/mqtt"
	"github.com/vggse/vggse-agent/vision"
)

// belt is a film of the demo's conveyor, which ends behind the last frame once that is known.
type belt struct {
	scene *demo.Scene
	n     uint64
	last  *atomic.Uint64
}

func (b *belt) Read(_ context.Context, f *vision.Frame) error {
	if last := b.last.Load(); last > 0 && b.n >= last {
		return io.EOF
	}
	b.scene.Render(b.n*12, f)
	b.n++
	f.Seq, f.Time = b.n, time.Now()
	return nil
}

func (b *belt) Close() error { return nil }

// heard is every decision that was published, in order.
type heard struct {
	mu     sync.Mutex
	frames []uint64
	labels []string // the best class of each
	gates  int      // frames with gates between 0 and 1
	some   chan struct{}
}

func (h *heard) Publish(_ context.Context, d *vision.Decision) error {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.frames, h.labels = append(h.frames, d.Frame), append(h.labels, d.Top[0].Label)
	if s := d.Signals; s != nil && len(s.Gates) == 5 && s.Gates[4][0] >= 0 && s.Gates[4][0] <= 1 {
		h.gates++
	}
	select {
	case h.some <- struct{}{}:
	default:
	}
	return nil
}

func (h *heard) count() int {
	h.mu.Lock()
	defer h.mu.Unlock()
	return len(h.frames)
}

func (h *heard) CameraStatus(string, string) {}
func (h *heard) Stats(mqtt.Stats)            {}

// TestHeadSwap: while a film runs through ONNX Runtime, bundles that differ in their last layer
// answer in turn on the one network that is loaded. No picture is lost, each is answered by the head
// of its time, and the two heads say the same of the same picture.
func TestHeadSwap(t *testing.T) {
	cpu := infer.Config{Providers: []string{infer.CPU}, Threads: 1}
	open := func(dir string, beside *infer.Network) *infer.Network {
		n, err := infer.OpenBeside(t.Context(), dir, "fp32", cpu, beside)
		if errors.Is(err, infer.ErrNoLibrary) {
			t.Skip("ONNX Runtime not found (make deps)")
		} else if err != nil {
			t.Fatal(err)
		}
		return n
	}
	const swaps, between = 6, 8 // frames, at least
	film := func(last *atomic.Uint64) Camera {
		return Camera{Name: "film", EveryFrame: true, Open: func(context.Context) (Source, error) {
			return &belt{scene: demo.NewScene(3, 160, 90), last: last}, nil
		}}
	}
	var last atomic.Uint64
	dirs := []string{"../../demo/bundle", infertest.WithHead(t, "../../demo/bundle", 1, "taught ")}
	running := open(dirs[0], nil)
	h := &heard{some: make(chan struct{}, 1)}
	p := testPipeline(running, h, film(&last))
	p.Spec, p.Decide.TopK = &running.Bundle.Spec, 1
	ended := make(chan error, 1)
	go func() { ended <- p.Run(t.Context()) }()
	var swapped []int // how many frames had been answered
	for i := range swaps {
		for h.count() < (i+1)*between {
			<-h.some
		}
		next := open(dirs[(i+1)%2], running)
		if next.Info().Load != running.Info().Load {
			t.Error("the network was loaded again")
		}
		err := p.SwapNetwork(t.Context(), next, &next.Bundle.Spec, func() {
			h.mu.Lock()
			swapped = append(swapped, len(h.frames))
			h.mu.Unlock()
		})
		if err := errors.Join(err, running.Close()); err != nil {
			t.Fatal(err)
		}
		running = next
	}
	last.Store(uint64(h.count() + between))
	if err := errors.Join(<-ended, running.Close()); err != nil {
		t.Fatal(err)
	}
	frames := len(h.frames)
	if n := int(last.Load()); frames < n || frames > n+3 { // what was read already when the end was told
		t.Errorf("%d frames were answered, the last is %d", frames, n)
	}
	if h.gates != frames || len(swapped) != swaps {
		t.Errorf("%d of %d frames with gates, %d swaps", h.gates, frames, len(swapped))
	}
	heads := 0
	for i, n := range h.frames {
		for heads < swaps && i == swapped[heads] { // two swaps may come between two answers
			heads++
		}
		if n != uint64(i+1) || strings.HasPrefix(h.labels[i], "taught ") != (heads%2 == 1) {
			t.Fatalf("answer %d is of frame %d, %q after %d swaps at %v", i+1, n, h.labels[i], heads, swapped)
		}
	}
	alone := &heard{some: make(chan struct{}, 1)}
	first := open(dirs[0], nil)
	defer first.Close()
	last.Store(uint64(frames))
	again := testPipeline(first, alone, film(&last))
	again.Spec, again.Decide.TopK = &first.Bundle.Spec, 1
	if err := again.Run(t.Context()); err != nil {
		t.Fatal(err)
	}
	for i, want := range alone.labels {
		if got := strings.TrimPrefix(h.labels[i], "taught "); got != want {
			t.Errorf("frame %d is %q, without swaps %q", i+1, h.labels[i], want)
		}
	}
}
