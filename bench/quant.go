package main

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"

	"github.com/vggse/vggse-agent/bundle"
	"github.com/vggse/vggse-agent/eval"
	"github.com/vggse/vggse-agent/quant"
)

// Pictures of the calibrations: two seeds, as what is judged on must not be what was calibrated on.
const (
	tunePictures = 1300
	heldPictures = 10_400
)

// calibrated is one run of 'vggse-agent calibrate' as a process.
type calibrated struct {
	quant.Report
	peak    float64 // MB of resident memory at most
	seconds float64
	cpu     float64 // seconds of the processor
}

// file is what the report says of one file.
func (c *calibrated) file(key string) quant.FileReport {
	for _, f := range c.Files {
		if f.Key == key {
			return f
		}
	}
	return quant.FileReport{Verdict: &eval.Verdict{}}
}

// calibrate runs the verb; a missed gate is an answer, too.
func (o *options) calibrate(ctx context.Context, args ...string) (*calibrated, error) {
	var stdout, stderr bytes.Buffer
	cmd := exec.CommandContext(ctx, o.agent, append([]string{"calibrate", "--json"}, args...)...)
	cmd.Stdout, cmd.Stderr = &stdout, &stderr
	err := cmd.Run()
	var c calibrated
	if json.Unmarshal(stdout.Bytes(), &c.Report) != nil || len(c.Files) == 0 {
		return nil, fmt.Errorf("calibrate %s: %w\n%s", strings.Join(args, " "), err, stderr.Bytes())
	}
	c.peak = float64(cmd.ProcessState.SysUsage().(*syscall.Rusage).Maxrss) * 1024 / 1e6
	c.cpu = (cmd.ProcessState.UserTime() + cmd.ProcessState.SystemTime()).Seconds()
	for _, s := range c.Seconds {
		c.seconds += s
	}
	return &c, nil
}

// drawn sees that there are n pictures of the demo in the folder.
func (o *options) drawn(ctx context.Context, name string, n, seed int) (string, error) {
	return o.drawnAt(ctx, name, n, seed, "320x180")
}

// drawnAt is drawn for another size.
func (o *options) drawnAt(ctx context.Context, name string, n, seed int, size string) (string, error) {
	dir := filepath.Join(o.scratch, name)
	if _, err := os.Stat(dir); err == nil {
		return dir, nil
	}
	aside := dir + ".part"
	out, err := exec.CommandContext(ctx, o.agent, "demo-data", "--out", aside, "--n", strconv.Itoa(n), "--seed",
		strconv.Itoa(seed), "--size", size).CombinedOutput()
	if err != nil {
		return "", fmt.Errorf("%s demo-data: %w\n%s", o.agent, err, out)
	}
	return dir, os.Rename(aside, dir)
}

// accuracyReport calibrates the demo network and judges it on pictures of another seed.
func (o *options) accuracyReport(ctx context.Context, r *report) error {
	tune, err := o.drawn(ctx, "tune", tunePictures, 11)
	if err != nil {
		return err
	}
	held, err := o.drawn(ctx, "held", heldPictures, 4242)
	if err != nil {
		return err
	}
	out := filepath.Join(o.scratch, "calibrated")
	if err := os.RemoveAll(out); err != nil {
		return err
	}
	r.section(fmt.Sprintf("Demo network, calibrated on %d pictures, judged on %d of another seed", tunePictures,
		heldPictures))
	c, err := o.calibrate(ctx, "--bundle", o.demo, "--images", tune, "--eval", held, "--out", out)
	if err != nil {
		return err
	}
	for _, f := range []struct {
		key                   string
		loss, agreement, sqnr float64
	}{
		{bundle.FileINT8CPU, 0.30, 98.5, 29.5}, {bundle.FileINT8TRT, 0.30, 98.5, 29.5},
		{bundle.FileINT8TRT11, 0.30, 98.5, 29.5}, {bundle.FileFP16, 0.05, 99.9, 60},
	} {
		v := c.file(f.key).Verdict
		if v.Top1 == nil {
			return fmt.Errorf("no verdict on %s", f.key)
		}
		loss := 100 * (v.Top1FP32.Value - v.Top1.Value)
		r.atMost(f.key+": top-1 lost, points", loss, f.loss, fmt.Sprintf("%.3f (%.2f → %.2f %%)", loss,
			100*v.Top1FP32.Value, 100*v.Top1.Value))
		r.atLeast(f.key+": answers as FP32, %", 100*v.Agreement.Value, f.agreement,
			fmt.Sprintf("%.2f (%.2f–%.2f)", 100*v.Agreement.Value, 100*v.Agreement.Low, 100*v.Agreement.High))
		r.atLeast(f.key+": logit SQNR, dB", v.SQNR, f.sqnr, fmt.Sprintf("%.1f", v.SQNR))
	}
	for key, s := range c.Searches {
		r.fact(key+": demoted", strings.Join(append([]string{fmt.Sprint(len(s.Changes))}, s.Changes...), " "))
	}
	return o.methodsReport(ctx, r, tune, held)
}

