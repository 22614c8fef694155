package pipeline

import (
	"context"
	"errors"
	"flag"
	"log/slog"
	"math/rand/v2"
	"runtime/pprof"
	"sync"
	"testing"
	"time"

	"github.com/vggse/vggse-agent/camera"
	"github.com/vggse/vggse-agent/camera/cameratest"
	"github.com/vggse/vggse-agent/camera/worker"
	"github.com/vggse/vggse-agent/infer"
	"github.com/vggse/vggse-agent/mqtt"
	"github.com/vggse/vggse-agent/vision"
)

// faults is the length of TestFaults; `make soak` asks for 500.
var faults = flag.Int("faults", 30, "faults of TestFaults")

// whole is for a machine of one's own: the cameras' tests hold times against their bars.
var whole = flag.Bool("whole", false, "hold the times of lost cameras, and the age of pictures, against their bars")

// filmed is a real RTSP camera in a running pipeline, and what was made of its pictures.
type filmed struct {
	*cameratest.RTSP

	mu       sync.Mutex
	sent     int  // pictures, when it was last looked at
	murky    bool // its pictures are garbled, and their numbers with them
	cured    int  // pictures sent, when they were garbled no more
	clear    int  // pictures in a row, of those that were sent since then
	number   int  // of the last picture that was classified; -1: none
	answers  int
	lost     int // pictures between two that were classified one after the other
	stale    int
	last     time.Time // answer
	statuses map[string]time.Time
}

// hall is a pipeline with the demo network on real RTSP cameras.
type hall struct {
	t       *testing.T
	cameras map[string]*filmed
	end     func() // waits for the pipeline
}

// openHall starts cameras of the given rates, by name, and waits until all are classified.
func openHall(t *testing.T, codec string, fps map[string]string) *hall {
	t.Helper()
	if camera.OpenCVVersion() == "none" {
		t.Skip("built without OpenCV (tag gocv)")
	}
	network, err := infer.OpenBundle(t.Context(), "../../demo/bundle", "fp32",
		infer.Config{Providers: []string{infer.CPU}, Threads: 1})
	if err != nil {
		t.Fatal(err)
	}
	h := &hall{t: t, cameras: map[string]*filmed{}}
	p := testPipeline(network, h)
	p.Spec, p.Recorder, p.Log = &network.Bundle.Spec, h, slog.New(slog.NewTextHandler(t.Output(), nil))
	for name, rate := range fps {
		f := &filmed{RTSP: cameratest.StartRTSP(t, codec, "-fps", rate), number: -1, statuses: map[string]time.Time{}}
		h.cameras[name] = f
		process := worker.New(camera.Config{Name: name, Source: f.URL})
		p.Cameras = append(p.Cameras, Camera{Name: name, Close: process.Close,
			Open: func(ctx context.Context) (Source, error) { return process.Open(ctx) }})
	}
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan error, 1)
	go func() { done <- p.Run(ctx) }()
	h.end = sync.OnceFunc(func() {
		cancel()
		if err := errors.Join(<-done, network.Close()); err != nil {
			t.Error(err)
		}
	})
	t.Cleanup(h.end)
	for name := range h.cameras {
		h.comes(name, time.Now())
	}
	return h
}

// Keep is called with every picture that was classified.
func (h *hall) Record(d *vision.Decision, picture *vision.Frame) {
	f := h.cameras[d.Camera]
	f.mu.Lock()
	defer f.mu.Unlock()
	n := cameratest.Number(picture)
	step := (n - f.number + cameratest.StreamFrames) % cameratest.StreamFrames
	behind := (f.sent - 1 - n + 2*cameratest.StreamFrames) % cameratest.StreamFrames
	// two seconds at 30
	const most = 60
	// the film lasts 10 s
	again := f.number >= 0 && (step == 0 || step > cameratest.StreamFrames/2 && time.Since(f.last) < 4*time.Second)
	if old := *whole && behind > most && behind < cameratest.StreamFrames/2; !f.murky && (again || old) {
		h.t.Errorf("%s: picture %d was classified after %d, when %d had been sent", d.Camera, n, f.number, f.sent)
		f.stale++
	}
	if f.number >= 0 && step > 0 {
		f.lost += step - 1
	}
	if f.clear++; again || (n-f.cured+cameratest.StreamFrames)%cameratest.StreamFrames > cameratest.StreamFrames/2 {
		f.clear = 0
	}
	f.number, f.last = n, time.Now()
	f.answers++
}

func (h *hall) Publish(context.Context, *vision.Decision) error { return nil }
func (h *hall) Stats(mqtt.Stats)                                {}

func (h *hall) CameraStatus(name, status string) {
	f := h.cameras[name]
	f.mu.Lock()
	defer f.mu.Unlock()
	f.statuses[status] = time.Now()
}

