package pipeline

import (
	"errors"
	"log/slog"
	"slices"

	"github.com/vggse/vggse-agent/camera"
	"github.com/vggse/vggse-agent/mqtt"
)

// Reasons may be a Publisher's, too, that wants to know why a camera does not deliver.
type Reasons interface {
	// CameraReason says why; nil: it delivers again. It is told at each try, and must not wait.
	CameraReason(camera string, why error)
}

// cameraStatus tells each change of one camera's state once, to the log and to the subscribers of
// every part of it.
type cameraStatus struct {
	name      string
	streams   []*stream
	publisher Publisher
	log       *slog.Logger
	now       string
	skipped   int
	why       string   // of the last failure
	warned    []string // what was not as asked
}

func (s *cameraStatus) change(to string) bool {
	if s.now == to {
		return false
	}
	s.now = to
	for _, l := range s.streams {
		s.publisher.CameraStatus(l.name, to)
	}
	return true
}

// explain tells why the camera does not deliver.
func (s *cameraStatus) explain(why error) {
	if r, ok := s.publisher.(Reasons); ok {
		for _, l := range s.streams {
			r.CameraReason(l.name, why)
		}
	}
}

// online tells that the source delivers, and how far the process that reads it is locked in.
func (s *cameraStatus) online(source Source) {
	if !s.change(mqtt.CameraOnline) {
		return
	}
	s.explain(nil)
	facts := []any{"camera", s.name}
	if process, ok := source.(interface{ Sandbox() (level, why string) }); ok {
		level, why := process.Sandbox()
		if facts = append(facts, "sandbox", level); why != "" {
			facts = append(facts, "sandbox_because", why)
		}
	}
	s.log.Info("camera online", facts...)
	s.warns(source)
}

// lost tells of a camera that went away, or is there and shows nothing.
func (s *cameraStatus) lost(err error) {
	s.explain(err)
	switch {
	case errors.Is(err, camera.ErrDark):
		if s.change(mqtt.CameraStalled) {
			s.log.Warn("camera shows nothing", "camera", s.name, "error", err)
		}
	case errors.Is(err, camera.ErrStalled):
		if s.change(mqtt.CameraStalled) {
			s.log.Warn("camera stalled, trying again", "camera", s.name, "error", err)
		}
	case s.change(mqtt.CameraOffline):
		s.log.Warn("camera lost, trying again", "camera", s.name, "error", err)
	}
}

// failed tells of a camera that is wrong while others go on; once for each reason.
func (s *cameraStatus) failed(err error) {
	s.explain(err)
	if s.change(mqtt.CameraOffline) || s.why != err.Error() {
		s.log.Error("camera cannot be used, the others go on, trying again", "camera", s.name, "error", err)
	}
	s.why = err.Error()
}

// skips tells of pictures that the source has left out since the last time, and of a film in a loop once
// that it ends too early.
func (s *cameraStatus) skips(source Source) {
	counts, ok := source.(interface{ Skipped() (int, string) })
	if !ok {
		return
	}
	n, why := counts.Skipped()
	if n <= s.skipped {
		return
	}
	if d, ok := source.(described); !ok || d.Info().Kind != "video" {
		s.log.Warn("picture left out", "camera", s.name, "so_far", n, "error", why)
	} else if s.skipped == 0 {
		s.log.Warn("camera ended too early", "camera", s.name, "error", why)
	}
	s.skipped = n
}

// described is a Source that says what was opened.
type described interface{ Info() camera.Info }

// warns tells what is not as asked, each sentence once; what a folder leaves out skips tells.
func (s *cameraStatus) warns(source Source) {
	d, ok := source.(described)
	if !ok {
		return
	}
	info := d.Info()
	if info.Kind == "pictures" {
		return
	}
	for _, warning := range info.Warnings {
		if len(s.warned) < mostWarnings && !slices.Contains(s.warned, warning) {
			s.warned = append(s.warned, warning)
			s.log.Warn("camera is not as asked", "camera", s.name, "warning", warning)
		}
	}
}

// mostWarnings of one camera are told: a source may put other numbers into each.
const mostWarnings = 16

func (s *cameraStatus) disabled() {
	if s.change(mqtt.CameraDisabled) {
		s.explain(nil)
		s.log.Info("camera disabled", "camera", s.name)
	}
}

// ended tells of a film's end, which may come before the one that its file tells of.
func (s *cameraStatus) ended(err error) {
	early := errors.Is(err, camera.ErrCutOff)
	if early {
		s.explain(err)
	}
	switch changed := s.change(mqtt.CameraOffline); {
	case early:
		s.log.Warn("camera ended too early", "camera", s.name, "error", err)
	case changed:
		s.log.Info("camera came to its end", "camera", s.name)
	}
}
