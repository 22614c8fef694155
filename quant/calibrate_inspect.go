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
	"github.com/vggse/vggse-agent/reference"
	"github.com/vggse/vggse-agent/vision"
)

// inspect sees every picture and what the network says of it, before anything is made of them.
func (c *calibration) inspect(ctx context.Context) error {
	path, signals, err := c.signalled(ctx)
	if err != nil {
		return err
	}
	network, err := c.prober.Open(ctx, path, infer.ProbeOptions{
		Outputs: append([]string{c.bundle.Spec.Output.Name}, signals...)})
	if err != nil {
		return err
	}
	defer network.Close()
	remembered := 0
	if len(signals) > 0 {
		remembered = min(c.fit.Len(), reference.MostPictures)
	}
	l, err := c.look(ctx, network, remembered)
	if err != nil {
		return err
	}
	c.remembered = l.remembered
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
	summaries  []dataset.Summary
	answers    []dataset.Answer
	variants   []dataset.Variant
	others     [][]dataset.Answer  // by variant
	remembered []reference.Picture // of the first pictures
}

// look goes through the pictures once, and keeps what network exposes of the first so many.
func (c *calibration) look(ctx context.Context, network *infer.Probe, remembered int) (*looked, error) {
	n := c.fit.Len()
	l := &looked{summaries: make([]dataset.Summary, n), answers: make([]dataset.Answer, n),
		variants: dataset.Variants(c.bundle.Spec.Preprocess), remembered: make([]reference.Picture, remembered)}
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
		doubter, err := c.doubter(l, network)
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
			p, logits, err := told(ctx, network, t, label)
			if err != nil {
				return err
			}
			if l.answers[at] = (dataset.Answer{Label: label, Logits: logits}); at < remembered {
				l.remembered[at] = p
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
func (c *calibration) doubter(l *looked, network *infer.Probe) (func(ctx context.Context, at int,
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
				others[at].Label = c.fit.Pictures[at].Label
				_, others[at].Logits, err = told(ctx, network, x, others[at].Label)
			}
			if err != nil {
				return err
			}
		}
		return nil
	}, nil
}

// told is what a network, whose outputs are its logits and signalsIn, says of a picture of a label, or
// of what it takes it for.
func told(ctx context.Context, network *infer.Probe, t *vision.Tensor, label int) (p reference.Picture,
	logits []float32, err error) {
	s := &vision.Signals{}
	err = network.Run(ctx, t, func(output int, v []float32) {
		switch v = slices.Clone(v); {
		case output == 0:
			logits = v
		case output == 1:
			p.Features = v
		case output%2 == 0:
			s.Squeeze = append(s.Squeeze, v)
		default:
			s.Gates = append(s.Gates, v)
		}
	})
	if top := vision.TopK(nil, logits, 1); label < 0 && len(top) == 1 {
		label = top[0]
	}
	p.Class, p.Signals = max(0, label), s
	return p, logits, err
}
