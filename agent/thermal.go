package agent

import (
	"fmt"
	"strings"
	"time"

	"github.com/vggse/vggse-agent/device"
	"github.com/vggse/vggse-agent/mqtt"
)

// governorSteps are the shares of the frame rate that the agent allows itself, one step down at
// each look at a machine that is near to its limits.
var governorSteps = [...]float64{1, 0.75, 0.5, 0.25}

const (
	nearCelsius, easyCelsius = 3, 8       // below the limit of a zone
	nearShare, easyShare     = 0.95, 0.85 // of a current that raises an alarm
	calmLooks                = 6          // in a row, before a step up
	longestEvery             = 10 * time.Second
)

// governor lowers the frame rate while heat or current bring the machine near to where its kernel
// slows it down: fewer frames at full clocks, in place of every frame late. Where the kernel slows
// down already without either being near, there is nothing to be won, and it does nothing. look and
// its state are for one goroutine.
type governor struct {
	every time.Duration // least time from one run of the network to the next; 0: none

	step   int
	calm   int
	full   float64 // most frames a second, of late, before the first step
	reason string  // of the last step down
	events map[string]uint64
}

// look judges the machine, whose agent classified rate frames a second since the last look, and
// reports whether the rate that is allowed has changed.
func (b *governor) look(h device.Headroom, t *device.Throttle, rate float64) bool {
	near := nearness(h)
	if b.shocked(t) && near == "" {
		near = "the board drew more current than it may"
	}
	before := b.step
	if b.step == 0 { // a scene without motion has no rate to go by
		b.full = max(rate, 0.99*b.full)
	}
	switch {
	case near != "":
		b.calm, b.reason = 0, near
		if b.full > 0 {
			b.step = min(b.step+1, len(governorSteps)-1)
		}
	case h.Zone != "" && h.Limit-h.Celsius < easyCelsius, h.Share > easyShare:
		b.calm = 0
	default:
		if b.calm++; b.calm >= calmLooks && b.step > 0 {
			b.step, b.calm = b.step-1, 0
		}
	}
	every := time.Duration(0)
	if b.step > 0 {
		every = min(time.Duration(float64(time.Second)/(b.full*b.share())), longestEvery)
	}
	b.every = every
	return b.step != before
}

// nearness names what is near to its limit.
func nearness(h device.Headroom) string {
	var near []string
	if h.Zone != "" && h.Limit-h.Celsius <= nearCelsius {
		near = append(near, fmt.Sprintf("%s at %.0f °C, slowed down by the kernel from %.0f on", h.Zone, h.Celsius,
			h.Limit))
	}
	if h.Share >= nearShare {
		near = append(near, fmt.Sprintf("%s at %.0f %% of the current that raises its alarm", h.Rail, 100*h.Share))
	}
	return strings.Join(near, "; ")
}

// shocked reports whether an over-current event was counted since the last look.
func (b *governor) shocked(t *device.Throttle) bool {
	if t == nil {
		return false
	}
	before, grown := b.events, false
	for cause, n := range t.Events {
		grown = grown || before != nil && n > before[cause]
	}
	b.events = t.Events
	return grown
}

func (b *governor) share() float64 { return governorSteps[b.step] }

// sentence says what the governor does; empty: nothing.
func (b *governor) sentence() string {
	if b.step == 0 {
		return ""
	}
	return fmt.Sprintf("slowed to %.1f of %.1f frames/s: %s", b.full*b.share(), b.full, b.reason)
}

// thermal judges whether the machine slows itself down, now or since before.
func thermal(now, before *device.Throttle) mqtt.Condition {
	if now == nil {
		return mqtt.Condition{Status: mqtt.OK}
	}
	if len(now.Active) > 0 {
		return mqtt.Condition{Status: mqtt.Degraded, Reason: "held back by the kernel: " + strings.Join(now.Active,
			", ")}
	}
	for cause, count := range now.Events {
		if before != nil && count > before.Events[cause] {
			return mqtt.Condition{Status: mqtt.Degraded, Reason: "slowed itself down: " + strings.ReplaceAll(cause,
				"_", " ")}
		}
	}
	return mqtt.Condition{Status: mqtt.OK}
}

// slowDown has the governor look at the machine, and tells where it moves.
func (o *observer) slowDown() {
	o.mu.Lock()
	p, link, wanted := o.pipeline, o.link, o.braking
	o.mu.Unlock()
	if !wanted {
		return
	}
	classified, now := o.frames(), time.Now()
	rate := float64(classified-o.classified) / now.Sub(o.looked).Seconds()
	first := o.looked.IsZero()
	o.looked, o.classified = now, classified
	if first || !o.governor.look(o.sensors.Headroom(), o.sensors.Throttle(), rate) {
		return
	}
	p.Limit(o.governor.every)
	slowed := o.governor.sentence()
	o.mu.Lock()
	o.slowed, o.share = slowed, o.governor.share()
	o.mu.Unlock()
	if slowed == "" {
		o.log.Info("back to the full frame rate")
		link.Health("thermal", mqtt.Condition{Status: mqtt.OK})
		return
	}
	o.log.Warn("the machine is near to its limits", "frames", slowed)
	link.Health("thermal", mqtt.Condition{Status: mqtt.Degraded, Reason: slowed})
}
