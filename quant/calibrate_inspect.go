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
	"github.com/vggse/vggse-agent/vision"
)

// inspect sees every picture and what the network says of it, before anything is made of them.
func (c *calibration) inspect(ctx context.Context) error {
	reference, err := c.reference(ctx)
	if err != nil {
		return err
	}
	defer reference.Close()
	l, err := c.look(ctx, reference)
	if err != nil {
		return err
	}
	c.found(dataset.Audit(l.summaries, len(c.bundle.Spec.Labels))...)
	c.found(dataset.LabelOrder(l.summaries, c.bundle.Spec.Labels)...)
	c.found(dataset.CheckPreprocess(l.answers, l.variants, l.others)...)
	for _, f := range c.report.Findings {
		if f.Severity == "refuse" {
			return fmt.Errorf("these pictures cannot calibrate anything: %s (%s)", f.Evidence, f.Cure)
		}
		c.progress.Say("warning: %s: %s (%s)", f.Check, f.Evidence, f.Cure)
	}
	// The pictures that choices are made on begin with others and go on with these.
	for i, a := range l.answers {
		c.choice.evaluator.Tell(c.report.Pictures.Choice+i, a.Logits)
	}
	return nil
}

// How many pictures the preprocessing is checked on.
const (
	checkedSmall = 128
	checkedLarge = 32
	surerSmall   = 1024 // where small differences may tell something
	surerLarge   = 32
)

// looked is what a look at the pictures has told: of each what it looks like and what FP32 says, and
// what FP32 says of the first where they are prepared otherwise than the manifest says, so that
// whether it would do better then can be asked.
type looked struct {
	summaries []dataset.Summary
	answers   []dataset.Answer
	variants  []dataset.Variant
	others    [][]dataset.Answer // by variant
}

// look goes through the pictures once.
func (c *calibration) look(ctx context.Context, reference *infer.Probe) (*looked, error) {
	n := c.fit.Len()
	l := &looked{summaries: make([]dataset.Summary, n), answers: make([]dataset.Answer, n),
		variants: dataset.Variants(c.bundle.Spec.Preprocess)}
	for _, v := range l.variants {
		most := c.bySize(checkedSmall, checkedLarge)
		if v.SameRange {
			most = c.bySize(surerSmall, surerLarge)
		}
		l.others = append(l.others, make([]dataset.Answer, min(n, most)))
	}
	half := dataset.Halves(c.fit.Pictures)
	bar := c.progress.Start("looking", int64(n))
	defer bar.Done()
	return l, eval.Parallel(ctx, c.Workers, func(ctx context.Context) error {
		doubter, err := c.doubter(l, reference)
		if err != nil {
			return err
		}
		t := vision.NewTensor(1, 3, c.size(), c.size())
		for {
			at, label, err := c.fit.NextFrame(ctx, t, func(at int, f *vision.Frame) error {
				l.summaries[at] = dataset.Summarize(f)
				return doubter(ctx, at, f)
			})
			if errors.Is(err, io.EOF) {
				return nil
			} else if err != nil {
				return err
			}
			if l.answers[at], err = answer(ctx, reference, t, label); err != nil {
				return err
			}
			s := &l.summaries[at]
			s.Class, s.Half = label, half[at]
			if top := vision.TopK(nil, l.answers[at].Logits, 1); len(top) == 1 {
				s.Guess = top[0]
			}
			bar.One()
		}
	})
}

// doubter asks FP32 about a picture as each variant prepares it.
func (c *calibration) doubter(l *looked, reference *infer.Probe) (func(ctx context.Context, at int,
	f *vision.Frame) error, error) {
	x := vision.NewTensor(1, 3, c.size(), c.size())
	var preps []*vision.Preprocessor
	for _, v := range l.variants {
		p, err := vision.NewPreprocessor(v.Preprocess, c.size())
		if err != nil {
			return nil, err
		}
		preps = append(preps, p)
	}
	return func(ctx context.Context, at int, f *vision.Frame) error {
		for i, others := range l.others {
			if at >= len(others) {
				continue
			}
			err := preps[i].Apply(f, x, 0)
			if err == nil {
				others[at], err = answer(ctx, reference, x, c.fit.Pictures[at].Label)
			}
			if err != nil {
				return err
			}
		}
		return nil
	}, nil
}

// answer is what a network says of a picture of a label.
func answer(ctx context.Context, network *infer.Probe, t *vision.Tensor, label int) (a dataset.Answer, err error) {
	err = network.Run(ctx, t, func(_ int, v []float32) { a = dataset.Answer{Label: label, Logits: slices.Clone(v)} })
	return a, err
}
