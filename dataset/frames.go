package dataset

import (
	"context"
	"errors"
	"fmt"
	"image/png"
	"io"
	"os"
	"path/filepath"

	"github.com/vggse/vggse-agent/camera"
	"github.com/vggse/vggse-agent/camera/worker"
	"github.com/vggse/vggse-agent/internal/atomicfile"
	"github.com/vggse/vggse-agent/vision"
)

var lossless = png.Encoder{CompressionLevel: png.BestSpeed}

// SaveFrames saves n frames of the camera at uri as pictures in the new folder dir, fewer where it
// comes to its end, and calls saved after each. The finding is a film that is cut off. The camera is
// read by a process of its own, see package worker.
func SaveFrames(ctx context.Context, uri string, n int, dir string, saved func()) (found []Finding, err error) {
	if err := os.Mkdir(dir, 0o755); err != nil {
		return nil, err
	}
	process := worker.New(camera.Config{Name: "calibrate", Source: uri, Enabled: true})
	defer process.Close()
	s, err := process.Open(ctx)
	if err != nil {
		return nil, err
	}
	defer s.Close()
	var f vision.Frame
	for i := range n {
		if err := s.Read(ctx, &f); errors.Is(err, camera.ErrCutOff) {
			return []Finding{{Check: "film", Severity: "warn", Evidence: err.Error(),
				Cure: fmt.Sprintf("of %d frames that were asked for there were %d", n, i)}}, nil
		} else if errors.Is(err, io.EOF) {
			break
		} else if err != nil {
			return nil, err
		}
		err := atomicfile.WriteFile(filepath.Join(dir, fmt.Sprintf("%06d.png", i)), func(w io.Writer) error {
			return lossless.Encode(w, f.Image())
		})
		if err != nil {
			return nil, err
		}
		saved()
	}
	return nil, nil
}
