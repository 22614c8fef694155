package agent

import (
	"context"
	"errors"

	"github.com/vggse/vggse-agent/camera"
	"github.com/vggse/vggse-agent/internal/redact"
	"github.com/vggse/vggse-agent/mqtt"
	"github.com/vggse/vggse-agent/vision"
)

// observed is the link, with an observer that sees what passes.
type observed struct {
	*mqtt.Link
	observer *observer
}

func (l observed) Publish(ctx context.Context, d *vision.Decision) error {
	if s := l.observer.server; s != nil {
		s.Observe(d)
		l.observer.page.live.Observe(d)
	}
	l.observer.decided(d)
	return l.Link.Publish(ctx, d)
}

func (l observed) CameraStatus(camera, status string) {
	l.observer.mu.Lock()
	l.observer.cameras[camera] = status
	l.observer.mu.Unlock()
	if p := l.observer.page; p != nil {
		p.live.Status(camera, status)
	}
	l.Link.CameraStatus(camera, status)
}

// CameraReason implements pipeline.Reasons.
func (l observed) CameraReason(name string, why error) {
	if p := l.observer.page; p != nil {
		p.live.Reason(name, redactedError(why), errors.Is(why, camera.ErrDark))
	}
}

func redactedError(err error) error {
	if err == nil {
		return nil
	}
	return errors.New(redact.Text(err.Error()))
}

// Stats adds the machine's telemetry, and publishes what it means for the device's health.
func (l observed) Stats(s mqtt.Stats) {
	o := l.observer
	t := o.sensors.telemetry()
	s.Machine = t
	l.Link.Stats(s)
	o.mu.Lock()
	condition := thermal(t.Throttle, o.throttle)
	o.throttle = t.Throttle
	if o.slowed != "" {
		condition = mqtt.Condition{Status: mqtt.Degraded, Reason: o.slowed}
	}
	o.mu.Unlock()
	l.Link.Health("thermal", condition)
}
