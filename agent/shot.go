package agent

import (
	"bytes"
	"context"
	"fmt"
	"image"
	"image/jpeg"

	"github.com/vggse/vggse-agent/vision"
)

// shot is a wish for the next frame that a camera's decision is made of.
type shot struct {
	frame vision.Frame
	taken chan struct{} // closed when frame is a copy of it
}

// expose fulfils the wish, if there is one.
func (l *lane) expose(f *vision.Frame) {
	s := l.shot.Swap(nil)
	if s == nil {
		return
	}
	s.frame.CopyFrom(f)
	close(s.taken)
}

// shoot waits for the next frame of the camera and returns a copy of it.
func (l *lane) shoot(ctx context.Context) (*vision.Frame, error) {
	if open, _ := l.feed.shutter.look(); !open {
		return nil, fmt.Errorf("the camera is disabled")
	}
	s := &shot{taken: make(chan struct{})}
	l.shot.Store(s)
	defer l.shot.CompareAndSwap(s, nil)
	select {
	case <-s.taken:
		return &s.frame, nil
	case <-ctx.Done():
		return nil, fmt.Errorf("the camera has given no frame")
	}
}

const (
	shotWidth   = 1280 // pixels, at most
	shotQuality = 80   // of JPEG, 1..100
	shotLeast   = 64   // pixels: narrower than that, a picture shows nothing
)

// encodeShot makes a JPEG of at most limit bytes: the picture is halved until it fits.
func encodeShot(f *vision.Frame, limit int) ([]byte, error) {
	img := f.Image()
	for ; img.Rect.Dx() >= shotLeast || img.Rect.Dx() == f.Width; img = half(img) {
		if img.Rect.Dx() > shotWidth {
			continue
		}
		var b bytes.Buffer
		if err := jpeg.Encode(&b, img, &jpeg.Options{Quality: shotQuality}); err != nil {
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
