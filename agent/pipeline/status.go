package pipeline

import (
	"errors"
	"log/slog"

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
	why       string // of the last failure
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

// skips tells of pictures that the source has left out since the last time.
func (s *cameraStatus) skips(source Source) {
	if counts, ok := source.(interface{ Skipped() (int, string) }); ok {
		if n, why := counts.Skipped(); n > s.skipped {
			s.log.Warn("picture left out", "camera", s.name, "so_far", n, "error", why)
			s.skipped = n
		}
	}
}

func (s *cameraStatus) disabled() {
	if s.change(mqtt.CameraDisabled) {
		s.explain(nil)
		s.log.Info("camera disabled", "camera", s.name)
	}
}

func (s *cameraStatus) ended() {
	if s.change(mqtt.CameraOffline) {
		s.log.Info("camera came to its end", "camera", s.name)
	}
}
