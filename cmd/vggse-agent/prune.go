package main

import (
	"context"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"runtime"
	"strconv"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/vggse/vggse-agent/bundle"
	"github.com/vggse/vggse-agent/internal/atomicfile"
	"github.com/vggse/vggse-agent/internal/progress"
	"github.com/vggse/vggse-agent/internal/round"
	"github.com/vggse/vggse-agent/onnx"
	"github.com/vggse/vggse-agent/prune"
	"github.com/vggse/vggse-agent/quant"
	"github.com/vggse/vggse-agent/vgg16se"
)

// pruneFlags are the choices of one prune.
type pruneFlags struct {
	images, eval, out string
	target, budget    string
	workers, step     int
	seconds           float64
	fitL1, json       bool

	factor float64 // multiply-adds before over after; 0 where a budget is given
	points float64 // most points to lose
}

func newPruneCmd() *cobra.Command {
	var f pruneFlags
	cmd := &cobra.Command{
		Use:   "prune BUNDLE --images DIR --target 2x|--budget 0.5pt --out DIR",
		Short: "Make a bundle's network smaller: whole channels out, the rest fitted anew",
		Long: `Takes whole channels out of a VGG16-SE or a relative of it, through convolutions, attention and classifier alike. What is left is a
plain network of the same kind with irregular widths, smaller and faster everywhere; 'calibrate' makes it
faster still. No training, no labels and no Python: pictures show which channels the others can stand in
for, and how much the answers feel each layer; the weights that read what is gone are fitted anew by least
squares.

--target 2x takes channels out until the network has half the multiply-adds, and those first that cost the answers
least for the time that this machine saves: every layer is timed at every width, on the CPU provider. --budget 0.5pt finds the smallest
network that loses at most half a point of top-1 (of agreement, where folders are not named like labels).
The report judges it on pictures that no choice has seen, those of --eval or a fifth of --images, beside
channels chosen by the size of their weights (L1) and by lot. --out gets no calibrated files: run
'calibrate' on it.`,
		Example: "  vggse-agent demo-data --out build/pictures --n 4000 --seed 11\n  vggse-agent prune demo/bundle --images build/pictures --target 2x --out build/small",
		Args:    exactArgs(1, "one BUNDLE"),
		RunE: func(cmd *cobra.Command, args []string) error {
			if err := f.check(); err != nil {
				return err
			}
			return runPrune(cmd, args[0], &f)
		},
	}
	flags := cmd.Flags()
	flags.StringVar(&f.images, "images", "", "`DIR` of pictures to fit on; a few thousand of what the camera will see")
	flags.StringVar(&f.eval, "eval", "", "`DIR` of pictures to judge on (default: a fifth of --images, which then is not fitted on)")
	flags.StringVar(&f.target, "target", "", "how many times fewer multiply-adds, such as 2x")
	flags.StringVar(&f.budget, "budget", "", "how many points may be lost, such as 0.5pt")
	flags.StringVar(&f.out, "out", "", "`DIR` of the bundle to make")
	flags.IntVar(&f.workers, "workers", runtime.NumCPU(), "pictures in work at the same time")
	flags.IntVar(&f.step, "step", 8, "what widths are multiples of")
	flags.BoolVar(&f.fitL1, "fit-l1", false, "fit the network whose channels L1 chose, too: what the choice of channels is worth")
	flags.Float64Var(&f.seconds, "seconds", 3, "time to measure latency for")
	flags.BoolVar(&f.json, "json", false, "the content of report.json on stdout")
	return cmd
}

func (f *pruneFlags) check() (err error) {
	if f.images == "" || f.out == "" || (f.target == "") == (f.budget == "") {
		return usagef("prune wants --images DIR, --out DIR and one of --target 2x and --budget 0.5pt")
	}
	if f.workers < 1 || f.seconds < 0 || f.step%8 != 0 || f.step < 8 {
		return usagef("prune: --workers must be at least 1, --seconds at least 0, --step a multiple of 8")
	}
	if f.target != "" {
		f.factor, err = strconv.ParseFloat(strings.TrimRight(f.target, "x×"), 64)
		if err != nil || !(f.factor > 1 && f.factor <= 1000) {
			return usagef("prune: --target must be a factor above 1 such as 2x, got %q", f.target)
		}
		return nil
	}
	f.points, err = strconv.ParseFloat(strings.TrimSuffix(f.budget, "pt"), 64)
	if err != nil || !(f.points > 0 && f.points <= 100) {
		return usagef("prune: --budget must be points above 0 such as 0.5pt, got %q", f.budget)
	}
	return nil
}

