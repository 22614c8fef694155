package main

import (
	"encoding/json"
	"fmt"
	"io"
	"io/fs"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"text/tabwriter"

	"github.com/vggse/vggse-agent/bundle"
	"github.com/vggse/vggse-agent/internal/atomicfile"
	"github.com/vggse/vggse-agent/quant"
)

// deliver makes --out the bundle that lies aside; where the gate was missed, it only gets the reports.
func (c *calibration) deliver() error {
	if err := writeReports(c.dir, &c.report); err != nil {
		return err
	}
	if len(c.report.Gate.Missed) > 0 {
		if err := os.MkdirAll(c.out, 0o755); err != nil {
			return err
		}
		return writeReports(c.out, &c.report)
	}
	if err := os.RemoveAll(c.path("frames")); err != nil {
		return err
	}
	if err := c.complete(); err != nil {
		return err
	}
	return atomicfile.ReplaceDir(c.dir, c.out)
}

// complete makes the folder aside a bundle: the input's files beside the new ones, and a manifest of all.
func (c *calibration) complete() error {
	spec := c.bundle.Spec
	spec.Files = maps.Clone(spec.Files)
	made := map[string]bool{bundle.SpecFile: true, "calibration.flatbuffers": true, "calibration.txt": true} // old tables stay behind
	for _, f := range c.report.Files {
		spec.Files[f.Key] = bundle.File{Path: f.Path, SHA256: f.SHA256, Bytes: f.Bytes}
		made[f.Path] = true
	}
	for key, f := range spec.Files { // of an earlier calibration, no longer made
		if stale := strings.HasPrefix(key, "int8.") || key == bundle.FileFP16; stale && !made[f.Path] {
			delete(spec.Files, key)
			made[f.Path] = true
		}
	}
	err := filepath.WalkDir(c.bundle.Dir, func(path string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() {
			return err
		}
		rel, err := filepath.Rel(c.bundle.Dir, path)
		if err != nil || made[rel] {
			return err
		}
		if _, err := os.Lstat(c.path(rel)); err == nil {
			return nil // the new report
		}
		return atomicfile.LinkOrCopy(path, c.path(rel))
	})
	if err != nil {
		return err
	}
	return bundle.WriteSpec(c.dir, &spec)
}

// writeReports writes report.json, report.html and plan.json.
func writeReports(dir string, r *quant.Report) error {
	for name, v := range map[string]any{"report.json": r, "plan.json": r.Plan} {
		err := atomicfile.WriteFile(filepath.Join(dir, name), func(w io.Writer) error {
			enc := json.NewEncoder(w)
			enc.SetIndent("", " ")
			return enc.Encode(v)
		})
		if err != nil {
			return err
		}
	}
	return atomicfile.WriteFile(filepath.Join(dir, "report.html"), func(w io.Writer) error { return quant.WriteHTML(w, r) })
}

// printFindings is what --check says.
func (c *calibration) printFindings(w io.Writer) error {
	if c.json {
		return printJSON(w, struct {
			Pictures quant.Pictures  `json:"pictures"`
			Findings []quant.Finding `json:"findings"`
		}{c.report.Pictures, c.report.Findings})
	}
	if len(c.report.Findings) == 0 {
		_, err := fmt.Fprintf(w, "%d pictures, nothing odd about them\n", c.report.Pictures.Calibration)
		return err
	}
	for _, f := range c.report.Findings {
		if _, err := fmt.Fprintf(w, "%s: %s: %s (%s)\n", f.Severity, f.Check, f.Evidence, f.Cure); err != nil {
			return err
		}
	}
	return nil
}

// printReport is the report for a terminal.
func printReport(w io.Writer, r *quant.Report, out string) error {
	fmt.Fprintf(w, "%s, calibrated on %d pictures, judged on %d others; %s, ONNX Runtime %s\n\n",
		r.Bundle, r.Pictures.Calibration, r.Pictures.HeldOut, r.Machine.CPU, r.Machine.Runtime)
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
		fmt.Fprintf(t, "%s\t%.2f\t%.1f %%\t%.2f %% (%.2f–%.2f)\t%s\t%.1f dB\t%s\t%s\t%s\n", f.Path, float64(f.Bytes)/1e6, 100*f.Share,
			100*v.Agreement.Value, 100*v.Agreement.Low, 100*v.Agreement.High, top1, v.SQNR, ms, faster, fused)
	}
	if err := t.Flush(); err != nil {
		return err
	}
	var tried []string
	for _, x := range r.Tried {
		tried = append(tried, fmt.Sprintf("%s %.1f dB", x.Method, x.SQNR))
	}
	fmt.Fprintf(w, "\nthresholds: %s (tried on pictures that gave no ranges: %s); weights: %s bits\nfarthest from FP32: %s\n",
		r.Chosen, strings.Join(tried, ", "), r.Plan.Bits, strings.Join(r.Gate.Worst, ", "))
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
