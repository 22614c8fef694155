package worker

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/vggse/vggse-agent/camera"
	"github.com/vggse/vggse-agent/camera/cameratest"
	"github.com/vggse/vggse-agent/vision"
)

// cost is what reading took, from the first frame on.
type cost struct {
	wall, cpu time.Duration
	waits     int             // how often a thread waited for something, as for a picture
	handed    []time.Duration // from a frame's time to its return
}

// measure reads frames as the pipeline does, three in turn; child is the process that decodes, 0:
// this one.
func measure(b *testing.B, s camera.Reader, child, frames int) (c cost) {
	b.Helper()
	var f [3]vision.Frame
	ctx := context.Background()
	read := func(i int) {
		if err := s.Read(ctx, &f[i%3]); err != nil {
			b.Fatal(err)
		}
	}
	for i := range 12 {
		read(i)
	}
	cpu, waits, start := cpuOf(b, child), waitsOf(b, child), time.Now()
	for i := range frames {
		read(i)
		c.handed = append(c.handed, time.Since(f[i%3].Time))
	}
	c.wall, c.cpu, c.waits = time.Since(start), cpuOf(b, child)-cpu, waitsOf(b, child)-waits
	return c
}

// waitsOf is how often the threads of this process and, where there is one, of the child have waited:
// voluntary context switches, which other work on the machine does not change.
func waitsOf(b *testing.B, child int) (sum int) {
	b.Helper()
	tasks, err := filepath.Glob("/proc/self/task/*/status")
	if child != 0 && err == nil {
		var more []string
		more, err = filepath.Glob(fmt.Sprintf("/proc/%d/task/*/status", child))
		tasks = append(tasks, more...)
	}
	if err != nil {
		b.Fatal(err)
	}
	for _, task := range tasks {
		text, _ := os.ReadFile(task) // none where the thread has ended
		if _, after, ok := strings.Cut(string(text), "\nvoluntary_ctxt_switches:"); ok {
			n := 0
			fmt.Sscan(after, &n)
			sum += n
		}
	}
	return sum
}

// cpuOf is the processor time of this process and, where there is one, of the child.
func cpuOf(b *testing.B, child int) time.Duration {
	b.Helper()
	var u unix.Rusage
	if err := unix.Getrusage(unix.RUSAGE_SELF, &u); err != nil {
		b.Fatal(err)
	}
	sum := time.Duration(u.Utime.Nano() + u.Stime.Nano())
	if child == 0 {
		return sum
	}
	text, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", child))
	if err != nil {
		b.Fatal(err)
	}
	_, rest, _ := strings.Cut(string(text), ") ")
	field := strings.Fields(rest)
	var user, system int64
	if _, err := fmt.Sscan(field[11]+" "+field[12], &user, &system); err != nil {
		b.Fatal(err)
	}
	return sum + time.Duration(user+system)*10*time.Millisecond // the kernel tells hundredths of a second
}

// both opens the source in this process and in one of its own, and measures them in turn.
func both(b *testing.B, source string, frames int) (inside, outside cost) {
	b.Helper()
	s, err := camera.Open(b.Context(), camera.Config{Source: source})
	if err != nil {
		b.Fatal(err)
	}
	if pump := s.Pump(); pump != nil {
		go pump()
	}
	inside = measure(b, s, 0, frames)
	s.Close()
	c := New(camera.Config{Source: source})
	defer c.Close()
	p, err := c.Open(b.Context())
	if err != nil {
		b.Fatal(err)
	}
	defer p.Close()
	return inside, measure(b, p, p.(*Stream).process.cmd.Process.Pid, frames)
}

