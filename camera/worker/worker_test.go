package worker

import (
	"context"
	"errors"
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/vggse/vggse-agent/camera"
	"github.com/vggse/vggse-agent/camera/cameratest"
	"github.com/vggse/vggse-agent/internal/racetest"
	"github.com/vggse/vggse-agent/vision"
)

// TestMain lets the test binary be the child of its own tests, or one that means harm.
func TestMain(m *testing.M) {
	if Asked(os.Args) {
		os.Exit(Main())
	}
	if len(os.Args) == 3 && os.Args[1] == Verb {
		hostile[os.Args[2]]()
		os.Exit(0)
	}
	goleak.VerifyTestMain(m, goleak.Cleanup(func(code int) {
		cameratest.Cleanup()
		os.Exit(code)
	}))
}

// hangs is how long a test waits for what must come, however slow the machine is.
const hangs = 2 * time.Minute

// soon is a context for what must come.
func soon(t testing.TB) context.Context {
	ctx, cancel := context.WithTimeout(context.Background(), hangs)
	t.Cleanup(cancel)
	return ctx
}

// needOpenCV skips where there is none.
func needOpenCV(t testing.TB) {
	t.Helper()
	if camera.OpenCVVersion() == "none" {
		t.Skip("built without OpenCV (tag gocv)")
	}
}

// newCamera is a camera that the test closes.
func newCamera(t testing.TB, source string) *Camera {
	t.Helper()
	c := New(camera.Config{Name: "test", Source: source})
	t.Cleanup(func() {
		if err := c.Close(); err != nil {
			t.Error(err)
		}
	})
	return c
}

// open opens the camera, and closes it before it is closed itself.
func open(t testing.TB, c *Camera) camera.Reader {
	t.Helper()
	s, err := c.Open(soon(t))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := s.Close(); err != nil {
			t.Error(err)
		}
	})
	return s
}

// A film comes over frame by frame, as it is read in this process, and ends; frames that are held
// stay what they are while others come.
func TestFilm(t *testing.T) {
	needOpenCV(t)
	const frames = 25
	source := "file://" + cameratest.Video(t, "film.avi", frames, "-c:v", "mjpeg") + "?speed=max"
	direct, err := camera.Open(t.Context(), camera.Config{Source: source})
	if err != nil {
		t.Fatal(err)
	}
	defer direct.Close()
	s := open(t, newCamera(t, source))
	got := make([]vision.Frame, 3) // as many as go round in the pipeline
	want := make([]vision.Frame, 3)
	var last time.Time
	for i := range frames {
		f, w := &got[i%3], &want[i%3]
		if err := s.Read(soon(t), f); err != nil {
			t.Fatal(err)
		}
		if err := direct.Read(t.Context(), w); err != nil {
			t.Fatal(err)
		}
		if f.Seq != uint64(i+1) || f.Camera != "test" || f.Time.Before(last) || f.Time.After(time.Now()) {
			t.Errorf("frame %d: number %d of %q at %v", i, f.Seq, f.Camera, f.Time)
		}
		last = f.Time
		for k := range min(i+1, 3) {
			if string(got[k].Pix) != string(want[k].Pix) || got[k].Stride != want[k].Stride {
				t.Fatalf("frame %d: the one in place %d is another", i, k)
			}
		}
	}
	if err := s.Read(soon(t), &got[0]); err != io.EOF {
		t.Errorf("after the end: %v", err)
	}
	a, b := s.Info(), direct.Info()
	if a.Kind != b.Kind || a.Backend != b.Backend || a.Width != b.Width || a.FPS != b.FPS || a.URI != b.URI || a.Live {
		t.Errorf("got %+v, want %+v", a, b)
	}
}

