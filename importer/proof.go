package importer

import (
	"context"
	"errors"
	"fmt"
	"io"
	"math"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/vggse/vggse-agent/bundle"
	"github.com/vggse/vggse-agent/infer"
	"github.com/vggse/vggse-agent/internal/progress"
	"github.com/vggse/vggse-agent/onnx"
	"github.com/vggse/vggse-agent/verify"
	"github.com/vggse/vggse-agent/vision"
)

// proof holds a rewritten network against the file that it was made of, on the same pictures,
// through ONNX Runtime's CPU provider.
type proof struct {
	n        *imported
	config   infer.Config
	run      Runner
	dir      string // of the bundle on its way
	pictures []*vision.Tensor
	want     [][]float32 // what the original answers to each
	got      [][]float32 // raw scores of the rewritten one
	plain    bool        // the runtime runs every node as it stands
	pair     []float32   // those of the first two pictures at once; nil: not asked for, or it fails
}

// Runner runs a model file as infer.RunForeign does, which crashes the process where the file
// crashes ONNX Runtime. One that has a process for it wraps ErrCrashed then.
type Runner func(context.Context, infer.Config, *infer.ForeignJob) (answers [][]float32, err error)

// ErrCrashed is the end of a process that ran a model file.
var ErrCrashed = errors.New("ONNX Runtime crashes on it (export it anew, or install another runtime)")

// writeProven writes the network into dir, makes sure that it answers as the file that it was made
// of, and keeps what it answers as goldens.
func (n *imported) writeProven(ctx context.Context, o *Options, dir string, p *progress.Progress) error {
	c, err := o.Runtime()
	if err != nil {
		return err
	}
	t := &proof{n: n, config: c, dir: dir, pictures: verify.MadeUp(&n.spec, n.bytes()), run: o.Run}
	if t.run == nil {
		t.run = infer.RunForeign
	}
	ran, wrote := t.whileItRuns(ctx, o, func() error { return n.writeNetwork(ctx, dir, p) })
	if wrote != nil {
		return wrote // a damaged weight has its name there
	}
	if ran == nil {
		err = t.hold(ctx, o, p)
	} else {
		err = n.cannotRun(ran)
	}
	if errors.Is(err, infer.ErrNoLibrary) {
		p.Say("not proven: there is no ONNX Runtime here to run the file and what was made of it")
		return nil
	}
	if err != nil {
		return fmt.Errorf("%s: %w", o.File, err)
	}
	n.goldens = &verify.Goldens{Input: &vision.Tensor{Shape: t.pictures[0].Shape}, Origin: verify.OriginSelfMade}
	n.goldens.Input.Shape[0] = int64(len(t.pictures))
	for i, x := range t.pictures {
		n.goldens.Input.Data = append(n.goldens.Input.Data, x.Data...)
		n.goldens.Logits = append(n.goldens.Logits, t.got[i]...)
	}
	return nil
}

// whileItRuns runs the file as it came while write writes what was made of it: the one computes, the
// other mostly waits for the disk. Where writing fails the run is ended.
func (t *proof) whileItRuns(ctx context.Context, o *Options, write func() error) (ran, wrote error) {
	ctx, stop := context.WithCancel(ctx)
	defer stop()
	var group errgroup.Group
	group.Go(func() error { return t.original(ctx, o) })
	if wrote = write(); wrote != nil {
		stop()
	}
	return group.Wait(), wrote
}

