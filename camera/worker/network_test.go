package worker

import (
	"bufio"
	"bytes"
	"context"
	"encoding/binary"
	"errors"
	"flag"
	"fmt"
	"image/jpeg"
	"io"
	"math/rand/v2"
	"net"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/vggse/vggse-agent/camera"
	"github.com/vggse/vggse-agent/camera/cameratest"
	"github.com/vggse/vggse-agent/internal/backoff"
	"github.com/vggse/vggse-agent/vision"
)

var (
	networkCameras = flag.Int("network", 4, "network cameras, half of which send garbage")
	hostileTime    = flag.Duration("hostile", time.Second, "how long mutated streams are read")
)

// mutant is a camera that speaks RTSP or HTTP, as it is asked, and changes bytes of what it sends.
type mutant struct {
	video   [][]byte // H.264, without start codes
	picture []byte   // JPEG
	share   float64  // of all bytes that are changed
}

// newMutant starts a camera that the test's end ends, and returns its address.
func newMutant(t *testing.T, share float64) (m *mutant, address string) {
	t.Helper()
	data, err := os.ReadFile(cameratest.Video(t, "a.h264", 30, strings.Fields("-c:v libx264 -preset ultrafast "+
		"-pix_fmt yuv420p -g 10 -x264-params repeat-headers=1")...))
	if err != nil {
		t.Fatal(err)
	}
	m = &mutant{share: share}
	for _, nal := range bytes.Split(data, []byte{0, 0, 1}) {
		if nal = bytes.TrimRight(nal, "\x00"); len(nal) > 0 {
			m.video = append(m.video, nal)
		}
	}
	var f vision.Frame
	f.Resize(cameratest.Width, cameratest.Height)
	cameratest.Draw(f.Pix, 5)
	var b bytes.Buffer
	if err := jpeg.Encode(&b, f.Image(), nil); err != nil {
		t.Fatal(err)
	}
	m.picture = b.Bytes()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	var group sync.WaitGroup
	ctx, cancel := context.WithCancel(context.Background())
	t.Cleanup(func() { cancel(); l.Close(); group.Wait() })
	group.Go(func() {
		for {
			conn, err := l.Accept()
			if err != nil {
				return
			}
			group.Go(func() {
				stop := context.AfterFunc(ctx, func() { conn.Close() })
				defer stop()
				defer conn.Close()
				conn.SetDeadline(time.Now().Add(time.Minute))
				m.serve(conn)
			})
		}
	})
	return m, l.Addr().String()
}

// changed is data with some of its bytes changed.
func (m *mutant) changed(data []byte) []byte {
	data = bytes.Clone(data)
	for range 1 + rand.N(2+int(2*m.share*float64(len(data)))) {
		if rand.Float64() < m.share*float64(len(data)) {
			data[rand.N(len(data))] ^= byte(1 << rand.N(8))
		}
	}
	return data
}

func (m *mutant) serve(conn net.Conn) {
	in := bufio.NewReader(conn)
	for {
		request, headers := "", ""
		for line := ""; line != "\r\n"; headers += line {
			var err error
			if line, err = in.ReadString('\n'); err != nil {
				return
			}
			if request == "" {
				request = line
			}
		}
		method, _, _ := strings.Cut(request, " ")
		if method == "GET" {
			m.http(conn, request)
			return
		}
		if m.rtsp(conn, method, headers); method == "PLAY" {
			return
		}
	}
}

func (m *mutant) rtsp(conn io.Writer, method, headers string) {
	cseq := "0"
	if _, rest, found := strings.Cut(headers, "CSeq: "); found {
		cseq, _, _ = strings.Cut(rest, "\r\n")
	}
	sdp := "v=0\r\nm=video 0 RTP/AVP 96\r\na=rtpmap:96 H264/90000\r\na=control:trackID=0\r\n"
	answer := "RTSP/1.0 200 OK\r\nCSeq: " + cseq + "\r\n"
	switch method {
	case "DESCRIBE":
		answer += fmt.Sprintf("Content-Type: application/sdp\r\nContent-Length: %d\r\n\r\n%s", len(sdp), sdp)
	case "SETUP":
		answer += "Session: 1\r\nTransport: RTP/AVP/TCP;unicast;interleaved=0-1\r\n\r\n"
	default:
		answer += "Session: 1\r\n\r\n"
	}
	conn.Write(m.some([]byte(answer)))
	if method == "PLAY" {
		m.packets(conn)
	}
}

// some is data, changed one time in four: else nothing would get as far as the pictures.
func (m *mutant) some(data []byte) []byte {
	if rand.N(4) > 0 {
		return data
	}
	return m.changed(data)
}

