package quant

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"runtime/debug"
	"strings"

	"github.com/vggse/vggse-agent/bundle"
	"github.com/vggse/vggse-agent/dataset"
	"github.com/vggse/vggse-agent/eval"
	"github.com/vggse/vggse-agent/infer"
	"github.com/vggse/vggse-agent/internal/atomicfile"
	"github.com/vggse/vggse-agent/internal/progress"
	"github.com/vggse/vggse-agent/onnx"
	"github.com/vggse/vggse-agent/reference"
)

// Options are the choices of one Calibrate.
type Options struct {
	Bundle       string // folder of the bundle
	Images       string // folder of the pictures to calibrate on; "": frames of Camera
	Camera       string // URI
	Frames       int    // to take from Camera
	Eval         string // folder of the pictures to evaluate on; "": a fifth of Images
	Out          string // folder of the bundle to make; may be Bundle
	Method       Method
	Weights      WeightBits // "": what this processor's multiplier does not saturate on
	Budget       string     // as ParseBudget reads it; "": what MinAgreement wants; "none": no search
	MinAgreement float64    // share of pictures on which a file and FP32 must give the same answer
	Collection   string     // file to keep the collection in, and to take it up from
	Merge        []string   // collections of other devices to add
	TensorRT     string     // version that the calibration tables are for
	Workers      int        // pictures in work at the same time
	Seconds      float64    // to measure latency for; 0: not measured, and not held against the file
	Goldens      string     // GoldenPictures or GoldenNone; "": GoldenPictures
	CheckOnly    bool       // the pictures and the manifest are inspected, nothing is made
	Tool         string     // who calibrates, for the report

	Runtime infer.Config // which ONNX Runtime; one thread of it is used
}

// subject is a network to quantize and what its layers put out.
type subject struct {
	model     *onnx.Model
	network   *Graph
	collected *Collection
	weighed   map[int][]Choice // what each method makes of its sites, by levels; filled by plan
}

// sites are those of the network that were collected.
func (s *subject) sites() []Site {
	if s.network == nil || s.collected == nil {
		return nil
	}
	return s.network.Sites[1:]
}

// calibration is one Calibrate under way. dir is the folder aside that becomes the bundle.
type calibration struct {
	Options
	progress   *progress.Progress
	bundle     *bundle.Bundle
	dir        string
	prober     infer.Prober
	budget     Budget // of what a search may lose
	search     bool
	source     subject             // the FP32 file
	chosen     subject             // what is quantized: source, or source with its channels equalized
	prepared   *dataset.Store      // pictures as the network reads them
	fit        *dataset.Set        // calibrated on
	choice     *evaluated          // choices are made on: these and then those that were calibrated on
	held       *evaluated          // evaluated on
	plans      map[int]*Plan       // by levels
	legacy     *Plan               // signed, of source; nil where there is none
	left       map[string]bool     // files that are not made, by key
	float      []string            // layers that the CPU's runtime does not have on integers
	goldens    *bundle.File        // for the INT8 files; nil: none
	fp32       *bundle.File        // the FP32 file, written anew with its signals; nil: it has them, or cannot
	remembered []reference.Picture // what FP32 exposes of pictures that are calibrated on; nil: nothing
	known      *bundle.File        // what tells pictures of the labels from others; nil: not made
	stored     *bundle.File        // what stands in for the pictures; nil: not made
	made       weightStore         // of the trials
	report     Report
}

// evaluated is a set of pictures and what FP32 says of them.
type evaluated struct {
	set       *dataset.Set
	evaluator *eval.Evaluator
}

// Calibrate makes INT8 and FP16 files of a bundle's network, proves and evaluates them, and makes
// Options.Out the bundle with them, in one step. Where the gate is missed (Report.Gate.Missed), Out
// gets the reports only. The error is about what could not be done; a missed gate is none.
func Calibrate(ctx context.Context, o Options, p *progress.Progress) (*Report, error) {
	report, err := calibrate(ctx, o, p)
	if err != nil {
		return nil, fmt.Errorf("calibrate: %w", err)
	}
	return report, nil
}

