package live

import (
	"slices"
	"sync"
	"time"

	"github.com/vggse/vggse-agent/vision"
)

// stream is what is remembered of one camera, or of one region of it.
type stream struct {
	name string
	shots

	mu      sync.Mutex // guards what follows; held for microseconds
	version uint64     // counts changes
	status  string
	why     string
	dark    bool
	off     bool // is meant to be closed
	decide  vision.DecideConfig
	last    vision.Decision
	at      time.Duration // of last; 0: there is none
	since   time.Duration // when the label began to hold
	day     time.Time     // when the counts of today end
	began   []uint64      // by class: how often it began to hold today
	changed uint64        // how often the label has changed, whatever the network
	history
	channels   channels
	noChannels string // why there are none
}

func newStream(name string) *stream {
	return &stream{name: name, shots: newShots(), history: newHistory()}
}

// use begins anew for a network with other labels.
func (s *stream) use(labels []string, c vision.DecideConfig) error {
	if _, err := vision.NewDecider(c, labels, ""); err != nil {
		return err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.decide, s.version = c, s.version+1
	s.last.Top, s.at, s.since = s.last.Top[:0], 0, 0
	s.last.Stable = vision.Class{Label: c.Unknown, Index: -1}
	s.began = make([]uint64, len(labels))
	s.history.begin(labels)
	return nil
}

// observe takes in a decision and reports whether the label has changed.
func (s *stream) observe(d *vision.Decision, at time.Duration) (changed bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.at == 0 {
		s.since = at
	}
	d.CopyTo(&s.last)
	s.at, s.version = at, s.version+1
	s.history.add(d, at)
	s.channels.add(d, at)
	if !d.Time.Before(s.day) {
		y, m, day := d.Time.Local().Date()
		s.day = time.Date(y, m, day+1, 0, 0, 0, 0, time.Local)
		clear(s.began)
	}
	if !d.Changed {
		return false
	}
	s.since = at
	s.changed++
	s.changes.add(change{at, int32(d.Before.Index), int32(d.Stable.Index), d.Stable.Score})
	if i := d.Stable.Index; i >= 0 && i < len(s.began) {
		s.began[i]++
	}
	return true
}

func (s *stream) setStatus(status string) (news bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.status == status {
		return false
	}
	s.status, s.version = status, s.version+1
	return true
}

func (s *stream) setReason(why error, dark bool) {
	text := ""
	if why != nil {
		text = why.Error()
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.why != text || s.dark != dark {
		s.why, s.dark, s.version = text, dark, s.version+1
	}
}

func (s *stream) setThreshold(score float64) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.decide.Threshold, s.version = score, s.version+1
}

func (s *stream) setThresholds(own []string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.decide.Thresholds, s.version = slices.Clone(own), s.version+1
}

func (s *stream) setUnknownBelow(p float64) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.decide.UnknownBelow, s.version = p, s.version+1
}

func (s *stream) setEnabled(on bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.off, s.version = !on, s.version+1
}

// State is how a stream fares at one moment.
type State struct {
	Name    string
	Version uint64 // another one: something is new
	Status  string // in the words of MQTT; empty: nothing is known yet
	Why     string // it does not deliver, for people
	Dark    bool   // its pictures show nothing
	Off     bool   // it is meant to be closed
	Decide  vision.DecideConfig
	Seen    bool         // there was a decision; else the fields below are zero
	Stable  vision.Class // the label that holds
	Since   time.Time    // the label holds
	Top     []vision.Class
	Frame   uint64
	Time    time.Time     // of the frame
	Total   time.Duration // from the capture of the frame to the decision
	FPS     float64       // frames classified a second, over the last seconds
	Began   []uint64      // by class: how often it began to hold today
	Changed uint64        // how often the label has changed
	// Fresh are its changes since the State was filled before, oldest first, at most 500; none where it
	// never was.
	Fresh []NewLabel
}

// State fills into with the state of a stream, reusing its memory.
func (m *Monitor) State(stream string, into *State) error {
	s, err := m.find(stream)
	if err != nil {
		return err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	m.fresh(s, into)
	top, began := into.Top[:0], into.Began[:0]
	*into = State{
		Changed: into.Changed, Fresh: into.Fresh,
		Name: s.name, Version: s.version, Status: s.status, Why: s.why, Dark: s.dark, Off: s.off, Decide: s.decide,
		Seen: s.at != 0, Top: top, Began: append(began, s.began...),
	}
	if into.Seen {
		d := &s.last
		into.Stable, into.Top = d.Stable, append(top, d.Top...)
		into.Frame, into.Time, into.Total = d.Frame, m.wall(s.at), d.Latency.Total
		into.Since, into.FPS = m.wall(s.since), s.history.rate(time.Since(m.started))
	}
	return nil
}

// Changes fills Changed and Fresh alone of what State fills.
func (m *Monitor) Changes(stream string, into *State) error {
	s, err := m.find(stream)
	if err != nil {
		return err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	m.fresh(s, into)
	return nil
}

// fresh tells into what has changed since it was told last; s.mu is held.
func (m *Monitor) fresh(s *stream, into *State) {
	n := s.changed - into.Changed
	if into.Name == "" {
		n = 0
	}
	into.Changed, into.Fresh = s.changed, into.Fresh[:0]
	for _, c := range s.changes.newest(n) {
		into.Fresh = append(into.Fresh, NewLabel{m.wall(c.at).UnixMilli(), c.from, c.to, c.score})
	}
}
