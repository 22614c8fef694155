package camera

import (
	"context"
	"crypto/tls"
	"errors"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/vggse/vggse-agent/camera/cameratest"
	"github.com/vggse/vggse-agent/vision"
)

// readFresh reads frames until they are fresh.
func readFresh(t *testing.T, s *Stream, cam *cameratest.RTSP, frames int) {
	t.Helper()
	for end := time.Now().Add(hangs); !fresh(t, s, cam, frames); {
		if time.Now().After(end) {
			t.Fatalf("all frames are far behind the camera for %s", hangs)
		}
	}
}

// fresh reads frames, and fails the test where one came before. It reports whether one of them is
// near to the camera; on a busy machine the first may not be, which TestFreshness looks at without
// a clock.
func fresh(t *testing.T, s *Stream, cam *cameratest.RTSP, frames int) bool {
	t.Helper()
	var f vision.Frame
	last, least := -1, cameratest.StreamFrames
	for i := range frames {
		if err := s.Read(t.Context(), &f); err != nil {
			t.Fatalf("frame %d: %v", i, err)
		}
		n := cameratest.Number(&f)
		if n == last || last >= 0 &&
			(n-last+cameratest.StreamFrames)%cameratest.StreamFrames > cameratest.StreamFrames/2 {
			t.Errorf("frame %d shows picture %d after %d", i, n, last)
		}
		last, least = n, min(least, (cam.At()-1-n+2*cameratest.StreamFrames)%cameratest.StreamFrames)
	}
	if f.Width != cameratest.Width || f.Height != cameratest.Height || f.Seq < uint64(frames) {
		t.Errorf("the last frame is %d×%d, number %d", f.Width, f.Height, f.Seq)
	}
	return least <= 10 && time.Since(f.Time) < time.Second
}

// drain reads until an error.
func drain(ctx context.Context, s *Stream) (frames int, err error) {
	var f vision.Frame
	for {
		if err := s.Read(ctx, &f); err != nil {
			return frames, err
		}
		frames++
	}
}

// hangs is how long a test waits for what must come, however slow the machine is.
const hangs = time.Minute

// within fails the test where the time since start is so long that something hangs.
func within(t *testing.T, what string, start time.Time) {
	t.Helper()
	if took := time.Since(start); took > hangs {
		t.Errorf("%s took %v", what, took.Round(time.Millisecond))
	}
}

func TestRTSP(t *testing.T) {
	needOpenCV(t)
	for _, codec := range []string{"h264", "h265", "mpeg4", "vp8", "vp9"} {
		t.Run(codec, func(t *testing.T) {
			if codec == "vp8" || codec == "vp9" { // OpenCV's FFmpeg opens neither
				needSession(t)
			}
			cam := cameratest.StartRTSP(t, codec)
			s := mustOpen(t, Config{Source: cam.URL})
			readFresh(t, s, cam, 30)
			for end := time.Now().Add(hangs); ; { // a busy machine gets more tries
				time.Sleep(time.Second) // frames pile up meanwhile; none of them is wanted
				if fresh(t, s, cam, 10) {
					break
				}
				if time.Now().After(end) {
					t.Fatal("after each pause the frames are old ones")
				}
			}
		})
	}
}

// A camera that falls silent or dies is lost, soon, and found again.
func TestRTSPLost(t *testing.T) {
	needOpenCV(t)
	t.Parallel()
	cam := cameratest.StartRTSP(t, "h264")
	s := mustOpen(t, Config{Source: cam.URL})
	readFresh(t, s, cam, 10)
	cam.Do("stall")
	start := time.Now()
	if _, err := drain(t.Context(), s); !errors.Is(err, ErrStalled) || !errors.Is(err, ErrLost) {
		t.Errorf("a silent camera: %v, want ErrStalled", err)
	}
	within(t, "noticing the silence", start)
	s.Close()

	cam.Do("play")
	start = time.Now()
	s = mustOpen(t, Config{Source: cam.URL})
	readFresh(t, s, cam, 10)
	within(t, "coming back", start) // make soak holds the bar, in agent/pipeline
	cam.Do("die")
	start = time.Now()
	if _, err := drain(t.Context(), s); !errors.Is(err, ErrLost) || errors.Is(err, ErrStalled) {
		t.Errorf("a camera that died: %v, want ErrLost", err)
	}
	if _, err := Open(t.Context(), Config{Source: cam.URL}); !errors.Is(err, ErrLost) ||
		!strings.Contains(err.Error(), "connection refused") {
		t.Errorf("a camera that is dead: %v", err)
	}
	within(t, "noticing death", start)
	cam.Do("up")
	readFresh(t, mustOpen(t, Config{Source: cam.URL}), cam, 10)
}

