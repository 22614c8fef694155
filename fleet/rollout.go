package fleet

import (
	"errors"
	"fmt"
	"math"
	"slices"
	"strconv"
	"strings"
	"time"
)

// Rollout is how a release comes to a group, and how far it is.
type Rollout struct {
	Schema string `json:"schema"`
	ID     string `json:"id"` // of target and attempt: whoever starts the same twice means the same
	Target
	Before  *Target  `json:"before"` // what ran before; null: not known
	Attempt int      `json:"attempt"`
	Waves   []string `json:"waves"`  // rising: a number of devices, or a share as 10%
	Hold    int64    `json:"hold_s"` // seconds that a wave is watched for
	Spread  int64    `json:"spread_s"`
	StopAt  string   `json:"stop_at"` // failed devices that are too many: a number, or a share of those asked as 2%
	Wave    int      `json:"wave"`    // from 0
	UpTo    uint64   `json:"up_to"`   // of the wave
	Since   string   `json:"since"`   // RFC 3339: when it began
	Done    bool     `json:"done"`    // every wave has passed
}

// Halt ends a rollout.
type Halt struct {
	Schema string `json:"schema"`
	ID     string `json:"id"`     // of the rollout that it ends
	Reason string `json:"reason"` // for people
	Back   bool   `json:"back"`   // and everybody goes back to what ran before
	Since  string `json:"since"`  // RFC 3339
}

// Plan is what the user asks for.
type Plan struct {
	Waves        []string
	Hold, Spread time.Duration
	StopAt       string
}

// Validate returns the first thing of the plan that cannot be.
func (p *Plan) Validate() error {
	if len(p.Waves) == 0 {
		return errors.New("--waves: wants at least one, as 1,10%,100%")
	}
	for _, w := range p.Waves {
		if _, _, err := amount(w); err != nil {
			return fmt.Errorf("--waves: %w", err)
		}
	}
	if _, _, err := amount(p.StopAt); err != nil {
		return fmt.Errorf("--stop-at: %w", err)
	}
	for i := range p.Waves[1:] {
		if count(p.Waves[i], 1_000_000) > count(p.Waves[i+1], 1_000_000) {
			return fmt.Errorf("--waves: %s comes before %s: each wave is larger than the one before", p.Waves[i],
				p.Waves[i+1])
		}
	}
	switch {
	case p.Waves[len(p.Waves)-1] != "100%":
		return errors.New("--waves: the last must be 100%")
	case p.Hold < 0 || p.Hold > 30*24*time.Hour:
		return errors.New("--hold: must be 0s to 720h")
	case p.Spread < 0 || p.Spread > longestSpread:
		return fmt.Errorf("--spread: must be 0s to %s", longestSpread)
	}
	return nil
}

// amount reads a number of devices, or a share in percent.
func amount(s string) (n float64, percent bool, err error) {
	text, percent := strings.CutSuffix(s, "%")
	n, err = strconv.ParseFloat(text, 64)
	if err != nil || math.IsNaN(n) || n < 0 || percent && n > 100 || !percent && n != math.Trunc(n) || n > 1e9 {
		return 0, false, fmt.Errorf("%.20q is neither a number of devices nor a share as 10%%", s)
	}
	return n, percent, nil
}

// count is how many of all an amount is, a share rounded up.
func count(s string, all int) int {
	n, percent, err := amount(s)
	switch {
	case err != nil:
		return 0
	case percent:
		return int(math.Ceil(n * float64(all) / 100))
	}
	return min(int(n), all)
}

// tooMany reports whether failed of asked devices are more than the amount.
func tooMany(s string, failed, asked int) bool {
	n, percent, err := amount(s)
	if err != nil {
		return true
	}
	if percent {
		n = n * float64(asked) / 100
	}
	return float64(failed) > n
}

// newRollout is the first wave of a plan, at now.
func newRollout(t Target, p Plan, before *Target, attempt int, devices []string, now time.Time) Rollout {
	r := Rollout{Schema: rolloutSchema, Target: t, Before: before, Attempt: attempt, Waves: p.Waves,
		ID:   fmt.Sprintf("%s %.12s %d", t, t.Digest, attempt),
		Hold: int64(p.Hold.Seconds()), Spread: int64(p.Spread.Seconds()), StopAt: p.StopAt}
	r.begin(0, devices, now)
	return r
}

// begin makes wave i, from 0, the one under way.
func (r *Rollout) begin(i int, devices []string, now time.Time) {
	r.Wave, r.Since, r.UpTo = i, now.UTC().Format(time.RFC3339), everybody
	n := count(r.Waves[i], len(devices))
	if n >= len(devices) {
		return
	}
	draws := make([]uint64, len(devices))
	for j, d := range devices {
		draws[j] = Draw(r.ID, d)
	}
	slices.Sort(draws)
	r.UpTo = draws[max(n, 1)-1]
}

func parseRollout(payload []byte) (*Rollout, error) {
	r := &Rollout{}
	if err := parse(payload, r); err != nil {
		return nil, err
	}
	p := Plan{r.Waves, time.Duration(r.Hold) * time.Second, time.Duration(r.Spread) * time.Second, r.StopAt}
	_, err := time.Parse(time.RFC3339, r.Since)
	switch {
	case r.Schema != rolloutSchema:
		return nil, fmt.Errorf("schema: %.40q is not %s: update vggse-agent", r.Schema, rolloutSchema)
	case p.Validate() != nil:
		return nil, p.Validate()
	case r.Wave < 0 || r.Wave >= len(r.Waves) || err != nil || r.ID == "":
		return nil, errors.New("wave, since or id cannot be what they say")
	case r.Before != nil && r.Before.validate() != nil:
		return nil, fmt.Errorf("before: %w", r.Before.validate())
	}
	return r, r.validate()
}

func parseHalt(payload []byte) (*Halt, error) {
	h := &Halt{}
	if err := parse(payload, h); err != nil {
		return nil, err
	}
	if h.Schema != haltSchema {
		return nil, fmt.Errorf("schema: %.40q is not %s: update vggse-agent", h.Schema, haltSchema)
	}
	return h, nil
}

// ends reports whether the halt is about the rollout.
func (h *Halt) ends(r *Rollout) bool { return h != nil && r != nil && h.ID == r.ID }

// desired is what the group shall run, which follows from the rollout and its halt alone.
func desired(r *Rollout, h *Halt) Desired {
	d := Desired{Schema: desiredSchema, ID: r.ID, Target: r.Target, UpTo: r.UpTo, Since: r.Since, Spread: r.Spread}
	switch {
	case h.ends(r) && h.Back && r.Before != nil:
		d.ID, d.Target, d.UpTo, d.Since = r.ID+" back", *r.Before, everybody, h.Since
	case h.ends(r):
		d.Halted = true
	}
	return d
}
