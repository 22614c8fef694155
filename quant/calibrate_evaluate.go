package quant

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"math"
	"os"
	"slices"
	"strings"
	"time"

	"github.com/vggse/vggse-agent/bundle"
	"github.com/vggse/vggse-agent/dataset"
	"github.com/vggse/vggse-agent/eval"
	"github.com/vggse/vggse-agent/infer"
	"github.com/vggse/vggse-agent/internal/atomicfile"
	"github.com/vggse/vggse-agent/onnx"
	"github.com/vggse/vggse-agent/vision"
)

// How many pictures the layers are compared on: values are counted, of which each has many.
const (
	explainedSmall = 16
	explainedLarge = 6
)

// evaluateFile compares the answers of a file with those of FP32 on a set of pictures. One for a GPU
// is run with its Q and DQ as operators of their own: what the CPU provider would make of them is
// not what a GPU does. With a budget it ends where that is lost, and asks first about the pictures
// of which FP32 is least sure.
func (c *calibration) evaluateFile(ctx context.Context, file string, separate bool, e *evaluated, b *Budget,
	count func()) (v eval.Verdict, err error) {
	if err := c.ask(ctx, e); err != nil {
		return v, err
	}
	s, err := c.prober.Open(ctx, file, infer.ProbeOptions{Outputs: []string{c.bundle.Spec.Output.Name},
		Separate: separate})
	if err != nil {
		return v, err
	}
	defer s.Close()
	e.set.Rewind()
	if b != nil {
		all := e.stake()
		return e.evaluator.RunParts(ctx, s, c.Workers, c.size(), e.parts(),
			func(v eval.Verdict) bool { return b.lost(&v, &all) })
	}
	return e.evaluator.Run(ctx, s, c.Workers, c.size(), func(ctx context.Context, t *vision.Tensor) (int, int, error) {
		picture, label, err := e.set.Next(ctx, t)
		if err == nil {
			count()
		}
		return picture, label, err
	})
}

// stake is what FP32 says of all pictures of a set.
func (e *evaluated) stake() (all stake) {
	all.pictures = e.set.Len()
	for i, p := range e.set.Pictures {
		logits := e.evaluator.Reference(i)
		for _, v := range logits {
			all.signal += float64(v) * float64(v)
		}
		if p.Label < 0 {
			continue
		}
		all.labelled++
		if top := vision.TopK(nil, logits, 1); len(top) == 1 && top[0] == p.Label {
			all.right++
		}
	}
	return all
}

// firstPart is how many pictures are asked about before a file is given up; from then on twice as many
// as before.
const firstPart = 4

// parts are the pictures of a set in parts, those first whose two best classes FP32 finds most alike:
// where an answer changes, it mostly does there.
func (e *evaluated) parts() (parts []eval.Labelled) {
	margin, order := make([]float32, e.set.Len()), make([]int, e.set.Len())
	for i := range order {
		order[i] = i
		logits := e.evaluator.Reference(i)
		if top := vision.TopK(nil, logits, 2); len(top) == 2 {
			margin[i] = logits[top[0]] - logits[top[1]]
		}
	}
	slices.SortStableFunc(order, func(a, b int) int { return cmp.Compare(margin[a], margin[b]) })
	for from, n := 0, firstPart; from < len(order); from, n = from+n, max(from, firstPart) {
		at := order[from:min(from+n, len(order))]
		set := e.set.At(at)
		parts = append(parts, func(ctx context.Context, t *vision.Tensor) (int, int, error) {
			place, label, err := set.Next(ctx, t)
			if err != nil {
				return 0, 0, err
			}
			return at[place], label, nil
		})
	}
	return parts
}

// ask lets FP32 answer for the pictures of a set that it has not answered for.
func (c *calibration) ask(ctx context.Context, e *evaluated) error {
	unknown := 0
	for i := range e.set.Len() {
		if !e.evaluator.Knows(i) {
			unknown++
		}
	}
	if err := c.lessMemory(); err != nil || unknown == 0 {
		return err
	}
	reference, err := c.reference(ctx)
	if err != nil {
		return err
	}
	defer reference.Close()
	bar := c.progress.Start("asking FP32", int64(e.set.Len()))
	defer bar.Done()
	e.set.Rewind()
	return e.evaluator.Ask(ctx, reference, c.Workers, c.size(), countedBy(e.set, bar))
}

