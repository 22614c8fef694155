package live

import (
	"fmt"
	"slices"
	"time"

	"github.com/vggse/vggse-agent/vision"
)

const (
	keptSeconds = 15 * 60 // rows of a second
	keptMinutes = 24 * 60 // rows of a minute
	keptChanges = 500     // of the label
	keptFrames  = 13_500  // 15 minutes at 15 frames a second
	rowClasses  = 8       // classes in a row
	topClasses  = 3       // classes of a frame, for Replay
)

// row is what is kept of a second or a minute. Where there was no frame, there is no row.
type row struct {
	at      time.Duration // its begin
	frames  uint32
	latency time.Duration // mean, from capture to decision
	label   int32         // that held at the end; -1: unknown
	n       int8          // classes in use
	index   [rowClasses]int32
	score   [rowClasses]float32 // mean of the class, 0 where it was not among the best
}

// change is one of the label.
type change struct {
	at       time.Duration
	from, to int32 // -1: unknown
	score    float32
}

// brief is what Replay needs of one frame.
type brief struct {
	gap   uint32  // milliseconds since the frame before
	p     float32 // Decision.PValue
	n     int8
	index [topClasses]int16
	score [topClasses]float32
}

// history are the rings of one stream.
type history struct {
	labels           []string
	seconds, minutes ring[row]
	changes          ring[change]
	frames           ring[brief]
	second, minute   sum
	before           time.Duration // the last frame
}

// sum is the row that is being filled.
type sum struct {
	unit    time.Duration
	at      time.Duration
	frames  uint32
	latency time.Duration
	label   int32
	scores  []float32 // by class
}

func newHistory() history {
	return history{second: sum{unit: time.Second}, minute: sum{unit: time.Minute}}
}

// begin forgets all, and makes room for a network's classes.
func (h *history) begin(labels []string) {
	h.labels = labels
	if h.seconds.values == nil {
		h.seconds, h.minutes = newRing[row](keptSeconds), newRing[row](keptMinutes)
		h.changes, h.frames = newRing[change](keptChanges), newRing[brief](keptFrames)
	}
	h.seconds.clear()
	h.minutes.clear()
	h.changes.clear()
	h.frames.clear()
	h.second = sum{unit: time.Second, scores: make([]float32, len(labels))}
	h.minute = sum{unit: time.Minute, scores: make([]float32, len(labels))}
	h.before = 0
}

func (h *history) add(d *vision.Decision, at time.Duration) {
	if h.frames.values == nil {
		return
	}
	h.second.add(d, at, &h.seconds)
	h.minute.add(d, at, &h.minutes)
	b := brief{p: d.PValue, gap: uint32(min(max(0, at-h.before).Milliseconds(), 1<<31))}
	for _, c := range d.Top[:min(len(d.Top), topClasses)] {
		b.index[b.n], b.score[b.n] = int16(c.Index), c.Score
		b.n++
	}
	h.frames.add(b)
	h.before = at
}

// add counts a frame; the first one of a new unit of time puts the row of the last into r.
func (s *sum) add(d *vision.Decision, at time.Duration, r *ring[row]) {
	begin := at.Truncate(s.unit)
	if s.frames > 0 && begin != s.at {
		r.add(s.row())
		clear(s.scores)
		s.frames, s.latency = 0, 0
	}
	s.at, s.label = begin, int32(d.Stable.Index)
	s.frames++
	s.latency += d.Latency.Total
	for _, c := range d.Top {
		if c.Index >= 0 && c.Index < len(s.scores) {
			s.scores[c.Index] += c.Score
		}
	}
}

// row is what was counted so far, with the best classes.
func (s *sum) row() row {
	w := row{at: s.at, frames: s.frames, label: s.label}
	if s.frames == 0 {
		return w
	}
	w.latency = s.latency / time.Duration(s.frames)
	for i, total := range s.scores {
		if total > 0 {
			w.take(int32(i), total/float32(s.frames))
		}
	}
	return w
}

// take puts a class where its score belongs, best first; the least one falls out of a full row.
func (w *row) take(index int32, score float32) {
	at := int(w.n)
	for at > 0 && w.score[at-1] < score {
		at--
	}
	if at == rowClasses {
		return
	}
	w.n = min(w.n+1, rowClasses)
	copy(w.index[at+1:w.n], w.index[at:])
	copy(w.score[at+1:w.n], w.score[at:])
	w.index[at], w.score[at] = index, score
}

