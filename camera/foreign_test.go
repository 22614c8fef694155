//go:build gocv

package camera

import (
	"testing"

	"golang.org/x/sys/unix"

	"github.com/vggse/vggse-agent/camera/cameratest"
	"github.com/vggse/vggse-agent/vision"
)

// memoryOf is memory that is not Go's.
func memoryOf(t *testing.T, size int) []byte {
	t.Helper()
	m, err := unix.Mmap(-1, 0, size, unix.PROT_READ|unix.PROT_WRITE, unix.MAP_PRIVATE|unix.MAP_ANONYMOUS)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { unix.Munmap(m) })
	return m
}

// A frame that is decoded straight into foreign memory is the same, and one of another size or a
// turned one comes the usual way.
func TestForeign(t *testing.T) {
	m := needOpenCV(t)
	path := cameratest.Video(t, "film.avi", 12, "-c:v", "mjpeg")
	for _, only := range []machine{{ffmpeg: m.ffmpeg}, {gstreamer: m.gstreamer}} {
		if !only.ffmpeg && !only.gstreamer {
			continue
		}
		for _, flip := range []Flip{FlipNone, FlipRotate180} {
			u := URI{Scheme: "file", Target: path}
			u.Flip = flip
			usual, _, err := u.openVideo(only, headerOf(u.Target))
			if err != nil {
				t.Fatal(err)
			}
			defer usual.close()
			source, _, err := u.openVideo(only, headerOf(u.Target))
			if err != nil {
				t.Fatal(err)
			}
			defer source.close()
			source.(*video).isForeign()
			compareForeign(t, usual, source.(*video))
		}
	}
}

func compareForeign(t *testing.T, usual source, foreign *video) {
	t.Helper()
	var a vision.Frame
	b := vision.Frame{Pix: memoryOf(t, 3*320*240+100)[:0]}
	memory := &b.Pix[:1][0]
	for i := range 10 {
		if err := usual.next(t.Context(), &a); err != nil {
			t.Fatal(err)
		}
		if err := foreign.next(t.Context(), &b); err != nil {
			t.Fatal(err)
		}
		comparePixels(t, &b, a.Pix)
		if &b.Pix[0] != memory {
			t.Fatalf("frame %d stands elsewhere", i)
		}
		if c, ok := foreign.capture.(*capture); ok && c.direct != (foreign.plan.flip == FlipNone && i > 0) {
			t.Errorf("%q: frame %d is direct: %t", foreign.plan.flip, i, c.direct)
		}
	}
}
