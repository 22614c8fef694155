package camera

import (
	"bytes"
	"errors"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/vggse/vggse-agent/camera/cameratest"
	"github.com/vggse/vggse-agent/vision"
)

// formats are videos as people have them: containers and codecs, with and without pictures out of
// order.
var formats = map[string]string{
	"h264.mp4":  "-c:v libx264 -preset ultrafast -pix_fmt yuv420p -bf 2",
	"h265.mkv":  "-c:v libx265 -preset ultrafast -pix_fmt yuv420p -x265-params log-level=error",
	"mjpeg.avi": "-c:v mjpeg -pix_fmt yuvj420p -q:v 3",
}

// Every frame comes, once, in order, through every backend there is.
func TestVideo(t *testing.T) {
	m := needOpenCV(t)
	const frames = 60
	for name, args := range formats {
		path := cameratest.Video(t, `odd " ! fakesink name=x \ `+name, frames, strings.Fields(args)...)
		for _, ffmpeg := range []bool{true, false} {
			if ffmpeg && !m.ffmpeg || !ffmpeg && !m.gstreamer {
				continue
			}
			only := m
			only.ffmpeg, only.gstreamer = ffmpeg, !ffmpeg
			t.Run(name+map[bool]string{true: " FFmpeg", false: " GStreamer"}[ffmpeg], func(t *testing.T) {
				u := URI{Scheme: "file", Target: path}
				source, info, err := u.openVideo(only, headerOf(u.Target))
				if err != nil {
					t.Fatal(err)
				}
				defer source.close()
				if info.Width != cameratest.Width || info.Height != cameratest.Height || info.FPS < 29.9 ||
					info.FPS > 30.1 || info.Live {
					t.Errorf("info = %+v", info)
				}
				var f vision.Frame
				for i := range frames {
					if err := source.next(t.Context(), &f); err != nil {
						t.Fatalf("frame %d: %v", i, err)
					}
					if got := cameratest.Number(&f); got != i {
						t.Fatalf("frame %d shows %d", i, got)
					}
				}
				if err := source.next(t.Context(), &f); err != io.EOF {
					t.Errorf("after the last frame: %v, want io.EOF", err)
				}
			})
		}
	}
}

// Pictures whose rows are no multiple of four bytes, and whose colours have half a sample at the edge,
// come without gaps.
func TestOddSizes(t *testing.T) {
	needOpenCV(t)
	for name, args := range map[string]string{
		"rgb.mkv": "-vf scale=323:241 -c:v ffv1 -pix_fmt bgr0",
		"yuv.mp4": "-vf scale=321:239 -c:v libx264 -preset ultrafast -qp 4 -pix_fmt yuv444p",
	} {
		path := cameratest.Video(t, name, 5, strings.Fields(args)...)
		s := mustOpen(t, Config{Source: "file://" + path + "?speed=max"})
		var f vision.Frame
		for i := range 5 {
			if err := s.Read(t.Context(), &f); err != nil {
				t.Fatal(err)
			}
			if got := cameratest.Number(&f); got != i || f.Width%2 == 0 || f.Stride != 3*f.Width {
				t.Errorf("%s: %d×%d with rows of %d bytes shows %d, want %d", name, f.Width, f.Height, f.Stride,
					got, i)
			}
			for at, v := range f.Pix[f.Stride*(f.Height-1):] {
				if v < 85 || v > 95 { // the lower half is grey, 90
					t.Fatalf("%s: byte %d of the last row is %d", name, at, v)
				}
			}
		}
	}
}

