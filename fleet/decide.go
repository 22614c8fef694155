package fleet

import (
	"fmt"
	"time"
)

// Tally is how the devices that a rollout has asked so far stand.
type Tally struct {
	Devices int `json:"devices"` // of the group
	Asked   int `json:"asked"`
	Moved   int `json:"moved"`
	Busy    int `json:"busy"`
	Waiting int `json:"waiting"`
	Failed  int `json:"failed"`
	// First is a device that failed, and why.
	First string `json:"first_failed,omitempty"`
}

// tally counts the devices of the group at now.
func (r *Rollout) tally(devices []*Device, now time.Time) Tally {
	t := Tally{Devices: len(devices)}
	late := r.over(now)
	for _, d := range devices {
		if Draw(r.ID, d.ID) > r.UpTo {
			continue
		}
		t.Asked++
		switch s, why := d.to(r.Target, late); s {
		case moved:
			t.Moved++
		case busy:
			t.Busy++
		case waiting:
			t.Waiting++
		case failed:
			t.Failed++
			if t.First == "" {
				t.First = d.ID + ": " + why
			}
		}
	}
	return t
}

// over reports whether the time of the wave is over: what its devices had to begin in, and the hold.
func (r *Rollout) over(now time.Time) bool {
	since, err := time.Parse(time.RFC3339, r.Since)
	return err != nil || !now.Before(since.Add(time.Duration(r.Spread+r.Hold)*time.Second))
}

// decide is what follows from how the devices stand at now: the rollout as it is, its next wave, its
// end, or a halt. The same for everybody who sees the same.
func (r *Rollout) decide(devices []*Device, now time.Time) (next Rollout, h *Halt) {
	next = *r
	if r.Done {
		return next, nil
	}
	t := r.tally(devices, now)
	if tooMany(r.StopAt, t.Failed, t.Asked) {
		return next, &Halt{Schema: haltSchema, ID: r.ID, Since: now.UTC().Format(time.RFC3339),
			Reason: fmt.Sprintf("%d of %d devices failed, at most %s may (%s)", t.Failed, t.Asked, r.StopAt, t.First)}
	}
	if !r.over(now) || t.Busy > 0 || t.Waiting > 0 {
		return next, nil
	}
	if r.Wave == len(r.Waves)-1 {
		next.Done = true
		return next, nil
	}
	ids := make([]string, len(devices))
	for i, d := range devices {
		ids[i] = d.ID
	}
	next.begin(r.Wave+1, ids, now)
	return next, nil
}
