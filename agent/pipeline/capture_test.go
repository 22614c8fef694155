package pipeline

import (
	"context"
	"errors"
	"fmt"
	"io"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/vggse/vggse-agent/camera"
	"github.com/vggse/vggse-agent/vision"
)

// scripted shows one grey value after the other, each once, then the end that it is given.
type scripted struct {
	greys []byte
	n     int
	err   error
}

func (s *scripted) Read(_ context.Context, f *vision.Frame) error {
	if s.n == len(s.greys) {
		return s.err
	}
	f.Resize(64, 36)
	for i := range f.Pix {
		f.Pix[i] = s.greys[s.n]
	}
	s.n++
	f.Seq, f.Time = uint64(s.n), time.Now()
	return nil
}

func (s *scripted) Close() error { return nil }

// A stall and a loss have their own word, each told once however often the camera is tried.
func TestStatusOfACameraThatComesAndGoes(t *testing.T) {
	stalled := fmt.Errorf("no frame for 2 s: %w", camera.ErrStalled)
	script := []struct {
		greys []byte
		err   error
	}{
		{[]byte{1}, stalled}, {nil, stalled}, {nil, camera.ErrLost},
		{nil, fmt.Errorf("hung up: %w: %w", camera.ErrLost, io.EOF)},
		{[]byte{3}, camera.ErrLost}, {nil, errors.New("enough")},
	}
	r := &published{}
	p := testPipeline(&fakeNetwork{}, r, Camera{Name: "cam", Open: func(context.Context) (Source, error) {
		next := script[0]
		script = script[1:]
		return &scripted{greys: next.greys, err: next.err}, nil
	}})
	if err := p.Run(t.Context()); err == nil || !strings.Contains(err.Error(), "enough") {
		t.Fatal(err)
	}
	want := "cam online, cam stalled, cam offline, cam online, cam offline"
	if got := strings.Join(r.statuses, ", "); got != want {
		t.Errorf("statuses = %s\nwant %s", got, want)
	}
}

// A camera that is away for good is tried again and again, and is no reason to restart the process.
func TestUnpluggedIsNotStuck(t *testing.T) {
	var opens atomic.Int32
	p := testPipeline(&fakeNetwork{}, &published{}, Camera{Name: "away", Open: func(context.Context) (Source, error) {
		opens.Add(1)
		return nil, camera.ErrLost
	}})
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan error)
	go func() { done <- p.Run(ctx) }()
	for opens.Load() < 4 {
		if err := p.Stuck(); err != nil {
			t.Fatal(err)
		}
		time.Sleep(time.Millisecond)
	}
	f := p.captures[0]
	for end := time.Now().Add(hangs); f.deadline.until.Load() != 0; time.Sleep(time.Millisecond) {
		if time.Now().After(end) {
			t.Fatal("between two tries the clock runs")
		}
	}
	cancel()
	if err := <-done; err != nil {
		t.Error(err)
	}
}

// Nothing dark or frozen is classified, and it is told; when there is light again, all goes on.
func TestDarknessIsNotClassified(t *testing.T) {
	c := camera.Config{Source: "/dev/video0", Frozen: time.Hour, Dark: time.Nanosecond}
	r := &published{}
	p := testPipeline(&fakeNetwork{}, r, Camera{Name: "cam", Watch: c.Watch(), EveryFrame: true,
		Open: func(context.Context) (Source, error) {
			return &scripted{greys: []byte{9, 8, 0, 0, 0, 0, 9}, err: errors.New("enough")}, nil
		}})
	if err := p.Run(t.Context()); err == nil || !strings.Contains(err.Error(), "enough") {
		t.Fatal(err)
	}
	if got := strings.Join(r.statuses, ", "); got != "cam online, cam stalled, cam online" {
		t.Errorf("statuses = %s", got)
	}
	for _, d := range r.decisions {
		if d.Frame > 3 && d.Frame < 7 { // the first dark one only begins the darkness
			t.Errorf("frame %d is dark, and was classified", d.Frame)
		}
	}
}