// Rounds, the speed of the file, the speed asked for, and flips.
func TestVideoPlays(t *testing.T) {
	needOpenCV(t)
	path := cameratest.Video(t, "a.mp4", 12, "-c:v", "libx264", "-preset", "ultrafast", "-pix_fmt", "yuv420p")
	for _, tt := range []struct {
		keys   string
		fps    float64
		frames int
		takes  time.Duration
	}{
		{"", 0, 12, 11 * time.Second / 30}, {"?loop=2&speed=max", 0, 36, 0}, {"?fps=60", 0, 12, 11 * time.Second / 60},
		{"", 20, 12, 11 * time.Second / 20},
	} {
		s := mustOpen(t, Config{Source: "file://" + path + tt.keys, FPS: tt.fps})
		var f vision.Frame
		start := time.Now()
		for i := range tt.frames {
			if err := s.Read(t.Context(), &f); err != nil {
				t.Fatalf("%s: frame %d: %v", tt.keys, i, err)
			}
			if got := cameratest.Number(&f); got != i%12 || f.Seq != uint64(i+1) {
				t.Errorf("%s: frame %d shows %d and is number %d", tt.keys, i, got, f.Seq)
			}
		}
		if took := f.Time.Sub(start); took < tt.takes {
			t.Errorf("%s: took %v, want at least %v", tt.keys, took, tt.takes)
		}
		if err := s.Read(t.Context(), &f); err != io.EOF {
			t.Errorf("%s: after the last frame: %v, want io.EOF", tt.keys, err)
		}
	}
	s := mustOpen(t, Config{Source: "file://" + path + "?flip=clockwise"})
	var f vision.Frame
	if err := s.Read(t.Context(), &f); err != nil || f.Width != cameratest.Height || f.Height != cameratest.Width {
		t.Errorf("clockwise: %d×%d, %v", f.Width, f.Height, err)
	}
}

func TestVideoRefuses(t *testing.T) {
	needOpenCV(t)
	dir := t.TempDir()
	whole, err := os.ReadFile(cameratest.Video(t, "a.mp4", 30, "-c:v", "libx264", "-preset", "ultrafast", "-pix_fmt",
		"yuv420p"))
	if err != nil {
		t.Fatal(err)
	}
	for name, data := range map[string][]byte{"empty.mp4": {}, "text.mp4": []byte("hello"),
		"cut.mp4": whole[:len(whole)/2]} {
		path := filepath.Join(dir, name)
		if err := os.WriteFile(path, data, 0o644); err != nil {
			t.Fatal(err)
		}
		_, err := Open(t.Context(), Config{Source: path})
		if err == nil || !strings.Contains(err.Error(), "cannot be read as a video") ||
			!strings.Contains(err.Error(), path) || errors.Is(err, ErrLost) {
			t.Errorf("%s: got %v", name, err)
		}
	}
}

// A film is known by its ending or, where it has none that says so, by how it begins.
func TestIsFilmFile(t *testing.T) {
	dir := t.TempDir()
	packets := func(at, length int) string { // of a transport stream
		b := make([]byte, at+4*length)
		for i := range 4 {
			b[at+i*length] = 'G'
		}
		return string(b)
	}
	for name, c := range map[string]struct {
		begins string
		want   bool
	}{
		"a.MTS": {"", true}, "a.3gp": {"", true}, "a.mp4": {"text", true}, "a": {"\x00\x00\x00\x20ftypisom\x00", true},
		"b.bak": {"\x1aE\xdf\xa3\x01", true}, "c": {"RIFF\x00\x00\x00\x00AVI LIST", true},
		"d.dat": {packets(0, 188), true},
		"e":     {packets(4, 192), true}, "f": {"YUV4MPEG2 W160 H120", true}, "g": {"\x00\x00\x01\xba\x44", true},
		"h.png": {"\x00\x00\x00\x20ftypisom\x00", false}, "i.jfif": {"\xff\xd8\xff\xe0", false},
		"j.heic": {"\x00\x00\x00\x20ftypheic\x00", false}, "k": {"GGG hello", false}, "l": {"", false},
		"m.webp": {"RIFF\x00\x00\x00\x00WEBPVP8 ", false}, "n.m4a": {"\x00\x00\x00\x20ftypM4A \x00", false},
	} {
		path := filepath.Join(dir, name)
		if err := os.WriteFile(path, []byte(c.begins), 0o600); err != nil {
			t.Fatal(err)
		}
		if got := IsFilmFile(path); got != c.want {
			t.Errorf("%s, which begins with %.12q: %t, want %t", name, c.begins, got, c.want)
		}
	}
	if IsFilmFile(filepath.Join(dir, "none")) || IsFilmFile(dir) {
		t.Error("nothing, or a folder, is a film")
	}
}