// rate is the frames a second over the last three seconds that are over.
func (h *history) rate(now time.Duration) float64 {
	const seconds = 3
	end := now.Truncate(time.Second)
	n := uint32(0)
	for i := range min(h.seconds.n, seconds+1) {
		w := &h.seconds.values[(h.seconds.next+len(h.seconds.values)-1-i)%len(h.seconds.values)]
		if w.at < end && w.at >= end-seconds*time.Second {
			n += w.frames
		}
	}
	if h.second.at < end && h.second.at >= end-seconds*time.Second {
		n += h.second.frames
	}
	return float64(n) / seconds
}

// Spans of a History.
const (
	Minutes15 = "15m" // a row a second
	Hours24   = "24h" // a row a minute
)

// History is the past of one stream, as a page draws it: columns of equal length.
type History struct {
	Stream  string     `json:"camera"`
	Span    string     `json:"span"`
	Begin   int64      `json:"begin"` // since when there is anything, ms of the clock of now
	Time    []int64    `json:"t"`     // begin of each row, ms
	FPS     []float64  `json:"fps"`
	Latency []float64  `json:"latency"` // ms, mean
	Label   []int32    `json:"label"`   // index of the label that held at the end of the row; -1: unknown
	Classes []Curve    `json:"classes"` // those that were among the best, best mean first
	Changes []NewLabel `json:"changes"` // of the label, oldest first
}

// Curve are the scores of one class, mean of each row; -1 where it was not among the best eight.
type Curve struct {
	Index  int32     `json:"i"`
	Scores []float32 `json:"p"`
}

// NewLabel is a change of the label; the indexes are -1 for unknown.
type NewLabel struct {
	Time  int64   `json:"t"` // ms
	From  int32   `json:"from"`
	To    int32   `json:"to"`
	Score float32 `json:"p"`
}

// History is what is known of the stream over the span.
func (m *Monitor) History(stream, span string) (*History, error) {
	s, err := m.find(stream)
	if err != nil {
		return nil, err
	}
	unit, kept := time.Second, keptSeconds
	if span == Hours24 {
		unit, kept = time.Minute, keptMinutes
	} else if span != Minutes15 {
		return nil, fmt.Errorf("live: history: the span must be %s or %s, got %q", Minutes15, Hours24, span)
	}
	since := time.Since(m.started) - time.Duration(kept)*unit
	rows, changes := s.rows(span, since)
	out := &History{Stream: stream, Span: span, Begin: m.wall(max(0, since)).UnixMilli(), Classes: curves(rows)}
	for i := range rows {
		w := &rows[i]
		out.Time = append(out.Time, m.wall(w.at).UnixMilli())
		out.FPS = append(out.FPS, float64(w.frames)/unit.Seconds())
		out.Latency = append(out.Latency, float64(w.latency.Microseconds())/1000)
		out.Label = append(out.Label, w.label)
	}
	for _, c := range changes {
		out.Changes = append(out.Changes, NewLabel{m.wall(c.at).UnixMilli(), c.from, c.to, c.score})
	}
	return out, nil
}

// rows are copies of what is kept since an instant, with the row that is being filled.
func (s *stream) rows(span string, since time.Duration) ([]row, []change) {
	s.mu.Lock()
	defer s.mu.Unlock()
	from, current := &s.seconds, &s.second
	if span == Hours24 {
		from, current = &s.minutes, &s.minute
	}
	rows, changes := from.all(nil), s.changes.all(nil)
	if current.frames > 0 {
		rows = append(rows, current.row())
	}
	rows = slices.DeleteFunc(rows, func(w row) bool { return w.at < since })
	return rows, slices.DeleteFunc(changes, func(c change) bool { return c.at < since })
}

// curves are the classes of the rows, the one with the largest sum first.
func curves(rows []row) []Curve {
	byClass := make(map[int32]*Curve)
	total := make(map[int32]float32)
	var all []*Curve
	for i := range rows {
		for j := range int(rows[i].n) {
			class, score := rows[i].index[j], rows[i].score[j]
			c := byClass[class]
			if c == nil {
				c = &Curve{Index: class, Scores: make([]float32, len(rows))}
				for k := range c.Scores {
					c.Scores[k] = -1
				}
				byClass[class], all = c, append(all, c)
			}
			c.Scores[i] = float32(int(score*1000+0.5)) / 1000
			total[class] += score
		}
	}
	slices.SortFunc(all, func(a, b *Curve) int {
		if total[a.Index] > total[b.Index] {
			return -1
		}
		return 1
	})
	out := make([]Curve, 0, len(all))
	for _, c := range all {
		out = append(out, *c)
	}
	return out
}