// pruning is one prune under way. Its calibration lists and reads pictures.
type pruning struct {
	*pruneFlags
	calibration
	dir     string // for files on the way
	arch    vgg16se.Architecture
	network *prune.Network
	study   *prune.Study
	bench   *prune.Bench
	small   *prune.Network
	plan    prune.Plan
	choose  *pictureSet // a quarter of the pictures, where a budget is given: to see what is lost
	report  prune.Report
}

func runPrune(cmd *cobra.Command, dir string, f *pruneFlags) error {
	opened, err := bundle.Open(dir)
	if err != nil {
		return err
	}
	arch, err := vgg16se.FromManifest(opened.Spec.Architecture)
	if err != nil {
		return fmt.Errorf("prune: %w: only these can lose channels here", err)
	}
	path, err := opened.Path(bundle.FileFP32)
	if err == nil {
		err = opened.CheckFile(cmd.Context(), bundle.FileFP32)
	}
	if err != nil {
		return err
	}
	source, err := onnx.Open(path)
	if err != nil {
		return err
	}
	defer source.Close()
	network, err := prune.NewNetwork(arch, source)
	if err != nil {
		return err
	}
	work, err := os.MkdirTemp("", "vggse-prune.*")
	if err != nil {
		return err
	}
	defer os.RemoveAll(work)
	p := &pruning{pruneFlags: f, dir: work, arch: arch, network: network, calibration: calibration{cmd: cmd, bundle: opened, source: source, quantized: source,
		calibrateFlags: &calibrateFlags{images: f.images, eval: f.eval, workers: f.workers}, rt: probes{vgg16se.Input}}}
	missed := false
	err = atomicfile.NewDir(f.out, func(out string) error {
		if err := p.work(cmd.Context()); err != nil {
			return err
		}
		if missed = len(p.report.Missed) > 0; missed {
			return p.writeReports(out)
		}
		return p.write(cmd.Context(), out)
	})
	if err != nil {
		return fmt.Errorf("prune: %w", err)
	}
	if f.json {
		err = printJSON(cmd.OutOrStdout(), &p.report)
	} else {
		err = printPruning(cmd.OutOrStdout(), &p.report, f.out)
	}
	if err == nil && missed {
		err = withCode(exitGate, fmt.Errorf("prune: %s: no bundle was put into %s, see its report.html", strings.Join(p.report.Missed, "; "), f.out))
	}
	return err
}

// work does everything up to the report.
func (p *pruning) work(ctx context.Context) error {
	spec := &p.bundle.Spec
	p.report = prune.Report{Schema: prune.ReportSchema, Tool: "vggse-agent " + version, Source: spec.Files[bundle.FileFP32].SHA256,
		Bundle: strings.TrimSpace(spec.Name + " " + spec.Version), Asked: p.target + p.budget, Seconds: map[string]float64{}}
	machine, err := thisMachine()
	if err != nil {
		return err
	}
	p.report.Machine, p.report.Runtime = machine.CPU, machine.Runtime
	for _, s := range []struct {
		name string
		do   func(context.Context) error
	}{{"pictures", p.pictures}, {"study", p.analyse}, {"fit", p.fit}, {"judge", p.judge}, {"measure", p.measure}} {
		begin := time.Now()
		if err := s.do(ctx); err != nil {
			return err
		}
		p.report.Seconds[s.name] = round.Three(time.Since(begin).Seconds())
	}
	return nil
}

