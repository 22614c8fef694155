// Package cameratest has the pictures, videos and the RTSP camera that tests of cameras need: films
// whose pictures carry their number, so that a test sees which one it got.
package cameratest

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strconv"
	"strings"
	"sync"
	"testing"

	"github.com/vggse/vggse-agent/vision"
)

// Width and Height are the size of the pictures, which carry their number: bits bars of black or
// white in the upper half.
const (
	Width, Height = 320, 240
	bits          = 10
)

// Draw draws picture n into tightly packed BGR.
func Draw(pix []byte, n int) {
	for y := range Height {
		for x := range Width {
			v := byte(90) // the lower half
			if bar := x * bits / Width; y < Height/2 {
				v = byte(n >> bar & 1 * 255)
			}
			at := 3 * (y*Width + x)
			pix[at], pix[at+1], pix[at+2] = v, v, v
		}
	}
}

// Number is the number that Draw drew, in a frame of any size.
func Number(f *vision.Frame) (n int) {
	for bar := range bits {
		x, y := (2*bar+1)*f.Width/(2*bits), f.Height/4
		if f.Pix[y*f.Stride+3*x+1] > 127 {
			n |= 1 << bar
		}
	}
	return n
}

// StreamFrames is the length of the video that an RTSP plays in a loop.
const StreamFrames = 300

// Video encodes n pictures with ffmpeg into a file in a folder of the test and returns its path.
func Video(t testing.TB, name string, n int, args ...string) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), name)
	Encode(t, path, n, args...)
	return path
}

// Encode encodes n pictures of 30 a second with ffmpeg, which gets args, into the file path.
func Encode(t testing.TB, path string, n int, args ...string) {
	t.Helper()
	command := exec.Command("ffmpeg", append(append(strings.Fields(fmt.Sprintf(
		"-loglevel error -y -f rawvideo -pixel_format bgr24 -video_size %dx%d -framerate 30 -i -", Width, Height)),
		args...), path)...)
	command.Stderr = os.Stderr
	in, err := command.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := command.Start(); err != nil {
		t.Fatalf("%v: 'scripts/deps test' installs ffmpeg", err)
	}
	pix := make([]byte, 3*Width*Height)
	for i := range n {
		Draw(pix, i)
		if _, err := in.Write(pix); err != nil {
			t.Fatal(err)
		}
	}
	if err := errors.Join(in.Close(), command.Wait()); err != nil {
		t.Fatal(err)
	}
}

// RTSP is a running camera/rtsptest that plays StreamFrames counted pictures in a loop. It is for
// the test's goroutine.
type RTSP struct {
	URL string

	t   testing.TB
	in  io.WriteCloser
	out *bufio.Scanner
}

// rtspParts are what StartRTSP needs and makes once, in a folder that Cleanup removes.
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
		_, self, _, _ := runtime.Caller(0)
		build.Dir = filepath.Join(filepath.Dir(filepath.Dir(self)), "rtsptest")
		if text, err := build.CombinedOutput(); err != nil {
			t.Fatalf("build camera/rtsptest: %v\n%s", err, text)
		}
	}
	if p.videos[codec] == "" {
		video := filepath.Join(p.folder, "stream."+codec)
		encodeStream(t, video, codec)
		p.videos[codec] = video
	}
	return program, p.videos[codec]
}

// Cleanup removes what StartRTSP made for all tests of a process: call it from TestMain, at the
// end.
func Cleanup() {
	if rtspParts.folder != "" {
		os.RemoveAll(rtspParts.folder)
	}
}

// Whole is H.264 in which each picture is a key frame: what is decoded after a loss shows its
// number, not a mixture.
const Whole = "h264, key frames alone"

// Sizes is H.264 whose pictures change their size in mid-stream, from Width×Height to twice that;
// each half begins with picture 0.
const Sizes = "h264, two sizes"

