package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"runtime"
	"runtime/debug"
	"slices"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/vggse/vggse-agent/bundle"
	"github.com/vggse/vggse-agent/infer"
	"github.com/vggse/vggse-agent/internal/atomicfile"
	"github.com/vggse/vggse-agent/internal/round"
	"github.com/vggse/vggse-agent/onnx"
	"github.com/vggse/vggse-agent/quant"
)

// calibrateFlags are the choices of one calibrate.
type calibrateFlags struct {
	bundle, images, eval, out string
	camera                    string
	frames                    int
	method, bits              string
	minAgreement              float64
	budget, collection        string
	tensorRT                  string
	merge                     []string
	workers                   int
	seconds                   float64
	json                      bool
	only                      bool // the pictures and the manifest are looked at, nothing is made
}

var tensorRTVersion = regexp.MustCompile(`^[0-9]+(\.[0-9]+)*$`)

func newCalibrateCmd() *cobra.Command {
	var f calibrateFlags
	cmd := &cobra.Command{
		Use:   "calibrate --bundle DIR --images DIR|--camera URI --out DIR",
		Short: "Make INT8 and FP16 files of a bundle's network, prove and judge them",
		Long: `Runs the FP32 network over pictures, with the daemon's own preprocessing, and watches what its layers put
out; chooses scales; writes an INT8 file that the CPU provider runs on integers throughout, one for
TensorRT, and half-precision ones; proves from ONNX Runtime's own graph that every layer is an integer
operator; and judges the result on pictures that no choice has seen: those of --eval, else a fifth of
--images. Folders that are named like labels give the labels.

A plan that loses too much is searched for what to demote: --budget, or what --min-agreement wants, in at most 40
evaluations. Equalized channels and corrected biases are kept where they help on pictures that no range is from.

--out becomes a complete bundle and may be the input bundle, which is replaced in one step. Where the
agreement with FP32 is surely below --min-agreement (its 95 % interval is), or INT8 is not faster than FP32, the exit
code is 3 and only the reports are left.`,
		Example: "  vggse-agent demo-data --out build/pictures --n 640 --seed 11\n  vggse-agent calibrate --bundle demo/bundle --images build/pictures --out demo/bundle",
		Args:    exactArgs(0, "no arguments"),
		RunE: func(cmd *cobra.Command, _ []string) error {
			if err := f.check(); err != nil {
				return err
			}
			return calibrate(cmd, &f)
		},
	}
	flags := cmd.Flags()
	flags.StringVar(&f.bundle, "bundle", "", "`DIR` with model.yaml")
	flags.StringVar(&f.images, "images", "", "`DIR` of pictures to calibrate on; 100 to 1000 of what the camera will see")
	flags.StringVar(&f.camera, "camera", "", "calibrate on the frames of a camera `URI` instead")
	flags.IntVar(&f.frames, "frames", 512, "frames to take from --camera")
	flags.StringVar(&f.eval, "eval", "", "`DIR` of pictures to judge on (default: a fifth of --images, which then is not calibrated on)")
	flags.StringVar(&f.out, "out", "", "`DIR` of the bundle to make; may be --bundle")
	flags.StringVar(&f.method, "method", "auto", "auto, minmax, percentile, entropy or mse")
	flags.StringVar(&f.bits, "weights", "auto", "8, 7 or 8-pairwise bits; auto: what this machine's multiplier does not saturate on")
	flags.StringVar(&f.budget, "budget", "", "what INT8 may lose: `0.1pt` of top-1, or 30dB; layers are demoted to floating point until that holds (default: what --min-agreement wants; none: no search)")
	flags.StringVar(&f.tensorRT, "tensorrt", "10.16", "`VERSION` that the calibration tables are for, the last that reads some; 11 and later read none")
	flags.StringVar(&f.collection, "collection", "", "`FILE` to keep the collection in; one that is there is taken up where it was left")
	flags.StringSliceVar(&f.merge, "merge", nil, "`FILE`s that --collection of other devices wrote, to add")
	flags.Float64Var(&f.minAgreement, "min-agreement", 0.99, "share of pictures on which INT8 and FP32 must give the same answer")
	flags.IntVar(&f.workers, "workers", runtime.NumCPU(), "pictures in work at the same time")
	flags.Float64Var(&f.seconds, "seconds", 2, "time to measure latency for, each file")
	flags.BoolVar(&f.only, "check", false, "look at the pictures and at the manifest's preprocessing, say what is odd, and make nothing")
	flags.BoolVar(&f.json, "json", false, "the content of report.json on stdout")
	return cmd
}

func (f *calibrateFlags) check() error {
	method := quant.Method(f.method)
	switch {
	case f.bundle == "" || f.out == "" && !f.only:
		return usagef("calibrate wants --bundle DIR and --out DIR")
	case (f.images == "") == (f.camera == ""):
		return usagef("calibrate wants --images DIR or --camera URI, one of them")
	case method != quant.Auto && !slices.Contains(quant.Methods, method):
		return usagef("calibrate: --method must be auto or one of %v, got %q", quant.Methods, f.method)
	case !slices.Contains([]string{"auto", string(quant.Bits8), string(quant.Bits7), string(quant.BitsPair)}, f.bits):
		return usagef("calibrate: --weights must be auto, 8, 7 or 8-pairwise, got %q", f.bits)
	case !tensorRTVersion.MatchString(f.tensorRT):
		return usagef("calibrate: --tensorrt must be a version such as 10.3, got %q", f.tensorRT)
	case f.budgetErr() != nil:
		return usagef("calibrate: --budget: %v", f.budgetErr())
	case f.minAgreement < 0 || f.minAgreement > 1:
		return usagef("calibrate: --min-agreement must be 0 to 1, got %g", f.minAgreement)
	case f.workers < 1 || f.frames < 1 || f.seconds < 0:
		return usagef("calibrate: --workers, --frames must be at least 1, --seconds at least 0")
	}
	return nil
}

