// Package live knows what happened lately, for whoever looks: scores and label changes of the last
// minutes and of a day, events, and a picture on demand.
//
//	Decision, Frame ▶ rings ▶ State, History, Replay, Picture
//
// It has no goroutine of its own and speaks no protocol. While nobody looks, a decision costs a copy
// into memory that is there already, and a frame one atomic load.
package live

import (
	"fmt"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/vggse/vggse-agent/vision"
)

// Monitor remembers for all streams of a device. Its methods may be called from any goroutine.
type Monitor struct {
	started time.Time // of its clock: all rings count from there
	encoder Encoder
	names   []string
	streams map[string]*stream
	watch   atomic.Pointer[[]chan<- struct{}] // who is told of label changes; nil: nobody

	mu      sync.Mutex // guards what follows
	labels  []string
	unknown string
	events  ring[Event]
	noted   uint64
}

// New makes the Monitor of the named streams. encoder makes the pictures of frames.
func New(streams []string, encoder Encoder) *Monitor {
	m := &Monitor{
		started: time.Now(), encoder: encoder, names: slices.Clone(streams), streams: make(map[string]*stream),
		events: newRing[Event](keptEvents),
	}
	for _, name := range streams {
		m.streams[name] = newStream(name)
	}
	return m
}

// Network is what is shown of the network that answers.
type Network struct {
	Labels     []string
	Preprocess vision.Preprocess
	Size       int                                     // of its input, pixels
	Decide     func(stream string) vision.DecideConfig // what is configured for a stream
	Blocks     []int                                   // channels of each attention block whose gates it gives
	NoBlocks   string                                  // why it gives none, one sentence; empty where it does
	// Usual tells what its gates mostly are; nil: frames are to tell. It is called when somebody looks
	// at channels for the first time, once at most, by whoever looks, and may read a file.
	Usual func() Usual
}

// Usual is what the gates of a network mostly are, by the pictures that it was calibrated with. Middle
// and Spread have a number for each channel, of all blocks one behind the other.
type Usual struct {
	Pictures int
	Middle   []float32
	Spread   []float32 // standard deviation, or what has its place
}

// Use says which network answers from now on. Scores of the one before are forgotten.
func (m *Monitor) Use(n Network) error {
	if n.Usual != nil {
		n.Usual = sync.OnceValue(n.Usual)
	}
	for _, name := range m.names {
		if err := m.streams[name].use(n.Labels, n.Decide(name)); err != nil {
			return fmt.Errorf("live: %w", err)
		}
		m.streams[name].shows(n.Preprocess, n.Size)
		m.streams[name].channelsOf(&n)
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	m.labels, m.unknown = slices.Clone(n.Labels), vision.Unknown
	for _, name := range m.names {
		if word := n.Decide(name).Unknown; word != "" {
			m.unknown = word
		}
	}
	return nil
}

// Streams are the names under which decisions come.
func (m *Monitor) Streams() []string { return slices.Clone(m.names) }

// Labels are those of the network that answers, by index, and the word for none of them; empty
// before there is one.
func (m *Monitor) Labels() (labels []string, unknown string) {
	m.mu.Lock()
	defer m.mu.Unlock()
	return slices.Clone(m.labels), m.unknown
}

// Observe takes in one decision. It keeps nothing of d, waits for nobody and allocates nothing.
func (m *Monitor) Observe(d *vision.Decision) {
	if s := m.streams[d.Camera]; s != nil {
		if s.observe(d, d.Time.Sub(m.started)) {
			m.tell()
		}
	}
}

// Watch sends to c at every change of a label, unless that is full, until stop is called.
func (m *Monitor) Watch(c chan<- struct{}) (stop func()) {
	m.exchange(func(all []chan<- struct{}) []chan<- struct{} { return append(slices.Clone(all), c) })
	return func() {
		m.exchange(func(all []chan<- struct{}) []chan<- struct{} {
			return slices.DeleteFunc(slices.Clone(all), func(other chan<- struct{}) bool { return other == c })
		})
	}
}

func (m *Monitor) exchange(by func(all []chan<- struct{}) []chan<- struct{}) {
	m.mu.Lock()
	defer m.mu.Unlock()
	var all []chan<- struct{}
	if now := m.watch.Load(); now != nil {
		all = *now
	}
	all = by(all)
	m.watch.Store(&all)
}

func (m *Monitor) tell() {
	all := m.watch.Load()
	if all == nil {
		return
	}
	for _, c := range *all {
		select {
		case c <- struct{}{}:
		default: // it will look anyway
		}
	}
}

// Status says that a stream is online, offline, stalled or disabled, in the words of MQTT.
func (m *Monitor) Status(stream, status string) {
	s := m.streams[stream]
	if s == nil || !s.setStatus(status) {
		return
	}
	m.Note(Event{Kind: KindCamera, Camera: stream, Text: status})
}

// Reason says why a stream does not deliver, for people; nil: it does. dark: its pictures show
// nothing.
func (m *Monitor) Reason(stream string, why error, dark bool) {
	if s := m.streams[stream]; s != nil {
		s.setReason(why, dark)
	}
}

// Threshold says which threshold a stream has from now on.
func (m *Monitor) Threshold(stream string, score float64) {
	if s := m.streams[stream]; s != nil {
		s.setThreshold(score)
	}
}

// Thresholds says which thresholds of single classes a stream has from now on, as
// vision.DecideConfig.Thresholds has them.
func (m *Monitor) Thresholds(stream string, own []string) {
	if s := m.streams[stream]; s != nil {
		s.setThresholds(own)
	}
}

// UnknownBelow says which p-value makes a frame of a stream unknown from now on.
func (m *Monitor) UnknownBelow(stream string, p float64) {
	if s := m.streams[stream]; s != nil {
		s.setUnknownBelow(p)
	}
}

// Enabled says whether a stream is meant to be open.
func (m *Monitor) Enabled(stream string, on bool) {
	if s := m.streams[stream]; s != nil {
		s.setEnabled(on)
	}
}

// wall is the time of an instant of the Monitor's clock, by the clock of now: what was counted
// before the clock was set stands right afterwards.
func (m *Monitor) wall(at time.Duration) time.Time {
	now := time.Now()
	return now.Add(at - now.Sub(m.started))
}

func (m *Monitor) find(stream string) (*stream, error) {
	if s := m.streams[stream]; s != nil {
		return s, nil
	}
	return nil, fmt.Errorf("live: there is no camera %q", stream)
}
