package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"sync"
	"syscall"
	"time"

	"github.com/vggse/vggse-agent/teach"
)

// Bars of teach as a verb, beside the runs of the network.
const (
	teachSeconds = 10
	teachMiB     = 200
	teachRate    = 0.99 // of what a camera of 15 frames a second gets without it
	cameraRate   = 15
)

// teachCost runs teach on 50 pictures of each of the demo's labels, in turn with features, which does the same runs
// of the network and fits nothing.
func (o *options) teachCost(ctx context.Context, r *report) error {
	images, err := o.drawn(ctx, "teach-cost", 650, 405)
	if err != nil {
		return err
	}
	var beyond, fits []float64
	out := filepath.Join(o.scratch, "teach-cost-out")
	for range max(1, o.pairs/3) {
		if err := os.RemoveAll(out); err != nil {
			return err
		}
		plain, err := peak(ctx, o.agent, "features", o.demo, "--images", images, "--views", "--out", out+".safetensors")
		if err != nil {
			return err
		}
		whole, err := peak(ctx, o.agent, "teach", o.demo, "--images", images, "--out", out)
		if err != nil {
			return err
		}
		text, err := os.ReadFile(filepath.Join(out, "report.json"))
		if err != nil {
			return err
		}
		var said teach.Report
		if err := json.Unmarshal(text, &said); err != nil {
			return err
		}
		beyond, fits = append(beyond, whole-plain), append(fits, said.Fit)
	}
	r.section("teach of the demo's 13 labels with 50 pictures each, three looks at each, as a process")
	r.atMost("seconds besides the runs of the network", largest(fits), teachSeconds, spread(fits))
	r.atMost("largest resident memory beyond that of features on the same pictures, MiB", largest(beyond), teachMiB,
		spread(beyond))
	return o.teachBeside(ctx, r, images)
}

// teachBeside holds the pipeline with a camera's rate alone against the same while teach runs, again and again, in a
// process of its own.
func (o *options) teachBeside(ctx context.Context, r *report, images string) error {
	rig, err := openRig(ctx, o.demo, 1)
	if err != nil {
		return err
	}
	length := time.Duration(3 * o.seconds * float64(time.Second))
	var rate, slow [2][]float64
	for i := range 2 * o.pairs {
		beside := (i + 1) / 2 % 2 // each is first in half of the pairs
		within, end := context.WithCancel(ctx)
		var running sync.WaitGroup
		var failed error
		if beside == 1 {
			running.Go(func() { failed = o.teachOn(within, images) })
		}
		l := &late{counted: counted{Publisher: discard{}}, ms: make([]float64, 0, 1<<12)}
		err = rig.play(ctx, cameraRate, length, rig.network, l)
		end()
		running.Wait()
		if err = errors.Join(err, failed); err != nil {
			break
		}
		rate[beside] = append(rate[beside], l.rate())
		slow[beside] = append(slow[beside], percentile(l.ms, 99))
	}
	if err := errors.Join(err, rig.close()); err != nil {
		return err
	}
	r.section("A camera of 15 frames a second, the demo's network on one thread, while teach runs beside it")
	rates := ratios(rate[1], rate[0])
	r.atLeast("frames a second, beside teach / alone", median(rates), teachRate, spread(rates))
	r.fact("frames a second, alone", spread(rate[0]))
	r.fact("p99 from frame to decision, ms, alone and beside teach", spread(slow[0])+", "+spread(slow[1]))
	return nil
}

// teachOn teaches until ctx ends.
func (o *options) teachOn(ctx context.Context, images string) error {
	out := filepath.Join(o.scratch, "teach-beside-out")
	for ctx.Err() == nil {
		if err := os.RemoveAll(out); err != nil {
			return err
		}
		_, err := peak(ctx, o.agent, "teach", o.demo, "--images", images, "--out", out)
		if err != nil && ctx.Err() == nil {
			return err
		}
	}
	return os.RemoveAll(out)
}

// peak is the largest resident memory of a command, MiB. A gate that it misses (exit 3) is no error.
func peak(ctx context.Context, name string, args ...string) (float64, error) {
	cmd := exec.CommandContext(ctx, name, args...)
	text, err := cmd.CombinedOutput()
	var ended *exec.ExitError
	if err != nil && !(errors.As(err, &ended) && ended.ExitCode() == 3) {
		return 0, fmt.Errorf("%s %s: %w\n%s", name, args[0], err, text)
	}
	return float64(cmd.ProcessState.SysUsage().(*syscall.Rusage).Maxrss) / 1024, nil
}
