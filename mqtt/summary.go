package mqtt

import (
	"time"

	"github.com/vggse/vggse-agent/vision"
)

const (
	summaryRate  = 0.2         // summaries a second of a camera whose label changes all the time
	summaryBurst = 10          // changes at once that go out as they come
	summaryScore = time.Minute // after which a score that has moved is told, too
)

// summary is what a camera sees, for readers that keep every message (Home Assistant's recorder): a
// change goes out at once, but of a label that changes all the time only every fifth second's.
type summary struct {
	state  *state
	limit  bucket
	label  string
	score  float64
	since  time.Time // that the label holds
	told   time.Time
	due    bool // there is something to tell
	memory []byte
}

// note takes the decision d of the time now. Nothing is allocated once the memory has grown.
func (s *summary) note(d *vision.Decision, now time.Time) {
	score := float64(d.Stable.Score)
	switch {
	case d.Stable.Label != s.label || s.since.IsZero():
		s.label, s.score, s.since, s.due = d.Stable.Label, score, now, true
	case score != s.score && now.Sub(s.told) >= summaryScore:
		s.score, s.due = score, true
	}
}

// tell publishes what is due, as far as the rate allows.
func (s *summary) tell(o *outbox, now time.Time) {
	if !s.due || !s.limit.take(now) {
		return
	}
	s.due, s.told = false, now
	o.set(s.state, s.payload())
}

func (s *summary) payload() []byte {
	b := append(s.memory[:0], `{"schema":"vggse.summary/1","label":`...)
	b = appendString(b, s.label)
	b = append(b, `,"p":`...)
	b = appendScore(b, float32(s.score))
	b = append(b, `,"since":"`...)
	b = s.since.UTC().AppendFormat(b, time.RFC3339Nano)
	s.memory = append(b, `"}`...)
	return s.memory
}

// tellSummaries publishes what the rate has held back.
func (l *Link) tellSummaries(now time.Time) {
	l.mu.Lock()
	defer l.mu.Unlock()
	for _, c := range l.cameras {
		c.summary.tell(l.out, now)
	}
}