// An empty film is called that.
func TestEmptyFilm(t *testing.T) {
	for _, name := range []string{"a.mp4", "b", "c.ts"} {
		path := filepath.Join(t.TempDir(), name)
		if err := os.WriteFile(path, nil, 0o600); err != nil {
			t.Fatal(err)
		}
		if _, err := Open(t.Context(), Config{Source: path}); err == nil || !strings.Contains(err.Error(), "is empty") {
			t.Errorf("%s: %v", name, err)
		}
	}
}

// A pipeline of one's own, with and without its appsink.
func TestGStreamer(t *testing.T) {
	if m := needOpenCV(t); !m.gstreamer {
		t.Fatalf("OpenCV %s has no GStreamer: 'scripts/deps' installs Debian's, which has", m.opencv)
	}
	for source, want := range map[string][3]byte{
		"gst:videotestsrc pattern=red is-live=true ! video/x-raw,width=64,height=48": {0, 0, 255},
		"gst:videotestsrc pattern=blue is-live=true ! video/x-raw,width=64,height=48 ! videoconvert ! " +
			"video/x-raw,format=BGRx ! appsink": {255, 0, 0},
		"gst:videotestsrc pattern=white is-live=true ! video/x-raw,width=64,height=48,format=GRAY8 ! appsink": {235,
			235, 235},
	} {
		s := mustOpen(t, Config{Source: source})
		var f vision.Frame
		for range 3 {
			if err := s.Read(t.Context(), &f); err != nil {
				t.Fatalf("%s: %v", source, err)
			}
		}
		got := [3]byte(f.Pix)
		for i := range got {
			if max(got[i], want[i])-min(got[i], want[i]) > 3 {
				t.Errorf("%s: the first pixel is %v, want %v", source, got, want)
				break
			}
		}
		if info := s.Info(); !info.Live || info.Width != 64 || info.Height != 48 {
			t.Errorf("%s: %+v", source, info)
		}
	}
	s := mustOpen(t, Config{Source: "gst:videotestsrc num-buffers=5 ! video/x-raw,width=64,height=48"})
	if n, err := drain(t.Context(), s); n == 0 || !errors.Is(err, ErrLost) {
		t.Errorf("a pipeline that ends: %d frames, %v; want some and ErrLost", n, err)
	}
	if err := failure(t, "gst:filesrc location=/no/such ! decodebin"); !errors.Is(err, ErrLost) ||
		!strings.Contains(err.Error(), "GStreamer: Resource not found") {
		t.Errorf("a file that is not there: %v", err)
	}
	_, err := Open(t.Context(), Config{Source: "gst:nosuchelement user-pw=SECRET ! appsink"})
	if !errors.Is(err, ErrLost) || !strings.Contains(err.Error(), "no element nosuchelement") ||
		strings.Contains(err.Error(), "SECRET") {
		t.Errorf("an unknown element: %v", err)
	}
}

// failure is why a source gives no frame.
func failure(t *testing.T, source string) error {
	t.Helper()
	s, err := Open(t.Context(), Config{Source: source})
	if err == nil {
		_, err = drain(t.Context(), s)
		err = errors.Join(err, s.Close())
	}
	return err
}

