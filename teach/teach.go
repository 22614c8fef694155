package teach

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"gonum.org/v1/gonum/floats"

	"github.com/vggse/vggse-agent/bundle"
	"github.com/vggse/vggse-agent/dataset"
	"github.com/vggse/vggse-agent/eval"
	"github.com/vggse/vggse-agent/infer"
	"github.com/vggse/vggse-agent/internal/atomicfile"
	"github.com/vggse/vggse-agent/internal/progress"
	"github.com/vggse/vggse-agent/internal/round"
	"github.com/vggse/vggse-agent/reference"
	"github.com/vggse/vggse-agent/verify"
	"github.com/vggse/vggse-agent/vision"
)

// Options are the choices of one Run.
type Options struct {
	Bundle  string // folder of the bundle whose last layer is corrected
	Images  string // folder of the pictures, in folders that are named like labels, old and new
	AddOnly bool   // labels without pictures are fitted to the features that the bundle has stored of them
	Out     string // folder of the bundle to make
	Flip    bool   // a mirrored picture shows the same class
	// MayLose is the share of the old labels' pictures that may be lost to new labels, which answer
	// the more rarely the less it is; 1: as the likelihood has it.
	MayLose float64
	Workers int    // pictures that are read, and folds that are fitted, at the same time
	Tool    string // who teaches, for the report
}

// Open opens the network of the bundle in a folder with a precision, "" for that of the settings.
type Open func(ctx context.Context, dir, precision string) (*infer.Network, error)

// Run makes a bundle whose last layer is fitted to the pictures, with a report. Where the result is
// proven to be worse (Report.Missed), Out gets the reports only; that is no error.
func Run(ctx context.Context, open Open, o Options, p *progress.Progress) (*Report, error) {
	r, err := run(ctx, open, o, p)
	if err != nil {
		return nil, fmt.Errorf("teach: %w", err)
	}
	return r, nil
}

// teaching is one Run under way.
type teaching struct {
	Options
	open     Open
	progress *progress.Progress
	parent   *bundle.Bundle
	pictures []dataset.Picture // labels are places in report.Labels
	dir      string            // of the bundle on its way
	spec     *bundle.Spec
	kind     string            // of the model file whose features are read, as infer.KnownKind
	old      *vision.Head      // the layer that the network has
	stored   *reference.Stored // features of old pictures; nil: not needed
	recalled map[string]int    // labels that have stored features only → their places
	report   Report
}

func run(ctx context.Context, open Open, o Options, p *progress.Progress) (*Report, error) {
	parent, err := bundle.Open(o.Bundle)
	if err != nil {
		return nil, err
	}
	if parent.Spec.Output.Scores == vision.ScoresSigmoid {
		return nil, fmt.Errorf("%s scores each label by itself (output.scores: sigmoid): a head is fitted to labels "+
			"of which one is right for a picture", o.Bundle)
	}
	t := &teaching{Options: o, open: open, progress: p, parent: parent}
	if err := t.list(ctx); err != nil {
		return nil, err
	}
	err = atomicfile.NewDir(o.Out, func(dir string) error {
		t.dir = dir
		return t.work(ctx)
	})
	return &t.report, err
}

// list finds the pictures and the labels that the taught bundle has: those of the bundle in their
// order, then the new ones.
func (t *teaching) list(ctx context.Context) error {
	folders, err := dataset.Folders(t.Images, t.parent.Spec.Labels)
	if err != nil {
		return err
	}
	labels := slices.Clone(t.parent.Spec.Labels)
	has := map[string]bool{}
	for _, f := range folders {
		has[f.Name] = true
		if !slices.Contains(labels, f.Name) {
			labels = append(labels, f.Name)
			t.report.Added = append(t.report.Added, f.Name)
		}
	}
	missing := slices.DeleteFunc(slices.Clone(labels), func(l string) bool { return has[l] })
	switch {
	case len(missing) > 0 && !t.AddOnly:
		return fmt.Errorf("%s has no folder of pictures for %s: the head is fitted to all labels at once, so give "+
			"each old one pictures, too (20 do), or --add-only where the bundle was taught before", t.Images,
			strings.Join(missing, ", "))
	case len(missing) > 0:
		if err := t.recallable(ctx, missing, labels); err != nil {
			return err
		}
	default:
		t.stored, _ = reference.Read(ctx, t.parent) // where it cannot be read, the pictures say enough
	}
	if len(labels) < 2 {
		return fmt.Errorf("%s has pictures of one class only: two are needed", t.Images)
	}
	t.report.Labels = labels
	old := len(t.parent.Spec.Labels)
	pictures, found, err := dataset.ListTaught(ctx, t.Images, labels[:old], labels[old:])
	if err != nil {
		return err
	}
	t.pictures = slices.DeleteFunc(pictures, func(p dataset.Picture) bool { return p.Label < 0 })
	t.report.Findings = found
	if n := len(pictures) - len(t.pictures); n > 0 {
		t.report.find("loose", fmt.Sprintf("%s in %s itself and %s left out",
			round.Count(n, "picture lies", "pictures lie"), t.Images, round.Plural(n, "was", "were")),
			"put each into the folder of its label")
	}
	return nil
}