// encodeStream encodes what a camera plays into the file path.
func encodeStream(t testing.TB, path, codec string) {
	t.Helper()
	if codec != Sizes {
		Encode(t, path, StreamFrames, arguments(codec)...)
		return
	}
	larger := append([]string{"-vf", fmt.Sprintf("scale=%d:%d", 2*Width, 2*Height)}, arguments(Whole)...)
	Encode(t, path, StreamFrames/2, arguments(Whole)...)
	Encode(t, path+".larger", StreamFrames/2, larger...)
	first, err := os.ReadFile(path)
	second, err2 := os.ReadFile(path + ".larger")
	if err := errors.Join(err, err2, os.WriteFile(path, append(first, second...), 0o644)); err != nil {
		t.Fatal(err)
	}
}

// StartRTSP starts a camera that sends h264, h265, mpeg4, vp8, vp9, Whole or Sizes; args are further flags of
// camera/rtsptest. The test's end ends it.
func StartRTSP(t testing.TB, codec string, args ...string) *RTSP {
	t.Helper()
	program, file := rtspPart(t, codec)
	name, _, _ := strings.Cut(codec, ",")
	command := exec.Command(program, append([]string{"-file", file, "-codec", name}, args...)...)
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
	c := &RTSP{t: t, in: in, out: bufio.NewScanner(out)}
	c.URL = c.answer()
	return c
}

// arguments are ffmpeg's arguments for a stream as cameras send it: a key frame each second, no
// pictures out of order, access unit delimiters for rtsptest.
func arguments(codec string) []string {
	key := "30"
	if codec == Whole {
		key = "1"
	}
	switch codec {
	case "mpeg4":
		return strings.Fields("-c:v mpeg4 -q:v 3 -g 30 -f m4v")
	case "vp8":
		return strings.Fields("-c:v libvpx -deadline realtime -cpu-used 8 -b:v 1M -g 30 -f ivf")
	case "vp9":
		return strings.Fields("-c:v libvpx-vp9 -pix_fmt yuv420p -deadline realtime -cpu-used 8 -b:v 1M -g 30 -f ivf")
	case "h265":
		return strings.Fields("-c:v libx265 -preset ultrafast -pix_fmt yuv420p -g 30 -x265-params " +
			"log-level=error:bframes=0:repeat-headers=1:aud=1 -f hevc")
	}
	return strings.Fields("-c:v libx264 -preset ultrafast -tune zerolatency -pix_fmt yuv420p -x264-params " +
		"sliced-threads=0:repeat-headers=1:aud=1 -f h264 -g " + key)
}

func (c *RTSP) answer() string {
	c.t.Helper()
	if !c.out.Scan() {
		c.t.Fatalf("rtsptest ended: %v", c.out.Err())
	}
	return c.out.Text()
}

// Do sends one of camera/rtsptest's commands and returns the answer.
func (c *RTSP) Do(command string) string {
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

// At is the number of pictures sent so far.
func (c *RTSP) At() int {
	c.t.Helper()
	n, err := strconv.Atoi(c.Do("at"))
	if err != nil {
		c.t.Fatal(err)
	}
	return n
}

// Film encodes H.264 of ffmpeg's test picture at 30 frames a second, as a camera of that size sends
// it, into a file in a folder of the test and returns its path.
func Film(t testing.TB, width, height, frames int) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "film.mp4")
	command := exec.Command("ffmpeg", strings.Fields(fmt.Sprintf("-loglevel error -y -f lavfi -i "+
		"testsrc2=size=%dx%d:rate=30 -frames:v %d -c:v libx264 -preset veryfast -tune zerolatency -g 30 "+
		"-pix_fmt yuv420p %s", width, height, frames, path))...)
	if out, err := command.CombinedOutput(); err != nil {
		t.Fatalf("%v: %s: 'scripts/deps test' installs ffmpeg", err, out)
	}
	return path
}

// CutFilm encodes n pictures as MJPEG in AVI and cuts the file off in its middle.
func CutFilm(t testing.TB, n int) string {
	t.Helper()
	path := Video(t, "cut off.avi", n, "-c:v", "mjpeg", "-pix_fmt", "yuvj420p")
	info, err := os.Stat(path)
	if err == nil {
		err = os.Truncate(path, info.Size()/2)
	}
	if err != nil {
		t.Fatal(err)
	}
	return path
}