// A live source that is faster than wanted is thinned; what is read is new.
func TestThinned(t *testing.T) {
	needOpenCV(t)
	s := mustOpen(t, Config{Source: "gst:videotestsrc is-live=true ! video/x-raw,width=64,height=48,framerate=60/1",
		FPS: 10})
	var f vision.Frame
	start := time.Now()
	for range 6 {
		if err := s.Read(t.Context(), &f); err != nil {
			t.Fatal(err)
		}
	}
	if took := f.Time.Sub(start); took < 450*time.Millisecond {
		t.Errorf("6 frames at 10 a second took %v", took)
	}
}

func TestDevice(t *testing.T) {
	needOpenCV(t)
	_, err := Open(t.Context(), Config{Source: "/dev/video99"})
	if !errors.Is(err, ErrLost) ||
		!strings.Contains(err.Error(), "there is no /dev/video99: is the camera plugged in?") {
		t.Errorf("no device: %v", err)
	}
	_, err = Open(t.Context(), Config{Source: "/dev/null"})
	if !errors.Is(err, ErrLost) || !strings.Contains(err.Error(), "/dev/null is no camera") {
		t.Errorf("no camera: %v", err)
	}
}

// BenchmarkVideo reads 1280×720 H.264 as fast as it can be: what a frame costs with its decoding.
func BenchmarkVideo(b *testing.B) {
	needOpenCV(b)
	path := cameratest.Video(b, "a.mp4", 90, "-vf", "scale=1280:720", "-c:v", "libx264", "-preset", "ultrafast",
		"-pix_fmt", "yuv420p")
	s := mustOpen(b, Config{Source: "file://" + path + "?loop=-1&speed=max"})
	ctx, f := b.Context(), vision.Frame{}
	b.ReportAllocs()
	for b.Loop() {
		if err := s.Read(ctx, &f); err != nil {
			b.Fatal(err)
		}
	}
}

// A film of a phone stands upright in every backend, as ffmpeg and every player show it.
func TestVideoIsTurnedAsItSays(t *testing.T) {
	m := needOpenCV(t)
	ffmpeg, err := exec.LookPath("ffmpeg")
	if err != nil {
		t.Skip("no ffmpeg")
	}
	dir := t.TempDir()
	run := func(args ...string) []byte {
		t.Helper()
		out, err := exec.Command(ffmpeg, append([]string{"-v", "error", "-y"}, args...)...).Output()
		if err != nil {
			t.Fatalf("ffmpeg %v: %v", args, err)
		}
		return out
	}
	up := filepath.Join(dir, "up.mp4") // red on top, blue at the bottom left
	run("-f", "lavfi", "-i", "color=green:s=320x240:r=10:d=0.5,drawbox=x=0:y=0:w=320:h=60:color=red:t=fill,"+
		"drawbox=x=0:y=180:w=80:h=60:color=blue:t=fill", "-c:v", "libx264", "-pix_fmt", "yuv420p", up)
	for _, degrees := range []string{"0", "90", "180", "270"} {
		for _, container := range []string{"mp4", "mov"} {
			path := filepath.Join(dir, "rot"+degrees+"."+container)
			run("-i", up, "-c", "copy", "-metadata:s:v", "rotate="+degrees, path)
			want := run("-i", path, "-frames:v", "1", "-f", "rawvideo", "-pix_fmt", "bgr24", "-")
			if container == "mov" { // as QuickTime's were before there was ftyp
				data, err := os.ReadFile(path)
				if err != nil {
					t.Fatal(err)
				}
				copy(data[4:], "wide")
				if err := os.WriteFile(path, data, 0o600); err != nil {
					t.Fatal(err)
				}
			}
			for _, useFFmpeg := range []bool{true, false} {
				if useFFmpeg && !m.ffmpeg || !useFFmpeg && !m.gstreamer {
					continue
				}
				only := m
				only.ffmpeg, only.gstreamer = useFFmpeg, !useFFmpeg
				source, info, err := (&URI{Scheme: "file", Target: path}).openVideo(only, headerOf(path))
				if err != nil {
					t.Fatal(err)
				}
				var f vision.Frame
				if err := source.next(t.Context(), &f); err != nil {
					t.Fatal(err)
				}
				source.close()
				worst := 0
				for i := 0; len(want) == len(f.Pix) && i < len(want); i += 997 {
					if d := int(want[i]) - int(f.Pix[i]); max(d, -d) > 40 {
						worst++
					}
				}
				if len(want) != len(f.Pix) || worst > len(want)/997/50 || info.Width != f.Width {
					t.Errorf("%s turned by %s, FFmpeg %t: %d×%d (told %d×%d), %d of %d samples differ", container,
						degrees, useFFmpeg, f.Width, f.Height, info.Width, info.Height, worst, len(want)/997)
				}
			}
		}
	}
}

