package quant

import (
	"cmp"
	"context"
	"fmt"
	"io"
	"os"
	"slices"

	"github.com/vggse/vggse-agent/bundle"
	"github.com/vggse/vggse-agent/device"
	"github.com/vggse/vggse-agent/eval"
	"github.com/vggse/vggse-agent/internal/atomicfile"
	"github.com/vggse/vggse-agent/onnx"
)

// equalizedFile is where the equalized network lies while it is worked with.
const equalizedFile = "equalized.onnx"

// How many pictures a choice is made on, by the size of the network: one picture of a large one
// costs half a second in two files. It does not depend on the machine, as the files must not. Where
// fewer than the least are fresh, some that ranges were collected from help out; not otherwise, for
// to those minmax always looks best: it clips none of their values.
const (
	largeBytes    = 64 << 20
	choiceSmall   = 512
	choiceLarge   = 24
	choiceLeast   = 64
	searchedSmall = 512
	searchedLarge = 48
	// what a search ranks by: the noise of the same pictures with a layer in float and without
	rankedSmall = 64
	rankedLarge = 8
)

// bySize is small for a small network, large for a large one.
func (c *calibration) bySize(small, large int) int {
	if onnx.Size(c.source.model) > largeBytes {
		return large
	}
	return small
}

// choosing is the number of pictures that methods and passes are compared on.
func (c *calibration) choosing() int {
	return min(max(c.report.Pictures.Choice, choiceLeast), c.bySize(choiceSmall, choiceLarge))
}

// choose makes the plans of both kinds of codes: method, equalized channels, corrected biases, and
// what is demoted, each as it does best on pictures that no range was collected from.
func (c *calibration) choose(ctx context.Context) error {
	c.plans = map[int]*Plan{}
	if len(c.levels()) == 0 {
		return nil
	}
	highest, best := map[int]float64{}, map[int][]Method{}
	for _, levels := range c.levels() {
		tried, err := c.tryMethods(ctx, &c.source, levels, methodsToTry(c.Method))
		if err != nil {
			return err
		}
		c.plans[levels], highest[levels], best[levels] = tried[0].plan, tried[0].SQNR, leaders(tried)
		for _, t := range tried {
			c.report.Tried = append(c.report.Tried, t.Trial)
		}
	}
	c.legacy = c.plans[LevelsS8]
	if err := c.equalize(ctx, highest, best); err != nil {
		return err
	}
	for i := range c.report.Tried {
		t := &c.report.Tried[i]
		t.Kept = t.Method == c.plans[t.Levels].Method
	}
	c.report.Searches = map[string]Searched{}
	for _, kind := range []struct {
		levels int
		key    string
	}{{LevelsU8, bundle.FileINT8CPU}, {LevelsS8, bundle.FileINT8TRT}} {
		if c.plans[kind.levels] == nil {
			continue
		}
		if err := c.correct(ctx, kind.levels, highest[kind.levels]); err != nil {
			return err
		}
		if err := c.demote(ctx, kind.levels, kind.key); err != nil {
			return err
		}
	}
	c.report.Plan, c.report.Signed = c.plans[LevelsU8], c.plans[LevelsS8]
	c.report.Chosen = string(cmp.Or(c.report.Plan, c.report.Signed).Method)
	return nil
}

// tryMethods tries the methods' plans for s, and returns them best first.
func (c *calibration) tryMethods(ctx context.Context, s *subject, levels int, methods []Method) ([]triedPlan, error) {
	bar := c.progress.Start("choosing", int64(len(methods)))
	defer bar.Done()
	return tryMethods(methods, func(m Method) (*Plan, error) { return c.plan(s, m, levels) },
		func(p *Plan) (Trial, error) {
			defer bar.One()
			return c.try(ctx, s, p, c.choosing(), nil)
		})
}

// plan is that of a method for s.
func (c *calibration) plan(s *subject, m Method, levels int) (*Plan, error) {
	bits, float := Bits8, []string(nil)
	if levels == LevelsU8 {
		bits, float = c.weightBits(), slices.Clone(c.float)
	}
	if s.weighed[levels] == nil {
		all, err := weigh(s.network, s.collected, levels)
		if err != nil {
			return nil, err
		}
		if s.weighed == nil {
			s.weighed = map[int][]Choice{}
		}
		s.weighed[levels] = all
	}
	return &Plan{Method: m, Levels: levels, Bits: bits, Float: float,
		Choices: pick(s.network, s.collected, s.weighed[levels], m),
		Picture: PictureRange(&c.bundle.Spec.Preprocess)}, nil
}

// weightBits are those asked for, or what this processor multiplies without saturating.
func (c *calibration) weightBits() WeightBits {
	switch {
	case c.Weights != "":
		return c.Weights
	case device.Saturates8Bit():
		return BitsPair
	}
	return Bits8
}

