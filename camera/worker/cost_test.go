package worker

import (
	"bufio"
	"context"
	"fmt"
	"os"
	"os/exec"
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
	cpu, start := cpuOf(b, child), time.Now()
	for i := range frames {
		read(i)
		c.handed = append(c.handed, time.Since(f[i%3].Time))
	}
	c.wall, c.cpu = time.Since(start), cpuOf(b, child)-cpu
	return c
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
	b.Run("live", func(b *testing.B) { // 30 frames a second
		var in, out, middle []float64
		for range b.N {
			a, z := both(b, "test://?width=1280&height=720&fps=30", 150)
			in, out = append(in, p99(a.handed)), append(out, p99(z.handed))
			middle = append(middle, float64(z.handed[75]-a.handed[75])/1e6) // p99 has sorted them
		}
		b.ReportMetric(median(middle), "ms-p50-more")
		b.ReportMetric(median(out)-median(in), "ms-p99-more")
	})
}

func median(all []float64) float64 {
	slices.Sort(all)
	return all[len(all)/2]
}

func p99(all []time.Duration) float64 {
	slices.Sort(all)
	return float64(all[len(all)*99/100]) / 1e6
}

// BenchmarkMemory compares the private memory of a child that reads a film with that of ffmpeg, which
// decodes it and does nothing else, both in mid-film:
//
//	go test -tags gocv,gocv_specific_modules,gocv_videoio ./camera/worker -run '^$' -bench Memory -benchtime 3x
func BenchmarkMemory(b *testing.B) {
	needOpenCV(b)
	film := cameratest.Film(b, 1280, 720, 300)
	var child, bare []float64
	for range b.N {
		c := New(camera.Config{Source: "file://" + film + "?fps=30"})
		s, err := c.Open(b.Context())
		if err != nil {
			b.Fatal(err)
		}
		var f [3]vision.Frame
		for i := range 60 {
			if err := s.Read(b.Context(), &f[i%3]); err != nil {
				b.Fatal(err)
			}
		}
		child = append(child, private(b, s.(*Stream).process.cmd.Process.Pid))
		s.Close()
		c.Close()
		bare = append(bare, bareMemory(b, film))
	}
	b.ReportMetric(median(child), "child-MB")
	b.ReportMetric(median(bare), "ffmpeg-MB")
	b.ReportMetric(median(child)-median(bare), "MB-more")
}

// bareMemory is that of ffmpeg, two seconds into the film.
func bareMemory(b *testing.B, film string) float64 {
	b.Helper()
	command := exec.Command("ffmpeg", "-loglevel", "error", "-nostdin", "-progress", "pipe:1", "-re", "-i", film, "-f",
		"null", "-")
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

// private is the memory that a process shares with no other, in MB.
func private(b *testing.B, pid int) float64 {
	b.Helper()
	text, err := os.ReadFile(fmt.Sprintf("/proc/%d/smaps_rollup", pid))
	if err != nil {
		b.Fatal(err)
	}
	sum := 0
	for line := range strings.Lines(string(text)) {
		var kilobytes int
		if _, err := fmt.Sscanf(line, "Private_Clean: %d", &kilobytes); err == nil {
			sum += kilobytes
		} else if _, err := fmt.Sscanf(line, "Private_Dirty: %d", &kilobytes); err == nil {
			sum += kilobytes
		}
	}
	return float64(sum) / 1000
}
