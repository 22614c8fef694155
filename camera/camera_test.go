package camera

import (
	"context"
	"errors"
	"os"
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/vggse/vggse-agent/camera/cameratest"
	"github.com/vggse/vggse-agent/demo"
	"github.com/vggse/vggse-agent/vision"
)

func TestMain(m *testing.M) {
	goleak.VerifyTestMain(m, goleak.Cleanup(func(code int) {
		cameratest.Cleanup()
		os.Exit(code)
	}))
}

// demo:// is the scene of package demo, frame by frame.
func TestDemo(t *testing.T) {
	s := mustOpen(t, Config{Name: "line1", Source: "demo://parts?seed=7&width=320&height=180&speed=max"})
	scene := demo.NewScene(7, 320, 180)
	var got, want vision.Frame
	for i := range 5 {
		if err := s.Read(t.Context(), &got); err != nil {
			t.Fatal(err)
		}
		scene.Render(uint64(i), &want)
		comparePixels(t, &got, want.Pix)
		if got.Seq != uint64(i+1) || got.Camera != "line1" {
			t.Errorf("frame %d is number %d of %q", i, got.Seq, got.Camera)
		}
	}
	if info := s.Info(); info.Kind != "demo" || info.Width != 320 || info.Height != 180 || info.Live {
		t.Errorf("Info() = %+v", info)
	}
}

// The rate is the URI's, its default, or the lower one of the configuration.
func TestRate(t *testing.T) {
	for _, tt := range []struct {
		source string
		fps    float64
		want   float64
	}{
		{"demo://", 0, demoFPS}, {"demo://", 5, 5}, {"demo://", 50, demoFPS}, {"demo://?fps=50", 0, 50},
		{"demo://?fps=50", 10, 10}, {"demo://?speed=max", 0, 0}, {"demo://?speed=max", 25, 25},
		{stillsFolder + "/rgb.png", 0, stillFPS}, {"file://" + stillsFolder + "?fps=4", 0, 4},
	} {
		s := mustOpen(t, Config{Source: tt.source, FPS: tt.fps})
		if want := paceOf(tt.want).period; s.pace.period != want {
			t.Errorf("%s with fps %g: a frame each %v, want %v", tt.source, tt.fps, s.pace.period, want)
		}
	}
}

// An ended context ends a Read that waits for its turn, at once.
func TestReadIsCancelled(t *testing.T) {
	s := mustOpen(t, Config{Source: "demo://?fps=0.01&width=64&height=36"})
	var f vision.Frame
	if err := s.Read(t.Context(), &f); err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Millisecond)
	defer cancel()
	start := time.Now()
	if err := s.Read(ctx, &f); !errors.Is(err, context.DeadlineExceeded) || time.Since(start) > hangs {
		t.Errorf("Read under an ended context = %v after %v", err, time.Since(start))
	}
	if _, err := Open(ctx, Config{Source: "demo://"}); !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("Open under an ended context = %v", err)
	}
}

func TestClose(t *testing.T) {
	s := mustOpen(t, Config{Source: "demo://"})
	for range 2 {
		if err := s.Close(); err != nil {
			t.Error(err)
		}
	}
	var f vision.Frame
	if err := s.Read(t.Context(), &f); !errors.Is(err, os.ErrClosed) {
		t.Errorf("Read after Close = %v", err)
	}
}

// A drawn scene and a kept picture cost no memory per frame.
func TestReadAllocates(t *testing.T) {
	for _, source := range []string{"demo://?speed=max&width=160&height=90", "file://" + stillsFolder +
		"/rgb.png?loop=-1&speed=max"} {
		s := mustOpen(t, Config{Source: source})
		ctx, f := t.Context(), vision.Frame{}
		read := func() {
			if err := s.Read(ctx, &f); err != nil {
				t.Fatal(err)
			}
		}
		read()
		if n := testing.AllocsPerRun(50, read); n > 0 {
			t.Errorf("%s: %g allocations a frame", source, n)
		}
	}
}
