package pipeline

import (
	"bytes"
	"context"
	"fmt"
	"image"
	"image/jpeg"

	"github.com/vggse/vggse-agent/vision"
)

// shot is a wish for the next frame that a camera's decision is made of.
type snapshot struct {
	frame vision.Frame
	taken chan struct{} // closed when frame is a copy of it
}

// expose fulfils the wish, if there is one.
func (l *stream) deliver(f *vision.Frame) {
	s := l.snapshot.Swap(nil)
	if s == nil {
		return
	}
	s.frame.CopyFrom(f)
	close(s.taken)
}

// Snapshot waits for the next frame that a decision of the named stream is made of and returns a
// copy of it.
func (p *Pipeline) Snapshot(ctx context.Context, name string) (*vision.Frame, error) {
	l := p.stream(name)
	if l == nil {
		return nil, fmt.Errorf("there is no camera %q", name)
	}
	if open, _ := l.capture.enabled.state(); !open {
		return nil, fmt.Errorf("the camera is disabled")
	}
	s := &snapshot{taken: make(chan struct{})}
	l.snapshot.Store(s)
	defer l.snapshot.CompareAndSwap(s, nil)
	select {
	case <-s.taken:
		return &s.frame, nil
	case <-ctx.Done():
		return nil, fmt.Errorf("the camera has given no frame")
	}
}

const (
	snapshotWidth   = 1280 // pixels, at most
	snapshotQuality = 80   // of JPEG, 1..100
	snapshotLeast   = 64   // pixels: narrower than that, a picture shows nothing
)

// EncodeJPEG makes a JPEG of at most limit bytes: the picture is halved until it fits.
func EncodeJPEG(f *vision.Frame, limit int) ([]byte, error) {
	img := f.Image()
	for ; img.Rect.Dx() >= snapshotLeast || img.Rect.Dx() == f.Width; img = half(img) {
		if img.Rect.Dx() > snapshotWidth {
			continue
		}
		var b bytes.Buffer
		if err := jpeg.Encode(&b, img, &jpeg.Options{Quality: snapshotQuality}); err != nil {
			return nil, err
		}
		if b.Len() <= limit {
			return b.Bytes(), nil
		}
	}
	return nil, fmt.Errorf("a picture of %d×%d does not fit into %d bytes", f.Width, f.Height, limit)
}

// half is the picture at half its size: each pixel the mean of four. What is odd is cut off.
func half(m *image.RGBA) *image.RGBA {
	out := image.NewRGBA(image.Rect(0, 0, m.Rect.Dx()/2, m.Rect.Dy()/2))
	for y := range out.Rect.Dy() {
		above, below, to := m.Pix[2*y*m.Stride:], m.Pix[(2*y+1)*m.Stride:], out.Pix[y*out.Stride:]
		for i := range 4 * out.Rect.Dx() {
			j := i/4*8 + i%4
			to[i] = byte((int(above[j]) + int(above[j+4]) + int(below[j]) + int(below[j+4]) + 2) / 4)
		}
	}
	return out
}
