package camera

import (
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"runtime"
	"strconv"
	"testing"

	"github.com/vggse/vggse-agent/camera/cameratest"
	"github.com/vggse/vggse-agent/vision"
)

// cycles is the length of TestNothingLeaks; 'make soak' asks for 1,000.
var cycles = flag.Int("cycles", 100, "openings of TestNothingLeaks")

// mats is how many Mats of OpenCV are open; only a build with the tag matprofile knows.
var mats = func() int { return 0 }

// holdings is what a process has of the machine.
type holdings struct{ files, threads, mats, megabytes int }

func held(t *testing.T) holdings {
	t.Helper()
	runtime.GC()
	files, err := os.ReadDir("/proc/self/fd")
	if err != nil {
		t.Skip("no /proc here")
	}
	status, err := os.ReadFile("/proc/self/status")
	if err != nil {
		t.Fatal(err)
	}
	number := func(field string) int {
		n, err := strconv.Atoi(string(regexp.MustCompile(field + `:\s+(\d+)`).FindSubmatch(status)[1]))
		if err != nil {
			t.Fatal(err)
		}
		return n
	}
	return holdings{len(files), number("Threads"), mats(), number("VmRSS") / 1024}
}

// Opening and closing a source again and again, and reading for long, takes nothing from the
// machine that it does not give back. Threads that Go and GStreamer keep for later are a few, and
// not more with more cycles.
func TestNothingLeaks(t *testing.T) {
	needOpenCV(t)
	video := cameratest.Video(t, "a.mp4", 12, "-c:v", "libx264", "-preset", "ultrafast", "-pix_fmt", "yuv420p")
	picture := filepath.Join(t.TempDir(), "a.png")
	cameratest.Encode(t, picture, 1, "-frames:v", "1")
	cam := cameratest.StartRTSP(t, "h264")
	live := func(width, height, fps int) string {
		return fmt.Sprintf("gst:videotestsrc is-live=true ! video/x-raw,width=%d,height=%d,framerate=%d/1", width,
			height, fps)
	}
	var f vision.Frame
	for _, tt := range []struct {
		source         string
		cycles, frames int
	}{
		{"file://" + video + "?speed=max", *cycles, 3}, {"file://" + picture, *cycles, 1},
		{live(64, 48, 200), *cycles, 2}, {cam.URL, *cycles / 20, 2},
		{"file://" + video + "?speed=max&loop=-1", 2, 10 * *cycles}, {live(320, 240, 1000), 2,
			10 * *cycles},
	} {
		cycle := func(times int) {
			for range times {
				s, done, err := openPumped(t.Context(), Config{Source: tt.source})
				if err != nil {
					t.Fatal(err)
				}
				for range tt.frames {
					if err := s.Read(t.Context(), &f); err != nil {
						t.Fatalf("%s: %v", tt.source, err)
					}
				}
				if err := s.Close(); err != nil {
					t.Fatal(err)
				}
				<-done
			}
		}
		cycle(max(1, tt.cycles/10)) // libraries load, pools fill
		before := held(t)
		cycle(tt.cycles)
		after := held(t)
		t.Logf("%s, %d times %d frames: %+v → %+v", Redact(tt.source), tt.cycles, tt.frames, before, after)
		if after.files > before.files || after.threads > before.threads+4 || after.mats > before.mats ||
			after.megabytes > before.megabytes+12 {
			t.Errorf("%s leaks", Redact(tt.source))
		}
	}
}