// evaluate proves, evaluates and measures every file, and holds the result against the gate.
func (c *calibration) evaluate(ctx context.Context) error {
	c.held.evaluator.Keep = c.goldenPictures()
	bar := c.progress.Start("judging", int64(c.held.set.Len()*len(c.report.Files)))
	for i := range c.report.Files {
		f := &c.report.Files[i]
		file, err := c.runnable(f)
		if err != nil {
			return err
		}
		v, err := c.evaluateFile(ctx, file, f.Key != bundle.FileINT8CPU, c.held, nil, bar.One)
		switch {
		case err != nil && (f.Key == bundle.FileINT8CPU || ctx.Err() != nil):
			return fmt.Errorf("%s: %w", f.Path, err)
		case err != nil:
			c.leave(f.Key, f.Path, cause(err))
			continue
		}
		for i := range v.Classes {
			v.Classes[i].Label = c.bundle.Spec.Labels[v.Classes[i].Class]
		}
		for i := range v.Moves {
			v.Moves[i].Labels = c.named(v.Moves[i].From) + " → " + c.named(v.Moves[i].To)
		}
		f.Verdict = &v
		if f.Key != bundle.FileINT8CPU {
			f.Notes = append(f.Notes, "judged on the CPU provider; not measured: this file is for a GPU")
		}
	}
	bar.Done()
	if err := c.removeTwin(); err != nil {
		return err
	}
	if err := c.prove(ctx); err != nil {
		return err
	}
	return c.gate()
}

// prove warns of large activations, proves that the CPU file runs on integers, and measures whether
// that pays.
func (c *calibration) prove(ctx context.Context) error {
	if len(c.levels()) == 0 {
		return nil
	}
	for _, layer := range CarefulHalf(c.chosen.network, c.chosen.collected) {
		c.found(dataset.Finding{Check: "half precision", Severity: "warn",
			Evidence: layer + " puts out more than 512",
			Cure:     "compare fp16.onnx with fp32.onnx on the GPU before using it"})
	}
	f := &c.report.Files[0]
	if f.Key != bundle.FileINT8CPU {
		return nil
	}
	proof, err := Prove(ctx, c.prober, c.path(f.Path), c.chosen.network, c.report.Plan)
	if err != nil {
		return err
	}
	f.Proof = &proof
	if c.Seconds > 0 {
		if f.Latency, err = c.measure(ctx, f); err != nil {
			return err
		}
		f.Optimized = proof.Fused() && f.Latency.Faster()
	}
	missed, open := gateSpeed(f.Proof, f.Latency)
	c.found(open...)
	if len(missed) > 0 {
		c.withoutIntegers("speed", strings.Join(missed, "; "), cureSpeed)
	}
	return nil
}

// leastSQNR is what the logits of a file must have of signal to noise, in dB: below it the noise is
// half as strong as they are, and equal answers are those of a network that always says the same.
const leastSQNR = 6

// gate holds every file against the least agreement. One for a GPU that misses it is left out, with
// a finding; the CPU's file is what this machine runs, so without it the whole gate is missed, as it
// is where no file is left.
func (c *calibration) gate() error {
	var kept, fallen []FileReport
	var why []string
	for _, f := range c.report.Files {
		if c.left[f.Key] { // no runtime could load it, or it does not pay
			if err := os.Remove(c.path(f.Path)); err != nil {
				return err
			}
			continue
		}
		missed, open := gateFiles([]FileReport{f}, c.MinAgreement)
		if c.MinAgreement > 0 && f.Verdict.SQNR < leastSQNR {
			missed = append(missed, fmt.Sprintf("%s answers with %.1f dB of signal to noise, less than %d", f.Path,
				f.Verdict.SQNR, leastSQNR))
		}
		plan := map[string]*Plan{bundle.FileINT8CPU: c.plans[LevelsU8], bundle.FileINT8TRT: c.plans[LevelsS8]}[f.Key]
		if plan != nil && plan.integers(c.chosen.network) == 0 {
			missed = append(missed, f.Path+" has nothing in 8 bits: every layer had to be demoted to hold the budget")
		}
		if len(missed) > 0 && f.Key != bundle.FileINT8CPU {
			c.found(dataset.Finding{Check: f.Path, Severity: "warn", Evidence: strings.Join(missed, "; "),
				Cure: "the file is left out of the bundle"})
			if err := os.Remove(c.path(f.Path)); err != nil {
				return err
			}
			fallen, why = append(fallen, f), append(why, missed...)
			continue
		}
		c.report.Gate.Missed = append(c.report.Gate.Missed, missed...)
		c.found(open...)
		kept = append(kept, f)
	}
	if len(kept) == 0 {
		kept, c.report.Gate.Missed = fallen, why
	}
	c.report.Files = kept
	return nil
}

