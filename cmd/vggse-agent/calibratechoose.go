package main

import (
	"cmp"
	"context"
	"fmt"
	"io"
	"math"
	"os"
	"slices"

	"github.com/vggse/vggse-agent/bundle"
	"github.com/vggse/vggse-agent/internal/atomicfile"
	"github.com/vggse/vggse-agent/internal/progress"
	"github.com/vggse/vggse-agent/onnx"
	"github.com/vggse/vggse-agent/quant"
)

// equalizedFile is where the equalized network lies while it is worked with.
const equalizedFile = "equalized.onnx"

// How many pictures a choice is made on, by the size of the network: one picture of a large one costs half a
// second in two files. It does not depend on the machine, as the files must not. Where fewer than the least are fresh,
// some that ranges were collected from help out; not otherwise, for to those minmax always looks best: it clips none of their values.
const (
	largeBytes    = 64 << 20
	choiceSmall   = 512
	choiceLarge   = 24
	choiceLeast   = 64
	searchedSmall = 512
	searchedLarge = 48
)

// choicePictures is small for a small network, large for a large one.
func (c *calibration) choicePictures(small, large int) int {
	if onnx.Size(c.source) > largeBytes {
		return large
	}
	return small
}

// choosing is the number of pictures that methods and passes are compared on.
func (c *calibration) choosing() int {
	return min(max(c.report.Pictures.Choice, choiceLeast), c.choicePictures(choiceSmall, choiceLarge))
}

// choose makes the plans of both kinds of codes: method, equalized channels, corrected biases, and what
// is demoted, each as it does best on pictures that no range was collected from.
func (c *calibration) choose(ctx context.Context) error {
	c.plans = map[int]*quant.Plan{}
	highest, leaders := map[int]float64{}, map[int][]quant.Method{}
	for _, levels := range []int{quant.LevelsU8, quant.LevelsS8} {
		tried, err := c.tryMethods(ctx, levels, c.methods())
		if err != nil {
			return err
		}
		c.plans[levels], highest[levels] = tried[0].plan, tried[0].SQNR
		for _, t := range tried {
			c.report.Tried = append(c.report.Tried, t.Trial)
		}
		for _, t := range tried[:min(len(tried), finalists)] {
			leaders[levels] = append(leaders[levels], t.Method)
		}
	}
	c.legacy = c.plans[quant.LevelsS8]
	if err := c.equalize(ctx, highest, leaders); err != nil {
		return err
	}
	for i := range c.report.Tried {
		t := &c.report.Tried[i]
		t.Kept = t.Method == c.plans[t.Levels].Method
	}
	c.report.Searches = map[string]quant.Searched{}
	for levels, key := range map[int]string{quant.LevelsU8: bundle.FileINT8CPU, quant.LevelsS8: bundle.FileINT8TRT} {
		if err := c.correct(ctx, levels, highest[levels]); err != nil {
			return err
		}
		if err := c.search(ctx, levels, key); err != nil {
			return err
		}
	}
	c.report.Plan, c.report.Signed = c.plans[quant.LevelsU8], c.plans[quant.LevelsS8]
	c.report.Chosen = string(c.report.Plan.Method)
	return nil
}

// finalists are how many methods are tried again with equalized channels.
const finalists = 2

// methods are those to try: for auto the lowest error of each tensor, and each single method, as a tensor's lowest
// error is not always the network's.
func (c *calibration) methods() []quant.Method {
	if c.method == string(quant.Auto) {
		return append([]quant.Method{quant.Auto}, quant.Methods...)
	}
	return []quant.Method{quant.Method(c.method)}
}

// triedPlan is a plan and how it did.
type triedPlan struct {
	quant.Trial
	plan *quant.Plan
}

// tryMethods tries the methods' plans for the network that is quantized, and returns them best first.
func (c *calibration) tryMethods(ctx context.Context, levels int, methods []quant.Method) ([]triedPlan, error) {
	var all []triedPlan
	bar := progress.New(c.cmd.ErrOrStderr(), "choosing", int64(len(methods)), false)
	for _, m := range methods {
		p, err := c.plan(m, levels)
		if err != nil {
			return nil, err
		}
		t, err := c.try(ctx, p, c.choosing())
		if err != nil {
			return nil, err
		}
		all = append(all, triedPlan{t, p})
		_ = bar.Add(1)
	}
	slices.SortStableFunc(all, func(a, b triedPlan) int { return cmp.Compare(b.SQNR, a.SQNR) })
	return all, bar.Finish()
}

// plan is that of a method for the network that is quantized.
func (c *calibration) plan(m quant.Method, levels int) (*quant.Plan, error) {
	bits := c.weightBits()
	if levels == quant.LevelsS8 {
		bits = quant.Bits8
	}
	choices, err := quant.Choose(c.network, c.collected, m, levels)
	return &quant.Plan{Method: m, Levels: levels, Bits: bits, Choices: choices,
		Picture: quant.PictureRange(&c.bundle.Spec.Preprocess)}, err
}

// weightBits are those asked for, or what this machine multiplies without saturating.
func (c *calibration) weightBits() quant.WeightBits {
	switch {
	case c.bits != "auto":
		return quant.WeightBits(c.bits)
	case saturates():
		return quant.BitsPair
	}
	return quant.Bits8
}

