package worker

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"math/rand/v2"
	"os"
	"os/exec"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/vggse/vggse-agent/camera"
	"github.com/vggse/vggse-agent/camera/cameratest"
	"github.com/vggse/vggse-agent/internal/backoff"
	"github.com/vggse/vggse-agent/vision"
)

var (
	kills   = flag.Int("kills", 3, "how many children are killed, of how many cameras")
	cameras = flag.Int("cameras", 2, "beside the one whose children are killed")
	whole   = flag.Bool("whole", false, "hold times against their bars, on a machine of one's own")
)

// played is a camera that is read and opened again as the pipeline does.
type played struct {
	camera *Camera
	frames atomic.Int64
	child  atomic.Int64 // process id of the newest
	broken atomic.Int64 // frames that do not follow the one before
	opened atomic.Int64
}

// play reads until ctx ends; the film's pictures must come one after the other while it is open.
func (p *played) play(ctx context.Context, t *testing.T) {
	defer p.camera.Close()
	var f [3]vision.Frame
	for attempt := 0; ctx.Err() == nil; attempt++ {
		s, err := p.camera.Open(ctx)
		if err == nil {
			p.opened.Add(1)
			p.child.Store(int64(s.(*Stream).process.cmd.Process.Pid))
			for last, i := -1, 0; ; i++ {
				if err = s.Read(ctx, &f[i%3]); err != nil {
					break
				}
				attempt = 0
				n := cameratest.Number(&f[i%3])
				if n != (last+1)%filmFrames {
					p.broken.Add(1)
				}
				last = n
				p.frames.Add(1)
			}
			err = errors.Join(err, s.Close())
		}
		if ctx.Err() == nil && !errors.Is(err, camera.ErrLost) {
			t.Errorf("%v, want an ErrLost", err)
			return
		}
		select {
		case <-ctx.Done():
		case <-time.After(backoff.Delay(attempt)):
		}
	}
}

// filmFrames are the pictures of the film that is played in a loop.
const filmFrames = 50

// Children that are killed, crash, or are stopped end no other: the cameras beside lose no frame and
// keep their processes, and the one whose child it was comes back.
func TestKilledChildren(t *testing.T) {
	needOpenCV(t)
	film := cameratest.Video(t, "film.avi", filmFrames, "-c:v", "mjpeg")
	ctx, cancel := context.WithCancel(t.Context())
	var group sync.WaitGroup
	var all []*played
	for i := range *cameras + 1 {
		p := &played{camera: New(camera.Config{
			Name: fmt.Sprint("film", i), Source: "file://" + film + "?loop=-1&fps=20"})}
		if i == 0 {
			p.camera.limits.silence = 3 * aliveEvery
		}
		all = append(all, p)
		group.Go(func() { p.play(ctx, t) })
	}
	for _, p := range all {
		waitFor(t, "the first frames", func() bool { return p.frames.Load() > 5 })
	}
	before := descriptors(t)
	victim := all[0]
	signals := []syscall.Signal{syscall.SIGKILL, syscall.SIGSEGV, syscall.SIGSTOP, syscall.SIGABRT, syscall.SIGBUS}
	var longest time.Duration
	for i := range *kills {
		sig := signals[i%len(signals)]
		if i >= len(signals) {
			sig = signals[rand.N(len(signals))]
		}
		opened := victim.opened.Load()
		if err := syscall.Kill(int(victim.child.Load()), sig); err != nil {
			t.Fatalf("%s to process %d: %v", sig, victim.child.Load(), err)
		}
		killed := time.Now()
		waitFor(t, "another child after "+sig.String(), func() bool { return victim.opened.Load() > opened })
		frames := victim.frames.Load()
		waitFor(t, "frames after "+sig.String(), func() bool { return victim.frames.Load() > frames })
		if took := time.Since(killed); sig != syscall.SIGSTOP {
			longest = max(longest, took)
		}
	}
	t.Logf("%d killed; the slowest was back after %s", *kills, longest.Round(time.Millisecond))
	if *whole && longest > 2*time.Second {
		t.Errorf("the slowest was back after %s, want at most 2 s", longest)
	}
	for _, p := range all[1:] {
		if n, m := p.opened.Load(), p.broken.Load(); n != 1 || m != 0 {
			t.Errorf("%s was opened %d times, %d frames do not follow the one before", p.camera.config.Name, n, m)
		}
	}
	if after := descriptors(t); after != before {
		t.Errorf("%d descriptors, %d before", after, before)
	}
	cancel()
	group.Wait()
}

func init() {
	// A process that opens a camera and waits for its own end.
	hostile["parent"] = func() {
		Asked(nil)
		s, err := New(camera.Config{Source: os.Getenv("FILM")}).Open(context.Background())
		if err != nil {
			fmt.Println(err)
			return
		}
		fmt.Println(s.(*Stream).process.cmd.Process.Pid)
		select {}
	}
}

// A child ends with its parent, however that ends, also one that is stopped and hears nothing.
func TestChildEndsWithParent(t *testing.T) {
	needOpenCV(t)
	for _, stopped := range []bool{false, true} {
		parent := exec.Command(os.Args[0], Verb, "parent")
		parent.Env = append(os.Environ(), "FILM=file://"+cameratest.Video(t, "film.avi", 5, "-c:v", "mjpeg")+"?loop=-1")
		out, err := parent.StdoutPipe()
		if err != nil {
			t.Fatal(err)
		}
		if err := parent.Start(); err != nil {
			t.Fatal(err)
		}
		var child int
		_, err = fmt.Fscan(out, &child)
		if err == nil && stopped {
			err = syscall.Kill(child, syscall.SIGSTOP)
		}
		if err := errors.Join(err, parent.Process.Kill()); err != nil {
			t.Fatal(err)
		}
		parent.Wait()
		waitFor(t, "the end of the child", func() bool {
			text, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", child))
			_, rest, _ := strings.Cut(string(text), ") ")
			return err != nil || strings.HasPrefix(rest, "Z") // who inherits it has not looked yet
		})
	}
}

// waitFor waits for a state that must come.
func waitFor(t *testing.T, what string, ready func() bool) {
	t.Helper()
	for end := time.Now().Add(hangs); !ready(); time.Sleep(5 * time.Millisecond) {
		if time.Now().After(end) {
			t.Fatalf("%s did not come within %s", what, hangs)
		}
	}
}

// A read that hangs in C ends its process and no other, with a stall as its error.
func TestStuckRead(t *testing.T) {
	needOpenCV(t)
	c := newCamera(t, "gst:videotestsrc is-live=true ! video/x-raw,width=64,height=48 ! identity "+
		"sleep-time=1000000000 ! videoconvert ! video/x-raw,format=BGR ! appsink")
	c.limits.open, c.limits.read, c.limits.first, c.limits.start = time.Second, time.Second, 0, time.Second
	s, err := c.Open(soon(t))
	if err == nil {
		var f vision.Frame
		err = errors.Join(s.Read(soon(t), &f), s.Close())
	}
	if !errors.Is(err, camera.ErrStalled) {
		t.Errorf("%v, want an ErrStalled", err)
	}
	t.Log(err)
}
