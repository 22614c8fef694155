//go:build !gocv

package camera

import (
	"bytes"
	"fmt"

	"github.com/vggse/vggse-agent/vision"
)

func thisMachine() (machine, error) { return machine{}, ErrNoOpenCV }

// JPEG needs OpenCV.
func JPEG(*vision.Frame, int, int) ([]byte, error) { return nil, ErrNoOpenCV }

func openOpenCV(*plan) (capturer, error) { return nil, ErrNoOpenCV }

func openPipeline(*plan) (capturer, error) { return nil, ErrNoOpenCV }

func gstThere() bool { return false }

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