func (f *calibrateFlags) budgetErr() error {
	if f.budget == "" || f.budget == "none" {
		return nil
	}
	_, err := quant.ParseBudget(f.budget)
	return err
}

// probes runs model files for quant with ONNX Runtime on the CPU, one thread each.
type probes struct{ input string }

func (p probes) Open(ctx context.Context, path string, o quant.Options) (quant.Session, error) {
	s, err := infer.OpenProbe(ctx, infer.Config{Threads: 1}, path, p.input,
		infer.ProbeOptions{Outputs: o.Outputs, Optimized: o.Optimized, Plain: o.Plain})
	if err != nil {
		return nil, err // not a nil *Probe in an interface
	}
	return s, nil
}

// calibration is one calibrate under way. dir is the folder aside that becomes the bundle.
type calibration struct {
	*calibrateFlags
	cmd       *cobra.Command
	bundle    *bundle.Bundle
	dir       string
	rt        probes
	source    *onnx.Model
	quantized *onnx.Model // what is quantized: source, or source with its channels equalized
	network   *quant.Network
	collected *quant.Collection
	tune      *pictureSet         // calibrated on
	choice    *pictureSet         // choices are made on: these and then those that were calibrated on
	held      *pictureSet         // judged on
	plans     map[int]*quant.Plan // by levels
	legacy    *quant.Plan         // signed, of source
	report    quant.Report
}

func calibrate(cmd *cobra.Command, f *calibrateFlags) error {
	opened, err := bundle.Open(f.bundle)
	if err != nil {
		return err
	}
	out := f.out
	if f.only {
		out = filepath.Join(os.TempDir(), "vggse-check")
	} else if err := atomicfile.CheckReplaceable(out, f.bundle); err != nil {
		return err
	}
	aside, err := atomicfile.MakeAside(out)
	if err != nil {
		return fmt.Errorf("calibrate: %w", err)
	}
	defer os.RemoveAll(aside)
	c := &calibration{calibrateFlags: f, cmd: cmd, bundle: opened, dir: aside, rt: probes{opened.Spec.Input.Name}}
	err = c.work(cmd.Context())
	if err := errors.Join(err, c.close()); err != nil {
		return fmt.Errorf("calibrate: %w", err)
	}
	if f.only {
		return c.printFindings(cmd.OutOrStdout())
	}
	if err := c.deliver(); err != nil {
		return fmt.Errorf("calibrate: %w", err)
	}
	if f.json {
		if err := printJSON(cmd.OutOrStdout(), &c.report); err != nil {
			return err
		}
	} else if err := printReport(cmd.OutOrStdout(), &c.report, f.out); err != nil {
		return err
	}
	if missed := c.report.Gate.Missed; len(missed) > 0 {
		return withCode(exitGate, fmt.Errorf("calibrate: %s: no model was put into %s, see its report.html", strings.Join(missed, "; "), f.out))
	}
	return nil
}

// work does everything up to the complete folder aside.
func (c *calibration) work(ctx context.Context) error {
	c.report = quant.Report{Schema: quant.ReportSchema, Tool: "vggse-agent " + version, Method: quant.Method(c.method),
		Bundle: strings.TrimSpace(c.bundle.Spec.Name + " " + c.bundle.Spec.Version),
		Source: c.bundle.Spec.Files[bundle.FileFP32].SHA256, Seconds: map[string]float64{},
		Gate: quant.Gate{MinAgreement: c.minAgreement}, Findings: []quant.Finding{}}
	steps := []struct {
		name string
		do   func(context.Context) error
	}{
		{"open", c.open}, {"pictures", c.pictures}, {"inspect", c.inspect}, {"collect", c.collect}, {"choose", c.choose},
		{"emit", c.emit}, {"judge", c.judge}, {"explain", c.explain},
	}
	if c.only {
		steps = steps[:3]
	}
	for _, s := range steps {
		begin := time.Now()
		if err := s.do(ctx); err != nil {
			return err
		}
		c.report.Seconds[s.name] = round.Three(time.Since(begin).Seconds())
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
	if c.source, err = onnx.Open(path); err != nil {
		return err
	}
	c.quantized = c.source
	if c.network, err = quant.Analyse(c.source, c.bundle.Spec.Input.Name); err != nil {
		return err
	}
	c.report.Machine, err = thisMachine()
	return err
}

// reference loads the FP32 file. Only what looks at it side by side with another network keeps both open: two of full size are more
// than a device has to spare.
func (c *calibration) reference(ctx context.Context) (quant.Session, error) {
	path, err := c.bundle.Path(bundle.FileFP32)
	if err != nil {
		return nil, err
	}
	return c.rt.Open(ctx, path, quant.Options{Outputs: []string{c.bundle.Spec.Output.Name}})
}

// lessMemory gives back what the step before needed, ahead of a network being loaded.
func (c *calibration) lessMemory() error {
	debug.FreeOSMemory()
	err := c.source.Forget()
	if c.quantized != c.source {
		err = errors.Join(err, c.quantized.Forget())
	}
	return err
}

func (c *calibration) close() error {
	var errs []error
	if c.quantized != nil && c.quantized != c.source {
		errs = append(errs, c.quantized.Close(), os.Remove(c.path(equalizedFile)))
	}
	if c.source != nil {
		errs = append(errs, c.source.Close())
	}
	return errors.Join(errs...)
}

func (c *calibration) size() int { return c.bundle.Spec.Architecture.InputSize }

func (c *calibration) path(name string) string { return filepath.Join(c.dir, name) }
