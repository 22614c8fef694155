package pipeline

import (
	"time"

	"github.com/vggse/vggse-agent/mqtt"
	"github.com/vggse/vggse-agent/vision"
)

// driftWatch asks one picture in a while of a stream whether pictures still look like the network's
// reference. It is the inference's.
type driftWatch struct {
	of                 *vision.Known // the reference; with another one all begins anew
	next               time.Time
	features, channels vision.Drift
	told               mqtt.Drift
}

// look asks the picture with such a p-value and signals, where the time has come. It returns whether the
// stream's pictures have drifted now, or no longer do.
func (w *driftWatch) look(v *binding, every time.Duration, at time.Time, p float32, s *vision.Signals) bool {
	if v.known != w.of {
		*w = driftWatch{of: v.known}
	}
	if v.known == nil || every <= 0 || at.Before(w.next) {
		return false
	}
	w.next = at.Add(every)
	before := w.told.Is()
	w.features.Add(p)
	w.told = mqtt.Drift{Watched: true, Features: w.features.Drifted(), Score: w.features.Score()}
	if c := v.known.Channels; c != nil {
		s.Levels(v.levels)
		w.channels.Add(c.PValue(c.Score(v.levels, v.levelRoom)))
		w.told.Channels, w.told.Score = w.channels.Drifted(), max(w.told.Score, w.channels.Score())
	}
	return before != w.told.Is()
}

// watch looks for drift, and tells the log where it comes or goes.
func (p *Pipeline) watch(v *binding, l *stream, d *vision.Decision) {
	news := l.drift.look(v, l.capture.Decide.DriftEvery, d.Time, d.PValue, d.Signals)
	told := l.drift.told
	if !news {
		return
	}
	if !told.Is() {
		p.Log.Info("pictures look like those of the reference again", "camera", l.name)
		return
	}
	p.Log.Warn("pictures look unlike those that the model was calibrated or taught with: look at the camera; where "+
		"this is how it looks now, calibrate or teach with such pictures", "camera", l.name, "labels", told.Features,
		"light_focus_or_colour", told.Channels)
}