// BenchmarkCost compares decoding in a process of its own with decoding in this one, interleaved:
//
//	go test -tags gocv,gocv_specific_modules,gocv_videoio ./camera/worker -run '^$' -bench Cost -benchtime 5x
//
// Beside other work the latencies are the scheduler's; with real-time priority (chrt -f 5, as root) they
// are ours.
func BenchmarkCost(b *testing.B) {
	needOpenCV(b)
	film := cameratest.Film(b, 1280, 720, 300)
	b.Run("film", func(b *testing.B) { // as fast as it goes
		var rates, cpus, inside, outside []float64
		for range b.N {
			in, out := both(b, "file://"+film+"?speed=max&loop=-1", 600)
			rates = append(rates, in.wall.Seconds()/out.wall.Seconds())
			cpus = append(cpus, out.cpu.Seconds()/in.cpu.Seconds())
			inside = append(inside, 600/in.wall.Seconds())
			outside = append(outside, 600/out.wall.Seconds())
		}
		b.ReportMetric(median(inside), "inside-frames/s")
		b.ReportMetric(median(outside), "frames/s")
		b.ReportMetric(median(rates), "frames/s-ratio")
		b.ReportMetric(median(cpus), "cpu-ratio")
	})
	for name, source := range map[string]string{ // 30 frames a second
		"live": "gst:videotestsrc is-live=true ! video/x-raw,width=1280,height=720,framerate=30/1",
		"rtsp": cameratest.StartRTSP(b, cameratest.Whole, "-file", annexB(b, film)).URL,
	} {
		b.Run(name, func(b *testing.B) {
			var in, out, middle, cpus, within, apart, waits, waitsApart []float64
			for range b.N {
				a, z := both(b, source, 150)
				in, out = append(in, p99(a.handed)), append(out, p99(z.handed))
				middle = append(middle, float64(z.handed[75]-a.handed[75])/1e6) // p99 has sorted them
				cpus = append(cpus, z.cpu.Seconds()/a.cpu.Seconds())
				within = append(within, a.cpu.Seconds()*1e3/150)
				apart = append(apart, z.cpu.Seconds()*1e3/150)
				waits = append(waits, float64(a.waits)/150)
				waitsApart = append(waitsApart, float64(z.waits)/150)
			}
			b.ReportMetric(median(within), "inside-cpu-ms/frame")
			b.ReportMetric(median(apart), "cpu-ms/frame")
			b.ReportMetric(median(waits), "inside-waits/frame")
			b.ReportMetric(median(waitsApart), "waits/frame")
			b.ReportMetric(median(middle), "ms-p50-more")
			b.ReportMetric(median(out)-median(in), "ms-p99-more")
			b.ReportMetric(median(cpus), "cpu-ratio")
		})
	}
}

func median(all []float64) float64 {
	slices.Sort(all)
	return all[len(all)/2]
}

func p99(all []time.Duration) float64 {
	slices.Sort(all)
	return float64(all[len(all)*99/100]) / 1e6
}

// BenchmarkMemory compares the private memory of a child, a film's and an RTSP camera's, with that of
// ffmpeg, which decodes the same and does nothing else, both two seconds after their first picture:
//
//	go test -tags gocv,gocv_specific_modules,gocv_videoio ./camera/worker -run '^$' -bench Memory -benchtime 3x
//
// AGENT=build/release/amd64/vggse-agent measures the children of that program in place of this one's.
func BenchmarkMemory(b *testing.B) {
	needOpenCV(b)
	film := cameratest.Film(b, 1280, 720, 300)
	for _, kind := range []struct{ name, source, input string }{
		{"film", "file://" + film + "?fps=30&loop=-1", "-re -stream_loop -1 -i " + film},
		{"rtsp", cameratest.StartRTSP(b, cameratest.Whole, "-file", annexB(b, film)).URL, "-rtsp_transport tcp -i "},
	} {
		if kind.name == "rtsp" {
			kind.input += kind.source
		}
		b.Run(kind.name, func(b *testing.B) {
			var child, bare []float64
			for range b.N {
				child, bare = append(child, childMemory(b, kind.source)), append(bare, bareMemory(b, kind.input))
			}
			b.ReportMetric(median(child), "child-MB")
			b.ReportMetric(median(bare), "ffmpeg-MB")
			b.ReportMetric(median(child)-median(bare), "MB-more")
		})
	}
}

// annexB is a film as a camera sends it.
func annexB(b *testing.B, film string) string {
	b.Helper()
	path := filepath.Join(b.TempDir(), "a.h264")
	if out, err := exec.Command("ffmpeg", append([]string{"-loglevel", "error", "-i", film}, strings.Fields(
		"-c:v libx264 -preset veryfast -tune zerolatency -g 30 -x264-params sliced-threads=0:repeat-headers=1:aud=1 "+
			path)...)...).CombinedOutput(); err != nil {
		b.Fatalf("%v: %s", err, out)
	}
	return path
}

// childMemory is that of a child, after 60 frames.
func childMemory(b *testing.B, source string) float64 {
	b.Helper()
	if agent := os.Getenv("AGENT"); agent != "" {
		return agentMemory(b, agent, source)
	}
	c := New(camera.Config{Source: source})
	defer c.Close()
	s, err := c.Open(b.Context())
	if err != nil {
		b.Fatal(err)
	}
	defer s.Close()
	var f [3]vision.Frame
	for i := range 60 {
		if err := s.Read(b.Context(), &f[i%3]); err != nil {
			b.Fatal(err)
		}
	}
	return private(b, s.(*Stream).process.cmd.Process.Pid)
}

