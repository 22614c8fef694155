package vision

import (
	"cmp"
	"fmt"
	"slices"
	"time"
)

// DecideConfig says how the scores of single frames become a label that holds.
type DecideConfig struct {
	TopK      int     `mapstructure:"top_k"`     // classes listed in Decision.Top, ≥ 1
	Threshold float64 `mapstructure:"threshold"` // a best score below it counts as Unknown, 0..1
	// Thresholds are those of single classes, in place of Threshold where that class is the best:
	// "LABEL SCORE" each. A label that the network does not have is passed over.
	Thresholds []string `mapstructure:"thresholds"`
	// the class that holds may fall this much below its threshold, 0..1
	Hysteresis float64       `mapstructure:"hysteresis"`
	Confirm    int           `mapstructure:"confirm"`   // frames in a row that must agree before Stable changes, ≥ 1
	Dwell      time.Duration `mapstructure:"dwell"`     // Stable stays at least this long, ≥ 0
	Smoothing  float64       `mapstructure:"smoothing"` // weight of the past in the scores, 0 (off) to below 1
	Unknown    string        `mapstructure:"unknown"`   // label where nothing reaches the threshold; empty: "unknown"
	// a frame whose p-value is below it counts as Unknown whatever its scores, 0 (off) to below 1
	UnknownBelow float64 `mapstructure:"unknown_below"`
	// time between two pictures that are asked whether they still look like the reference, see Drift; 0: off
	DriftEvery time.Duration `mapstructure:"drift_every"`
}

// Validate returns the first key that cannot be.
func (c *DecideConfig) Validate() error {
	switch {
	case c.TopK < 1:
		return fmt.Errorf("decide.top_k: must be ≥ 1, got %d", c.TopK)
	case !(c.Threshold >= 0 && c.Threshold <= 1):
		return fmt.Errorf("decide.threshold: must be between 0 and 1, got %g", c.Threshold)
	case !(c.Hysteresis >= 0 && c.Hysteresis <= 1):
		return fmt.Errorf("decide.hysteresis: must be between 0 and 1, got %g", c.Hysteresis)
	case c.Confirm < 1:
		return fmt.Errorf("decide.confirm: must be ≥ 1, got %d", c.Confirm)
	case c.Dwell < 0:
		return fmt.Errorf("decide.dwell: must be ≥ 0, got %s", c.Dwell)
	case !(c.Smoothing >= 0 && c.Smoothing < 1):
		return fmt.Errorf("decide.smoothing: must be ≥ 0 and < 1, got %g", c.Smoothing)
	case !(c.UnknownBelow >= 0 && c.UnknownBelow < 1):
		return fmt.Errorf("decide.unknown_below: must be ≥ 0 and < 1, got %g", c.UnknownBelow)
	case c.DriftEvery < 0:
		return fmt.Errorf("decide.drift_every: must be ≥ 0, got %s", c.DriftEvery)
	}
	_, err := ParseThresholds(c.Thresholds)
	return err
}

// Decider turns the logits of one camera's frames, in their order, into Decisions. It remembers
// what it said, so give each camera its own; it must not be used by two goroutines at once.
//
// With p the softmax of a frame, or its sigmoid and s = Smoothing, the scores are q = s·q' +
// (1−s)·p, q' being those of the frame before (q = p for the first). The frame votes for the class
// with the highest q where that reaches the threshold of the class, its own or Threshold; else for
// the stable class where its q reaches its threshold − Hysteresis, else for Unknown; for Unknown,
// too, where its p-value says that it shows none of the classes. Stable starts as Unknown, and
// becomes another class when Confirm frames in a row have voted for that one and Dwell has passed
// since it changed last.
type Decider struct {
	cfg     DecideConfig
	labels  []string
	kind    Scores
	unknown Class
	limits  limits
	scores  []float32 // q
	fresh   []float32 // p
	started bool      // scores hold the frame before
	best    []int
	stable  Class
	before  Class
	rival   int // class that the last run frames voted for, against stable
	run     int
	changed time.Time // when stable did, by the frames; zero: never
}

// NewDecider makes the Decider of a network whose rows are labels, and whose raw scores become
// scores by kind.
func NewDecider(cfg DecideConfig, labels []string, kind Scores) (*Decider, error) {
	if err := cfg.Validate(); err != nil {
		return nil, fmt.Errorf("vision: %w", err)
	}
	if len(labels) == 0 {
		return nil, fmt.Errorf("vision: decide: there are no labels")
	}
	if cfg.Unknown == "" {
		cfg.Unknown = Unknown
	}
	if i := slices.Index(labels, cfg.Unknown); i >= 0 {
		return nil, fmt.Errorf("vision: decide.unknown: %q is already labels[%d] of the bundle: choose another word",
			cfg.Unknown, i)
	}
	d := &Decider{
		cfg:     cfg,
		labels:  labels,
		kind:    kind,
		unknown: Class{Label: cfg.Unknown, Index: -1},
		scores:  make([]float32, len(labels)),
		fresh:   make([]float32, len(labels)),
		best:    make([]int, 0, min(cfg.TopK, len(labels))),
	}
	own, err := ParseThresholds(cfg.Thresholds)
	if err != nil {
		return nil, fmt.Errorf("vision: %w", err)
	}
	d.limits = newLimits(len(labels), cfg.Hysteresis)
	d.SetThreshold(cfg.Threshold)
	d.SetThresholds(own)
	d.Reset()
	return d, nil
}

