package mqtt

import (
	"testing"
	"time"

	"github.com/vggse/vggse-agent/vision"
)

// Each step is a decision at a time of its own; the table says which become results.
func TestPolicy(t *testing.T) {
	usual := Policy{Deadband: 0.05, Heartbeat: time.Minute, MaxRate: 5}
	type step struct {
		at      time.Duration
		index   int
		score   float32
		changed bool
		want    bool
	}
	for name, c := range map[string]struct {
		policy Policy
		steps  []step
	}{
		"deadband": {usual, []step{
			{0, 1, 0.90, false, true}, // the first one
			{time.Second, 1, 0.92, false, false},
			{2 * time.Second, 1, 0.94, false, false}, // since the last result, not the last decision
			{3 * time.Second, 1, 0.96, false, true},
			{4 * time.Second, 1, 0.90, false, true},
		}},
		"another class": {usual, []step{{0, 1, 0.5, false, true}, {time.Second, 2, 0.5, false, true},
			{2 * time.Second, 2, 0.5, false, false}}},
		"heartbeat": {usual, []step{
			{0, 1, 0.9, false, true}, {59 * time.Second, 1, 0.9, false, false},
			{60 * time.Second, 1, 0.9, false, true}, {61 * time.Second, 1, 0.9, false, false},
		}},
		"no heartbeat": {Policy{Deadband: 0.05}, []step{{0, 1, 0.9, false, true}, {time.Hour, 1, 0.9, false, false}}},
		"nothing seen": {usual, []step{{0, -1, 0, false, true}, {time.Second, -1, 0, false, false}}},
		"rate": {Policy{MaxRate: 2}, []step{ // deadband 0: every decision moves
			{0, 1, 0.1, false, true}, {10 * time.Millisecond, 1, 0.2, false, true},
			{20 * time.Millisecond, 1, 0.3, false, false},
			{400 * time.Millisecond, 1, 0.4, false, false}, {510 * time.Millisecond, 1, 0.5, false, true},
			{520 * time.Millisecond, 1, 0.6, false, false},
			{530 * time.Millisecond, 2, 0.6, true, true},    // a change always goes out,
			{1100 * time.Millisecond, 2, 0.7, false, false}, // on credit
			{1600 * time.Millisecond, 2, 0.8, false, true},
		}},
		"flutter": {Policy{MaxRate: 1}, []step{
			{0, 1, 0.9, false, true}, {1, 2, 0.9, true, true}, {2, 1, 0.9, true, true}, {3, 2, 0.9, true, true},
			{4, 1, 0.9, true, true}, {5, 2, 0.9, true, true},
			{1900 * time.Millisecond, 2, 0.5, false, false},
			{2100 * time.Millisecond, 2, 0.5, false, true}, // not six seconds later
		}},
		"slow rate": {Policy{MaxRate: 0.1}, []step{{0, 1, 0.1, false, true}, {9 * time.Second, 1, 0.9, false, false},
			{11 * time.Second, 1, 0.9, false, true}}},
		"no limit": {Policy{}, []step{{0, 1, 0.1, false, true}, {1, 1, 0.1, false, true}, {2, 1, 0.1, false, true}}},
		"every": {Policy{Every: true, Deadband: 1, MaxRate: 0.001},
			[]step{{0, 1, 0.1, false, true}, {1, 1, 0.1, false, true}}},
	} {
		g := gate{Policy: c.policy}
		start := time.Now()
		for i, s := range c.steps {
			d := &vision.Decision{Changed: s.changed}
			if s.index >= 0 {
				d.Top = []vision.Class{{Index: s.index, Score: s.score}}
			}
			if got := g.worth(start.Add(s.at), d); got != s.want {
				t.Errorf("%s: step %d at %s: got %v, want %v", name, i, s.at, got, s.want)
			}
		}
	}
}