func calibrate(ctx context.Context, o Options, p *progress.Progress) (*Report, error) {
	b, err := bundle.Open(o.Bundle)
	if err != nil {
		return nil, err
	}
	if err := b.WholeNetwork("calibrate"); err != nil {
		return nil, err
	}
	out := o.Out
	if o.CheckOnly {
		out = filepath.Join(os.TempDir(), "vggse-check")
	} else if err := atomicfile.CheckReplaceable(out, o.Bundle); err != nil {
		return nil, err
	}
	o.Runtime.Threads = 1
	c := &calibration{Options: o, progress: p, bundle: b, left: map[string]bool{},
		prober: infer.Prober{Config: o.Runtime, Input: b.Spec.Input.Name}}
	if c.budget, c.search, err = searchBudget(o.Budget, o.MinAgreement); err != nil {
		return nil, err
	}
	if c.dir, err = atomicfile.MakeAside(out); err != nil {
		return nil, err
	}
	defer os.RemoveAll(c.dir)
	err = c.work(ctx)
	if err := errors.Join(err, c.close()); err != nil {
		return nil, err
	}
	if o.CheckOnly {
		return &c.report, nil
	}
	return &c.report, c.deliver(ctx)
}

// work does everything up to the complete folder aside.
func (c *calibration) work(ctx context.Context) error {
	c.report = Report{Schema: ReportSchema, Tool: c.Tool, Method: c.Method,
		Bundle: strings.TrimSpace(c.bundle.Spec.Name + " " + c.bundle.Spec.Version),
		Source: c.bundle.Spec.Files[bundle.FileFP32].SHA256, Seconds: map[string]float64{},
		Processor: map[string]float64{},
		Gate:      Gate{MinAgreement: c.MinAgreement}, Findings: []dataset.Finding{}}
	steps := []struct {
		name string
		do   func(context.Context) error
	}{
		{"open", c.open}, {"rehearse", c.rehearse}, {"pictures", c.pictures}, {"inspect", c.inspect},
		{"collect", c.collect},
		{"choose", c.choose},
		{"emit", c.emit}, {"judge", c.evaluate}, {"explain", c.explain}, {"goldens", c.makeGoldens},
		{"known", c.makeKnown},
	}
	if c.CheckOnly {
		steps = append(steps[:1:1], steps[2:4]...)
	}
	for i, s := range steps {
		c.progress.At(i+1, len(steps))
		err := progress.Timed(s.name, c.report.Seconds, c.report.Processor, func() error { return s.do(ctx) })
		if err != nil {
			return err
		}
	}
	return nil
}

// open checks and maps the FP32 file and finds what there is to quantize.
func (c *calibration) open(ctx context.Context) error {
	if err := c.bundle.CheckFile(ctx, bundle.FileFP32); err != nil {
		return err
	}
	path, err := c.bundle.Path(bundle.FileFP32)
	if err != nil {
		return err
	}
	if c.source.model, err = onnx.Open(path); err != nil {
		return err
	}
	c.source.model.Conceal(c.bundle.Spec.Output.Name)
	if err = prepare(c.source.model); err == nil {
		c.source.network, err = Analyse(c.source.model, c.bundle.Spec.Input.Name)
	}
	c.chosen = c.source
	if err != nil {
		c.withoutIntegers("8 bits", cause(err), "only fp16.onnx is made")
	}
	c.report.Machine, err = eval.ThisHost(c.prober.Config)
	return err
}

// reference loads the FP32 file. Only what compares it side by side with another network keeps both
// open: two of full size are more than a device has to spare.
func (c *calibration) reference(ctx context.Context) (*infer.Probe, error) {
	path, err := c.bundle.Path(bundle.FileFP32)
	if err != nil {
		return nil, err
	}
	return c.prober.Open(ctx, path, infer.ProbeOptions{Outputs: []string{c.bundle.Spec.Output.Name}})
}

// lessMemory gives back what the step before needed, ahead of a network being loaded.
func (c *calibration) lessMemory() error {
	debug.FreeOSMemory()
	err := c.source.model.Forget()
	if c.equalized() {
		err = errors.Join(err, c.chosen.model.Forget())
	}
	return err
}

// equalized tells whether another network than the source is quantized.
func (c *calibration) equalized() bool { return c.chosen.model != c.source.model }

func (c *calibration) close() error {
	errs := []error{c.prepared.Close(), c.made.Close()}
	if c.equalized() {
		errs = append(errs, c.chosen.model.Close(), os.Remove(c.path(equalizedFile)))
	}
	if c.source.model != nil {
		errs = append(errs, c.source.model.Close())
	}
	return errors.Join(errs...)
}

func (c *calibration) size() int { return c.bundle.Spec.Architecture.InputSize }

func (c *calibration) path(name string) string { return filepath.Join(c.dir, name) }

func (c *calibration) found(f ...dataset.Finding) {
	c.report.Findings = append(c.report.Findings, f...)
}
