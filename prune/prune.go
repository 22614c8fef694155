package prune

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"runtime/debug"
	"slices"
	"strings"
	"time"

	"github.com/vggse/vggse-agent/bundle"
	"github.com/vggse/vggse-agent/dataset"
	"github.com/vggse/vggse-agent/eval"
	"github.com/vggse/vggse-agent/infer"
	"github.com/vggse/vggse-agent/internal/atomicfile"
	"github.com/vggse/vggse-agent/internal/progress"
	"github.com/vggse/vggse-agent/onnx"
	"github.com/vggse/vggse-agent/vgg16se"
)

// Options are the choices of one Run.
type Options struct {
	Bundle  string  // folder of the bundle
	Images  string  // folder of the pictures to fit on
	Eval    string  // folder of the pictures to evaluate on; "": a fifth of Images
	Out     string  // folder of the bundle to make: new, or empty
	Factor  float64 // multiply-adds before over after; 0 where Points says how far to go
	Points  float64 // most points of top-1 to lose, of agreement where no labels are known
	Chosen  string  // file that says which channels stay (see Choose), in the place of Factor and Points
	Asked   string  // the wish in the user's words, for the report
	Workers int     // pictures in work at the same time
	Step    int     // what widths are multiples of: 8, 16, …
	Seconds float64 // to measure latency for
	Tool    string  // who prunes, for the report

	Runtime infer.Config // which ONNX Runtime; one thread of it is used
}

// pictureCache is how much memory preprocessed pictures may take: they are gone through again and
// again.
const pictureCache = 256 << 20

// pruning is one Run under way.
type pruning struct {
	Options
	progress *progress.Progress
	bundle   *bundle.Bundle
	dir      string // for files on the way
	prober   infer.Prober
	source   *onnx.Model
	arch     vgg16se.Architecture
	network  *VGG
	study    *Analysis
	small    *VGG
	plan     Plan
	choice   map[string][]int // what Chosen holds
	fit      *dataset.Set     // fitted on
	choose   *dataset.Set     // a quarter of the pictures, where Points says how far to go: to see what is lost
	held     *dataset.Set     // evaluated on
	report   Report
}

// Run makes a smaller network of a bundle's and puts it into a bundle of its own, with a report.
// Where more is lost than Options.Points (Report.Missed), Out gets the reports only; that is no
// error.
func Run(ctx context.Context, o Options, p *progress.Progress) (*Report, error) {
	report, err := run(ctx, o, p)
	if err != nil {
		return nil, fmt.Errorf("prune: %w", err)
	}
	return report, nil
}

func run(ctx context.Context, o Options, p *progress.Progress) (*Report, error) {
	b, err := bundle.Open(o.Bundle)
	if err != nil {
		return nil, err
	}
	if err := b.WholeNetwork("prune"); err != nil {
		return nil, err
	}
	arch, err := vgg16se.FromManifest(b.Spec.Architecture)
	if err != nil {
		return nil, fmt.Errorf("%w: only these can lose channels here", err)
	}
	path, err := b.Path(bundle.FileFP32)
	if err == nil {
		err = b.CheckFile(ctx, bundle.FileFP32)
	}
	if err != nil {
		return nil, err
	}
	source, err := onnx.Open(path)
	if err != nil {
		return nil, err
	}
	defer source.Close()
	source.Conceal(b.Spec.Output.Name)
	network, err := NewVGG(arch, source)
	if err != nil {
		return nil, err
	}
	o.Runtime.Threads = 1
	work, err := os.MkdirTemp("", "vggse-prune.*")
	if err != nil {
		return nil, err
	}
	defer os.RemoveAll(work)
	r := &pruning{Options: o, progress: p, bundle: b, dir: work, source: source, arch: arch, network: network,
		prober: infer.Prober{Config: o.Runtime, Input: vgg16se.Input}}
	if o.Chosen != "" {
		if r.choice, err = readChoice(o.Chosen, network); err != nil {
			return nil, err
		}
	}
	return &r.report, atomicfile.NewDir(o.Out, func(out string) error {
		if err := r.work(ctx); err != nil {
			return err
		}
		if len(r.report.Missed) > 0 {
			return r.writeReports(out)
		}
		p.At(6, 6)
		return r.write(ctx, out)
	})
}

// work does everything up to the report.
func (p *pruning) work(ctx context.Context) error {
	spec := &p.bundle.Spec
	p.report = Report{Schema: ReportSchema, Tool: p.Tool, Source: spec.Files[bundle.FileFP32].SHA256,
		Bundle: strings.TrimSpace(spec.Name + " " + spec.Version), Asked: p.Asked, Seconds: map[string]float64{},
		Processor: map[string]float64{}}
	host, err := eval.ThisHost(p.prober.Config)
	if err != nil {
		return err
	}
	p.report.Machine, p.report.Runtime = host.CPU, host.Runtime
	steps := []struct {
		name string
		do   func(context.Context) error
	}{{"pictures", p.pictures}, {"study", p.analyse}, {"fit", p.takeOut}, {"judge", p.evaluate}, {"measure", p.measure}}
	for i, s := range steps {
		p.progress.At(i+1, len(steps)+1) // the last is to write the bundle
		err := progress.Timed(s.name, p.report.Seconds, p.report.Processor, func() error { return s.do(ctx) })
		if err != nil {
			return err
		}
	}
	return nil
}

