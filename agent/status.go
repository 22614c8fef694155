package agent

import "log/slog"

// States of a camera, as published.
const (
	statusOnline   = "online"
	statusOffline  = "offline"
	statusDisabled = "disabled"
)

// cameraStatus tells each change of one camera's state once, to the log and to the subscribers.
type cameraStatus struct {
	name      string
	publisher Publisher
	log       *slog.Logger
	now       string
}

func (s *cameraStatus) change(to string) bool {
	if s.now == to {
		return false
	}
	s.now = to
	s.publisher.CameraStatus(s.name, to)
	return true
}

func (s *cameraStatus) online() {
	if s.change(statusOnline) {
		s.log.Info("camera online", "camera", s.name)
	}
}

func (s *cameraStatus) lost(err error) {
	if s.change(statusOffline) {
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