// recallable finds stored features of the labels that have no pictures.
func (t *teaching) recallable(ctx context.Context, missing, labels []string) (err error) {
	if t.stored, err = reference.Read(ctx, t.parent); err != nil {
		return err
	}
	t.recalled = map[string]int{}
	for _, l := range missing {
		if t.stored == nil || !t.stored.Has(l) {
			return fmt.Errorf("%s has no stored features of %s: --add-only needs a bundle that was calibrated "+
				"on, or taught with, pictures of every label; do one of these once", t.Bundle, l)
		}
		t.recalled[l] = slices.Index(labels, l)
	}
	t.report.Recalled = missing
	return nil
}

func (t *teaching) work(ctx context.Context) (err error) {
	begin := time.Now()
	rounded := !t.parent.Spec.HasHead() && t.parent.Spec.Calibrated()
	t.progress.Of(2)
	if rounded {
		t.progress.Of(3)
	}
	var found []dataset.Finding
	if t.spec, found, err = backbone(ctx, t.parent, t.dir); err != nil {
		return err
	}
	t.report.Findings = append(t.report.Findings, found...)
	examples, before, err := t.read(ctx, rounded)
	if err == nil && rounded {
		err = t.own(ctx, before)
	}
	if err != nil {
		return err
	}
	t.report.Forward = time.Since(begin).Seconds()
	begin = time.Now()
	defer frugal()()
	h, err := t.fit(ctx, examples, before)
	if err != nil {
		return err
	}
	t.report.Fit = time.Since(begin).Seconds()
	if len(t.report.Missed) == 0 {
		kept, err := t.storedOf(ctx, examples)
		if err != nil {
			return err
		}
		if err := t.writeKnown(ctx, examples); err != nil {
			return err
		}
		if err := t.deliver(ctx, h, kept); err != nil {
			return err
		}
	} else if err := t.discard(); err != nil {
		return err
	}
	return t.report.write(t.dir)
}

// prove is an error where the network without its last layer is not the same. Where the parent rounds
// its last layer FP32 is held against the parent's: behind the features of INT8 that layer of FP32
// answers worse than the parent's own, which makes up for what rounding does to them.
func (t *teaching) prove(ctx context.Context, n *infer.Network, rounded bool) (err error) {
	if rounded && n.Info().Precision == "int8" {
		exact, err := t.open(ctx, t.dir, "fp32")
		if err != nil {
			return err
		}
		return errors.Join(verify.SameAs(ctx, exact, t.parent), exact.Close())
	}
	_, err = verify.Run(ctx, n, verify.Options{}, nil)
	return err
}

