package mqtt

import "time"

// clockCheck is how often the kernel is asked whether its clock is synchronised.
const clockCheck = 10 * time.Second

// clock tells points in time with their quality.
type clock struct {
	synced  bool
	checked time.Time
	offset  time.Duration // of the wall clock over the time since boot; 0: not looked at yet
}

const (
	clockStep = 500 * time.Millisecond // NTP slews by half a millisecond a second (adjtimex(2)): more is a step
	clockRead = 50 * time.Millisecond  // reading two clocks may take so long, or says nothing about them
)

// step is how far the wall clock was set since the last call, 0 where it was not. The arguments are
// sinceBoot and time.Now.
func (c *clock) step(boot func() time.Duration, wall func() time.Time) time.Duration {
	first, now := boot(), wall()
	if boot()-first > clockRead {
		return 0
	}
	before := c.offset
	c.offset = time.Duration(now.UnixNano()) - first
	if step := c.offset - before; before != 0 && step.Abs() >= clockStep {
		return step
	}
	return 0
}

// at describes the time t, which lies at or shortly before now.
func (c *clock) at(t, now time.Time) instant {
	if c.checked.IsZero() || now.Sub(c.checked) >= clockCheck {
		c.synced, c.checked = clockSynced(), now
	}
	return instant{wall: t, mono: sinceBoot() - now.Sub(t), synced: c.synced}
}
