package pipeline

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"strings"
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

// told is a source of which only that is known what it tells.
type told struct {
	Source
	kind     string
	warnings []string
	skipped  int
}

func (s *told) Info() camera.Info      { return camera.Info{Kind: s.kind, Warnings: s.warnings} }
func (s *told) Skipped() (int, string) { return s.skipped, "a film is cut off" }

// A film that ends too early is told as that, with the reason, in a loop once; what a source is not as
// asked, once for each sentence.
func TestEarlyEnds(t *testing.T) {
	var log bytes.Buffer
	r := &reasoner{}
	status := func() *cameraStatus {
		return &cameraStatus{name: "a", streams: []*stream{{name: "a"}}, publisher: r,
			log: slog.New(slog.NewTextHandler(&log, nil))}
	}
	s, film := status(), &told{kind: "video", warnings: []string{"one odd", "two odd"}}
	s.online(film)
	film.skipped = 1
	s.skips(film)
	film.skipped = 2
	s.skips(film)
	s.lost(camera.ErrLost)
	s.online(film)
	s.ended(camera.ErrCutOff)
	status().ended(io.EOF)
	for text, want := range map[string]int{"one odd": 1, "two odd": 1, "camera is not as asked": 2,
		"camera ended too early": 2, "picture left out": 0, "camera came to its end": 1} {
		if got := strings.Count(log.String(), text); got != want {
			t.Errorf("%q is told %d times, want %d:\n%s", text, got, want, log.String())
		}
	}
	if last := r.heard[len(r.heard)-1]; !strings.Contains(last, "cut off") {
		t.Errorf("the last reason is %q", last)
	}
	folder := &told{kind: "pictures", warnings: []string{"left out"}, skipped: 3}
	log.Reset()
	s = status()
	s.online(folder)
	s.skips(folder)
	if got := log.String(); strings.Contains(got, "not as asked") || !strings.Contains(got, "picture left out") {
		t.Errorf("of a folder: %s", got)
	}
}
