package camera

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"testing"

	"github.com/vggse/vggse-agent/model"
)

// needOpenCV skips where there is none.
func needOpenCV(t testing.TB) machine {
	t.Helper()
	m, err := thisMachine()
	if errors.Is(err, ErrNoOpenCV) {
		t.Skip("built without OpenCV (tag gocv)")
	} else if err != nil {
		t.Fatal(err)
	}
	return m
}

// The pictures of test videos carry their number: bits bars of black or white in the upper half.
const (
	countWidth, countHeight = 320, 240
	bits                    = 10
)

// drawCount draws picture n into tightly packed BGR.
func drawCount(pix []byte, n int) {
	for y := range countHeight {
		for x := range countWidth {
			v := byte(90) // the lower half
			if bar := x * bits / countWidth; y < countHeight/2 {
				v = byte(n >> bar & 1 * 255)
			}
			at := 3 * (y*countWidth + x)
			pix[at], pix[at+1], pix[at+2] = v, v, v
		}
	}
}

// readCount is the number that drawCount drew, in a frame of any size.
func readCount(f *model.Frame) (n int) {
	for bar := range bits {
		x, y := (2*bar+1)*f.Width/(2*bits), f.Height/4
		if f.Pix[y*f.Stride+3*x+1] > 127 {
			n |= 1 << bar
		}
	}
	return n
}

// countVideo encodes n pictures with ffmpeg into a file in a folder of the test and returns its path.
func countVideo(t testing.TB, name string, n int, args ...string) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), name)
	encode(t, path, n, args...)
	return path
}

func encode(t testing.TB, path string, n int, args ...string) {
	t.Helper()
	command := exec.Command("ffmpeg", append(append(strings.Fields(fmt.Sprintf(
		"-loglevel error -y -f rawvideo -pixel_format bgr24 -video_size %dx%d -framerate 30 -i -", countWidth, countHeight)), args...), path)...)
	command.Stderr = os.Stderr
	in, err := command.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := command.Start(); err != nil {
		t.Fatalf("%v: 'scripts/deps test' installs ffmpeg", err)
	}
	pix := make([]byte, 3*countWidth*countHeight)
	for i := range n {
		drawCount(pix, i)
		if _, err := in.Write(pix); err != nil {
			t.Fatal(err)
		}
	}
	if err := errors.Join(in.Close(), command.Wait()); err != nil {
		t.Fatal(err)
	}
}

// rtspCamera is a running camera/rtsptest.
type rtspCamera struct {
	t   testing.TB
	url string
	in  io.WriteCloser
	out *bufio.Scanner
}

// rtspParts are what startRTSP needs and makes once, in a folder that TestMain removes.
var rtspParts struct {
	sync.Mutex
	folder string
	videos map[string]string // by codec
}

// rtspPart returns the paths of the built camera/rtsptest and of a stream for it to play.
func rtspPart(t testing.TB, codec string) (program, video string) {
	t.Helper()
	p := &rtspParts
	p.Lock()
	defer p.Unlock()
	program = filepath.Join(p.folder, "rtsptest")
	if p.folder == "" {
		folder, err := os.MkdirTemp("", "camera")
		if err != nil {
			t.Fatal(err)
		}
		p.folder, p.videos, program = folder, make(map[string]string), filepath.Join(folder, "rtsptest")
		build := exec.Command("go", "build", "-buildvcs=false", "-o", program, ".")
		build.Dir = "rtsptest"
		if text, err := build.CombinedOutput(); err != nil {
			t.Fatalf("build camera/rtsptest: %v\n%s", err, text)
		}
	}
	if p.videos[codec] == "" {
		video := filepath.Join(p.folder, "stream."+codec)
		encode(t, video, streamFrames, encodeFor(codec)...)
		p.videos[codec] = video
	}
	return program, p.videos[codec]
}

// streamFrames is the length of the video that rtspCamera plays in a loop.
const streamFrames = 300

// startRTSP starts a camera that plays counted pictures.
func startRTSP(t testing.TB, codec string, args ...string) *rtspCamera {
	t.Helper()
	program, file := rtspPart(t, codec)
	command := exec.Command(program, append([]string{"-file", file, "-codec", codec}, args...)...)
	command.Stderr = os.Stderr
	in, err := command.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	out, err := command.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := command.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		in.Close()
		command.Wait()
	})
	c := &rtspCamera{t: t, in: in, out: bufio.NewScanner(out)}
	c.url = c.answer()
	return c
}

// encodeFor are ffmpeg's arguments for a stream as cameras send it: a key frame each second, no pictures out
// of order, access unit delimiters for rtsptest.
func encodeFor(codec string) []string {
	if codec == "h265" {
		return strings.Fields("-c:v libx265 -preset ultrafast -pix_fmt yuv420p -g 30 -x265-params log-level=error:bframes=0:repeat-headers=1:aud=1 -f hevc")
	}
	return strings.Fields("-c:v libx264 -preset ultrafast -tune zerolatency -pix_fmt yuv420p -g 30 -x264-params sliced-threads=0:repeat-headers=1:aud=1 -f h264")
}

func (c *rtspCamera) answer() string {
	c.t.Helper()
	if !c.out.Scan() {
		c.t.Fatalf("rtsptest ended: %v", c.out.Err())
	}
	return c.out.Text()
}

// do sends a command and returns the answer.
func (c *rtspCamera) do(command string) string {
	c.t.Helper()
	if _, err := fmt.Fprintln(c.in, command); err != nil {
		c.t.Fatal(err)
	}
	answer := c.answer()
	if strings.HasPrefix(answer, "error") {
		c.t.Fatalf("rtsptest: %s: %s", command, answer)
	}
	return answer
}

// at is the number of pictures sent so far.
func (c *rtspCamera) at() int {
	c.t.Helper()
	n, err := strconv.Atoi(c.do("at"))
	if err != nil {
		c.t.Fatal(err)
	}
	return n
}

// mustOpen opens a source for a test, which closes it.
func mustOpen(t testing.TB, c Config) *Stream {
	t.Helper()
	if c.Name == "" {
		c.Name = "test"
	}
	s, err := Open(t.Context(), c)
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
