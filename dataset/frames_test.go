package dataset

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/vggse/vggse-agent/camera"
	"github.com/vggse/vggse-agent/camera/cameratest"
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
	if found, err := SaveFrames(t.Context(), "demo://parts?width=64&height=36&seed=5&speed=max", 3, dir,
		func() { saved++ }); err != nil || saved != 3 || len(found) > 0 {
		t.Fatalf("%v, %d saved, %v", err, saved, found)
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
	_, err := SaveFrames(t.Context(), source, 2, dir, func() {
		maps, err := os.ReadFile("/proc/self/maps")
		if err != nil || strings.Contains(string(maps), "libgstcoreelements") {
			t.Errorf("%v: GStreamer's elements are in this process", err)
		}
	})
	if err != nil {
		t.Error(err)
	}
	_, err = SaveFrames(t.Context(), "gst:nosuchelement ! appsink", 2, dir+"2", func() {})
	if !errors.Is(err, camera.ErrLost) || !strings.Contains(err.Error(), "nosuchelement") {
		t.Errorf("%v", err)
	}
}

// Of a film that is cut off the frames that are there are saved, and that there are no more is told; of
// one that has enough of them nothing is.
func TestSaveFramesOfCutFilm(t *testing.T) {
	if camera.OpenCVVersion() == "none" {
		t.Skip("built without OpenCV (tag gocv)")
	}
	film := cameratest.CutFilm(t, 20)
	for n, want := range map[int]int{3: 0, 20: 1, 50: 1} {
		saved := 0
		found, err := SaveFrames(t.Context(), "file://"+film+"?speed=max", n, filepath.Join(t.TempDir(), "frames"),
			func() { saved++ })
		if err != nil || len(found) != want || saved < 3 || saved > min(n, 12) {
			t.Fatalf("%d: %d saved, %v, %v", n, saved, found, err)
		}
		if want > 0 && (!strings.Contains(found[0].Evidence, film+" is cut off: ") ||
			!strings.Contains(found[0].Cure, fmt.Sprintf("of %d frames that were asked for there were %d", n, saved))) {
			t.Errorf("found %+v", found)
		}
	}
}
