package main

import (
	"fmt"
	"io"
	"regexp"
	"runtime"
	"slices"
	"strings"

	"github.com/spf13/cobra"

	"github.com/vggse/vggse-agent/dataset"
	"github.com/vggse/vggse-agent/internal/progress"
	"github.com/vggse/vggse-agent/quant"
)

// calibrateFlags are the flags of calibrate; those of Options need no other form.
type calibrateFlags struct {
	quant.Options
	method, bits string
	json         bool
}

var tensorRTVersion = regexp.MustCompile(`^[0-9]+(\.[0-9]+)*$`)

const calibrateLong = `Runs the FP32 network over pictures, with the daemon's own preprocessing, and watches what
its layers put out; chooses scales; writes an INT8 file that the CPU provider runs on integers throughout, one
for TensorRT, and half-precision ones; proves from ONNX Runtime's own graph that every layer is an
integer operator; and judges the result on pictures that no choice has seen: those of --eval, else a
fifth of --images. Folders that are named like labels give the labels.

A plan that loses too much is searched for what to demote: --budget, or what --min-agreement wants,
in at most 40 evaluations. Equalized channels and corrected biases are kept where they help on
pictures that no range is from.

--out becomes a complete bundle and may be the input bundle, which is replaced in one step. Where the
agreement with FP32 is surely below --min-agreement (its 95 % interval is), the exit code is 3 and only
the reports are left. What will run on integers, and how fast, is said before the work; where INT8 is
surely slower than FP32 only fp16.onnx is made.`

func newCalibrateCmd(s *settings) *cobra.Command {
	var f calibrateFlags
	cmd := &cobra.Command{
		Use:   "calibrate --bundle DIR --images DIR|--camera URI --out DIR",
		Short: "Make INT8 and FP16 files of a bundle's network, prove and judge them",
		Long:  calibrateLong,
		Example: "  vggse-agent demo-data --out build/pictures --n 640 --seed 11\n  vggse-agent calibrate --bundle " +
			"demo/bundle --images build/pictures --out demo/bundle",
		Args: exactArgs(0, "no arguments"),
		RunE: func(cmd *cobra.Command, _ []string) error {
			o, err := f.options()
			if err != nil {
				return err
			}
			e, err := s.load()
			if err != nil {
				return err
			}
			o.Runtime = e.Config.Infer
			report, err := quant.Calibrate(cmd.Context(), o, progress.To(cmd.ErrOrStderr()))
			if err != nil {
				return err
			}
			return f.print(cmd.OutOrStdout(), report)
		},
	}
	flags := cmd.Flags()
	flags.StringVar(&f.Bundle, "bundle", "", "`DIR` with model.yaml")
	flags.StringVar(&f.Images, "images", "",
		"`DIR` of pictures to calibrate on; 100 to 1000 of what the camera will see")
	flags.StringVar(&f.Camera, "camera", "", "calibrate on the frames of a camera `URI` instead")
	flags.IntVar(&f.Frames, "frames", 512, "frames to take from --camera")
	flags.StringVar(&f.Eval, "eval", "",
		"`DIR` of pictures to judge on (default: a fifth of --images, which then is not calibrated on)")
	flags.StringVar(&f.Out, "out", "", "`DIR` of the bundle to make; may be --bundle")
	flags.StringVar(&f.method, "method", "auto", "auto, minmax, percentile, entropy or mse")
	flags.StringVar(&f.bits, "weights", "auto",
		"8, 7 or 8-pairwise bits; auto: what this machine's multiplier does not saturate on")
	flags.StringVar(&f.Budget, "budget", "",
		"what INT8 may lose: `0.1pt` of top-1, or 30dB; layers are demoted to floating point until that holds "+
			"(default: what --min-agreement wants; none: no search)")
	flags.StringVar(&f.TensorRT, "tensorrt", "10.16",
		"`VERSION` that the calibration tables are for, the last that reads some; 11 and later read none")
	flags.StringVar(&f.Collection, "collection", "",
		"`FILE` to keep the collection in; one that is there is taken up where it was left")
	flags.StringSliceVar(&f.Merge, "merge", nil, "`FILE`s that --collection of other devices wrote, to add")
	flags.Float64Var(&f.MinAgreement, "min-agreement", 0.99,
		"share of pictures on which INT8 and FP32 must give the same answer")
	flags.IntVar(&f.Workers, "workers", runtime.NumCPU(), "pictures in work at the same time")
	flags.Float64Var(&f.Seconds, "seconds", 2,
		"time to measure latency for; 0: it is not measured, and not held against the file")
	flags.StringVar(&f.Goldens, "goldens", quant.GoldenPictures,
		"pictures: some judged pictures go into the bundle, with the answers of FP32, for verify on the device; "+
			"none: no picture leaves this machine, the device holds INT8 against its own FP32")
	flags.BoolVar(&f.CheckOnly, "check", false,
		"look at the pictures and at the manifest's preprocessing, say what is odd, and make nothing")
	flags.BoolVar(&f.json, "json", false, "the content of report.json on stdout")
	return cmd
}

