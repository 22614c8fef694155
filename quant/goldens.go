package quant

import (
	"context"
	"slices"

	"github.com/vggse/vggse-agent/bundle"
	"github.com/vggse/vggse-agent/verify"
	"github.com/vggse/vggse-agent/vision"
)

// Options.Goldens: whether judged pictures go into the bundle, for verify on another machine.
const (
	GoldenPictures = "pictures"
	GoldenNone     = "none"
)

// goldenPictures are how many judged pictures go into a bundle, by the size of the network.
const (
	goldenSmall = 16
	goldenLarge = 4
)

func (c *calibration) goldenPictures() int { return c.bySize(goldenSmall, goldenLarge) }

// makeGoldens writes judged pictures with the answers of FP32, and how far the INT8 files are off: what
// all said when they were judged.
func (c *calibration) makeGoldens(ctx context.Context) error {
	if c.Goldens == GoldenNone || len(c.report.Gate.Missed) > 0 ||
		!slices.ContainsFunc(c.report.Files, func(f FileReport) bool { return f.Key != bundle.FileFP16 }) {
		return nil
	}
	set := c.held.set.Part(c.goldenPictures())
	g := &verify.Goldens{Input: vision.NewTensor(set.Len(), 3, c.size(), c.size()), Origin: verify.OriginJudged}
	for i := range set.Len() {
		one := len(g.Input.Data) / set.Len()
		t := &vision.Tensor{Shape: [4]int64{1, 3, int64(c.size()), int64(c.size())}, Data: g.Input.Data[i*one:][:one]}
		if err := set.Load(i, t); err != nil {
			return err
		}
		g.Logits = append(g.Logits, c.held.evaluator.Reference(i)...)
	}
	for i := range c.report.Files {
		f := &c.report.Files[i]
		if f.Key == bundle.FileFP16 {
			continue
		}
		var got vision.Logits
		for k := range set.Len() {
			got = append(got, f.Verdict.Answers[k]...)
		}
		g.Allow(got)
	}
	written, err := g.WriteAs(ctx, c.dir, verify.FileName8)
	c.goldens = &written
	return err
}
