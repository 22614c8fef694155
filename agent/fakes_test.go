package agent

import (
	"context"
	"flag"
	"log/slog"
	"os"
	"sync/atomic"
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/vggse/vggse-agent/agent/pipeline"
	"github.com/vggse/vggse-agent/agent/shadow"
	"github.com/vggse/vggse-agent/bundle"
	"github.com/vggse/vggse-agent/camera/cameratest"
	"github.com/vggse/vggse-agent/camera/worker"
	"github.com/vggse/vggse-agent/mqtt"
	"github.com/vggse/vggse-agent/vision"
)

func TestMain(m *testing.M) {
	if worker.Asked(os.Args) {
		os.Exit(worker.Main())
	}
	if job := os.Getenv(rolloutVariable); job != "" {
		os.Exit(reconcileAside(job))
	}
	if len(os.Args) > 2 && os.Args[1] == shadow.Verb {
		os.Exit(shadowChild(os.Args[2]))
	}
	if dir := os.Getenv(holdVariable); dir != "" {
		os.Exit(holdUntilAsked(dir))
	}
	flag.Parse()
	goleak.VerifyTestMain(m, append(starvedClients(), goleak.Cleanup(func(code int) {
		cameratest.Cleanup()
		os.Exit(code)
	}))...)
}

// stubSource delivers grey frames; the brightness of each is its label.
type stubSource struct {
	frames int // then err
	err    error
	every  time.Duration
	closed *atomic.Int32
	n      int
}

func (s *stubSource) Read(ctx context.Context, f *vision.Frame) error {
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

func (s *stubSource) Close() error { s.closed.Add(1); return nil }

// stubNetwork says class 1 for bright pictures, class 0 for dark ones.
type stubNetwork struct {
	took time.Duration
	err  error
}

func (n *stubNetwork) Run(_ context.Context, t *vision.Tensor, out vision.Logits) error {
	time.Sleep(n.took)
	out[0], out[1] = 0, 10*(t.Data[0]-0.5)
	return n.err
}

// stubPublisher counts what is published.
type stubPublisher struct{ n atomic.Int64 }

func (p *stubPublisher) Publish(context.Context, *vision.Decision) error { p.n.Add(1); return nil }
func (p *stubPublisher) CameraStatus(string, string)                     {}
func (p *stubPublisher) Stats(mqtt.Stats)                                {}

func stubPipeline(n pipeline.Classifier, p pipeline.Publisher, cameras ...pipeline.Camera) *pipeline.Pipeline {
	spec := &bundle.Spec{
		Architecture: bundle.Architecture{InputSize: 4, Classes: 2}, Labels: []string{"dark", "bright"},
		Preprocess: vision.Preprocess{
			Resize: vision.ResizeSquash, Filter: vision.FilterPILBilinear, Channels: vision.ChannelsRGB,
			Scale: 1.0 / 255, Std: [3]float64{1, 1, 1},
		},
	}
	return &pipeline.Pipeline{
		Cameras: cameras, Spec: spec, Network: n, Publisher: p, Log: slog.New(slog.DiscardHandler),
		Decide: vision.DecideConfig{TopK: 2, Threshold: 0.6, Confirm: 1, Unknown: vision.Unknown},
	}
}
