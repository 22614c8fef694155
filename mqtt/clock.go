package mqtt

import "time"

// clockCheck is how often the kernel is asked whether its clock is synchronised.
const clockCheck = 10 * time.Second

// clock tells points in time with their quality.
type clock struct {
	synced  bool
	checked time.Time
}

// at describes the time t, which lies at or shortly before now.
func (c *clock) at(t, now time.Time) instant {
	if c.checked.IsZero() || now.Sub(c.checked) >= clockCheck {
		c.synced, c.checked = clockSynced(), now
	}
	return instant{wall: t, mono: sinceBoot() - now.Sub(t), synced: c.synced}
}