// agentMemory is that of a child of the program agent.
func agentMemory(b *testing.B, agent, source string) float64 {
	b.Helper()
	command := exec.Command(agent, "cameras", "test", source, "--frames", "100000")
	words, err := command.StderrPipe()
	if err == nil {
		err = command.Start()
	}
	if err != nil {
		b.Fatal(err)
	}
	defer command.Wait()
	defer command.Process.Signal(os.Interrupt)
	told := bufio.NewScanner(words)
	told.Split(bufio.ScanWords)
	for frames := 0; told.Scan(); {
		if fmt.Sscanf(told.Text(), "(%d/100000)", &frames); frames >= 60 {
			tasks, _ := filepath.Glob(fmt.Sprintf("/proc/%d/task/*/children", command.Process.Pid))
			for _, task := range tasks {
				var pid int
				if text, err := os.ReadFile(task); err == nil {
					if _, err := fmt.Sscan(string(text), &pid); err == nil {
						return private(b, pid)
					}
				}
			}
		}
	}
	b.Fatal("the agent ended before its 60th frame")
	return 0
}

// bareMemory is that of ffmpeg, two seconds into its input.
func bareMemory(b *testing.B, input string) float64 {
	b.Helper()
	arguments := "-loglevel error -nostdin -progress pipe:1 " + input + " -f null -"
	command := exec.Command("ffmpeg", strings.Fields(arguments)...)
	out, err := command.StdoutPipe()
	if err == nil {
		err = command.Start()
	}
	if err != nil {
		b.Fatal(err)
	}
	defer command.Wait()
	defer command.Process.Kill()
	for lines := bufio.NewScanner(out); lines.Scan(); {
		var frame int
		if _, err := fmt.Sscanf(lines.Text(), "frame=%d", &frame); err == nil && frame >= 60 {
			return private(b, command.Process.Pid)
		}
	}
	b.Fatal("ffmpeg ended before its 60th frame")
	return 0
}

// private is the memory that a process shares with no other, in MB, but for that of frames: who reads
// them has it, too.
func private(b *testing.B, pid int) float64 {
	b.Helper()
	text, err := os.ReadFile(fmt.Sprintf("/proc/%d/smaps", pid))
	if err != nil {
		b.Fatal(err)
	}
	sum, ring := 0, false
	for line := range strings.Lines(string(text)) {
		var kilobytes int
		switch key, rest, _ := strings.Cut(line, ": "); {
		case !strings.Contains(key, "_") && strings.Contains(key, "-"): // a mapping begins
			ring = strings.Contains(line, "/memfd:frames")
		case ring || key != "Private_Clean" && key != "Private_Dirty":
		default:
			if _, err := fmt.Sscan(rest, &kilobytes); err != nil {
				b.Fatal(err)
			}
			sum += kilobytes
		}
	}
	return float64(sum) / 1000
}

// BenchmarkOpening tells what an opening takes until its first frame, from the start of its process:
// processor time of that process, and time. "absent" is a camera that nobody answers for.
//
//	go test -tags gocv,gocv_specific_modules,gocv_videoio ./camera/worker -run '^$' -bench Opening -benchtime 10x
func BenchmarkOpening(b *testing.B) {
	needOpenCV(b)
	film := cameratest.Film(b, 1280, 720, 60)
	server := cameratest.StartRTSP(b, cameratest.Whole)
	for name, source := range map[string]string{
		"film": "file://" + film + "?speed=max&loop=-1", "rtsp": server.URL, "absent": "rtsp://127.0.0.1:9/x",
	} {
		b.Run(name, func(b *testing.B) {
			c := New(camera.Config{Source: source})
			defer c.Close()
			var f vision.Frame
			before := childrenCPU(b)
			for b.Loop() {
				s, err := c.Open(b.Context())
				if err == nil {
					err = errors.Join(s.Read(b.Context(), &f), s.Close())
				}
				if failed := errors.Is(err, camera.ErrLost); failed != (name == "absent") {
					b.Fatal(err)
				}
			}
			c.Close()
			b.ReportMetric((childrenCPU(b)-before).Seconds()*1e3/float64(b.N), "cpu-ms/op")
		})
	}
}

// childrenCPU is the processor time of all children that have ended.
func childrenCPU(b *testing.B) time.Duration {
	b.Helper()
	var u unix.Rusage
	if err := unix.Getrusage(unix.RUSAGE_CHILDREN, &u); err != nil {
		b.Fatal(err)
	}
	return time.Duration(u.Utime.Nano() + u.Stime.Nano())
}