// hold runs the rewritten network and holds it against the original's answers. It mends what only a
// run tells: probabilities that no known operator makes, a batch that cannot be freed.
func (t *proof) hold(ctx context.Context, o *Options, p *progress.Progress) error {
	n := t.n
	err := t.rewritten(ctx, true)
	batch := n.classifier.Batch
	asItIs := func() error { return n.adopt(n.spec.Labels, o, true) }
	switch {
	case batch > 1 && batch <= mostRepeated && (err != nil || len(t.got[0]) != len(n.spec.Labels)):
		p.Say("its batch of %d cannot be freed: every picture is computed %[1]d times", batch)
		err = t.again(ctx, p, asItIs)
	case err != nil && batch <= 1: // freeing it was wrong
		failed := err
		if err = t.again(ctx, p, asItIs); err != nil {
			return n.cannotRun(failed)
		}
		p.Say(oneAtATime)
	case err != nil:
	case !t.batches(): // whatever its ports promise
		p.Say(oneAtATime)
		err = t.again(ctx, p, func() error { n.graph.FixBatch(); return nil })
	}
	if err != nil {
		return n.cannotRun(err)
	}
	return t.judge(ctx, o, p)
}

// oneAtATime is said of a network that does not answer to two pictures as to each alone.
const oneAtATime = "it takes one picture at a time: where several cameras share it, they take turns; an export with " +
	"a dynamic batch may take several"

// mostRepeated is the largest batch that a picture is repeated for.
const mostRepeated = 64

func (n *imported) cannotRun(err error) error { return cannotRun(err, n.graph.Opset("")) }

// again changes the graph, writes the network anew and runs it.
func (t *proof) again(ctx context.Context, p *progress.Progress, change func() error) error {
	before := t.n.spec
	if err := change(); err != nil {
		return err
	}
	before.Input, before.Output = t.n.spec.Input, t.n.spec.Output
	t.n.spec = before
	if err := t.n.writeNetwork(ctx, t.dir, p); err != nil {
		return err
	}
	return t.rewritten(ctx, false)
}

// judge compares; where the rows are probabilities of their own making it takes their logarithm
// and compares once more.
func (t *proof) judge(ctx context.Context, o *Options, p *progress.Progress) error {
	n := t.n
	if n.classifier.Head == onnx.HeadRaw && t.shares() {
		p.Say("it answers with probabilities: their logarithm is taken for raw scores")
		err := t.again(ctx, p, func() error {
			n.graph.Logarithm(n.classifier)
			n.spec.Output.Name = n.classifier.Output
			return nil
		})
		if err != nil {
			return n.cannotRun(err)
		}
	}
	if n.classifier.Head == onnx.HeadRaw && n.classifier.Probable && t.within() {
		p.Say("all its answers lie between 0 and 1: they are taken for probabilities, each of its label for itself")
		err := t.again(ctx, p, func() error {
			n.graph.Logit(n.classifier)
			n.spec.Output.Name, n.spec.Output.Scores = n.classifier.Output, vision.ScoresSigmoid
			return nil
		})
		if err != nil {
			return n.cannotRun(err)
		}
	}
	worst, largest, err := t.compare()
	if err != nil {
		return err
	}
	if worst > n.loose*largest && n.loose == looseIntegers {
		if worst, largest, err = t.asWritten(ctx, o); err != nil {
			return err
		}
	}
	if worst > n.loose*largest {
		return fmt.Errorf("what was made of the file answers %.3g off what the file answers (largest answer %.4g), "+
			"so it was taken for something that it is not (%s): export it with raw scores as its only output, and "+
			"a dynamic batch", worst, largest, taken(n.classifier, len(n.spec.Labels)))
	}
	p.Say("proven: answers as the file itself, %.2g off at most (largest %.4g), for %d made-up pictures through "+
		"ONNX Runtime", worst, largest, len(t.pictures))
	return nil
}

// asWritten compares once more, every node run as it stands. What the rewritten network answers otherwise stays in
// got.
func (t *proof) asWritten(ctx context.Context, o *Options) (worst, largest float64, err error) {
	got := t.got
	t.plain = true
	defer func() { t.plain, t.got = false, got }()
	if err := t.original(ctx, o); err != nil {
		return 0, 0, t.n.cannotRun(err)
	}
	if err := t.rewritten(ctx, false); err != nil {
		return 0, 0, t.n.cannotRun(err)
	}
	return t.compare()
}

