package live

import (
	"time"

	"github.com/vggse/vggse-agent/vision"
)

// Outcome is what another threshold would have done.
type Outcome struct {
	Threshold float64 `json:"threshold"`
	Changes   int     `json:"changes"` // of the label, over the span; the first label of all is none
	PerHour   float64 `json:"per_hour"`
	Unknown   float64 `json:"unknown"` // share of the frames without a class, 0..1
}

// Replays are the outcomes of several thresholds over the same frames.
type Replays struct {
	Stream   string    `json:"camera"`
	Seconds  float64   `json:"seconds"` // from the first of the frames to the last
	Frames   int       `json:"frames"`
	Outcomes []Outcome `json:"outcomes"` // by threshold, as asked
}

// Replay decides anew on the last frames of a stream, at most 13,500, with each of the thresholds
// and otherwise as the stream does: hysteresis, confirmation, dwell. The scores are those that
// were, with the smoothing that was.
func (m *Monitor) Replay(stream string, thresholds []float64) (*Replays, error) {
	s, err := m.find(stream)
	if err != nil {
		return nil, err
	}
	s.mu.Lock()
	frames, c, labels := s.frames.all(nil), s.decide, s.labels
	s.mu.Unlock()
	out := &Replays{Stream: stream, Frames: len(frames), Outcomes: make([]Outcome, 0, len(thresholds))}
	span := time.Duration(0)
	for i := range frames {
		if i > 0 {
			span += time.Duration(frames[i].gap) * time.Millisecond
		}
	}
	out.Seconds = span.Seconds()
	if len(labels) == 0 {
		return out, nil
	}
	for _, t := range thresholds {
		c.Threshold = t
		o, err := replay(frames, c, labels)
		if err != nil {
			return nil, err
		}
		if span > 0 {
			o.PerHour = float64(o.Changes) / span.Hours()
		}
		out.Outcomes = append(out.Outcomes, o)
	}
	return out, nil
}

func replay(frames []brief, c vision.DecideConfig, labels []string) (Outcome, error) {
	o := Outcome{Threshold: c.Threshold}
	c.TopK = topClasses
	decider, err := vision.NewDecider(c, labels, "")
	if err != nil {
		return o, err
	}
	var d vision.Decision
	var top [topClasses]vision.Class
	at, first, unknown := time.Unix(0, 0), true, 0
	for i := range frames {
		f := &frames[i]
		at = at.Add(time.Duration(f.gap) * time.Millisecond)
		for j := range int(f.n) {
			top[j] = vision.Class{Index: int(f.index[j]), Score: f.score[j]}
		}
		d.Time, d.Unknown = at, f.p > 0 && float64(f.p) < c.UnknownBelow
		decider.Replay(top[:f.n], &d)
		if d.Changed && !first {
			o.Changes++
		}
		first = first && !d.Changed
		if d.Stable.Index < 0 {
			unknown++
		}
	}
	if len(frames) > 0 {
		o.Unknown = float64(unknown) / float64(len(frames))
	}
	return o, nil
}