// methodsReport holds auto against each single method.
func (o *options) methodsReport(ctx context.Context, r *report, tune, held string) error {
	r.section("The methods on the same pictures, nothing demoted: logit SQNR in dB, int8.cpu / int8.trt")
	got := map[string]*calibrated{}
	for _, m := range []string{"auto", "minmax", "percentile", "entropy", "mse"} {
		out := filepath.Join(o.scratch, "method")
		if err := os.RemoveAll(out); err != nil {
			return err
		}
		c, err := o.calibrate(ctx, "--bundle", o.demo, "--images", tune, "--eval", held, "--out", out, "--method", m,
			"--budget", "none", "--seconds", "0.1", "--min-agreement", "0")
		if err != nil {
			return err
		}
		got[m] = c
		cpu, trt := c.file(bundle.FileINT8CPU).Verdict.SQNR, c.file(bundle.FileINT8TRT).Verdict.SQNR
		what, bar, ok := fmt.Sprintf("%.2f / %.2f", cpu, trt), "", ""
		if m != "auto" {
			a := got["auto"]
			bar, ok = "≤ auto", verdict(cpu <= a.file(bundle.FileINT8CPU).Verdict.SQNR &&
				trt <= a.file(bundle.FileINT8TRT).Verdict.SQNR)
		}
		r.row(m, what, bar, ok)
	}
	return nil
}

// int8SpeedReport measures what is fast and what it takes, on a machine that does nothing else.
func (o *options) int8SpeedReport(ctx context.Context, r *report) error {
	few, err := o.drawn(ctx, "few", 39, 12)
	if err != nil {
		return err
	}
	out := filepath.Join(o.scratch, "full-calibrated")
	if err := os.RemoveAll(out); err != nil {
		return err
	}
	r.section("Full-size network, random weights, 224×224, CPU provider, one thread")
	c, err := o.calibrate(ctx, "--bundle", o.full, "--images", few, "--out", out, "--method", "minmax", "--budget",
		"none", "--min-agreement", "0", "--workers", "1", "--seconds", "20")
	if err != nil {
		return err
	}
	f := c.file(bundle.FileINT8CPU)
	r.atLeast("INT8 over FP32, median of interleaved runs", f.Latency.Speedup, 4.0,
		fmt.Sprintf("%.2f× (%.1f → %.1f ms, %d runs)", f.Latency.Speedup, f.Latency.FP32, f.Latency.Here,
			f.Latency.Runs))
	r.atLeast("convolutions on integers, of 13", float64(f.Proof.Convolutions), 13, fmt.Sprint(f.Proof.Convolutions))
	r.atLeast("fully connected layers on integers, of 3", float64(f.Proof.Dense), 3, fmt.Sprint(f.Proof.Dense))
	r.atMost("size of int8.cpu.onnx over fp32.onnx", f.Share, 0.252,
		fmt.Sprintf("%.4f (%.1f MB)", f.Share, float64(f.Bytes)/1e6))
	bare, err := o.bareJob(ctx, o.full, 1)
	if err != nil {
		return err
	}
	r.atMost("peak memory of calibrate beyond FP32 inference, MB", c.peak-bare, 200,
		fmt.Sprintf("%.0f (%.0f − %.0f)", c.peak-bare, c.peak, bare))
	if err := o.growthReport(ctx, r); err != nil {
		return err
	}
	for _, n := range []struct {
		title, bundle  string
		images, rounds int
	}{{"demo network", o.demo, 256, o.pairs}, {"full-size network", o.full, 24, 5}} {
		ratio, err := collectRates(ctx, n.bundle, filepath.Join(o.scratch, "probe.onnx"), n.images, n.rounds)
		if err != nil {
			return err
		}
		r.atLeast("collecting over plain FP32 inference, two workers, "+n.title, median(ratio), 0.85, spread(ratio))
	}
	return nil
}