// read proves that the network without its last layer is the same, and asks it about the pictures.
func (t *teaching) read(ctx context.Context, rounded bool) (examples []example, before []eval.Answer, err error) {
	n, err := t.open(ctx, t.dir, "")
	if err != nil {
		return nil, nil, err
	}
	defer func() { err = errors.Join(err, n.Close()) }()
	if err := t.prove(ctx, n, rounded); err != nil {
		return nil, nil, fmt.Errorf("without its last layer the network is not what it was: %w", err)
	}
	if t.old, err = infer.ReadHead(n.Bundle); err != nil {
		return nil, nil, err
	}
	t.report.about(t.parent, n, t.Tool)
	t.kind = infer.KnownKind(n.Key)
	known := make([]int, len(t.report.Labels))
	for i, l := range t.report.Labels {
		known[i] = slices.Index(t.parent.Spec.Labels, l)
	}
	bar := t.progress.Start("reading pictures", int64(len(t.pictures)))
	defer bar.Done()
	if examples, before, err = read(ctx, n, t.pictures, known, viewsOf(t.Flip), t.Workers, bar); err != nil {
		return nil, nil, err
	}
	return t.recall(n, examples, before)
}

// own puts what the parent itself answers into before, where it runs a rounded file with a last layer
// of its own: that layer is rounded, too, and its biases are corrected for what rounding does to the
// features, so FP32's in its place would answer worse than the parent does.
func (t *teaching) own(ctx context.Context, before []eval.Answer) (err error) {
	n, err := t.open(ctx, t.parent.Dir, "")
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, n.Close()) }()
	if n.Info().Precision == "fp32" {
		return nil
	}
	var pictures []dataset.Picture
	for i := range before {
		if before[i].Picture.Path != storedPath {
			pictures = append(pictures, before[i].Picture)
		}
	}
	bar := t.progress.Start("asking the network of before", int64(len(pictures)))
	defer bar.Done()
	answers, err := eval.Answers(ctx, n, pictures, t.Workers, bar)
	copy(before, answers) // stored features come behind the pictures
	return err
}

// fit chooses, measures and makes the head.
func (t *teaching) fit(ctx context.Context, examples []example, before []eval.Answer) (*vision.Head, error) {
	paths := make([]string, len(t.pictures))
	for i := range paths {
		paths[i] = t.pictures[i].Path
	}
	r := &t.report
	r.Groups = group(examples, paths)
	r.Width = widthOf(examples)
	if r.Width == 0 {
		return nil, fmt.Errorf("none of the %d pictures can be read: %w", len(examples), examples[0].err)
	}
	if empty := r.count(examples); empty != "" {
		return nil, fmt.Errorf("no picture of %s can be read: give others, or remove the folder", empty)
	}
	bar := t.progress.Start("fitting", -1)
	defer bar.Done()
	l := newLearner(examples, len(r.Labels), t.Workers, t.old)
	l.mayLose = []float64{t.MayLose, noLimit}
	all, err := l.choose(ctx, l.methods(""))
	if err != nil {
		return nil, err
	}
	c := all[0]
	r.Method, r.Folds, r.Lambda, r.Temperature = c.way.method, l.folds, c.way.lambda, c.temperature
	r.MayLose, r.Caution = t.MayLose, c.caution
	if err := r.learningCurve(ctx, l, c); err != nil {
		return nil, err
	}
	l.recalledAnswers(examples, before)
	if err := r.measureUnknown(l.examples, len(t.parent.Spec.Labels)); err != nil {
		return nil, err
	}
	r.judge(t.pictures, examples, before, c, t.parent.Spec.Labels)
	r.price(l, before, c, all[1])
	h, err := l.fit(l.examples, c.way, gradientKept, nil)
	if err != nil {
		return nil, err
	}
	return l.asHead(h, c)
}

// widthOf is the number of features of a picture, 0 where none could be read.
func widthOf(examples []example) int {
	for i := range examples {
		if examples[i].err == nil {
			return len(examples[i].view(0))
		}
	}
	return 0
}

// asHead is the head on features, with the caution and the temperature that were chosen. Of a head that
// stays near to the layer that the network has, only the difference lies in the space of the pictures.
func (l *learner) asHead(h *head, by *chosen) (*vision.Head, error) {
	scale, temperature := 1.0, by.temperature
	if h.space.mean == nil {
		scale = h.space.scale
	}
	weight, row := make([]float32, 0, l.classes*l.span.width), make([]float64, l.span.width)
	for c := range l.classes {
		clear(row)
		own := slices.Clone(h.layer.weight.RawRowView(c))
		if h.from != nil && c < l.head.Classes() {
			floats.Sub(own, h.from.weight.RawRowView(c))
			widen(l.head.Weight[c*l.span.width:][:l.span.width], row)
		}
		floats.Scale(1/scale, own)
		l.span.widenRow(own, row)
		floats.Scale(1/temperature, row)
		weight = append(weight, single(row)...)
	}
	bias := slices.Clone(h.layer.bias)
	floats.AddConst(-by.caution, bias[l.head.Classes():])
	floats.Scale(1/temperature, bias)
	switch {
	case h.space.mean == nil:
		return vision.NewHead(nil, weight, single(bias))
	case h.from != nil:
		return vision.NewHead(l.head.Mean, weight, single(bias))
	}
	mean := make([]float64, l.span.width)
	l.span.widenRow(h.space.mean, mean)
	return vision.NewHead(single(mean), weight, single(bias))
}

