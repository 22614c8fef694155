package teach

import (
	"context"
	"errors"
	"fmt"
	"math"

	"github.com/vggse/vggse-agent/bundle"
	"github.com/vggse/vggse-agent/infer"
	"github.com/vggse/vggse-agent/reference"
	"github.com/vggse/vggse-agent/vision"
)

// Unknown is how well pictures of none of the labels are told as such, with a reference of the old
// labels before and of all of them after: each label in turn is left out of both, and its pictures
// are held against those of the others that the reference was not fitted to.
type Unknown struct {
	Labels int        `json:"labels"` // that were left out
	Before float64    `json:"before"` // mean AUROC
	After  float64    `json:"after"`
	Gain   float64    `json:"gain"` // After − Before
	Low    float64    `json:"low"`  // of the gain, 95 % over the labels
	High   float64    `json:"high"`
	ROC    []ROCPoint `json:"roc"` // after
}

// ROCPoint says which share of a label's pictures is found to be unknown where Alarms of the known
// ones are called so.
type ROCPoint struct {
	Alarms float64 `json:"alarms"`
	Found  float64 `json:"found"`
}

// Limits of the gate on Unknown.
const (
	unknownLost   = 0.01 // of the AUROC may be lost
	unknownLabels = 3    // from which on labels tell something
)

// seen are the pictures that count, as a reference wants them.
func seen(examples []example) []reference.Picture {
	var out []reference.Picture
	for i := range examples {
		if e := &examples[i]; e.counts() {
			out = append(out, reference.Picture{Class: e.class, Features: e.view(0)})
		}
	}
	return out
}

// measureUnknown fills r.Unknown; with too few pictures or labels it stays nil.
func (r *Report) measureUnknown(examples []example, old int) error {
	pictures, classes := seen(examples), len(r.Labels)
	after, err := reference.LeaveOut(pictures, classes, func(int) bool { return true })
	if errors.Is(err, reference.ErrTooFew) {
		return nil
	} else if err != nil {
		return err
	}
	before, err := reference.LeaveOut(pictures, classes, func(class int) bool { return class < old })
	if err != nil {
		return err
	}
	was := map[int]float64{}
	for _, l := range before {
		was[l.Class] = l.AUROC
	}
	u := &Unknown{}
	found := make([]float64, len(reference.Alarms))
	var gains []float64
	for _, l := range after {
		b, ok := was[l.Class]
		if !ok {
			continue
		}
		gains = append(gains, l.AUROC-b)
		u.Before, u.After = u.Before+b, u.After+l.AUROC
		for i, f := range l.Found {
			found[i] += f
		}
	}
	n := float64(len(gains))
	if u.Labels = len(gains); u.Labels < unknownLabels {
		return nil
	}
	u.Before, u.After = u.Before/n, u.After/n
	u.Gain, u.Low, u.High = interval(gains)
	for i, a := range reference.Alarms {
		u.ROC = append(u.ROC, ROCPoint{a, found[i] / n})
	}
	r.Unknown = u
	return nil
}

// interval is the mean of v with its 95 % interval.
func interval(v []float64) (mean, low, high float64) {
	n := float64(len(v))
	for _, x := range v {
		mean += x / n
	}
	square := 0.0
	for _, x := range v {
		square += (x - mean) * (x - mean)
	}
	half := z95 * math.Sqrt(square/(n-1)/n)
	return mean, mean - half, mean + half
}

// writeKnown puts what tells pictures of the labels from others into the bundle; of too few pictures
// there is none, and a finding.
func (t *teaching) writeKnown(ctx context.Context, examples []example) error {
	delete(t.spec.Files, bundle.FileKnown)
	var chosen []example
	for _, i := range inTurn(examples, len(t.report.Labels), func(int) bool { return true }) {
		if examples[i].counts() {
			chosen = append(chosen, examples[i])
		}
	}
	chosen = chosen[:min(len(chosen), reference.MostPictures)]
	k, err := reference.Fit(seen(chosen), len(t.report.Labels))
	if err != nil {
		t.report.find("known", fmt.Sprintf("decide.unknown_below has nothing to go by: %v", err),
			fmt.Sprintf("give %d pictures or more", reference.LeastPictures))
		return nil
	}
	// The layers that squeeze are the parent's.
	if before, err := infer.ReadKnown(t.parent, t.kind); err == nil && before != nil {
		k.Channels = before.Channels
	}
	t.spec.Files[bundle.FileKnown], err = infer.WriteKnown(ctx, t.dir, map[string]*vision.Known{t.kind: k})
	return err
}