// look keeps the cameras' counts for the given time; it ends when done says so.
func (h *hall) look(length time.Duration, done func() bool) bool {
	for end := time.Now().Add(length); time.Now().Before(end); time.Sleep(20 * time.Millisecond) {
		for _, f := range h.cameras {
			at := f.At()
			f.mu.Lock()
			f.sent = at
			f.mu.Unlock()
		}
		if done() {
			return true
		}
	}
	return false
}

func never() bool { return false }

// comes waits for an answer to a picture of the camera after since, and returns how long that took.
func (h *hall) comes(name string, since time.Time) time.Duration {
	h.t.Helper()
	f := h.cameras[name]
	if !h.look(hangs, func() bool { f.mu.Lock(); defer f.mu.Unlock(); return f.last.After(since) }) {
		pprof.Lookup("goroutine").WriteTo(h.t.Output(), 1) //nolint:errcheck // it is for who looks for the reason
		h.t.Fatalf("%s: no answer within %s; statuses %v", name, hangs, f.statuses)
	}
	return time.Since(since)
}

// becomes waits until the camera has the status, and returns how long that took.
func (h *hall) becomes(name, status string, since time.Time) time.Duration {
	h.t.Helper()
	f := h.cameras[name]
	if !h.look(hangs, func() bool { f.mu.Lock(); defer f.mu.Unlock(); return f.statuses[status].After(since) }) {
		h.t.Fatalf("%s is not %s within %s", name, status, hangs)
	}
	return time.Since(since)
}

// count is how many pictures of the camera were lost since the last call.
func (f *filmed) count() int {
	f.mu.Lock()
	defer f.mu.Unlock()
	lost := f.lost
	f.lost = 0
	return lost
}

// A camera that falls silent, or whose server dies, is noticed and comes back, while the one beside
// it goes on; on a machine of one's own (-whole) within 3 s, and within 5 s of its return, and the
// one beside it loses no more than one picture more than without such trouble.
func TestLostCameraAndTheOneBeside(t *testing.T) {
	h := openHall(t, "h264", map[string]string{"lost": "30", "beside": "10"})
	lost, beside := h.cameras["lost"], h.cameras["beside"]
	for _, trouble := range []struct{ fault, cure, status string }{{"stall", "play", "stalled"},
		{"die", "up", "offline"}} {
		beside.count()
		h.look(6*time.Second, never)
		calm := beside.count()

		since := time.Now() // the agent may know before the server's end has come back to us
		lost.Do(trouble.fault)
		noticed := h.becomes("lost", trouble.status, since)
		h.comes("beside", time.Now())
		h.look(time.Second, never)
		lost.Do(trouble.cure)
		back := h.comes("lost", time.Now())
		missed := beside.count()
		t.Logf("%s: noticed after %.2f s, answers again %.2f s after its return; the camera beside lost %d "+
			"pictures, %d in 6 s without trouble",
			trouble.fault, noticed.Seconds(), back.Seconds(), missed, calm)
		if *whole && (noticed > 3*time.Second || back > 5*time.Second || missed > calm+1) {
			t.Errorf("%s: want at most 3 s, 5 s and one picture more", trouble.fault)
		}
	}
}

// Faults at random, one after the other and several at once: the process lives, nothing old is
// classified as new, and every camera comes back.
func TestFaults(t *testing.T) {
	h := openHall(t, cameratest.Whole, map[string]string{"a": "30", "b": "30", "c": "30"})
	random := rand.New(rand.NewPCG(8, 8))
	cures := map[string]string{"stall": "play", "slow": "play", "garbage": "play", "die": "up"}
	for range *faults {
		name := []string{"a", "b", "c"}[random.IntN(3)]
		fault := []string{"stall", "slow", "garbage", "die"}[random.IntN(4)]
		f := h.cameras[name]
		f.mu.Lock()
		f.murky = fault == "garbage"
		f.mu.Unlock()
		f.Do(fault)
		h.look(time.Duration(random.IntN(3000))*time.Millisecond, never)
		f.Do(cures[fault])
		if random.IntN(2) == 0 { // else the next one comes before it has recovered
			h.look(time.Second, never)
		}
		if fault == "garbage" { // until what was garbled has gone through
			at := f.At()
			f.mu.Lock()
			f.cured, f.clear = at, 0
			f.mu.Unlock()
			if !h.look(hangs, func() bool { f.mu.Lock(); defer f.mu.Unlock(); return f.clear >= 15 }) {
				t.Fatalf("%s: no clear pictures within %s after garbled ones", name, hangs)
			}
		}
		f.mu.Lock()
		f.murky = false
		f.mu.Unlock()
	}
	for name, f := range h.cameras {
		h.comes(name, time.Now())
		f.mu.Lock()
		t.Logf("%s: %d answers, %d of old pictures, statuses %d", name, f.answers, f.stale, len(f.statuses))
		if f.statuses["stalled"].IsZero() && f.statuses["offline"].IsZero() {
			t.Errorf("%s was never lost: the faults did nothing", name)
		}
		f.mu.Unlock()
	}
	h.end()
}
