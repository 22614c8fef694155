package agent

import (
	"slices"
	"strings"

	"github.com/vggse/vggse-agent/api"
	"github.com/vggse/vggse-agent/internal/redact"
	"github.com/vggse/vggse-agent/mqtt"
)

// frames are all that were classified.
func (o *observer) frames() uint64 {
	n := uint64(0)
	for _, c := range o.counts().Cameras {
		n += c.Classified
	}
	return n
}

// Stuck implements api.Agent.
func (o *observer) Stuck() error {
	o.mu.Lock()
	defer o.mu.Unlock()
	if o.pipeline == nil {
		return nil
	}
	return o.pipeline.Stuck()
}

// Unready implements api.Agent: why no decision reaches a broker.
func (o *observer) Unready() []string {
	if o.starting() {
		return []string{o.sentence()}
	}
	var reasons []string
	o.mu.Lock()
	defer o.mu.Unlock()
	if !o.link.Connected() {
		why := "the broker is not connected"
		if said := o.link.Away(); said != "" {
			why += ": " + said
		}
		reasons = append(reasons, redact.Text(why))
	}
	var away []string
	for name, status := range o.cameras {
		switch status {
		case mqtt.CameraOnline:
			return reasons
		case mqtt.CameraOffline, mqtt.CameraStalled:
			away = append(away, name)
		}
	}
	if len(away) == 0 {
		return append(reasons, "every camera is disabled")
	}
	slices.Sort(away)
	return append(reasons, "no camera delivers: "+strings.Join(away, ", "))
}

// Figures implements api.Agent.
func (o *observer) Figures() api.Figures {
	f := o.counts()
	t := o.sensors.telemetry()
	o.mu.Lock()
	defer o.mu.Unlock()
	f.Machine = append(gauges(&t, o.share), trialGauges(o.trial, o.rollbacks)...)
	return f
}

// counts are the figures but for the machine's.
func (o *observer) counts() api.Figures {
	o.mu.Lock()
	defer o.mu.Unlock()
	if o.pipeline == nil {
		return api.Figures{}
	}
	q := o.link.Queue()
	f := api.Figures{
		Connected: o.link.Connected(), Waiting: o.link.Waiting(), Model: o.model,
		Queue:  api.Queue{Bytes: q.Bytes, Dropped: q.Dropped, Failing: q.Err != nil},
		Update: o.updates.figures(),
	}
	for _, c := range o.pipeline.Counts() {
		f.Cameras = append(f.Cameras, api.Camera{Name: c.Name, Captured: c.Captured, Classified: c.Classified,
			Skipped: c.Skipped, Judged: c.Judged, Unknown: c.Unknown, Drift: api.Drift(c.Drift),
			Online: o.cameras[c.Name] == mqtt.CameraOnline})
	}
	return f
}
