package worker

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"runtime/debug"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/vggse/vggse-agent/camera"
	"github.com/vggse/vggse-agent/camera/cameratest"
	"github.com/vggse/vggse-agent/internal/backoff"
	"github.com/vggse/vggse-agent/vision"
)

var (
	kills    = flag.Int("kills", 3, "how many children are ended, of how many cameras")
	cameras  = flag.Int("cameras", 2, "beside the first one")
	openings = flag.Int("openings", 6, "how often cameras are opened")
	whole    = flag.Bool("whole", false, "hold times against their bars, on a machine of one's own")
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
	var waits backoff.Camera
	for ctx.Err() == nil {
		var first, last time.Time
		s, err := p.camera.Open(ctx)
		if err == nil {
			p.opened.Add(1)
			p.child.Store(int64(s.(*Stream).process.cmd.Process.Pid))
			for before, i := -1, 0; ; i++ {
				if err = s.Read(ctx, &f[i%3]); err != nil {
					break
				}
				if last = time.Now(); i == 0 {
					first = last
				}
				n := cameratest.Number(&f[i%3])
				if n != (before+1)%filmFrames {
					p.broken.Add(1)
				}
				before = n
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
		case <-time.After(waits.Next(last.Sub(first))):
		}
	}
}

// filmFrames are the pictures of the film that is played in a loop.
const filmFrames = 50

// ends are the ways in which a child ends without having been asked, and the one in which it hangs.
var ends = []struct {
	name string
	end  func(pid int) error
}{
	{"killed", signalled(syscall.SIGKILL)}, {"crashed", signalled(syscall.SIGSEGV)},
	{"hung", signalled(syscall.SIGSTOP)}, {"aborted", signalled(syscall.SIGABRT)},
	{"bus error", signalled(syscall.SIGBUS)},
	{"out of memory", func(pid int) error {
		// No more from now on; a decoder that has all it needs is then ended as the kernel would.
		err := unix.Prlimit(pid, unix.RLIMIT_DATA, &unix.Rlimit{}, nil)
		time.Sleep(50 * time.Millisecond)
		if end := syscall.Kill(pid, syscall.SIGKILL); end != syscall.ESRCH { // it may have ended by itself
			err = errors.Join(err, end)
		}
		return err
	}},
}

func signalled(s syscall.Signal) func(pid int) error {
	return func(pid int) error { return syscall.Kill(pid, s) }
}

// Children that are killed, crash, hang, or run out of memory, at random, end no other: the cameras
// beside lose no frame and keep their processes, the one whose child it was comes back, and nothing is
// left behind.
func TestKilledChildren(t *testing.T) {
	needOpenCV(t)
	film := cameratest.Video(t, "film.avi", filmFrames, "-c:v", "mjpeg")
	ctx, cancel := context.WithCancel(t.Context())
	var group sync.WaitGroup
	var all []*played
	for i := range *cameras + 1 {
		p := &played{camera: New(camera.Config{
			Name: fmt.Sprint("film", i), Source: "file://" + film + "?loop=-1&fps=20"})}
		p.camera.limits.silence = 3 * aliveEvery
		all = append(all, p)
		group.Go(func() { p.play(ctx, t) })
	}
	for _, p := range all {
		waitFor(t, "the first frames", func() bool { return p.frames.Load() > 5 })
	}
	before, ours := holdings(t), os.Getpid()
	wanted := slices.Repeat([]int64{1}, len(all))
	var longest time.Duration
	for i := range *kills {
		how, n := ends[i%len(ends)], i%len(all)
		if i >= len(ends) {
			how, n = ends[rand.N(len(ends))], rand.N(len(all))
		}
		victim := all[n]
		wanted[n]++
		frames := victim.frames.Load()
		if err := how.end(int(victim.child.Load())); err != nil {
			t.Fatalf("%s, process %d: %v", how.name, victim.child.Load(), err)
		}
		ended := time.Now()
		waitFor(t, "another child after "+how.name, func() bool { return victim.opened.Load() == wanted[n] })
		frames = max(frames, victim.frames.Load())
		waitFor(t, "frames after "+how.name, func() bool { return victim.frames.Load() > frames })
		if took := time.Since(ended); how.name != "hung" {
			longest = max(longest, took)
		}
	}
	t.Logf("%d ended; the slowest was back after %s", *kills, longest.Round(time.Millisecond))
	if *whole && longest > 2*time.Second {
		t.Errorf("the slowest was back after %s, want at most 2 s", longest)
	}
	for n, p := range all {
		if got, broken := p.opened.Load(), p.broken.Load(); got != wanted[n] || broken != 0 {
			t.Errorf("%s was opened %d times, want %d; %d frames do not follow the one before", p.camera.config.Name,
				got, wanted[n], broken)
		}
	}
	before.hold(t, holdings(t))
	if os.Getpid() != ours {
		t.Error("this process is another one")
	}
	cancel()
	group.Wait()
}

// holding is what a process holds of the machine.
type holding struct {
	files, children, megabytes int
}

func holdings(t *testing.T) holding {
	t.Helper()
	debug.FreeOSMemory()
	h := holding{files: descriptors(t)}
	text, err := os.ReadFile("/proc/self/status")
	_, rest, _ := strings.Cut(string(text), "\nRssAnon:")
	if _, err2 := fmt.Sscan(rest, &h.megabytes); err != nil || err2 != nil {
		t.Fatal(err, err2)
	}
	h.megabytes /= 1024
	tasks, err := filepath.Glob("/proc/self/task/*/children")
	if err != nil {
		t.Fatal(err)
	}
	for _, task := range tasks {
		text, _ := os.ReadFile(task)
		h.children += len(strings.Fields(string(text)))
	}
	return h
}

// hold fails the test where there is more now.
func (h holding) hold(t *testing.T, now holding) {
	t.Helper()
	t.Logf("%+v → %+v", h, now)
	if now.files > h.files || now.children > h.children || now.megabytes > h.megabytes+16 {
		t.Errorf("something leaks: %+v before, %+v now", h, now)
	}
}

// Opening and closing a camera again and again leaves nothing behind: no descriptor, no process, no
// memory.
func TestOpenings(t *testing.T) {
	needOpenCV(t)
	film := cameratest.Video(t, "film.avi", 5, "-c:v", "mjpeg")
	picture := cameratest.Video(t, "picture.png", 1, "-frames:v", "1")
	cam := cameratest.StartRTSP(t, cameratest.Whole)
	sources := []string{"file://" + film + "?speed=max", "file://" + picture, cam.URL}
	cycle := func(times int) {
		for i := range times {
			c := New(camera.Config{Name: "test", Source: sources[i%len(sources)]})
			s, err := c.Open(soon(t))
			if err != nil {
				t.Fatal(err)
			}
			var f vision.Frame
			if err := s.Read(soon(t), &f); err != nil {
				t.Fatal(err)
			}
			if err := errors.Join(s.Close(), c.Close()); err != nil {
				t.Fatal(err)
			}
		}
	}
	cycle(len(sources))
	before := holdings(t)
	cycle(*openings)
	before.hold(t, holdings(t))
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