// original runs the file as it came, or where its answer is no float32 output, a copy with one.
func (t *proof) original(ctx context.Context, o *Options) error {
	c := t.n.classifier
	ports := infer.ForeignPorts{
		Input:  c.Picture.Name,
		Output: c.Scores,
		Type:   c.Picture.Type,
		Shape:  c.Picture.Shape(),
	}
	path := o.File
	copied := func() (err error) {
		path = filepath.Join(t.dir, "original.onnx")
		ports.Output, err = t.copyOriginal(ctx, o.File, path)
		return err
	}
	defer os.Remove(filepath.Join(t.dir, "original.onnx"))
	if !t.outputIs(o.File) {
		if err := copied(); err != nil {
			return err
		}
	}
	inputs := make([][]float32, len(t.pictures))
	for i, x := range t.pictures {
		inputs[i] = fed(x, c)
	}
	var err error
	t.want, err = t.answers(ctx, path, ports, inputs)
	if err != nil && path == o.File && (strings.Contains(err.Error(), "xternal data") || // elsewhere than it wants it
		strings.Contains(err.Error(), "no dimensions")) { // a number for a picture
		if err := copied(); err != nil {
			return err
		}
		t.want, err = t.answers(ctx, path, ports, inputs)
	}
	return err
}

// endlessAfter is how long a file may run for each picture. The largest networks take half a minute on
// the slowest of devices; what takes this long ends never.
var endlessAfter = time.Minute

// answers are those of a file to each of the inputs.
func (t *proof) answers(ctx context.Context, path string, ports infer.ForeignPorts, inputs [][]float32) ([][]float32,
	error) {
	ports.AsWritten = t.plain
	job := &infer.ForeignJob{Threads: t.config.Threads, Path: path, Ports: ports, Inputs: inputs}
	timed, cancel := context.WithTimeout(ctx, endlessAfter*time.Duration(len(inputs)))
	defer cancel()
	answers, err := t.run(timed, t.config, job)
	if err != nil && timed.Err() != nil && ctx.Err() == nil {
		return nil, fmt.Errorf("it ran for %.0f minutes and did not end: a network for pictures takes seconds, so "+
			"export it without a loop", (endlessAfter * time.Duration(len(inputs))).Minutes())
	}
	if err == nil && len(answers) != len(inputs) {
		err = fmt.Errorf("%d answers to %d inputs", len(answers), len(inputs))
	}
	return answers, err
}

// outputIs tells whether the file puts the scores out itself, as float32.
func (t *proof) outputIs(file string) bool {
	m, err := onnx.Open(file)
	if err != nil {
		return false
	}
	defer m.Close()
	return len(m.Graph.FreeInputs()) == 1 &&
		slices.ContainsFunc(m.Graph.Outputs, func(v onnx.ValueInfo) bool {
			return v.Name == t.n.classifier.Scores && v.Type == onnx.Float32
		})
}

// copyOriginal writes the file with one output more, the scores as float32.
func (t *proof) copyOriginal(ctx context.Context, from, to string) (output string, err error) {
	m, err := onnx.Open(from)
	if err != nil {
		return "", err
	}
	defer m.Close()
	output = m.AddOutput(t.n.classifier.Scores)
	_, err = bundle.WriteFile(ctx, filepath.Dir(to), filepath.Base(to), io.Discard,
		func(w io.Writer) error { return onnx.Write(w, m) })
	return output, err
}

// fed is what the original wants of a picture 3×S×S: its window, channels, order, and as often as
// its batch is large.
func fed(x *vision.Tensor, c *onnx.Classifier) []float32 {
	p, size := &c.Picture, c.Size
	one := make([]float32, 0, p.Channels*p.Height*p.Width)
	value := func(ch, y, x0 int) float32 {
		if ch == 3 {
			return c.Opaque
		}
		return x.Data[(ch*size+y)*size+x0]
	}
	if p.ChannelsLast {
		for y := range p.Height {
			for x0 := range p.Width {
				for ch := range p.Channels {
					one = append(one, value(ch, y, x0))
				}
			}
		}
	} else {
		for ch := range p.Channels {
			for y := range p.Height {
				for x0 := range p.Width {
					one = append(one, value(ch, y, x0))
				}
			}
		}
	}
	return slices.Repeat(one, max(p.Batch, 1))
}

