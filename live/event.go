package live

import "time"

// keptEvents is how many events are remembered.
const keptEvents = 200

// Kinds of events.
const (
	KindCamera = "camera" // Text is its status
	KindBroker = "broker" // Text is connected or away
	KindModel  = "model"  // Text is what answers from now on
	KindHealth = "health" // Part fares as Text says
	KindAction = "action" // somebody did what Text says
	KindStart  = "start"  // the agent, of the version Text
	KindTeach  = "teach"  // a run of teaching ended as Text says
)

// Event is something that happened to the device.
type Event struct {
	Number uint64    `json:"n"` // from 1, without gaps
	Time   time.Time `json:"ts"`
	Kind   string    `json:"kind"`
	Camera string    `json:"camera,omitempty"`
	Part   string    `json:"part,omitempty"`
	Text   string    `json:"text,omitempty"`
	By     string    `json:"by,omitempty"` // of an action
}

// Note remembers an event of now.
func (m *Monitor) Note(e Event) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.noted++
	e.Number, e.Time = m.noted, time.Now()
	m.events.add(e)
}

// Events are the last of them that came after the one with the given number, oldest first.
func (m *Monitor) Events(after uint64) []Event {
	m.mu.Lock()
	defer m.mu.Unlock()
	all := m.events.all(nil)
	for i := range all {
		if all[i].Number > after {
			return all[i:]
		}
	}
	return nil
}

// Noted is the number of the last event; 0: there was none.
func (m *Monitor) Noted() uint64 {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.noted
}