func TestFlipThen(t *testing.T) {
	for _, tt := range []struct{ a, b, want Flip }{
		{FlipClockwise, FlipNone, FlipClockwise}, {FlipClockwise, FlipRotate180, FlipCounterclockwise},
		{FlipNone, FlipVertical, FlipVertical}, {FlipRotate180, FlipHorizontal, FlipVertical},
		{FlipHorizontal, FlipVertical, FlipRotate180}, {FlipHorizontal, FlipHorizontal, FlipNone},
		{FlipCounterclockwise, FlipClockwise, FlipNone},
	} {
		if got, err := tt.a.then(tt.b); got != tt.want || err != nil {
			t.Errorf("%q then %q: %q, %v, want %q", tt.a, tt.b, got, err, tt.want)
		}
	}
	if _, err := FlipClockwise.then(FlipHorizontal); err == nil {
		t.Error("a quarter turn and a mirror: no error")
	}
}

// Bytes that only look like a film end the look soon, and say nothing.
func FuzzFilmHeader(f *testing.F) {
	f.Add([]byte("\x00\x00\x00\x08ftyp\x00\x00\x00\x08moov"))
	f.Add([]byte("\x00\x00\x00\x08ftyp\x00\x00\x00\x01moov\xff\xff\xff\xff\xff\xff\xff\xff"))
	f.Fuzz(func(t *testing.T, data []byte) {
		r := boxReader{file: bytes.NewReader(data), left: boxLimit}
		r.walk(0, int64(len(data)), "")
		if !r.video && r.header != (filmHeader{}) {
			t.Errorf("%+v without a video track", r.header)
		}
	})
}

// The last pictures of a film without a list of edits are shown, also where the first is not at 0, as B frames
// have it; of one with such a list, those within.
func TestLastFrames(t *testing.T) {
	for name, args := range map[string]string{
		"plain.mp4":     "-c:v libx264 -preset ultrafast -bf 3 -pix_fmt yuv420p -use_editlist 0",
		"fragments.mp4": "-c:v libx264 -preset ultrafast -bf 3 -g 10 -pix_fmt yuv420p -movflags frag_keyframe",
		"edited.mp4":    "-c:v libx264 -preset ultrafast -bf 3 -pix_fmt yuv420p",
	} {
		path := cameratest.Video(t, name, 30, strings.Fields(args)...)
		film := mustOpen(t, Config{Source: "file://" + path + "?speed=max"})
		if n, err := drain(t.Context(), film); err != io.EOF || n != 30 {
			t.Errorf("%s: %d frames, %v, want 30", name, n, err)
		}
	}
	path, cut := cameratest.Video(t, "long.mp4", 60, "-c:v", "libx264", "-g", "60", "-pix_fmt", "yuv420p"),
		filepath.Join(t.TempDir(), "cut.mp4")
	if out, err := exec.Command("ffmpeg", "-loglevel", "error", "-ss", "1", "-i", path, "-c", "copy",
		cut).CombinedOutput(); err != nil {
		t.Fatalf("%v: %s", err, out)
	}
	film := mustOpen(t, Config{Source: "file://" + cut + "?speed=max"})
	if n, err := drain(t.Context(), film); err != io.EOF || n != 30 {
		t.Errorf("of a film that begins at 1 s: %d frames, %v, want 30", n, err)
	}
}