// try makes a file of the plan and judges it on the first pictures of the choice.
func (c *calibration) try(ctx context.Context, p *quant.Plan, pictures int) (quant.Trial, error) {
	file := c.path("trial.onnx")
	defer os.Remove(file)
	emit := quant.EmitCPU
	if p.Levels == quant.LevelsS8 {
		emit = quant.EmitTRT
	}
	m, err := emit(c.quantized, c.network, p)
	if err == nil {
		if p.Levels == quant.LevelsS8 {
			m = quant.Folded(m)
		}
		err = atomicfile.WriteFile(file, func(w io.Writer) error { return onnx.Write(w, m) })
	}
	if err != nil {
		return quant.Trial{}, err
	}
	v, err := c.judgeFile(ctx, file, p.Levels == quant.LevelsS8, c.choice.part(pictures), func() {})
	t := quant.Trial{Method: p.Method, Levels: p.Levels, Bits: p.Bits, SQNR: v.SQNR, Same: v.Agreement, Loss: 1 - v.Agreement.Value}
	if v.Top1 != nil {
		t.Loss = v.Top1FP32.Value - v.Top1.Value
	}
	return t, err
}

// equalize tries the network with its channels equalized, collected anew, by the best methods, and goes on with it
// where both kinds of codes together are nearer to FP32.
func (c *calibration) equalize(ctx context.Context, before map[int]float64, leaders map[int][]quant.Method) error {
	m, groups := quant.Equalize(c.source, c.network, c.collected)
	if groups == 0 {
		return nil
	}
	path := c.path(equalizedFile)
	if err := atomicfile.WriteFile(path, func(w io.Writer) error { return onnx.Write(w, m) }); err != nil {
		return err
	}
	plain := *c
	var err error
	if c.quantized, err = onnx.Open(path); err != nil {
		return err
	}
	if c.network, err = quant.Analyse(c.quantized, c.bundle.Spec.Input.Name); err != nil {
		return err
	}
	if err := c.collectEqualized(ctx); err != nil {
		return err
	}
	after, plans, gain := map[int]float64{}, map[int]*quant.Plan{}, 0.0
	for _, levels := range []int{quant.LevelsU8, quant.LevelsS8} {
		tried, err := c.tryMethods(ctx, levels, leaders[levels])
		if err != nil {
			return err
		}
		plans[levels], after[levels] = tried[0].plan, tried[0].SQNR
		gain += after[levels] - before[levels]
	}
	for _, levels := range []int{quant.LevelsU8, quant.LevelsS8} {
		c.report.Passes = append(c.report.Passes, quant.Pass{Name: fmt.Sprintf("equalized channels (%d groups)", groups), Levels: levels,
			Before: before[levels], After: after[levels], Kept: gain > 0})
	}
	if gain > 0 {
		c.plans = plans
		before[quant.LevelsU8], before[quant.LevelsS8] = after[quant.LevelsU8], after[quant.LevelsS8]
		return nil
	}
	err = c.quantized.Close()
	c.quantized, c.network, c.collected = plain.quantized, plain.network, plain.collected
	if err != nil {
		return err
	}
	return os.Remove(path)
}

// collectEqualized collects the equalized network on the pictures that are here. Ranges of other devices' pictures
// are of the network as it was, so with --merge they are only as wide as these pictures say.
func (c *calibration) collectEqualized(ctx context.Context) error {
	c.collected = quant.NewCollection(c.network, c.report.Source)
	return c.collectFrom(ctx, c.quantized, c.network, c.collected, c.tune.files, func() error { return nil })
}

// correct keeps corrected biases where they help.
func (c *calibration) correct(ctx context.Context, levels int, before float64) error {
	p := *c.plans[levels]
	var err error
	if p.Bias, err = quant.Correction(c.network, c.collected, &p); err != nil {
		return err
	}
	t, err := c.try(ctx, &p, c.choosing())
	if err != nil {
		return err
	}
	kept := t.SQNR > before
	if kept {
		c.plans[levels] = &p
	}
	c.report.Passes = append(c.report.Passes, quant.Pass{Name: "corrected biases", Levels: levels, Before: before, After: t.SQNR, Kept: kept})
	return nil
}

// search demotes layers where the plan loses more than --budget, or else than --min-agreement lets it.
func (c *calibration) search(ctx context.Context, levels int, key string) error {
	budget := quant.Budget{Agreement: c.minAgreement}
	switch c.budget {
	case "none":
		return nil
	case "":
		if c.minAgreement == 0 {
			return nil
		}
	default:
		budget, _ = quant.ParseBudget(c.budget) // checked with the flags
	}
	bar := progress.New(c.cmd.ErrOrStderr(), "searching "+key, quant.MaxEvaluations, false)
	pictures := c.choicePictures(searchedSmall, searchedLarge)
	p, found, err := quant.Search(ctx, c.network, c.plans[levels], budget, func(ctx context.Context, p *quant.Plan) (quant.Trial, error) {
		defer func() { _ = bar.Add(1) }()
		return c.try(ctx, p, pictures)
	})
	if err != nil {
		return err
	}
	_ = bar.Finish()
	c.plans[levels], c.report.Searches[key] = p, found
	if !found.Held && c.budget != "" {
		c.report.Gate.Missed = append(c.report.Gate.Missed, fmt.Sprintf("%s cannot hold the budget %s: the best of %d plans has %.1f dB", key, c.budget, len(found.Steps),
			slices.MaxFunc(found.Steps, func(a, b quant.Step) int { return int(math.Copysign(1, a.SQNR-b.SQNR)) }).SQNR))
	}
	return nil
}
