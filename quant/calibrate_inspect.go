package quant

import (
	"context"
	"errors"
	"fmt"
	"io"
	"slices"

	"github.com/vggse/vggse-agent/dataset"
	"github.com/vggse/vggse-agent/eval"
	"github.com/vggse/vggse-agent/infer"
	"github.com/vggse/vggse-agent/internal/progress"
	"github.com/vggse/vggse-agent/vision"
)

// inspect sees every picture and what the network says of it, before anything is made of them.
func (c *calibration) inspect(ctx context.Context) error {
	reference, err := c.reference(ctx)
	if err != nil {
		return err
	}
	defer reference.Close()
	summaries, err := c.summaries(ctx, reference)
	if err != nil {
		return err
	}
	c.found(dataset.Audit(summaries, len(c.bundle.Spec.Labels))...)
	c.found(dataset.LabelOrder(summaries, c.bundle.Spec.Labels)...)
	mistaken, err := c.checkPreprocess(ctx, reference)
	if err != nil {
		return err
	}
	c.found(mistaken...)
	for _, f := range c.report.Findings {
		if f.Severity == "refuse" {
			return fmt.Errorf("these pictures cannot calibrate anything: %s (%s)", f.Evidence, f.Cure)
		}
		c.progress.Say("warning: %s: %s (%s)", f.Check, f.Evidence, f.Cure)
	}
	return nil
}

func (c *calibration) summaries(ctx context.Context, reference *infer.Probe) ([]dataset.Summary, error) {
	all := make([]dataset.Summary, c.fit.Len())
	half := dataset.Halves(c.fit.Pictures)
	bar := c.progress.Start("looking", int64(len(all)))
	err := eval.Parallel(ctx, c.Workers, func(ctx context.Context) error {
		t := vision.NewTensor(1, 3, c.size(), c.size())
		for {
			var s dataset.Summary
			at, label, err := c.fit.NextFrame(ctx, t, func(f *vision.Frame) { s = dataset.Summarize(f) })
			if errors.Is(err, io.EOF) {
				return nil
			} else if err != nil {
				return err
			}
			s.Class, s.Half = label, half[at]
			err = reference.Run(ctx, t, func(_ int, v []float32) {
				if top := vision.TopK(nil, v, 1); len(top) == 1 {
					s.Guess = top[0]
				}
			})
			if err != nil {
				return err
			}
			all[at] = s
			bar.One()
		}
	})
	bar.Done()
	return all, err
}

// How many pictures the preprocessing is checked on.
const (
	checkedSmall = 128
	checkedLarge = 32
	surerSmall   = 1024 // where small differences may tell something
	surerLarge   = 32
)

// checkPreprocess asks whether the network would do better with its pictures prepared otherwise
// than the manifest says.
func (c *calibration) checkPreprocess(ctx context.Context, reference *infer.Probe) ([]dataset.Finding, error) {
	declared := c.bundle.Spec.Preprocess
	variants := dataset.Variants(declared)
	pictures := c.fit.Pictures
	few := pictures[:min(len(pictures), c.bySize(checkedSmall, checkedLarge))]
	many := pictures[:min(len(pictures), c.bySize(surerSmall, surerLarge))]
	bar := c.progress.Start("doubting", int64(2*len(many)+len(few)*(len(variants)-1)))
	asDeclared, err := c.answers(ctx, reference, many, declared, bar)
	if err != nil {
		return nil, err
	}
	answers := make([][]dataset.Answer, len(variants))
	for i, v := range variants {
		pictures := few
		if v.SameRange {
			pictures = many
		}
		if answers[i], err = c.answers(ctx, reference, pictures, v.Preprocess, bar); err != nil {
			return nil, err
		}
	}
	bar.Done()
	return dataset.CheckPreprocess(asDeclared, variants, answers), nil
}

// answers are what FP32 says of pictures that are prepared by p.
func (c *calibration) answers(ctx context.Context, reference *infer.Probe, pictures []dataset.Picture,
	p vision.Preprocess, bar *progress.Bar) ([]dataset.Answer, error) {
	set, all := dataset.New(pictures, p, c.size(), 0), make([]dataset.Answer, len(pictures))
	return all, eval.Parallel(ctx, c.Workers, func(ctx context.Context) error {
		t := vision.NewTensor(1, 3, c.size(), c.size())
		for {
			i, label, err := set.Next(ctx, t)
			if errors.Is(err, io.EOF) {
				return nil
			}
			if err == nil {
				err = reference.Run(ctx, t,
					func(_ int, v []float32) { all[i] = dataset.Answer{Label: label, Logits: slices.Clone(v)} })
			}
			if err != nil {
				return err
			}
			bar.One()
		}
	})
}
