package worker

import (
	"bytes"
	"errors"
	"image/jpeg"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/vggse/vggse-agent/camera"
	"github.com/vggse/vggse-agent/camera/cameratest"
	"github.com/vggse/vggse-agent/vision"
)

// numbered is picture n, magnified.
func numbered(n, times int) *vision.Frame {
	var small, f vision.Frame
	small.Resize(cameratest.Width, cameratest.Height)
	cameratest.Draw(small.Pix, n)
	f.Resize(times*small.Width, times*small.Height)
	for y := range f.Height {
		for x := range f.Width {
			copy(f.Pix[y*f.Stride+3*x:][:3], small.Pix[y/times*small.Stride+3*(x/times):])
		}
	}
	return &f
}

// decoded is the picture that a JPEG holds.
func decoded(t *testing.T, b []byte) *vision.Frame {
	t.Helper()
	img, err := jpeg.Decode(bytes.NewReader(b))
	if err != nil {
		t.Fatal(err)
	}
	return vision.FrameOf(img)
}

// Pictures are encoded in the process of an open camera, of any size, from several goroutines, while
// frames go on; before, after, and of what is drawn here, not.
func TestJPEG(t *testing.T) {
	needOpenCV(t)
	c := newCamera(t, "file://"+cameratest.Video(t, "film.avi", 60, "-c:v", "mjpeg")+"?loop=-1&speed=max")
	if _, err := c.JPEG(numbered(1, 1), 640, 80); !errors.Is(err, errNoEncoder) || c.CanJPEG() {
		t.Errorf("before the opening: %v", err)
	}
	s := open(t, c)
	var f vision.Frame
	var all sync.WaitGroup
	for worker := range 3 {
		all.Go(func() {
			for i := range 20 {
				n, times := 100*worker+i, i%4+1
				b, err := c.JPEG(numbered(n, times), 640, 80)
				if err != nil {
					t.Error(err)
					return
				}
				if got := decoded(t, b); got.Width != min(640, times*cameratest.Width) ||
					got.Height != got.Width*3/4 || cameratest.Number(got) != n {
					t.Errorf("picture %d of %d times the size: number %d, %d×%d", n, times, cameratest.Number(got),
						got.Width, got.Height)
				}
			}
		})
	}
	for range 60 {
		if err := s.Read(soon(t), &f); err != nil {
			t.Fatal(err)
		}
	}
	all.Wait()
	if n := threadsOf(t, encodePriority); n < 1 {
		t.Errorf("%d threads have the priority of encoding, want that which encodes", n)
	}
	if _, err := c.JPEG(&vision.Frame{Width: 1 << 20, Height: 1 << 20}, 640, 80); err == nil {
		t.Error("a frame without pixels was encoded")
	}
	if c.CanJPEG() {
		t.Error("an encoder that has failed is asked again")
	}
	again := open(t, c)
	if b, err := c.JPEG(numbered(7, 2), 320, 80); err != nil || cameratest.Number(decoded(t, b)) != 7 {
		t.Errorf("after another opening: %v", err)
	}
	if err := again.Close(); err != nil {
		t.Error(err)
	}
	if _, err := c.JPEG(numbered(1, 1), 640, 80); !errors.Is(err, errNoEncoder) || c.CanJPEG() {
		t.Errorf("after the end: %v", err)
	}
	drawn := newCamera(t, "demo://parts")
	if open(t, drawn); drawn.CanJPEG() {
		t.Error("what is drawn here has no process that encodes")
	}
}

// threadsOf counts the threads of all children that have a nice value.
func threadsOf(t *testing.T, nice int) (n int) {
	t.Helper()
	lists, err := filepath.Glob("/proc/self/task/*/children")
	if err != nil {
		t.Fatal(err)
	}
	for _, list := range lists {
		children, _ := os.ReadFile(list) // of a thread that may have ended
		for child := range strings.FieldsSeq(string(children)) {
			threads, _ := filepath.Glob("/proc/" + child + "/task/*/stat")
			for _, path := range threads {
				text, _ := os.ReadFile(path)
				_, after, _ := strings.Cut(string(text), ") ")
				if f := strings.Fields(after); len(f) > 16 && f[16] == strconv.Itoa(nice) {
					n++
				}
			}
		}
	}
	return n
}