// analyse looks at the channels.
func (p *pruning) analyse(ctx context.Context) (err error) {
	p.report.Fitted, p.report.HeldOut, p.report.Labelled = len(p.tune.files), len(p.held.files), p.calibration.report.Pictures.Labelled
	for _, f := range p.calibration.report.Findings {
		fmt.Fprintf(p.cmd.ErrOrStderr(), "warning: %s: %s (%s)\n", f.Check, f.Evidence, f.Cure)
	}
	if n := len(p.tune.files); p.points > 0 {
		p.choose = &pictureSet{files: p.tune.files[:max(1, n/4)], spec: p.tune.spec}
		p.tune = &pictureSet{files: p.tune.files[len(p.choose.files):], spec: p.tune.spec}
	}
	shown := progress.Steps(p.cmd.ErrOrStderr())
	p.bench = &prune.Bench{Runtime: pruneRuntime{p.rt}, Dir: p.dir, Pictures: newKept(p.tune, p.size()), Workers: p.pruneFlags.workers, Progress: shown}
	if p.study, err = prune.Analyse(ctx, p.network, p.bench); err != nil {
		return err
	}
	return p.study.Measure(ctx, p.step)
}

// pruneRuntime runs files for prune as for quant.
type pruneRuntime struct{ probes }

func (r pruneRuntime) Open(ctx context.Context, path string, outputs []string) (prune.Session, error) {
	return r.probes.Open(ctx, path, quant.Options{Outputs: outputs})
}

// fit takes the channels out, as many as the target says, or as the budget allows.
func (p *pruning) fit(ctx context.Context) (err error) {
	if p.factor > 0 {
		p.small, p.plan, err = p.smaller(ctx, p.factor)
		return err
	}
	low, high := 1.0, 0.0
	for range budgetSteps {
		factor := 2 * low
		if high > 0 {
			factor = (low + high) / 2
		}
		n, plan, err := p.smaller(ctx, factor)
		if err != nil { // the widths ran out
			high = factor
			continue
		}
		ways, err := p.judged(ctx, p.choose, []candidate{{"", func() *prune.Network { return n }}})
		if err != nil {
			return err
		}
		fmt.Fprintf(p.cmd.ErrOrStderr(), "%.2f times fewer multiply-adds: %.2f points lost\n", factor, 100*ways[1].Lost)
		if 100*ways[1].Lost > p.points {
			high = factor
		} else {
			low, p.small, p.plan = factor, n, plan
		}
	}
	if p.small == nil {
		return fmt.Errorf("no smaller network loses at most %g points: allow more, or train it afterwards (train/distil.py)", p.points)
	}
	return nil
}

// budgetSteps is how often a budget is halved in on.
const budgetSteps = 6

func (p *pruning) smaller(ctx context.Context, factor float64) (*prune.Network, prune.Plan, error) {
	plan, err := p.study.Plan(int64(float64(p.study.MACs())/factor), p.step)
	if err != nil {
		return nil, nil, err
	}
	n, err := p.study.Apply(ctx, plan)
	return n, plan, err
}

// write fills the folder of the new bundle.
func (p *pruning) write(ctx context.Context, out string) error {
	m, err := p.small.Model()
	if err != nil {
		return err
	}
	m.SetProperty("vggse.source_sha256", p.report.Source)
	f, err := bundle.WriteFile(ctx, out, "fp32.onnx", io.Discard, func(w io.Writer) error { return onnx.Write(w, m) })
	if err != nil {
		return err
	}
	spec := p.bundle.Spec
	spec.Architecture, spec.Files = p.small.Arch.Manifest(), map[string]bundle.File{bundle.FileFP32: f}
	spec.Version = strings.TrimSpace(spec.Version + " pruned " + p.report.Asked)
	spec.Provenance = bundle.Provenance{Tool: "vggse-agent prune", Source: p.report.Bundle, Created: time.Now().UTC().Truncate(time.Second)}
	if err := p.writeReports(out); err != nil {
		return err
	}
	return bundle.WriteSpec(out, &spec)
}

func (p *pruning) writeReports(out string) error {
	if err := atomicfile.WriteJSON(filepath.Join(out, "report.json"), &p.report); err != nil {
		return err
	}
	return atomicfile.WriteFile(filepath.Join(out, "report.html"), func(w io.Writer) error { return prune.WriteHTML(w, &p.report) })
}
