package quant

import (
	"context"
	"errors"
	"io/fs"
	"os"
	"slices"

	"github.com/vggse/vggse-agent/bundle"
	"github.com/vggse/vggse-agent/infer"
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

// makeGoldens writes judged pictures with the answers of FP32, and how far the INT8 files are off.
func (c *calibration) makeGoldens(ctx context.Context) error {
	if c.Goldens == GoldenNone || len(c.report.Gate.Missed) > 0 ||
		!slices.ContainsFunc(c.report.Files, func(f FileReport) bool { return f.Key != bundle.FileFP16 }) {
		return nil
	}
	set := c.held.set.Part(c.bySize(goldenSmall, goldenLarge))
	g := &verify.Goldens{Input: vision.NewTensor(set.Len(), 3, c.size(), c.size()), Origin: verify.OriginJudged}
	var pictures []*vision.Tensor
	for i := range set.Len() {
		one := len(g.Input.Data) / set.Len()
		t := &vision.Tensor{Shape: [4]int64{1, 3, int64(c.size()), int64(c.size())}, Data: g.Input.Data[i*one:][:one]}
		if err := set.Load(i, t); err != nil {
			return err
		}
		pictures = append(pictures, t)
	}
	path, err := c.bundle.Path(bundle.FileFP32)
	if err != nil {
		return err
	}
	if g.Logits, err = c.logits(ctx, path, false, pictures); err != nil {
		return err
	}
	for i := range c.report.Files {
		f := &c.report.Files[i]
		if f.Key == bundle.FileFP16 {
			continue
		}
		notes := f.Notes
		file, err := c.runnable(f)
		if f.Notes = notes; err != nil {
			return err
		}
		got, err := c.logits(ctx, file, f.Key != bundle.FileINT8CPU, pictures)
		if err != nil {
			return err
		}
		g.Allow(got)
	}
	if err := os.Remove(c.path("twin.onnx")); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	written, err := g.WriteAs(ctx, c.dir, verify.FileName8)
	c.goldens = &written
	return err
}

// logits are the answers of a file to pictures.
func (c *calibration) logits(ctx context.Context, file string, separate bool, pictures []*vision.Tensor) (vision.Logits,
	error) {
	s, err := c.prober.Open(ctx, file, infer.ProbeOptions{Outputs: []string{c.bundle.Spec.Output.Name},
		Separate: separate})
	if err != nil {
		return nil, err
	}
	defer s.Close()
	var all vision.Logits
	for _, t := range pictures {
		if err := s.Run(ctx, t, func(_ int, v []float32) { all = append(all, v...) }); err != nil {
			return nil, err
		}
	}
	return all, nil
}