// Reset forgets every frame: the next decision is a first one.
func (d *Decider) Reset() {
	d.stable, d.before = d.unknown, d.unknown
	d.started, d.run, d.changed = false, 0, time.Time{}
}

// SetThreshold replaces Threshold from the next frame on, 0..1.
func (d *Decider) SetThreshold(score float64) { d.limits.set(score) }

// SetThresholds replaces those of single classes from the next frame on.
func (d *Decider) SetThresholds(own []ClassThreshold) { d.limits.setOwn(own, d.labels) }

// SetUnknownBelow replaces UnknownBelow from the next frame on, 0 to below 1.
func (d *Decider) SetUnknownBelow(p float64) { d.cfg.UnknownBelow = p }

// Decide fills Top, Stable, Before, Changed and Unknown of out from the logits of one frame, one
// for each label; it reads out.Time for Dwell and out.PValue for UnknownBelow, reuses out.Top, and
// allocates nothing once that has grown. Stable.Score is the score that the stable class has in
// this frame, 0 for Unknown. Changed is true in the one decision in which Stable became another
// class; the first decision of all is Unknown and not Changed, unless Confirm is 1. Labels is
// filled for ScoresSigmoid only.
//
// Logits with a NaN or an infinity, or of another number, say nothing about the picture: Top is
// empty, Stable is Unknown at once, without confirmation, and the past is forgotten.
func (d *Decider) Decide(l Logits, out *Decision) {
	was := d.stable.Index
	out.Top, out.Labels = out.Top[:0], out.Labels[:0]
	out.Unknown = out.PValue > 0 && float64(out.PValue) < d.cfg.UnknownBelow
	if len(l) != len(d.labels) || !d.kind.Apply(d.fresh, l) {
		d.started, d.run = false, 0
		d.settle(-1, out.Time)
	} else {
		d.smooth()
		d.best = TopK(d.best, d.scores, d.cfg.TopK)
		for _, i := range d.best {
			out.Top = append(out.Top, d.class(i))
		}
		d.hold(out)
		d.vote(out)
	}
	out.Stable, out.Before, out.Changed = d.stable, d.before, d.stable.Index != was
}

// hold lists the labels that hold each for itself.
func (d *Decider) hold(out *Decision) {
	if d.kind != ScoresSigmoid {
		return
	}
	for i, s := range d.scores {
		if s >= d.limits.least[i] {
			out.Labels = append(out.Labels, d.class(i))
		}
	}
	slices.SortStableFunc(out.Labels, func(a, b Class) int { return cmp.Compare(b.Score, a.Score) })
}

// Replay is Decide of a frame whose scores are known: top as a Decision lists it, best first,
// smoothed where smoothing was on. A class that is not in it counts as 0. An empty top stands for
// logits that say nothing. out.Unknown is read; out.Top is left as it is, and nothing is allocated.
func (d *Decider) Replay(top []Class, out *Decision) {
	was := d.stable.Index
	clear(d.scores)
	d.best = d.best[:0]
	for _, c := range top {
		if c.Index >= 0 && c.Index < len(d.scores) && len(d.best) < cap(d.best) {
			d.scores[c.Index], d.best = c.Score, append(d.best, c.Index)
		}
	}
	if len(d.best) == 0 {
		d.run = 0
		d.settle(-1, out.Time)
	} else {
		d.vote(out)
	}
	out.Stable, out.Before, out.Changed = d.stable, d.before, d.stable.Index != was
}

// smooth takes a frame's scores into the scores.
func (d *Decider) smooth() {
	keep := float32(d.cfg.Smoothing)
	if !d.started {
		keep = 0
	}
	d.started = true
	for i, p := range d.fresh {
		d.scores[i] = keep*d.scores[i] + (1-keep)*p
	}
}

// vote counts the frame of out for its class and makes that one stable when enough in a row have
// agreed.
func (d *Decider) vote(out *Decision) {
	choice, t := d.best[0], out.Time
	if out.Unknown {
		choice = -1
	} else if d.scores[choice] < d.limits.least[choice] {
		choice = -1
		if i := d.stable.Index; i >= 0 && d.scores[i] >= d.limits.held[i] {
			choice = i
		}
	}
	if choice == d.stable.Index {
		d.run = 0
	} else {
		if choice != d.rival {
			d.rival, d.run = choice, 0
		}
		d.run++
	}
	if d.run < d.cfg.Confirm || !d.changed.IsZero() && t.Sub(d.changed) < d.cfg.Dwell {
		choice = d.stable.Index
	}
	d.settle(choice, t)
}

// settle makes the class with the given index the stable one, with its score in this frame, of the
// time t.
func (d *Decider) settle(index int, t time.Time) {
	if index != d.stable.Index {
		d.before, d.run, d.changed = d.stable, 0, t
	}
	d.stable = d.class(index)
}

// class is the label of a row with its score; Unknown for -1.
func (d *Decider) class(i int) Class {
	if i < 0 {
		return d.unknown
	}
	return Class{Label: d.labels[i], Index: i, Score: d.scores[i]}
}
