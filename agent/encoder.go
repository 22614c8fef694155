package agent

import (
	"sync/atomic"

	"github.com/vggse/vggse-agent/camera/worker"
	"github.com/vggse/vggse-agent/live"
	"github.com/vggse/vggse-agent/vision"
)

const (
	pictureWidth   = 640 // pixels: OpenCV makes them in 2 to 3 ms
	plainWidth     = 320 // Go's own encoder needs as long for a quarter of them
	pictureQuality = 80
)

// encoder makes the pictures of the live page: in the process of the camera where that can, else
// here and smaller.
type encoder struct {
	processes atomic.Pointer[map[string]*worker.Camera] // by the name of the camera; nil: none yet
}

var plain = live.JPEG{Width: plainWidth, Quality: pictureQuality}

// of is the process that encodes frames of a camera; nil: none does.
func (e *encoder) of(camera string) *worker.Camera {
	if all := e.processes.Load(); all != nil {
		if p := (*all)[camera]; p != nil && p.CanJPEG() {
			return p
		}
	}
	return nil
}

// Needs implements live.Encoder.
func (e *encoder) Needs(f *vision.Frame) int {
	if e.of(f.Camera) != nil {
		return 2 * pictureWidth
	}
	return plain.Needs(f)
}

// Encode implements live.Encoder. A process that ends meanwhile, or cannot, is no reason to show
// nothing.
func (e *encoder) Encode(f *vision.Frame) ([]byte, error) {
	if p := e.of(f.Camera); p != nil {
		if b, err := p.JPEG(f, pictureWidth, pictureQuality); err == nil {
			return b, nil
		}
	}
	return plain.Encode(f)
}
