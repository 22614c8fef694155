package main

import (
	"cmp"
	"fmt"
	"io"
	"slices"
	"strings"
	"text/tabwriter"

	"github.com/vggse/vggse-agent/internal/round"
	"github.com/vggse/vggse-agent/quant"
)

// printFindings is what calibrate --check says.
func printFindings(w io.Writer, r *quant.Report) error {
	if len(r.Findings) == 0 {
		_, err := fmt.Fprintf(w, "%s, nothing odd about them\n", round.Pictures(r.Pictures.Calibration))
		return err
	}
	for _, f := range r.Findings {
		if _, err := fmt.Fprintf(w, "%s: %s: %s (%s)\n", f.Severity, f.Check, f.Evidence, f.Cure); err != nil {
			return err
		}
	}
	return nil
}

// printCalibration is the report for a terminal.
func printCalibration(w io.Writer, r *quant.Report, out string) error {
	fmt.Fprintf(w, "%s, calibrated on %s, judged on %s; %s, ONNX Runtime %s\n\n",
		r.Bundle, round.Pictures(r.Pictures.Calibration), round.Count(r.Pictures.HeldOut, "other", "others"),
		r.Machine.CPU, r.Machine.Runtime)
	t := tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)
	fmt.Fprintln(t, "file\tMB\tof FP32\tagreement (95 %)\ttop-1\tlogit SQNR\tms\tspeed-up\tintegers")
	for _, f := range r.Files {
		v := f.Verdict
		top1, ms, faster, fused := "–", "–", "–", "–"
		if v.Top1 != nil {
			top1 = fmt.Sprintf("%.2f %% (%+.2f)", 100*v.Top1.Value, 100*(v.Top1.Value-v.Top1FP32.Value))
		}
		if f.Latency != nil {
			ms, faster = fmt.Sprintf("%.2f", f.Latency.Here), fmt.Sprintf("%.2f×", f.Latency.Speedup)
		}
		if p := f.Proof; p != nil {
			fused = fmt.Sprintf("%d/%d conv, %d/%d dense", p.Convolutions, p.WantConv, p.Dense, p.WantDense)
		}
		fmt.Fprintf(t, "%s\t%.2f\t%.1f %%\t%.2f %% (%.2f–%.2f)\t%s\t%.1f dB\t%s\t%s\t%s\n", f.Path,
			float64(f.Bytes)/1e6, 100*f.Share,
			100*v.Agreement.Value, 100*v.Agreement.Low, 100*v.Agreement.High, top1, v.SQNR, ms, faster, fused)
	}
	if err := t.Flush(); err != nil {
		return err
	}
	var tried []string
	for _, x := range r.Tried {
		tried = append(tried, fmt.Sprintf("%s %.1f dB", x.Method, x.SQNR))
	}
	if p := cmp.Or(r.Plan, r.Signed); p != nil {
		fmt.Fprintf(w, "\nthresholds: %s (tried on pictures that gave no ranges: %s); weights: %s bits\nfarthest from "+
			"FP32: %s\n",
			r.Chosen, strings.Join(tried, ", "), p.Bits, strings.Join(r.Gate.Worst, ", "))
	}
	for _, f := range r.Findings {
		fmt.Fprintf(w, "%s: %s: %s (%s)\n", f.Severity, f.Check, f.Evidence, f.Cure)
	}
	if len(r.Gate.Missed) > 0 {
		_, err := fmt.Fprintf(w, "\nThe gate was missed: %s\n", strings.Join(r.Gate.Missed, "; "))
		return err
	}
	keys := slices.Collect(func(yield func(string) bool) {
		for _, f := range r.Files {
			if !yield(f.Path) {
				return
			}
		}
	})
	_, err := fmt.Fprintf(w, "\n%s now holds %s and report.html\n", out, strings.Join(keys, ", "))
	return err
}
