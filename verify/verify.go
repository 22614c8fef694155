package verify

import (
	"context"
	"fmt"
	"math"

	"github.com/vggse/vggse-agent/bundle"
	"github.com/vggse/vggse-agent/infer"
	"github.com/vggse/vggse-agent/internal/progress"
	"github.com/vggse/vggse-agent/vision"
)

// Options say what to compare with.
type Options struct {
	Golden    string  // safetensors file; "": the bundle's, else those that are computed
	Tolerance float64 // largest difference in parts of the largest logit; 0: infer.Tolerance
	CacheDir  string  // where computed references are kept
}

// Verdict is how far the answers are off.
type Verdict struct {
	Provider  string  `json:"provider"`
	Precision string  `json:"precision"`
	Pairs     int     `json:"pairs"`
	MaxDiff   float64 `json:"max_abs_diff"`
	MeanDiff  float64 `json:"mean_abs_diff"`
	Agreement float64 `json:"top1_agreement"` // share of the pairs, 0..1
	OK        bool    `json:"ok"`
	MaxLogit  float64 `json:"max_abs_logit"`
	Tolerance float64 `json:"tolerance"` // of max_abs_diff, in parts of max_abs_logit
	Golden    string  `json:"golden"`    // where the expected logits come from
}

// MissedError is that answers are farther off than allowed, or are no numbers.
type MissedError struct{ reason string }

func (e *MissedError) Error() string { return "verify: " + e.reason }

// String is the verdict in one line.
func (v *Verdict) String() string {
	if v.Pairs == 0 {
		return fmt.Sprintf("no pairs (%s) on %s, %s: it answers with numbers, twice the same, largest logit %.4g",
			v.Golden, v.Provider, v.Precision, v.MaxLogit)
	}
	return fmt.Sprintf("%d pairs (%s) on %s, %s: max |Δ| %.3g, mean |Δ| %.3g, largest logit %.4g, same top-1 %.0f %%",
		v.Pairs, v.Golden, v.Provider, v.Precision, v.MaxDiff, v.MeanDiff, v.MaxLogit, 100*v.Agreement)
}

// Run measures how far the network's answers are off. Beyond the tolerance the verdict comes with a
// *MissedError; answers that are no numbers are a *MissedError without one.
func Run(ctx context.Context, n *infer.Network, o Options, p *progress.Progress) (*Verdict, error) {
	if o.Golden == "" && nothingLeft(n.Bundle, n.Info().Precision) {
		return alone(ctx, n)
	}
	g, err := find(ctx, n, o, p)
	if err != nil {
		return nil, fmt.Errorf("verify: %w", err)
	}
	got, err := runPairs(ctx, n.Engine, g.Input, len(n.Bundle.Spec.Labels))
	if err != nil {
		return nil, fmt.Errorf("verify: %w", err)
	}
	info := n.Info()
	v := compare(g, got)
	v.Provider, v.Precision, v.Golden, v.Tolerance = info.Provider, info.Precision, g.Origin, o.Tolerance
	if o.Tolerance == 0 {
		v.Tolerance = infer.Tolerance(info.Precision, info.Provider)
		if info.Precision == "int8" {
			v.Tolerance = max(v.Tolerance, g.Tolerance)
		}
	}
	if math.IsInf(v.MaxDiff, 0) {
		return nil, &MissedError{fmt.Sprintf("%s answers with NaN or infinity on %s: the weights are damaged, or "+
			"too large for %s",
			n.Bundle.Dir, info.Provider, info.Precision)}
	}
	if g.features != nil {
		return &v, featuresHold(ctx, n, g, &v)
	}
	if v.OK = v.MaxDiff <= v.Tolerance*v.MaxLogit; !v.OK {
		return &v, &MissedError{fmt.Sprintf("%s answers %.3g off, more than the %.3g allowed (%g of the largest logit)",
			n.Bundle.Dir, v.MaxDiff, v.Tolerance*v.MaxLogit, v.Tolerance)}
	}
	return &v, nil
}

// find takes the pairs of the file, else of the bundle, else computes them. An INT8 file has ranges
// of pictures, so what it answers to noise, which goldens without pictures are, says nothing: it is
// held against judged pictures, or against its own FP32.
func find(ctx context.Context, n *infer.Network, o Options, p *progress.Progress) (*Goldens, error) {
	b := n.Bundle
	if o.Golden != "" {
		return Read(o.Golden, &b.Spec)
	}
	if n.Info().Precision == "int8" {
		if _, ok := b.Spec.Files[bundle.FileGoldens8]; ok {
			return ofBundle(ctx, b, bundle.FileGoldens8)
		}
		return ownFP32(ctx, b)
	}
	if _, ok := b.Spec.Files[bundle.FileGolden]; ok {
		return ofBundle(ctx, b, bundle.FileGolden)
	}
	if b.Spec.Architecture.Family == bundle.FamilyONNX {
		return nil, fmt.Errorf("bundle %s has no goldens and is no VGG that could be computed here: "+
			"give --golden FILE", b.Dir)
	}
	if b.Spec.HasHead() { // the reference ends with the last layer of the model file
		return ownFP32(ctx, b)
	}
	return reference(ctx, b, o.CacheDir, p)
}

func ofBundle(ctx context.Context, b *bundle.Bundle, key string) (*Goldens, error) {
	if err := b.CheckFile(ctx, key); err != nil {
		return nil, err
	}
	path, err := b.Path(key)
	if err != nil {
		return nil, err
	}
	return Read(path, &b.Spec)
}

// compare holds answers against the goldens. An answer that is no number is infinitely far off.
func compare(g *Goldens, got vision.Logits) Verdict {
	n := int(g.Input.Shape[0])
	classes := len(got) / n
	v := Verdict{Pairs: n}
	v.MaxDiff, v.MaxLogit = infer.Difference(g.Logits, got)
	for i, want := range g.Logits {
		v.MeanDiff += math.Abs(float64(got[i])-float64(want)) / float64(len(got))
	}
	for i := range n {
		if top(got[i*classes:][:classes]) == top(g.Logits[i*classes:][:classes]) {
			v.Agreement += 1 / float64(n)
		}
	}
	return v
}

// top is the best class of a row, -1 where it has no number.
func top(row vision.Logits) int {
	if t := vision.TopK(nil, row, 1); len(t) == 1 {
		return t[0]
	}
	return -1
}