// Each part of a picture is classified for itself, under its name, and sees its own pixels.
func TestRegions(t *testing.T) {
	left, right := camera.Region{Name: "l", Width: 0.5, Height: 1}, camera.Region{Name: "r", Left: 0.5, Width: 0.5,
		Height: 1}
	r := &published{}
	p := testPipeline(networkFunc(judge), r, Camera{Name: "cam", Regions: []camera.Region{left, right},
		EveryFrame: true,
		Open:       func(context.Context) (Source, error) { return &halves{frames: 10}, nil }})
	p.MaxBatch, p.MaxWait = 2, 50*time.Millisecond
	if err := p.Run(t.Context()); err == nil || !strings.Contains(err.Error(), "enough") {
		t.Fatal(err)
	}
	seen := map[string]int{}
	for _, d := range r.decisions {
		seen[d.Camera]++
		if want := map[string]string{"cam-l": "dark", "cam-r": "bright"}[d.Camera]; d.Stable.Label != want {
			t.Errorf("frame %d of %s is %s", d.Frame, d.Camera, d.Stable.Label)
		}
	}
	if seen["cam-l"] < 9 || seen["cam-r"] < 9 { // the end may come before the last is classified
		t.Errorf("decisions: %v", seen)
	}
	if got := strings.Join(r.statuses, ", "); got != "cam-l online, cam-r online" {
		t.Errorf("statuses = %s", got)
	}
}

// halves shows pictures that are dark on the left and bright on the right.
type halves struct{ frames int }

func (h *halves) Read(_ context.Context, f *vision.Frame) error {
	if h.frames == 0 {
		return errors.New("enough")
	}
	h.frames--
	f.Resize(64, 36)
	for i := range f.Pix {
		f.Pix[i] = byte(i % f.Stride / (f.Stride / 2) * 255)
	}
	f.Seq, f.Time = uint64(h.frames), time.Now()
	return nil
}

func (h *halves) Close() error { return nil }

// A batch holds at most one picture of each camera, and each gets the answer to its own.
func TestBatches(t *testing.T) { synctest.Test(t, batches) }

func batches(t *testing.T) {
	var closed, most atomic.Int32
	r := &published{want: 200, full: make(chan struct{})}
	var cameras []Camera
	for i := range 4 {
		grey := byte(i % 2 * 255)
		cameras = append(cameras, Camera{Name: fmt.Sprint(grey, "-", i), Open: func(context.Context) (Source, error) {
			return &steadySource{grey: grey, closed: &closed}, nil
		}})
	}
	p := testPipeline(networkFunc(func(t *vision.Tensor, out vision.Logits) {
		most.Store(max(most.Load(), int32(t.Shape[0])))
		judge(t, out)
		time.Sleep(time.Millisecond)
	}), r, cameras...)
	p.MaxBatch, p.MaxWait = 3, 20*time.Millisecond
	ctx, cancel := context.WithCancel(t.Context())
	go func() { <-r.full; cancel() }()
	if err := p.Run(ctx); err != nil {
		t.Fatal(err)
	}
	count := map[string]int{}
	for _, d := range r.decisions[:200] {
		count[d.Camera]++
		if want := map[byte]string{'0': "dark", '2': "bright"}[d.Camera[0]]; d.Stable.Label != want {
			t.Fatalf("frame %d of %s is %s", d.Frame, d.Camera, d.Stable.Label)
		}
	}
	if most.Load() != 3 {
		t.Errorf("the largest batch had %d pictures, want 3", most.Load())
	}
	for name, n := range count {
		if n < 40 || n > 60 {
			t.Errorf("%d of 200 decisions are of %s, want about 50", n, name)
		}
	}
}

// judge says of each picture of a batch what fakeNetwork says of one.
func judge(t *vision.Tensor, out vision.Logits) {
	n, each := int(t.Shape[0]), len(t.Data)/int(t.Shape[0])
	for i := range n {
		out[2*i], out[2*i+1] = 0, 10*(t.Data[i*each]-0.5)
	}
}

type networkFunc func(t *vision.Tensor, out vision.Logits)

func (f networkFunc) Run(_ context.Context, t *vision.Tensor, out vision.Logits) error {
	f(t, out)
	return nil
}

// steadySource shows the same grey a thousand times a second.
type steadySource struct {
	grey   byte
	n      uint64
	closed *atomic.Int32
}

func (s *steadySource) Read(ctx context.Context, f *vision.Frame) error {
	time.Sleep(time.Millisecond)
	s.n++
	f.Resize(8, 8)
	for i := range f.Pix {
		f.Pix[i] = s.grey
	}
	f.Seq, f.Time = s.n, time.Now()
	return ctx.Err()
}

func (s *steadySource) Close() error { s.closed.Add(1); return nil }