// try makes a file of the plan for s and evaluates it on the first pictures of the choice, with a
// budget as far as it takes to see that that is lost.
func (c *calibration) try(ctx context.Context, s *subject, p *Plan, pictures int, b *Budget) (Trial, error) {
	file := c.path("trial.onnx")
	defer os.Remove(file)
	emit := EmitCPU
	if p.Levels == LevelsS8 {
		emit = EmitTRT
	}
	m, err := emit(s.model, s.network, p)
	if err == nil {
		if p.Levels == LevelsS8 {
			m = Folded(m)
		}
		err = c.made.keep(c.dir, s.model, m)
	}
	if err == nil {
		err = atomicfile.WriteScratch(file, func(w io.Writer) error { return onnx.Write(w, m) })
	}
	if err != nil {
		return Trial{}, err
	}
	v, err := c.evaluateFile(ctx, file, p.Levels == LevelsS8, c.choice.part(pictures), b, func() {})
	t := trialOf(&v)
	t.Method, t.Levels, t.Bits = p.Method, p.Levels, p.Bits
	return t, err
}

// trialOf is what a verdict says of a plan.
func trialOf(v *eval.Verdict) Trial {
	t := Trial{SQNR: v.SQNR, Same: v.Agreement, Loss: 1 - v.Agreement.Value}
	if v.Top1 != nil {
		t.Loss = v.Top1FP32.Value - v.Top1.Value
	}
	return t
}

// equalize tries the network with its channels equalized, collected anew, by the best methods of
// each kind of codes, and goes on with it where both together are nearer to FP32. before is the
// SQNR of each kind, and what it becomes.
func (c *calibration) equalize(ctx context.Context, before map[int]float64, methods map[int][]Method) error {
	m, groups := Equalize(c.source.model, c.source.network, c.source.collected)
	if groups == 0 {
		return nil
	}
	s, err := c.openEqualized(ctx, m)
	if err != nil {
		return err
	}
	after, plans := map[int]float64{}, map[int]*Plan{}
	for _, levels := range c.levels() {
		tried, err := c.tryMethods(ctx, s, levels, methods[levels])
		if err != nil {
			return err
		}
		plans[levels], after[levels] = tried[0].plan, tried[0].SQNR
	}
	kept := keepEqualized(before, after)
	for _, levels := range c.levels() {
		c.report.Passes = append(c.report.Passes, Pass{Name: fmt.Sprintf("equalized channels (%d groups)", groups),
			Levels: levels,
			Before: before[levels], After: after[levels], Kept: kept})
	}
	if kept {
		c.plans = plans
		before[LevelsU8], before[LevelsS8] = after[LevelsU8], after[LevelsS8]
		return nil
	}
	opened := s.model
	c.chosen = c.source
	if err := opened.Close(); err != nil {
		return err
	}
	return os.Remove(c.path(equalizedFile))
}

// openEqualized writes m, makes it the chosen network and collects it on the pictures that are
// here. Ranges of other devices' pictures are of the network as it was, so with --merge they are
// only as wide as these pictures say.
func (c *calibration) openEqualized(ctx context.Context, m *onnx.Model) (*subject, error) {
	path := c.path(equalizedFile)
	if err := atomicfile.WriteScratch(path, func(w io.Writer) error { return onnx.Write(w, m) }); err != nil {
		return nil, err
	}
	opened, err := onnx.Open(path)
	if err != nil {
		return nil, err
	}
	c.chosen = subject{model: opened} // close ends it, whatever comes
	s := &c.chosen
	if s.network, err = Analyse(opened, c.bundle.Spec.Input.Name); err != nil {
		return nil, err
	}
	s.collected = NewCollection(s.network, c.report.Source)
	return s, c.collectFrom(ctx, s, c.fit.Pictures, func() error { return nil })
}

// correct keeps corrected biases where they help.
func (c *calibration) correct(ctx context.Context, levels int, before float64) error {
	p := *c.plans[levels]
	var err error
	if p.Bias, err = Correction(c.chosen.network, c.chosen.collected, &p); err != nil {
		return err
	}
	t, err := c.try(ctx, &c.chosen, &p, c.choosing(), nil)
	if err != nil {
		return err
	}
	kept := keepCorrected(before, t.SQNR)
	if kept {
		c.plans[levels] = &p
	}
	c.report.Passes = append(c.report.Passes, Pass{Name: "corrected biases", Levels: levels, Before: before,
		After: t.SQNR, Kept: kept})
	return nil
}

// demote searches for layers to demote where the plan loses more than the budget.
func (c *calibration) demote(ctx context.Context, levels int, key string) error {
	if !c.search {
		return nil
	}
	bar := c.progress.Start("searching "+key, MaxEvaluations)
	order := c.report.Searches[bundle.FileINT8CPU].Order
	p, found, err := Search(ctx, c.chosen.network, c.plans[levels], c.budget, order,
		func(ctx context.Context, p *Plan, b *Budget) (Trial, error) {
			defer bar.One()
			pictures := c.bySize(searchedSmall, searchedLarge)
			if b == nil {
				pictures = c.bySize(rankedSmall, rankedLarge)
			}
			return c.try(ctx, &c.chosen, p, pictures, b)
		})
	if err != nil {
		return err
	}
	bar.Done()
	c.plans[levels], c.report.Searches[key] = p, found
	if missed := gateBudget(key, c.Budget, found); missed != "" {
		c.report.Gate.Missed = append(c.report.Gate.Missed, missed)
	}
	return nil
}
