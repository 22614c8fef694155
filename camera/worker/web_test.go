package worker

import (
	"bytes"
	"image/png"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/vggse/vggse-agent/camera/cameratest"
	"github.com/vggse/vggse-agent/vision"
)

// A network camera by name works inside the full sandbox: the resolver's files and its sockets are
// within it.
func TestWebInSandbox(t *testing.T) {
	var want vision.Frame
	want.Resize(cameratest.Width, cameratest.Height)
	cameratest.Draw(want.Pix, 9)
	var picture bytes.Buffer
	if err := png.Encode(&picture, want.Image()); err != nil {
		t.Fatal(err)
	}
	s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { w.Write(picture.Bytes()) }))
	defer s.Close()
	source := strings.Replace(s.URL, "127.0.0.1", "localhost", 1) + "/snap#fps=50"
	c := open(t, newCamera(t, source))
	var f vision.Frame
	for range 3 {
		if err := c.Read(soon(t), &f); err != nil {
			t.Fatal(err)
		}
		if n := cameratest.Number(&f); n != 9 {
			t.Errorf("picture %d, want 9", n)
		}
	}
	best, _ := Supported()
	if level, why := c.(*Stream).Sandbox(); level != string(best) {
		t.Errorf("sandbox %s (%s), want %s", level, why, best)
	}
	if _, err := newCamera(t, "http://no-such-host.invalid/x").Open(soon(t)); err == nil ||
		!strings.Contains(err.Error(), "cannot be reached") {
		t.Errorf("a host that is not there: %v", err)
	}
	if what, err := Ask(soon(t), source); err != nil || what != "answers, sends snapshots" {
		t.Errorf("Ask: %q, %v", what, err)
	}
}
