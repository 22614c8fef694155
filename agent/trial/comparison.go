package trial

import (
	"fmt"
	"math"
	"slices"
	"time"

	"github.com/vggse/vggse-agent/bundle"
	"github.com/vggse/vggse-agent/configs"
	"github.com/vggse/vggse-agent/vision"
)

// Seen is what a network says of one picture.
type Seen struct {
	Label int // index among its labels; −1: its answer is no number
	Score float32
	Took  time.Duration // for the run
}

// Report is what was measured of two models, the one before and the new one, on the same pictures.
type Report struct {
	Pairs      int     `json:"pairs"`       // pictures that both answered to
	Common     int     `json:"common"`      // of them: with a label of each that the other has, too, by name
	Agreed     int     `json:"agreed"`      // of those: with the same label
	Changes    int     `json:"changes"`     // of the new one's label from a picture to the next of a stream
	ChangesOld int     `json:"changes_old"` // of the label of the model before
	Unknown    int     `json:"unknown"`     // of the pairs: below the threshold with the new one
	UnknownOld int     `json:"unknown_old"` // with the model before
	Slower     int     `json:"slower"`      // of the pairs: beyond the bound of the latency
	Ratio      float64 `json:"ratio"`       // median of the latencies, new to old; 0: none measured
}

// Comparison counts what a new model and the one before it say of the same pictures. It allocates
// nothing once each stream has come, and is for one goroutine at a time.
type Comparison struct {
	bounds    configs.Trial
	slow      float64 // share of pictures beyond the bound of the latency from which it is too slow
	threshold float32
	partner   []int  // of each old label: the index of the new one of that name; −1: there is none
	shared    []bool // the new label is one of the old ones, too
	last      map[string][2]int

	report    Report
	ratios    [window]float64
	lost      int // unknown to the new one alone
	won       int // unknown to the old one alone
	constant  bool
	first     vision.Logits
	oldLabels []int // how often the old one said which
	scores    []float32
	kind      vision.Scores
}

// window is how many of the latest ratios the median is of.
const window = 256

// Shares of the pictures that take too long, from which a model is too slow.
const (
	Half   = 0.5 // the median: where the runs of a pair follow each other
	Nearly = 0.8 // where the two disturb each other
)

// NewComparison is one of a new model with the one before; below threshold a picture is unknown to
// either, and slow is Half or Nearly.
func NewComparison(bounds configs.Trial, before, next *bundle.Spec, threshold, slow float64) *Comparison {
	c := &Comparison{bounds: bounds, slow: slow, threshold: float32(threshold), shared: make([]bool, len(next.Labels)),
		last: make(map[string][2]int), constant: true, oldLabels: make([]int, len(before.Labels)),
		scores: make([]float32, len(next.Labels)), kind: next.Output.Scores}
	for _, label := range before.Labels {
		i := slices.Index(next.Labels, label)
		c.partner = append(c.partner, i)
		if i >= 0 {
			c.shared[i] = true
		}
	}
	return c
}

// Add counts one picture of a stream, whose changes are not counted where it has no name: what the
// model before saw in it, and the raw answer of the new one, which
// took so long. Where either is no number nothing is counted.
func (c *Comparison) Add(stream string, old Seen, next vision.Logits, took time.Duration) {
	if old.Label < 0 || len(next) != len(c.scores) {
		return
	}
	label, score, ok := Top(c.scores, next, c.kind)
	if !ok {
		return
	}
	r := &c.report
	c.oldLabels[old.Label]++
	c.same(next)
	if stream != "" {
		if before, again := c.last[stream]; again {
			r.ChangesOld += count(before[0] != old.Label)
			r.Changes += count(before[1] != label)
		}
		c.last[stream] = [2]int{old.Label, label}
	}
	if c.partner[old.Label] >= 0 && c.shared[label] {
		r.Common++
		r.Agreed += count(c.partner[old.Label] == label)
	}
	unknown, unknownOld := score < c.threshold, old.Score < c.threshold
	r.Unknown += count(unknown)
	r.UnknownOld += count(unknownOld)
	c.lost += count(unknown && !unknownOld)
	c.won += count(unknownOld && !unknown)
	if old.Took > 0 && took > 0 {
		ratio := float64(took) / float64(old.Took)
		c.ratios[r.Pairs%window] = ratio
		r.Slower += count(c.bounds.Latency > 0 && ratio > c.bounds.Latency)
	}
	r.Pairs++
}

