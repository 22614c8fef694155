//go:build !gocv

package camera

import (
	"bytes"
	"fmt"

	"github.com/vggse/vggse-agent/vision"
)

func thisMachine() (machine, error) { return machine{}, ErrNoOpenCV }

// capture stands where OpenCV's would; there never is one.
type capture struct{}

func openCapture(*plan) (*capture, error)         { return nil, ErrNoOpenCV }
func (*capture) read([]byte) (bool, error)        { return false, ErrNoOpenCV }
func (*capture) copyTo(*vision.Frame, Flip) error { return ErrNoOpenCV }
func (*capture) property(property) float64        { return 0 }
func (*capture) set(property, float64)            {}
func (*capture) close() error                     { return nil }

// decoder is what ReadImage decodes with.
const decoder = "png"

func decode(data []byte, f *vision.Frame, flip Flip, _ bool) error {
	if bytes.HasPrefix(data, []byte(pngStart)) {
		return decodePNG(data, f, flip)
	}
	return fmt.Errorf("only PNG can be read: %w", ErrNoOpenCV)
}

func pipelineError(string) string { return "" }

func lacksElement(string) bool { return false }
