package mqtt

import (
	"math"
	"time"

	"github.com/vggse/vggse-agent/vision"
)

// gate applies a Policy to the decisions of one camera.
type gate struct {
	Policy
	started bool
	last    time.Time // of the last result
	index   int       // its best class
	score   float64   // and that one's score
	tokens  float64   // results that may go out at once
	filled  time.Time
}

// worth reports whether d becomes a result at the time now: it is the first, the stable class
// changed, another class is best or the best score moved by the deadband, or the heartbeat is due;
// and the rate allows it. A change goes out whatever the rate, and is taken from what the rate
// allows later.
func (g *gate) worth(now time.Time, d *vision.Decision) bool {
	if g.Every {
		return true
	}
	best := vision.Class{Index: -1}
	if len(d.Top) > 0 {
		best = d.Top[0]
	}
	due := g.Heartbeat > 0 && now.Sub(g.last) >= g.Heartbeat
	moved := best.Index != g.index || math.Abs(float64(best.Score)-g.score) >= g.Deadband
	urgent := !g.started || d.Changed
	g.refill(now)
	if !urgent && !(due || moved) || !urgent && g.MaxRate > 0 && g.tokens < 1 {
		return false
	}
	g.tokens = max(g.tokens-1, -g.full()) // a label that flutters silences the rest for a second or two, not for long
	g.started, g.last, g.index, g.score = true, now, best.Index, float64(best.Score)
	return true
}

// full is what the bucket holds: one second's worth, at least one.
func (g *gate) full() float64 { return max(g.MaxRate, 1) }

// refill adds what the time since the last call allows.
func (g *gate) refill(now time.Time) {
	if g.filled.IsZero() {
		g.tokens = g.full()
	} else {
		g.tokens = min(g.full(), g.tokens+now.Sub(g.filled).Seconds()*g.MaxRate)
	}
	g.filled = now
}