// encoders are children that encode otherwise than they should, by what they answer to a question.
var encoders = map[string]func(socket int, memory []byte){
	"too much":  func(socket int, _ []byte) { unix.Sendto(socket, []byte{0, 0, 0, 0xff}, 0, nil) },
	"nothing":   func(socket int, _ []byte) { unix.Sendto(socket, []byte{0, 0, 0, 0}, 0, nil) },
	"long":      func(socket int, _ []byte) { unix.Sendto(socket, make([]byte, 1000), 0, nil) },
	"no jpeg":   func(socket int, _ []byte) { unix.Sendto(socket, []byte{200, 0, 0, 0}, 0, nil) },
	"a hang-up": func(socket int, _ []byte) { unix.Close(socket) },
	"silence":   func(int, []byte) {},
	"too wide": func(socket int, memory []byte) {
		b, _ := camera.JPEG(numbered(1, 4), 9999, 80)
		copy(memory, b)
		unix.Sendto(socket, []byte{byte(len(b)), byte(len(b) >> 8), byte(len(b) >> 16), 0}, 0, nil)
	},
}

func init() {
	for name, answer := range encoders {
		hostile["encodes "+name] = func() { encodesWrongly(answer) }
	}
}

func encodesWrongly(answer func(socket int, memory []byte)) {
	openedNow()
	buffer, rights := make([]byte, messageSize), make([]byte, unix.CmsgSpace(4))
	receive := func(fd int) (n, descriptor int) {
		n, m, _, _, err := unix.Recvmsg(fd, buffer, rights, 0)
		if err != nil || n == 0 {
			os.Exit(1)
		}
		descriptor, _ = descriptorOf(rights[:m])
		return n, descriptor
	}
	socket := -1
	for socket < 0 || kind(buffer[0]) != kindEncode {
		_, socket = receive(childSocket)
	}
	go func() {
		for {
			say(byte(kindAlive))
			time.Sleep(100 * time.Millisecond)
		}
	}()
	_, fd := receive(socket)
	memory, err := unix.Mmap(fd, 0, 3*numbered(1, 2).Width*numbered(1, 2).Height, unix.PROT_READ|unix.PROT_WRITE,
		unix.MAP_SHARED)
	if err != nil {
		os.Exit(1)
	}
	answer(socket, memory)
	select {}
}

// What a process says that it has encoded is not believed, and nobody waits for it for long.
func TestHostileEncoder(t *testing.T) {
	needOpenCV(t)
	Asked(nil)
	defer func(usual []string) { arguments = usual }(arguments)
	for name := range encoders {
		t.Run(name, func(t *testing.T) {
			arguments = []string{Verb, "encodes " + name}
			c := newCamera(t, "rtsp://user:geheim@127.0.0.1:1/x")
			open(t, c)
			b, err := c.JPEG(numbered(1, 2), 640, 80)
			if err == nil || strings.Contains(err.Error(), "geheim") || c.CanJPEG() {
				t.Errorf("%d bytes, %v", len(b), err)
			}
		})
	}
}

// BenchmarkJPEG is the time for a picture of 1280×720 at 640 wide, with the way there and back.
func BenchmarkJPEG(b *testing.B) {
	needOpenCV(b)
	c := newCamera(b, "file://"+cameratest.Film(b, 1280, 720, 30)+"?loop=-1")
	s := open(b, c)
	var f vision.Frame
	if err := s.Read(soon(b), &f); err != nil {
		b.Fatal(err)
	}
	for b.Loop() {
		if _, err := c.JPEG(&f, 640, 80); err != nil {
			b.Fatal(err)
		}
	}
}