// same notes whether the new model's answer is what it was to every picture before, to the bit.
func (c *Comparison) same(next vision.Logits) {
	if c.first == nil {
		c.first = slices.Clone(next)
	}
	c.constant = c.constant && slices.Equal(c.first, next)
}

func count(is bool) int {
	if is {
		return 1
	}
	return 0
}

// Top is the best label of one row of raw scores, and its score of 0 to 1; ok is false where the row
// is no numbers. scratch has the row's length.
func Top(scratch []float32, row vision.Logits, kind vision.Scores) (label int, score float32, ok bool) {
	if !kind.Apply(scratch, row) {
		return -1, 0, false
	}
	for i, s := range scratch {
		if s > scratch[label] {
			label = i
		}
	}
	return label, scratch[label], true
}

// Report is what was measured so far.
func (c *Comparison) Report() Report {
	r := c.report
	if n := min(r.Pairs, window); n > 0 {
		var sorted [window]float64
		all := sorted[:copy(sorted[:], c.ratios[:n])]
		slices.Sort(all)
		r.Ratio = math.Round(all[(n-1)/2]*1000) / 1000
	}
	return r
}

// Worse says in what the new model is proven to be worse than allowed; nil: in nothing.
func (c *Comparison) Worse() error {
	r := &c.report
	slower, _ := Interval(r.Slower, r.Pairs)
	_, agreed := Interval(r.Agreed, r.Common)
	unknown, _ := Interval(r.Unknown, r.Pairs)
	lost, _ := Interval(c.lost, c.lost+c.won)
	switch {
	case c.constant && r.Pairs >= leastSame && slices.Max(c.oldLabels) <= r.Pairs*4/5:
		return fmt.Errorf("it answers %d different pictures with the same numbers, to the bit", r.Pairs)
	case c.bounds.Latency > 0 && slower > c.slow:
		return fmt.Errorf("it takes %.3g times as long for a picture as the model before, at most %g are allowed "+
			"(model.trial.latency)", c.Report().Ratio, c.bounds.Latency)
	case agreed < c.bounds.Agreement:
		return fmt.Errorf("it agrees with the model before on %d of %d pictures, at least %.3g %% are asked for "+
			"(model.trial.agreement)", r.Agreed, r.Common, 100*c.bounds.Agreement)
	case c.bounds.Unknown > 0 && unknown > c.bounds.Unknown && lost > 0.5:
		return tooUnknown(r.Unknown, r.Pairs, c.bounds.Unknown)
	}
	return nil
}

func tooUnknown(k, n int, bound float64) error {
	return fmt.Errorf("%d of %d pictures have no label, at most %.3g %% are allowed (model.trial.unknown)", k, n,
		100*bound)
}

// leastSame is how many pictures must have had the same answer.
const leastSame = 20

// sure is the quantile of the normal distribution of an interval that holds in 999 of 1,000 cases:
// it is looked at again and again.
const sure = 3.29

// Interval is that of the share k of n (Wilson, 1927), 0 to 1 for n = 0.
func Interval(k, n int) (low, high float64) {
	if n == 0 {
		return 0, 1
	}
	share, size := float64(k)/float64(n), float64(n)
	middle := share + sure*sure/(2*size)
	width := sure * math.Sqrt(share*(1-share)/size+sure*sure/(4*size*size))
	whole := 1 + sure*sure/size
	return (middle - width) / whole, (middle + width) / whole
}