// pictures finds and divides the pictures.
func (p *pruning) pictures(ctx context.Context) error {
	all, err := p.list(ctx, p.Images)
	if err != nil {
		return err
	}
	var others []dataset.Picture
	if p.Eval != "" {
		if others, err = p.list(ctx, p.Eval); err != nil {
			return err
		}
	}
	fit, _, held, err := dataset.Split(all, others)
	if err != nil {
		return err
	}
	p.held = p.set(held, 0)
	p.report.Fitted, p.report.HeldOut = len(fit), len(held)
	p.report.Labelled = slices.ContainsFunc(held, func(f dataset.Picture) bool { return f.Label >= 0 })
	if p.Points > 0 {
		n := max(1, len(fit)/4)
		p.choose, fit = p.set(fit[:n], 0), fit[n:]
	}
	p.fit = p.set(fit, pictureCache)
	return nil
}

// list is the pictures in a folder; what is odd about them is said.
func (p *pruning) list(ctx context.Context, dir string) ([]dataset.Picture, error) {
	files, found, err := dataset.ListReadable(ctx, dir, p.bundle.Spec.Labels)
	for _, f := range found {
		p.progress.Say("warning: %s: %s (%s)", f.Check, f.Evidence, f.Cure)
	}
	return files, err
}

func (p *pruning) set(files []dataset.Picture, cacheBytes int) *dataset.Set {
	return dataset.New(files, p.bundle.Spec.Preprocess, p.size(), cacheBytes)
}

func (p *pruning) size() int { return p.bundle.Spec.Architecture.InputSize }

// analyse studies the channels and times the layers.
func (p *pruning) analyse(ctx context.Context) (err error) {
	bench := &Bench{Runtime: p.prober, Dir: p.dir, Pictures: p.fit, Workers: p.Workers, Progress: p.progress.Steps()}
	if p.study, err = Analyse(ctx, p.network, bench); err != nil {
		return err
	}
	return p.study.Measure(ctx, p.Step)
}

// budgetSteps is how often a budget is halved in on.
const budgetSteps = 6

// takeOut takes the channels out: those that Chosen does not name, as many as Factor says, or as
// Points allow.
func (p *pruning) takeOut(ctx context.Context) (err error) {
	if p.Chosen != "" {
		if p.plan, err = p.study.Choose(p.choice); err != nil {
			return fmt.Errorf("%s: %w", p.Chosen, err)
		}
		p.small, err = p.study.Apply(ctx, p.plan)
		return err
	}
	if p.Factor > 0 {
		p.small, p.plan, err = p.smaller(ctx, p.Factor)
		return err
	}
	err = narrow(budgetSteps, p.Points, func(factor float64) (lost float64, ok bool, err error) {
		n, plan, err := p.smaller(ctx, factor)
		if err != nil { // the widths ran out
			return 0, false, ctx.Err()
		}
		ways, err := p.compare(ctx, p.choose, []candidate{{"", func() *VGG { return n }}})
		if err != nil {
			return 0, false, err
		}
		lost = 100 * ways[1].Lost
		p.progress.Say("%.2f times fewer multiply-adds: %.2f points lost", factor, lost)
		if lost <= p.Points {
			p.small, p.plan = n, plan
		}
		return lost, true, nil
	})
	if err == nil && p.small == nil {
		err = fmt.Errorf("no smaller network loses at most %g points: allow more, or train it afterwards "+
			"(train/distil.py)", p.Points)
	}
	return err
}

// narrow closes in on the largest factor whose loss is at most points: doubling until one is too
// large or not possible, then halving. try says what a factor loses.
func narrow(steps int, points float64, try func(factor float64) (lost float64, ok bool, err error)) error {
	low, high := 1.0, 0.0
	for range steps {
		factor := 2 * low
		if high > 0 {
			factor = (low + high) / 2
		}
		lost, ok, err := try(factor)
		if err != nil {
			return err
		}
		if !ok || lost > points {
			high = factor
		} else {
			low = factor
		}
	}
	return nil
}

func (p *pruning) smaller(ctx context.Context, factor float64) (*VGG, Plan, error) {
	plan, err := p.study.Plan(int64(float64(p.study.MACs())/factor), p.Step)
	if err != nil {
		return nil, nil, err
	}
	n, err := p.study.Apply(ctx, plan)
	return n, plan, err
}

// lessMemory gives back what the step before needed, ahead of a network being loaded.
func (p *pruning) lessMemory() error {
	debug.FreeOSMemory()
	return p.source.Forget()
}

// write fills the folder of the new bundle.
func (p *pruning) write(ctx context.Context, out string) error {
	m, err := p.small.Model()
	if err != nil {
		return err
	}
	m.Expose(vgg16se.Output, onnx.AllSignals)
	m.SetProperty("vggse.source_sha256", p.report.Source)
	f, err := bundle.WriteFile(ctx, out, "fp32.onnx", io.Discard, func(w io.Writer) error { return onnx.Write(w, m) })
	if err != nil {
		return err
	}
	spec := p.bundle.Spec
	spec.Architecture, spec.Files = p.small.Arch.Manifest(), map[string]bundle.File{bundle.FileFP32: f}
	spec.Version = strings.TrimSpace(spec.Version + " pruned " + p.report.Asked)
	spec.Provenance = bundle.Provenance{Tool: "vggse-agent prune", Source: p.report.Bundle,
		Created: time.Now().UTC().Truncate(time.Second)}
	if err := p.writeReports(out); err != nil {
		return err
	}
	return bundle.WriteSpec(out, &spec)
}

func (p *pruning) writeReports(out string) error {
	return errors.Join(atomicfile.WriteJSON(filepath.Join(out, "report.json"), &p.report),
		atomicfile.WriteFile(filepath.Join(out, "report.html"),
			func(w io.Writer) error { return WriteHTML(w, &p.report) }))
}