// packets sends the video as RTP inside the connection (RFC 6184: alone, or as FU-A).
func (m *mutant) packets(conn io.Writer) {
	sequence, stamp := uint16(0), uint32(0)
	send := func(payload []byte) error {
		b := []byte{'$', 0, 0, 0, 0x80, 96, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1}
		binary.BigEndian.PutUint16(b[2:], uint16(12+len(payload)))
		binary.BigEndian.PutUint16(b[6:], sequence)
		binary.BigEndian.PutUint32(b[8:], stamp)
		b[5] |= 0x80 // each the last of its picture
		sequence++
		_, err := conn.Write(append(m.some(b), m.changed(payload)...))
		return err
	}
	for range 8 {
		for _, nal := range m.video {
			stamp += 3000
			err := error(nil)
			for rest, first := nal[1:], true; err == nil; first = false {
				if len(nal) < 1200 {
					err = send(nal)
					break
				}
				n := min(1200, len(rest))
				kind := nal[0] & 0x1f
				if first {
					kind |= 0x80
				}
				if n == len(rest) {
					kind |= 0x40
				}
				err = send(append([]byte{nal[0]&0xe0 | 28, kind}, rest[:n]...))
				if rest = rest[n:]; len(rest) == 0 {
					break
				}
			}
			if err != nil {
				return
			}
			time.Sleep(2 * time.Millisecond)
		}
	}
}

func (m *mutant) http(conn io.Writer, request string) {
	if strings.Contains(request, "snap") {
		data := m.changed(m.picture)
		conn.Write(m.some(fmt.Appendf(nil, "HTTP/1.1 200 OK\r\nContent-Type: image/jpeg\r\nContent-Length: %d\r\n\r\n",
			len(data))))
		conn.Write(data)
		return
	}
	conn.Write(m.some([]byte("HTTP/1.1 200 OK\r\nContent-Type: multipart/x-mixed-replace; boundary=b\r\n\r\n")))
	for range 100 {
		data := m.changed(m.picture)
		head := m.some(fmt.Appendf(nil, "--b\r\nContent-Type: image/jpeg\r\nContent-Length: %d\r\n\r\n", len(data)))
		if _, err := conn.Write(append(append(head, data...), "\r\n"...)); err != nil {
			return
		}
		time.Sleep(5 * time.Millisecond)
	}
}

// readFor opens a camera again and again until ctx ends; every error must be a loss, or tell that it
// is no film.
func readFor(ctx context.Context, t *testing.T, source func() string, film bool, opened, frames *atomic.Int64) {
	var waits backoff.Camera
	c := New(camera.Config{Name: "test", Source: source()})
	defer func() { c.Close() }()
	var f [3]vision.Frame
	for ctx.Err() == nil {
		if film {
			c.Close()
			f = [3]vision.Frame{}
			c = New(camera.Config{Name: "test", Source: source()})
		}
		var first, last time.Time
		s, err := c.Open(ctx)
		if err == nil {
			opened.Add(1)
			for i := 0; err == nil; i++ {
				if err = s.Read(ctx, &f[i%3]); err != nil {
					break
				}
				frames.Add(1)
				if last = time.Now(); i == 0 {
					first = last
				}
			}
			err = errors.Join(err, s.Close())
		}
		if err != nil && ctx.Err() == nil && !film && !errors.Is(err, camera.ErrLost) {
			t.Errorf("%v, want an ErrLost", err)
			return
		}
		if !film { // as the pipeline does
			select {
			case <-ctx.Done():
			case <-time.After(waits.Next(last.Sub(first))):
			}
		}
	}
}

// A network camera that is lost keeps its process, locked in as before, for the next attempts; one that
// was killed has a new one.
func TestLostCameraStays(t *testing.T) {
	needOpenCV(t)
	cam := cameratest.StartRTSP(t, cameratest.Whole)
	c := New(camera.Config{Name: "test", Source: cam.URL})
	defer c.Close()
	best, _ := Supported()
	var f [3]vision.Frame
	opened := func() *Stream {
		t.Helper()
		s, err := c.Open(soon(t))
		if err != nil {
			t.Fatal(err)
		}
		for i := range 5 {
			if err := s.Read(soon(t), &f[i%3]); err != nil {
				t.Fatal(err)
			}
		}
		if level, why := s.(*Stream).Sandbox(); level != string(best) {
			t.Errorf("sandbox %s (%s), want %s", level, why, best)
		}
		return s.(*Stream)
	}
	lose := func(s *Stream) {
		t.Helper()
		err := error(nil)
		for i := 0; err == nil; i++ {
			err = s.Read(soon(t), &f[i%3])
		}
		if err := s.Close(); err != nil {
			t.Fatal(err)
		}
	}
	s := opened()
	first := s.process.cmd.Process.Pid
	for range 3 {
		cam.Do("die")
		lose(s)
		if _, err := c.Open(soon(t)); !errors.Is(err, camera.ErrLost) {
			t.Fatalf("%v of a camera that is away, want an ErrLost", err)
		}
		cam.Do("up")
		if s = opened(); s.process.cmd.Process.Pid != first {
			t.Errorf("process %d, want %d as before", s.process.cmd.Process.Pid, first)
		}
	}
	if err := s.process.cmd.Process.Kill(); err != nil {
		t.Fatal(err)
	}
	lose(s)
	s = opened()
	if s.process.cmd.Process.Pid == first {
		t.Error("a killed process is back")
	}
	cam.Do("die")
	lose(s)
	waiting := c.idle
	if err := errors.Join(waiting.cmd.Process.Kill(), c.Close()); err != nil || c.idle != nil {
		t.Errorf("%v, %v stays", err, c.idle)
	}
}