// rewritten runs the network in dir, a picture at a time, and where paired is true the first two
// pictures at once in the end: that may fail.
func (t *proof) rewritten(ctx context.Context, paired bool) error {
	inputs := make([][]float32, len(t.pictures))
	for i, x := range t.pictures {
		inputs[i] = x.Data
	}
	if paired {
		inputs = append(inputs, slices.Concat(inputs[0], inputs[1]))
	}
	ports := infer.ForeignPorts{Input: t.n.spec.Input.Name, Output: t.n.spec.Output.Name, Type: onnx.Float32,
		Shape: t.pictures[0].Shape[:]}
	answers, err := t.answers(ctx, filepath.Join(t.dir, "fp32.onnx"), ports, inputs)
	t.got, t.pair = answers, nil
	switch alone := len(t.pictures); {
	case !paired || ctx.Err() != nil:
		return err
	case err == nil:
		t.got, t.pair = answers[:alone], answers[alone]
	case len(answers) != alone: // it took the single ones with it
		return t.rewritten(ctx, false)
	}
	return nil
}

// batches tells whether two pictures at a time got the answers of each alone.
func (t *proof) batches() bool {
	alone := slices.Concat(t.got[0], t.got[1])
	if len(alone) != len(t.pair) {
		return false
	}
	diff, largest := infer.Difference(alone, t.pair)
	return diff <= max(t.n.loose, 1e-4)*largest
}

// compare is the largest difference between what the original answers and what follows from the
// raw scores of the rewritten one, and the largest answer.
func (t *proof) compare() (worst, largest float64, err error) {
	c, labels := t.n.classifier, len(t.n.spec.Labels)
	end := math.Inf(1) // of the range that a file of integers rounds its answers to
	if c.Rounded {
		end = float64(slices.Max(slices.Concat(t.want...)))
	}
	for i, l := range t.got {
		if len(l) != labels {
			return 0, 0, fmt.Errorf("the network answers with %d numbers for a picture, there are %d labels: give as "+
				"many, or, where it answers for every place (text, a map), it classifies no pictures", len(l), labels)
		}
		expected := answered(c, l)
		if len(t.want[i]) != len(expected)*max(c.Batch, 1) {
			return 0, 0, fmt.Errorf("the network answers with %d numbers for %d pictures, there are %d labels",
				len(t.want[i]), max(c.Batch, 1), labels)
		}
		for k, v := range expected {
			expected[k] = float32(min(float64(v), end))
		}
		diff, most := infer.Difference(t.want[i][:len(expected)], expected)
		if math.IsNaN(diff) {
			diff = math.Inf(1)
		}
		worst, largest = max(worst, diff), max(largest, most)
	}
	return worst, largest, nil
}

// answered is what the original should answer where the raw scores are l.
func answered(c *onnx.Classifier, l []float32) []float32 {
	out := slices.Clone(l)
	switch {
	case c.Head == onnx.HeadSoftmax:
		vision.Softmax(out, l)
	case c.Head == onnx.HeadSigmoid:
		vision.Sigmoid(out, l)
	case c.Head == onnx.HeadOne:
		out = []float32{l[1] - l[0]}
		if c.Probability {
			vision.Sigmoid(out, out)
		}
	}
	return out
}

// shares tells whether every row is probabilities already.
func (t *proof) shares() bool {
	return !slices.ContainsFunc(t.got, func(row []float32) bool { return !verify.Shares(row) })
}

// within tells whether every answer lies between 0 and 1.
func (t *proof) within() bool {
	return !slices.ContainsFunc(t.got, func(row []float32) bool {
		return slices.Min(row) < 0 || slices.Max(row) > 1
	})
}