// options are the flags, checked.
func (f *calibrateFlags) options() (quant.Options, error) {
	o := f.Options
	method, bits := quant.Method(f.method), quant.WeightBits(f.bits)
	var budgetErr error
	if o.Budget != "" && o.Budget != "none" {
		_, budgetErr = quant.ParseBudget(o.Budget)
	}
	switch {
	case o.Bundle == "" && o.Out == "" && !o.CheckOnly:
		return o, usagef("calibrate wants --bundle DIR and --out DIR")
	case o.Bundle == "":
		return o, usagef("calibrate wants --bundle DIR")
	case o.Out == "" && !o.CheckOnly:
		return o, usagef("calibrate wants --out DIR (the bundle's own folder puts the files into it)")
	case (o.Images == "") == (o.Camera == ""):
		return o, usagef("calibrate wants --images DIR or --camera URI, one of them")
	case method != quant.Auto && !slices.Contains(quant.Methods, method):
		return o, usagef("calibrate: --method must be auto or one of %v, got %q", quant.Methods, f.method)
	case f.bits != "auto" && !slices.Contains([]quant.WeightBits{quant.Bits8, quant.Bits7, quant.BitsPair}, bits):
		return o, usagef("calibrate: --weights must be auto, 8, 7 or 8-pairwise, got %q", f.bits)
	case !tensorRTVersion.MatchString(o.TensorRT):
		return o, usagef("calibrate: --tensorrt must be a version such as 10.3, got %q", o.TensorRT)
	case budgetErr != nil:
		return o, usagef("calibrate: --budget: %v", budgetErr)
	case o.Goldens != quant.GoldenPictures && o.Goldens != quant.GoldenNone:
		return o, usagef("calibrate: --goldens must be pictures or none, got %q", o.Goldens)
	case o.MinAgreement < 0 || o.MinAgreement > 1:
		return o, usagef("calibrate: --min-agreement must be 0 to 1, got %g", o.MinAgreement)
	case o.Workers < 1 || o.Frames < 1 || o.Seconds < 0:
		return o, usagef("calibrate: --workers, --frames must be at least 1, --seconds at least 0")
	}
	o.Method, o.Tool = method, "vggse-agent "+version
	if f.bits != "auto" {
		o.Weights = bits
	}
	return o, nil
}

// print says what came out; a missed gate is exit code 3.
func (f *calibrateFlags) print(w io.Writer, r *quant.Report) error {
	var err error
	switch {
	case f.CheckOnly && f.json:
		return printJSON(w, struct {
			Pictures quant.Pictures    `json:"pictures"`
			Findings []dataset.Finding `json:"findings"`
		}{r.Pictures, r.Findings})
	case f.CheckOnly:
		return printFindings(w, r)
	case f.json:
		err = printJSON(w, r)
	default:
		err = printCalibration(w, r, f.Out)
	}
	if missed := r.Gate.Missed; err == nil && len(missed) > 0 {
		err = withCode(exitGate, fmt.Errorf("calibrate: %s: no model was put into %s, see its report.html",
			strings.Join(missed, "; "), f.Out))
	}
	return err
}