// An ended context ends Open and Read, though a call into C must be waited for.
func TestRTSPCancelled(t *testing.T) {
	needOpenCV(t)
	t.Parallel()
	cam := cameratest.StartRTSP(t, "h264")
	s := mustOpen(t, Config{Source: cam.URL})
	readFresh(t, s, cam, 5)
	cam.Do("stall")
	ctx, cancel := context.WithTimeout(t.Context(), 300*time.Millisecond)
	defer cancel()
	start := time.Now()
	if _, err := drain(ctx, s); !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("Read under an ended context = %v", err)
	}
	within(t, "Read", start)
	ctx, cancel = context.WithTimeout(t.Context(), 300*time.Millisecond)
	defer cancel()
	start = time.Now()
	silent, done, err := openPumped(ctx, Config{Source: cam.URL})
	if err == nil { // who has a session with the camera may have to wait for the first frame
		_, err = drain(ctx, silent)
		silent.Close()
		<-done
	}
	if !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("a camera that sends nothing, under an ended context: %v", err)
	}
	within(t, "Open", start)
}

// Noise in place of pictures ends in an error or in frames, and never in a hang.
func TestRTSPGarbage(t *testing.T) {
	needOpenCV(t)
	t.Parallel()
	cam := cameratest.StartRTSP(t, "h264")
	s := mustOpen(t, Config{Source: cam.URL})
	readFresh(t, s, cam, 5)
	cam.Do("garbage")
	start := time.Now()
	var f vision.Frame
	for time.Since(start) < 4*time.Second {
		before := time.Now()
		err := s.Read(t.Context(), &f)
		within(t, "a Read", before)
		if errors.Is(err, ErrLost) {
			break
		} else if err != nil {
			t.Fatal(err)
		}
	}
	s.Close()
	cam.Do("play")
	readFresh(t, mustOpen(t, Config{Source: cam.URL}), cam, 5)
}

// Each way in which a server cannot be had has its sentence, without the password.
func TestRTSPRefuses(t *testing.T) {
	needOpenCV(t)
	t.Parallel()
	mute, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer mute.Close()
	gone, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	gone.Close()
	cam := cameratest.StartRTSP(t, "h264", "-user", "operator", "-password", "p@s/s w:rd")
	host := strings.TrimSuffix(strings.TrimPrefix(cam.URL, "rtsp://"), "/cam")
	for _, tt := range []struct{ what, source, want string }{
		{"nobody listens", "rtsp://u:SECRET@" + gone.Addr().String() + "/x", "connection refused"},
		{"nobody answers", "rtsp://u:SECRET@" + mute.Addr().String() + "/x", "does not answer"},
		{"wrong password", "rtsp://operator:SECRET@" + host + "/cam", "refuses this user"},
		{"wrong path", "rtsp://operator:p@s%2Fs w:rd@" + host + "/x", "no such path"},
	} {
		start := time.Now()
		_, err := Open(t.Context(), Config{Source: tt.source})
		if !errors.Is(err, ErrLost) || !strings.Contains(err.Error(), tt.want) ||
			strings.Contains(err.Error(), "SECRET") || strings.Contains(err.Error(), "w:rd") {
			t.Errorf("%s: got %v, want %q", tt.what, err, tt.want)
		}
		within(t, tt.what, start)
	}
	s := mustOpen(t, Config{Source: "rtsp://operator:p@s%2Fs w:rd@" + host + "/cam"})
	readFresh(t, s, cam, 5)
}

// rtsps:// is RTSP inside TLS; the certificate is the camera's own.
func TestRTSPS(t *testing.T) {
	needOpenCV(t)
	t.Parallel()
	cam := cameratest.StartRTSP(t, "h264")
	host := strings.TrimSuffix(strings.TrimPrefix(cam.URL, "rtsp://"), "/cam")
	certificate := httptest.NewTLSServer(http.NotFoundHandler())
	defer certificate.Close()
	l, err := tls.Listen("tcp", "127.0.0.1:0", &tls.Config{Certificates: certificate.TLS.Certificates})
	if err != nil {
		t.Fatal(err)
	}
	var group sync.WaitGroup
	defer group.Wait()
	defer l.Close()
	group.Go(func() {
		for {
			conn, err := l.Accept()
			if err != nil {
				return
			}
			to, err := net.Dial("tcp", host)
			if err != nil {
				conn.Close()
				continue
			}
			group.Go(func() { io.Copy(to, conn); to.Close() })
			group.Go(func() { io.Copy(conn, to); conn.Close() })
		}
	})
	s, done, err := openPumped(t.Context(), Config{Source: "rtsps://" + l.Addr().String() + "/cam"})
	if err != nil {
		t.Fatal(err)
	}
	readFresh(t, s, cam, 5)
	s.Close()
	<-done
}
