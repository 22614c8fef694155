package pipeline

import (
	"errors"
	"fmt"
	"log/slog"
	"testing"

	"github.com/vggse/vggse-agent/camera"
)

// reasoner is a publisher that hears why.
type reasoner struct {
	discard
	heard []string
}

func (r *reasoner) CameraReason(camera string, why error) {
	r.heard = append(r.heard, fmt.Sprint(camera, ": ", why))
}

// Who wants to know why a camera does not deliver is told at each try, for every part of it, and when
// it does again.
func TestReasons(t *testing.T) {
	r := &reasoner{}
	s := &cameraStatus{name: "a", streams: []*stream{{name: "a-left"}, {name: "a-right"}}, publisher: r,
		log: slog.New(slog.DiscardHandler)}
	s.lost(camera.ErrDark)
	s.lost(errors.New("away"))
	s.lost(errors.New("still away"))
	s.online(nil)
	s.online(nil)
	want := fmt.Sprintf("[a-left: %v a-right: %v a-left: away a-right: away a-left: still away a-right: still away "+
		"a-left: <nil> a-right: <nil>]", camera.ErrDark, camera.ErrDark)
	if got := fmt.Sprint(r.heard); got != want {
		t.Errorf("heard\n%s, want\n%s", got, want)
	}
}