// bareJob is the peak memory in MB of a bare session that runs the bundle's FP32 file.
func (o *options) bareJob(ctx context.Context, bundleDir string, threads int) (float64, error) {
	self, err := os.Executable()
	if err != nil {
		return 0, err
	}
	cmd := exec.CommandContext(ctx, self, "-threads", strconv.Itoa(threads), "bare", bundleDir)
	if out, err := cmd.CombinedOutput(); err != nil {
		return 0, fmt.Errorf("bare session: %w\n%s", err, out)
	}
	return float64(cmd.ProcessState.SysUsage().(*syscall.Rusage).Maxrss) * 1024 / 1e6, nil
}

// growthReport compares the memory of a calibration on 64 pictures with that of one on 4,096.
func (o *options) growthReport(ctx context.Context, r *report) error {
	eval, err := o.drawn(ctx, "few", 39, 12)
	if err != nil {
		return err
	}
	used, tune := []int{64, 4096}, make([]string, 2)
	for i, drawn := range []int{80, 4608} {
		if tune[i], err = o.drawn(ctx, fmt.Sprint("growth-", used[i]), drawn, 13); err != nil {
			return err
		}
	}
	const rounds = 3 // a garbage collection more or less is 10 MB
	out := filepath.Join(o.scratch, "growth")
	var peaks [2][]float64
	for k := range 2 * rounds {
		i := k % 2
		if err := os.RemoveAll(out); err != nil {
			return err
		}
		c, err := o.calibrate(ctx, "--bundle", o.demo, "--images", tune[i], "--eval", eval, "--out", out, "--method",
			"minmax", "--budget", "none", "--min-agreement", "0", "--seconds", "0.1")
		if err != nil {
			return err
		}
		if c.Pictures.Calibration != used[i] {
			return fmt.Errorf("calibrated on %d pictures, want %d", c.Pictures.Calibration, used[i])
		}
		peaks[i] = append(peaks[i], c.peak)
	}
	few, many := median(peaks[0]), median(peaks[1])
	r.atMost(fmt.Sprintf("peak memory, from 64 to 4,096 pictures (demo network, medians of %d), MB more", rounds),
		many-few, 16, fmt.Sprintf("%.1f (%.0f → %.0f)", many-few, few, many))
	return nil
}

// quantizeReport is the table of bench/peer/quantize_static.py.
func (o *options) quantizeReport(ctx context.Context, r *report) error {
	held, err := o.drawn(ctx, "held", heldPictures, 4242)
	if err != nil {
		return err
	}
	few, err := o.drawn(ctx, "few", 39, 12)
	if err != nil {
		return err
	}
	for _, n := range []struct{ title, bundle, pictures, tune, judge string }{
		{"demo network", "calibrated", held, "200", "2000"}, {"full-size network", "full-calibrated", few, "16", "16"},
	} {
		fmt.Fprintf(&r.text, "\n## ONNX Runtime's quantize_static on the same model, pictures and judge, %s\n\n",
			n.title)
		cmd := exec.CommandContext(ctx, o.python, "bench/peer/quantize_static.py", filepath.Join(o.scratch, n.bundle),
			n.pictures, "--agent", o.agent, "--calibrate", n.tune, "--judge", n.judge)
		cmd.Stderr = os.Stderr
		out, err := cmd.Output()
		if err != nil {
			return fmt.Errorf("%s: %w", cmd, err)
		}
		r.text.Write(out)
	}
	return nil
}