// named is the label of a class.
func (c *calibration) named(class int) string {
	if class < 0 {
		return "no number"
	}
	return c.bundle.Spec.Labels[class]
}

// runnable is the file to run for evaluating f: f itself, or for the INT8 files for TensorRT an
// equal one that the CPU provider runs, which removeTwin removes.
func (c *calibration) runnable(f *FileReport) (string, error) {
	twinOf := map[string]func(*onnx.Model) *onnx.Model{bundle.FileINT8TRT: Folded,
		bundle.FileINT8TRT11: HalfTwin}[f.Key]
	if twinOf == nil {
		return c.path(f.Path), nil
	}
	m, err := onnx.Open(c.path(f.Path))
	if err != nil {
		return "", err
	}
	defer m.Close()
	if f.Key == bundle.FileINT8TRT11 {
		f.Notes = append(f.Notes, "judged with Q in float32: ONNX Runtime's own for half precision rounds towards zero")
	}
	twin := c.path(twinFile)
	return twin, atomicfile.WriteScratch(twin, func(w io.Writer) error { return onnx.Write(w, twinOf(m)) })
}

// twinFile is where runnable puts what stands for a file.
const twinFile = "twin.onnx"

func (c *calibration) removeTwin() error {
	if err := os.Remove(c.path(twinFile)); !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	return nil
}

// measure runs the file and FP32 in turn.
func (c *calibration) measure(ctx context.Context, f *FileReport) (*eval.Latency, error) {
	t := vision.NewTensor(1, 3, c.size(), c.size())
	if err := c.held.set.Load(0, t); err != nil {
		return nil, err
	}
	l, err := c.race(ctx, f.Path, t, c.Seconds)
	return &l, err
}

// race runs FP32 and a file aside in turn on x.
func (c *calibration) race(ctx context.Context, name string, x *vision.Tensor, seconds float64) (l eval.Latency,
	err error) {
	if err := c.lessMemory(); err != nil {
		return l, err
	}
	reference, err := c.reference(ctx) // the larger one first: loading takes more than running
	if err != nil {
		return l, err
	}
	defer reference.Close()
	own, err := c.prober.Open(ctx, c.path(name), infer.ProbeOptions{Outputs: []string{c.bundle.Spec.Output.Name}})
	if err != nil {
		return l, err
	}
	defer own.Close()
	return eval.Race(ctx, reference, own, x, time.Duration(seconds*float64(time.Second)))
}

// explain compares every layer of the CPU file with FP32, and draws.
func (c *calibration) explain(ctx context.Context) error {
	if c.plans[LevelsU8] == nil || c.left[bundle.FileINT8CPU] {
		return nil
	}
	layers, err := CompareLayers(ctx, c.prober, c.chosen.model, c.chosen.network, c.plans[LevelsU8], c.dir,
		c.Workers, c.size(), c.held.set.Part(c.bySize(explainedSmall, explainedLarge)))
	if err != nil {
		return err
	}
	c.report.Layers, c.report.Map = layers, Precisions(c.chosen.network, c.report.Plan, c.report.Signed)
	c.report.Curves = Curves(c.chosen.collected, c.report.Plan.Choices)
	worst := slices.Clone(layers)
	slices.SortFunc(worst, func(a, b LayerReport) int { return int(math.Copysign(1, a.SQNR-b.SQNR)) })
	for _, l := range worst[:min(3, len(worst))] {
		c.report.Gate.Worst = append(c.report.Gate.Worst, fmt.Sprintf("%s (%.1f dB)", l.Layer, l.SQNR))
	}
	return nil
}