func single(v []float64) []float32 {
	out := make([]float32, len(v))
	for i, x := range v {
		out[i] = float32(x)
	}
	return out
}

// deliver puts the head into the bundle, with goldens, and proves that the bundle answers.
func (t *teaching) deliver(ctx context.Context, h *vision.Head, kept *reference.Stored) error {
	old := maps.Clone(t.spec.Files)
	delete(t.spec.Files, bundle.FileGolden)
	delete(t.spec.Files, bundle.FileGoldens8)
	delete(t.spec.Files, bundle.FileReference)
	var err error
	if kept != nil {
		if t.spec.Files[bundle.FileReference], err = kept.Write(ctx, t.dir); err != nil {
			return err
		}
	}
	if t.spec.Files[bundle.FileHead], err = infer.WriteHead(ctx, t.dir, h); err != nil {
		return err
	}
	t.spec.Labels, t.spec.Architecture.Classes = t.report.Labels, len(t.report.Labels)
	t.spec.Version = strings.TrimSuffix(t.spec.Version, taughtSuffix) + taughtSuffix
	t.spec.Provenance = bundle.Provenance{Tool: t.Tool, Source: t.parent.Spec.Name + " " + t.parent.Spec.Version,
		Created: time.Now().UTC().Truncate(time.Second), Notes: "taught; parent " + t.report.Parent}
	if err := bundle.WriteSpec(t.dir, t.spec); err != nil {
		return err
	}
	if err := t.goldens(ctx, old); err != nil {
		return err
	}
	if err := bundle.WriteSpec(t.dir, t.spec); err != nil {
		return err
	}
	n, err := t.open(ctx, t.dir, "")
	if err != nil {
		return err
	}
	_, err = verify.Run(ctx, n, verify.Options{}, nil)
	return errors.Join(err, n.Close())
}

// taughtSuffix is what the version of a taught bundle ends with.
const taughtSuffix = "-taught"

// goldens makes those of the taught bundle: the pictures of the old ones, with what FP32 answers now,
// and for INT8 with what that answers, to whose features the last layer was fitted.
func (t *teaching) goldens(ctx context.Context, old map[string]bundle.File) (err error) {
	n, err := t.open(ctx, t.dir, "fp32")
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, n.Close()) }()
	runs, err := t.open(ctx, t.dir, "")
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, runs.Close()) }()
	for _, key := range []string{bundle.FileGolden, bundle.FileGoldens8} {
		f, ok := old[key]
		if !ok {
			continue
		}
		g, err := verify.Read(filepath.Join(t.dir, f.Path), &t.parent.Spec)
		if err != nil {
			return err
		}
		from := n
		g.Origin = "what FP32 answered when the bundle was taught"
		if key == bundle.FileGoldens8 && runs.Info().Precision == "int8" {
			from, g.Origin = runs, verify.OriginTaught
		}
		if g.Logits, err = verify.Answers(ctx, from, g.Input); err != nil {
			return err
		}
		if t.spec.Files[key], err = g.WriteAs(ctx, t.dir, f.Path); err != nil {
			return err
		}
	}
	return nil
}

// discard removes the bundle on its way, so that only reports are left.
func (t *teaching) discard() error {
	var errs []error
	for _, f := range t.spec.Files {
		errs = append(errs, os.RemoveAll(filepath.Join(t.dir, f.Path)))
	}
	return errors.Join(append(errs, os.RemoveAll(filepath.Join(t.dir, bundle.SpecFile)))...)
}
