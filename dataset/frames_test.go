package dataset

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/vggse/vggse-agent/camera"
	"github.com/vggse/vggse-agent/camera/worker"
	"github.com/vggse/vggse-agent/demo"
	"github.com/vggse/vggse-agent/vision"
)

// TestMain lets the test binary be the process of a camera.
func TestMain(m *testing.M) {
	if worker.Asked(os.Args) {
		os.Exit(worker.Main())
	}
	os.Exit(m.Run())
}

// The frames of a scene are saved as they are.
func TestSaveFrames(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "frames")
	saved := 0
	if err := SaveFrames(t.Context(), "demo://parts?width=64&height=36&seed=5&speed=max", 3, dir,
		func() { saved++ }); err != nil || saved != 3 {
		t.Fatalf("%v, %d saved", err, saved)
	}
	var got, want vision.Frame
	for i := range uint64(3) {
		if err := camera.ReadImage(filepath.Join(dir, fmt.Sprintf("%06d.png", i)), &got); err != nil {
			t.Fatal(err)
		}
		if demo.NewScene(5, 64, 36).Render(i, &want); string(got.Pix) != string(want.Pix) {
			t.Errorf("picture %d is not the scene's", i)
		}
	}
}

// What is no scene is decoded by a process of its own: this one runs no decoder, and has no other
// mapping of its memory than what the process was given.
func TestSaveFramesElsewhere(t *testing.T) {
	if camera.OpenCVVersion() == "none" {
		t.Skip("built without OpenCV (tag gocv)")
	}
	dir := filepath.Join(t.TempDir(), "frames")
	const source = "gst:videotestsrc is-live=true ! video/x-raw,width=64,height=48,framerate=30/1"
	err := SaveFrames(t.Context(), source, 2, dir, func() {
		maps, err := os.ReadFile("/proc/self/maps")
		if err != nil || strings.Contains(string(maps), "libgstcoreelements") {
			t.Errorf("%v: GStreamer's elements are in this process", err)
		}
	})
	if err != nil {
		t.Error(err)
	}
	err = SaveFrames(t.Context(), "gst:nosuchelement ! appsink", 2, dir+"2", func() {})
	if !errors.Is(err, camera.ErrLost) || !strings.Contains(err.Error(), "nosuchelement") {
		t.Errorf("%v", err)
	}
}
