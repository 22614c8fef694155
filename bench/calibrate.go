package main

import (
	"context"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
)

// How long all of 'vggse-agent calibrate' takes, in real time and on the processor, of three networks;
// with -before beside another binary, in turn.

func (o *options) calibrateDemo(ctx context.Context, r *report) error {
	return o.calibrateTimed(ctx, r, "Demo network", o.demo, 640, min(o.pairs, 3), 10)
}

func (o *options) calibrateSmall(ctx context.Context, r *report) error {
	small := filepath.Join(o.scratch, "small-5mb")
	if err := o.made(ctx, small, "--width", "0.25", "--input", "96", "--hidden", "256", "--pool", "3", "--classes",
		"13"); err != nil {
		return err
	}
	return o.calibrateTimed(ctx, r, "5 MB, random weights", small, 650, min(o.pairs, 3), 60)
}

func (o *options) calibrateFull(ctx context.Context, r *report) error {
	return o.calibrateTimed(ctx, r, "Full size, random weights", o.full, 160, 1, 240)
}

// calibrateTimed calibrates a bundle so many times; bar is for the seconds.
func (o *options) calibrateTimed(ctx context.Context, r *report, title, bundleDir string, n, runs int,
	bar float64) error {
	r.section(fmt.Sprintf("%s, %d pictures", title, n))
	pictures, err := o.drawn(ctx, fmt.Sprint("calibrate-", n), n, 11)
	if err != nil {
		return err
	}
	var took, cpu, theirs, theirCPU []float64
	var last *calibrated
	for range runs {
		c, err := o.calibrateOnce(ctx, o.agent, bundleDir, pictures)
		if err != nil {
			return err
		}
		took, cpu, last = append(took, c.seconds), append(cpu, c.cpu), c
		if o.before == "" {
			continue
		}
		if c, err = o.calibrateOnce(ctx, o.before, bundleDir, pictures); err != nil {
			return err
		}
		theirs, theirCPU = append(theirs, c.seconds), append(theirCPU, c.cpu)
	}
	r.atMost("seconds", median(took), bar, spread(took))
	r.fact("of the processor, seconds", spread(cpu))
	r.fact("its steps, seconds", steps(last.Seconds))
	r.fact("its steps, of the processor, seconds", steps(last.Processor))
	r.fact("peak memory, MB", fmt.Sprintf("%.0f", last.peak))
	if o.before != "" {
		r.fact("over "+filepath.Base(o.before)+": seconds; of the processor",
			spread(ratios(took, theirs))+"; "+spread(ratios(cpu, theirCPU)))
	}
	return nil
}

// steps are the times of a calibration's steps in a line.
func steps(seconds map[string]float64) string {
	var all []string
	for _, name := range slices.Sorted(maps.Keys(seconds)) {
		all = append(all, fmt.Sprintf("%s %.1f", name, seconds[name]))
	}
	return strings.Join(all, ", ")
}

// calibrateOnce makes all files anew.
func (o *options) calibrateOnce(ctx context.Context, agent, bundleDir, pictures string) (*calibrated, error) {
	out := filepath.Join(o.scratch, "calibrated-timed")
	if err := os.RemoveAll(out); err != nil {
		return nil, err
	}
	with := *o
	with.agent = agent
	return with.calibrate(ctx, "--bundle", bundleDir, "--images", pictures, "--out", out)
}
