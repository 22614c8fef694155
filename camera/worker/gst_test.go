package worker

import (
	"errors"
	"strings"
	"testing"

	"github.com/vggse/vggse-agent/camera"
	"github.com/vggse/vggse-agent/vision"
)

// GStreamer works inside its sandbox, for a pipeline of one's own in a wide one; the test pattern is
// drawn in this process.
func TestGStreamer(t *testing.T) {
	needOpenCV(t)
	best, _ := Supported()
	for source, most := range map[string]Level{
		"test://?width=160&height=120&fps=30":                                             "",
		"gst:videotestsrc is-live=true ! video/x-raw,width=160,height=120,framerate=30/1": LevelSeccomp,
	} {
		s := open(t, newCamera(t, source))
		var f vision.Frame
		for range 5 {
			if err := s.Read(soon(t), &f); err != nil {
				t.Fatalf("%s: %v", source, err)
			}
		}
		if f.Width != 160 || f.Height != 120 {
			t.Errorf("%s: %d×%d", source, f.Width, f.Height)
		}
		if _, child := s.(*Stream); child != (most != "") {
			t.Fatalf("%s: in a process of its own: %v", source, child)
		} else if !child {
			continue
		}
		level, why := s.(*Stream).Sandbox()
		t.Logf("%s: %s %s", source, level, why)
		if want := most; best == LevelFull && level != string(want) {
			t.Errorf("%s: sandbox %s (%s), want %s", source, level, why, want)
		}
	}
	for source, want := range map[string]string{
		"gst:nosuch ! x": "GStreamer has no element nosuch", "gst:videotestsrc pattern=nix": "pattern",
	} {
		if _, err := newCamera(t, source).Open(soon(t)); !errors.Is(err, camera.ErrLost) ||
			!strings.Contains(err.Error(), want) {
			t.Errorf("%s: %v, want %q", source, err, want)
		}
	}
}
