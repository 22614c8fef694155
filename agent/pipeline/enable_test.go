package pipeline

import (
	"context"
	"io"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/vggse/vggse-agent/camera"
	"github.com/vggse/vggse-agent/vision"
)

// A camera is closed and opened again while another goes on; a film that ends does not wait for a
// closed camera.
func TestEnable(t *testing.T) {
	var closed atomic.Int32
	r := &published{}
	ended := make(chan struct{})
	film := Camera{Name: "film", Open: func(ctx context.Context) (Source, error) {
		select {
		case <-ended:
			return nil, io.EOF
		case <-time.After(time.Millisecond):
			return nil, camera.ErrLost
		}
	}}
	live := Camera{Name: "live", Closed: true, Open: func(context.Context) (Source, error) {
		return &fakeSource{frames: 1 << 30, every: time.Millisecond, closed: &closed}, nil
	}}
	p := testPipeline(&fakeNetwork{}, r, film, live)
	done := make(chan error)
	go func() { done <- p.Run(t.Context()) }()
	told := func(want string) {
		t.Helper()
		for end := time.Now().Add(hangs); ; time.Sleep(time.Millisecond) {
			r.mu.Lock()
			all := slices.Clone(r.statuses)
			r.mu.Unlock()
			got := strings.Join(slices.DeleteFunc(all, func(s string) bool { return !strings.HasPrefix(s, "live ") }),
				", ")
			if strings.HasSuffix(got, want) {
				return
			}
			if time.Now().After(end) {
				t.Fatalf("statuses of the live camera %s, want %s", got, want)
			}
		}
	}
	told("live disabled")
	ctx, cancel := context.WithTimeout(t.Context(), hangs)
	defer cancel()
	if _, err := p.Snapshot(ctx, "live"); err == nil || err.Error() != "the camera is disabled" {
		t.Errorf("picture of a closed camera: %v", err)
	}
	p.Enable("live", true)
	told("live online")
	f, err := p.Snapshot(ctx, "live")
	if err != nil || f.Width != 8 || len(f.Pix) != 8*8*3 {
		t.Errorf("picture: %v, %+v", err, f)
	}
	p.Enable("live", false)
	told("live online, live disabled")
	close(ended)
	select {
	case err := <-done:
		if err != nil {
			t.Error(err)
		}
	case <-time.After(hangs):
		t.Fatal("the film is over, and the pipeline goes on")
	}
	if closed.Load() != 1 {
		t.Errorf("closed %d times", closed.Load())
	}
}

// A threshold holds from the next frame on.
func TestThresholdAtRunTime(t *testing.T) { synctest.Test(t, thresholdAtRunTime) }

func thresholdAtRunTime(t *testing.T) {
	var closed atomic.Int32
	r := &published{want: 20, full: make(chan struct{})}
	p := testPipeline(&fakeNetwork{}, r,
		Camera{Name: "a", Decide: vision.DecideConfig{TopK: 1, Confirm: 1, Threshold: 1},
			Open: func(context.Context) (Source, error) {
				return &fakeSource{frames: 1 << 30, every: time.Millisecond, closed: &closed}, nil
			}})
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan error)
	go func() { done <- p.Run(ctx) }()
	<-r.full
	p.SetThreshold("a", 0.5)
	time.Sleep(100 * time.Millisecond)
	cancel()
	if err := <-done; err != nil {
		t.Fatal(err)
	}
	for _, d := range r.decisions[:20] {
		if d.Stable.Label != vision.Unknown {
			t.Fatalf("%q above a threshold of 1", d.Stable.Label)
		}
	}
	if last := r.decisions[len(r.decisions)-1]; last.Stable.Label == vision.Unknown {
		t.Errorf("still unknown at 0.5: %+v", last.Top)
	}
}