// Of network cameras one half sends garbage: the others come up, are never opened anew, and flow; and
// all of them end soon.
func TestGarbageBeside(t *testing.T) {
	needOpenCV(t)
	_, noise := newMutant(t, 0.2)
	good := cameratest.StartRTSP(t, cameratest.Whole)
	ctx, cancel := context.WithCancel(t.Context())
	var group sync.WaitGroup
	opened, frames := make([]atomic.Int64, *networkCameras), make([]atomic.Int64, *networkCameras)
	sources := []string{"rtsp://" + noise + "/x", "http://" + noise + "/stream", "http://" + noise + "/snap#fps=50"}
	began := time.Now()
	for i := range *networkCameras {
		source := good.URL
		if i%2 == 1 {
			source = sources[i/2%len(sources)]
		}
		group.Go(func() { readFor(ctx, t, func() string { return source }, false, &opened[i], &frames[i]) })
	}
	for i := 0; i < *networkCameras; i += 2 {
		waitFor(t, "a good camera", func() bool { return frames[i].Load() > 0 })
	}
	up := time.Since(began)
	for i := 0; i < *networkCameras; i += 2 {
		least := frames[i].Load() + 60
		waitFor(t, "more of a good camera", func() bool { return frames[i].Load() > least })
		if n := opened[i].Load(); n != 1 {
			t.Errorf("a good camera was opened %d times", n)
		}
	}
	began = time.Now()
	cancel()
	group.Wait()
	end := time.Since(began)
	t.Logf("the good ones of %d were up after %s, and all ended after %s", *networkCameras, up.Round(time.Millisecond),
		end.Round(time.Millisecond))
	if *whole && (up > 10*time.Second || end > 3*time.Second) {
		t.Errorf("up after %s, want 10 s; ended after %s, want 3 s", up, end)
	}
}

// Mutated RTSP, RTP, H.264, MJPEG and JPEG, by network and in files, end children at most: each error
// is told as one of the camera, and nothing is left behind.
func TestMutatedStreams(t *testing.T) {
	needOpenCV(t)
	m, address := newMutant(t, 0.002)
	film, err := os.ReadFile(cameratest.Video(t, "a.mp4", 20, "-c:v", "libx264", "-pix_fmt", "yuv420p"))
	if err != nil {
		t.Fatal(err)
	}
	dir := t.TempDir()
	file := func(name string, data []byte) func() string {
		return func() string {
			path := filepath.Join(dir, name)
			if err := os.WriteFile(path, m.changed(data), 0o644); err != nil {
				t.Error(err)
			}
			return "file://" + path + "?speed=max"
		}
	}
	before := holdings(t)
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	began := time.Now()
	var group sync.WaitGroup
	var opened, frames [5]atomic.Int64
	for i, source := range []func() string{
		func() string { return "rtsp://" + address + "/x" }, func() string { return "http://" + address + "/stream" },
		func() string { return "http://" + address + "/snap#fps=100" }, file("a.mp4", film), file("a.jpg", m.picture),
	} {
		group.Go(func() { readFor(ctx, t, source, i >= 3, &opened[i], &frames[i]) })
	}
	waitFor(t, "frames of mutated streams", func() bool {
		return frames[0].Load() > 0 && frames[1].Load() > 0
	})
	time.Sleep(time.Until(began.Add(*hostileTime)))
	cancel()
	group.Wait()
	for i := range opened {
		t.Logf("source %d: %d openings, %d frames", i, opened[i].Load(), frames[i].Load())
	}
	before.hold(t, holdings(t))
	left, err := os.ReadDir(dir)
	if err != nil || len(left) != 2 {
		t.Errorf("%v, %d files where 2 were written", err, len(left))
	}
}
