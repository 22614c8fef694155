package agent

import (
	"errors"
	"log/slog"

	"github.com/vggse/vggse-agent/camera"
)

// States of a camera, as published.
const (
	statusOnline   = "online"
	statusOffline  = "offline"
	statusStalled  = "stalled"
	statusDisabled = "disabled"
)

// cameraStatus tells each change of one camera's state once, to the log and to the subscribers of every part of it.
type cameraStatus struct {
	name      string
	parts     []*lane
	publisher Publisher
	log       *slog.Logger
	now       string
}

func (s *cameraStatus) change(to string) bool {
	if s.now == to {
		return false
	}
	s.now = to
	for _, l := range s.parts {
		s.publisher.CameraStatus(l.name, to)
	}
	return true
}

func (s *cameraStatus) online() {
	if s.change(statusOnline) {
		s.log.Info("camera online", "camera", s.name)
	}
}

// lost tells of a camera that went away, or is there and shows nothing.
func (s *cameraStatus) lost(err error) {
	switch {
	case errors.Is(err, camera.ErrDark):
		if s.change(statusStalled) {
			s.log.Warn("camera shows nothing", "camera", s.name, "error", err)
		}
	case errors.Is(err, camera.ErrStalled):
		if s.change(statusStalled) {
			s.log.Warn("camera stalled, trying again", "camera", s.name, "error", err)
		}
	case s.change(statusOffline):
		s.log.Warn("camera lost, trying again", "camera", s.name, "error", err)
	}
}

func (s *cameraStatus) disabled() {
	if s.change(statusDisabled) {
		s.log.Info("camera disabled", "camera", s.name)
	}
}

func (s *cameraStatus) ended() {
	if s.change(statusOffline) {
		s.log.Info("camera came to its end", "camera", s.name)
	}
}
