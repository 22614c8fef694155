//go:build !gocv

package camera

import (
	"errors"
	"strings"
	"testing"
)

// What needs OpenCV says how to get it.
func TestWithoutOpenCV(t *testing.T) {
	for _, source := range []string{"rtsp://h/x", "/dev/video0", "gst:videotestsrc", "rtp://@:1?codec=h264",
		"csi://0", "still.go"} {
		_, err := Open(t.Context(), Config{Source: source})
		if !errors.Is(err, ErrNoOpenCV) || !strings.Contains(err.Error(), "make build") || errors.Is(err, ErrLost) {
			t.Errorf("%s: got %v", source, err)
		}
	}
}
