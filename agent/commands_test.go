package agent

import (
	"bytes"
	"context"
	"errors"
	"image/jpeg"
	"io"
	"log/slog"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/vggse/vggse-agent/camera"
	"github.com/vggse/vggse-agent/vision"
)

// A camera is closed and opened again while another goes on; a film that ends does not wait for a closed camera.
func TestShutter(t *testing.T) {
	var closed atomic.Int32
	r := &recorder{}
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
		for end := time.Now().Add(10 * time.Second); ; time.Sleep(time.Millisecond) {
			r.mu.Lock()
			all := slices.Clone(r.statuses)
			r.mu.Unlock()
			got := strings.Join(slices.DeleteFunc(all, func(s string) bool { return !strings.HasPrefix(s, "live ") }), ", ")
			if strings.HasSuffix(got, want) {
				return
			}
			if time.Now().After(end) {
				t.Fatalf("statuses of the live camera %s, want %s", got, want)
			}
		}
	}
	told("live disabled")
	ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second)
	defer cancel()
	if _, err := p.lane("live").shoot(ctx); err == nil || err.Error() != "the camera is disabled" {
		t.Errorf("picture of a closed camera: %v", err)
	}
	p.lane("live").feed.shutter.turn(true)
	told("live online")
	f, err := p.lane("live").shoot(ctx)
	if err != nil || f.Width != 8 || len(f.Pix) != 8*8*3 {
		t.Errorf("picture: %v, %+v", err, f)
	}
	p.lane("live").feed.shutter.turn(false)
	told("live online, live disabled")
	close(ended)
	select {
	case err := <-done:
		if err != nil {
			t.Error(err)
		}
	case <-time.After(20 * time.Second):
		t.Fatal("the film is over, and the pipeline goes on")
	}
	if closed.Load() != 1 {
		t.Errorf("closed %d times", closed.Load())
	}
}

// A threshold holds from the next frame on.
func TestThresholdAtRunTime(t *testing.T) {
	var closed atomic.Int32
	r := &recorder{want: 20, full: make(chan struct{})}
	p := testPipeline(&fakeNetwork{}, r, Camera{Name: "a", Decide: vision.DecideConfig{TopK: 1, Confirm: 1, Threshold: 1},
		Open: func(context.Context) (Source, error) {
			return &fakeSource{frames: 1 << 30, every: time.Millisecond, closed: &closed}, nil
		}})
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan error)
	go func() { done <- p.Run(ctx) }()
	<-r.full
	p.lane("a").setThreshold(0.5)
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

// A picture is halved until it fits, and its colours are the right way round.
func TestEncodeShot(t *testing.T) {
	var f vision.Frame
	f.Resize(1921, 1080)
	noise := rand.New(rand.NewPCG(1, 2))
	for i := range f.Pix {
		f.Pix[i] = byte(noise.IntN(256))
	}
	b, err := encodeShot(&f, 100<<10)
	if err != nil || len(b) > 100<<10 {
		t.Fatalf("%d bytes, %v", len(b), err)
	}
	img, err := jpeg.Decode(bytes.NewReader(b))
	if err != nil || img.Bounds().Dx() < 200 || img.Bounds().Dx() > 960 {
		t.Fatalf("%v, %v", err, img.Bounds())
	}
	f.Resize(40, 30)
	for i := range f.Pix {
		f.Pix[i] = []byte{200, 0, 0}[i%3]
	}
	if b, err = encodeShot(&f, 100<<10); err != nil {
		t.Fatal(err)
	}
	if img, err = jpeg.Decode(bytes.NewReader(b)); err != nil {
		t.Fatal(err)
	}
	if red, _, blue, _ := img.At(20, 15).RGBA(); red > 40<<8 || blue < 180<<8 {
		t.Errorf("red %d, blue %d of a blue picture", red>>8, blue>>8)
	}
	if _, err := encodeShot(&f, 10); err == nil {
		t.Error("no error for 10 bytes")
	}
}

// What was set outlives a restart, until its key is configured anew; a damaged file is passed over; a disk that
// cannot be written changes nothing.
func TestKept(t *testing.T) {
	dir, quiet := t.TempDir(), slog.New(slog.DiscardHandler)
	k := openKept(dir, quiet)
	if err := keep(k, &k.camera("a").Threshold, 0.9, 0.6); err != nil {
		t.Fatal(err)
	}
	if err := keep(k, &k.camera("a").Enabled, false, true); err != nil {
		t.Fatal(err)
	}
	k = openKept(dir, quiet)
	if got := over(&k.camera("a").Threshold, 0.6); got != 0.9 {
		t.Errorf("threshold %g after a restart, want 0.9", got)
	}
	if got := over(&k.camera("a").Threshold, 0.7); got != 0.7 {
		t.Errorf("threshold %g after a new configuration, want 0.7", got)
	}
	if got := over(&k.camera("a").Threshold, 0.6); got != 0.6 {
		t.Errorf("threshold %g: what is outlived came back", got)
	}
	if over(&k.camera("a").Enabled, true) || !over(&k.camera("b").Enabled, true) {
		t.Error("enabled: want a off and b on")
	}
	if err := os.WriteFile(filepath.Join(dir, "settings.json"), []byte("{"), 0o600); err != nil {
		t.Fatal(err)
	}
	if k = openKept(dir, quiet); !over(&k.camera("a").Enabled, true) {
		t.Error("a damaged file was believed")
	}
	k.path = filepath.Join(dir, "settings.json", "no", "folder")
	if err := keep(k, &k.camera("a").Enabled, false, true); err == nil || errors.Is(err, os.ErrNotExist) || k.camera("a").Enabled != nil {
		t.Errorf("got %v, %v", err, k.camera("a").Enabled)
	}
}