// Films that crash GStreamer's decoders, or whose pictures it cannot hand out, are read by FFmpeg: grey of 10
// bits ends the process of GStreamer 1.22.
func TestFilmsGStreamerCannot(t *testing.T) {
	needOpenCV(t)
	for name, args := range map[string][]string{
		"grey.mkv": {"-c:v", "ffv1", "-pix_fmt", "gray10le"}, "palette.avi": {"-c:v", "rawvideo", "-pix_fmt", "pal8"},
	} {
		s := open(t, newCamera(t, "file://"+cameratest.Video(t, name, 5, args...)+"?speed=max"))
		var f vision.Frame
		for i := range 5 {
			if err := s.Read(soon(t), &f); err != nil || f.Width != cameratest.Width {
				t.Fatalf("%s: frame %d: %v", name, i, err)
			}
		}
		if err := s.Read(soon(t), &f); err != io.EOF {
			t.Errorf("%s: %v, want the end", name, err)
		}
	}
}

// Errors are the sentences that camera.Open has, and are told apart as they are.
func TestErrors(t *testing.T) {
	needOpenCV(t)
	dir := t.TempDir()
	text := filepath.Join(dir, "text.mp4")
	if err := os.WriteFile(text, []byte("no film"), 0o600); err != nil {
		t.Fatal(err)
	}
	for _, source := range []string{
		"file:///nowhere.mp4", "file://" + text, "file://" + dir, "/dev/video99", "csi://0",
		"rtsp://user:SECRET@127.0.0.1:1/x",
	} {
		_, want := camera.Open(t.Context(), camera.Config{Source: source})
		_, got := newCamera(t, source).Open(soon(t))
		if got == nil || want == nil || got.Error() != want.Error() {
			t.Errorf("%s:\n got %v\nwant %v", source, got, want)
		}
		for _, is := range []error{camera.ErrLost, camera.ErrStalled} {
			if errors.Is(got, is) != errors.Is(want, is) {
				t.Errorf("%s: is %v: %t", source, is, errors.Is(got, is))
			}
		}
		if got != nil && strings.Contains(got.Error(), "SECRET") {
			t.Errorf("%s: %v", source, got)
		}
	}
	if what, err := Ask(soon(t), "file://"+cameratest.Video(t, "film.avi", 3, "-c:v", "mjpeg")); err != nil ||
		what != "video of 320×240 pixels" {
		t.Errorf("Ask: %q, %v", what, err)
	}
	if _, err := Ask(soon(t), "file:///nowhere.mp4"); err == nil || !strings.Contains(err.Error(), "there is no file") {
		t.Errorf("Ask of no file: %v", err)
	}
}

// A film that is cut off ends as in this process, and Ask tells of it.
func TestCutFilm(t *testing.T) {
	needOpenCV(t)
	film := cameratest.CutFilm(t, 20)
	s := open(t, newCamera(t, "file://"+film+"?speed=max"))
	var f vision.Frame
	var err error
	for err == nil {
		err = s.Read(soon(t), &f)
	}
	if !errors.Is(err, camera.ErrCutOff) || !errors.Is(err, io.EOF) || errors.Is(err, camera.ErrLost) ||
		!strings.Contains(err.Error(), film+" is cut off: ") {
		t.Errorf("Read: %v", err)
	}
	if w := s.Info().Warnings; len(w) != 1 || !strings.Contains(w[0], "is cut off") {
		t.Errorf("warnings %q", w)
	}
	what, err := Ask(soon(t), "file://"+film)
	if err != nil || !strings.Contains(what, "pixels"+camera.AskWarning+film+" is cut off") {
		t.Errorf("Ask: %q, %v", what, err)
	}
}

// Nothing is allocated for a frame.
func TestNoAllocation(t *testing.T) {
	needOpenCV(t)
	film := cameratest.Video(t, "film.avi", 30, "-c:v", "mjpeg")
	s := open(t, newCamera(t, "file://"+film+"?speed=max&loop=-1"))
	var f [3]vision.Frame
	i, ctx := 0, soon(t)
	read := func() {
		if err := s.Read(ctx, &f[i%3]); err != nil {
			t.Fatal(err)
		}
		i++
	}
	for range 8 {
		read()
	}
	// Under the race detector 2 to 4 are counted at times, of which a profile of all allocations shows none.
	if n := testing.AllocsPerRun(40, read); n > 0 && !racetest.Enabled {
		t.Errorf("%g allocations for each frame", n)
	}
}
