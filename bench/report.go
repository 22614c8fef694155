package main

import (
	"bytes"
	"context"
	"fmt"
	"log"
	"path/filepath"
	"time"
)

// report is a Markdown page of what was measured.
type report struct{ text bytes.Buffer }

func newReport(what string, o *options) *report {
	r := &report{}
	fmt.Fprintf(&r.text, "# Speed: %s\n\n%s.\n\n", what, machine())
	fmt.Fprintf(&r.text, "Made by `make bench` (`bench -pairs %d %s`). Medians of interleaved runs, with the range "+
		"in brackets; ", o.pairs, what)
	fmt.Fprint(&r.text, "ratios are taken pair by pair. A bar is what this project asks of itself.\n")
	return r
}

func (r *report) section(title string) {
	log.Print(title)
	fmt.Fprintf(&r.text, "\n## %s\n\n| what | measured | bar | |\n|---|---|---|---|\n", title)
}

func (r *report) row(what, measured, bar, verdict string) {
	log.Printf("  %s: %s", what, measured)
	fmt.Fprintf(&r.text, "| %s | %s | %s | %s |\n", what, measured, bar, verdict)
}

// atLeast and atMost are rows that are held against a bar.
func (r *report) atLeast(what string, got, bar float64, measured string) {
	r.row(what, measured, fmt.Sprintf("≥ %.3g", bar), verdict(got >= bar))
}

func (r *report) atMost(what string, got, bar float64, measured string) {
	r.row(what, measured, fmt.Sprintf("≤ %.3g", bar), verdict(got <= bar))
}

func (r *report) fact(what, measured string) { r.row(what, measured, "", "") }

func verdict(ok bool) string {
	if ok {
		return "met"
	}
	return "**missed**"
}

// ringReport measures the pipeline in this process, on decoded frames in memory.
func (o *options) ringReport(ctx context.Context, r *report) error {
	l, err := listen(ctx)
	if err != nil {
		return fmt.Errorf("mosquitto: %w", err)
	}
	defer l.close()
	for _, n := range []struct {
		title, bundle string
		threads       int
		length, bar   float64
	}{
		{"Demo network, one inference thread, frames from memory", o.demo, 1, o.seconds, 0.95},
		{"Full-size network, all cores, frames from memory", o.full, 0, 3 * o.seconds, 0.97},
	} {
		r.section(n.title)
		rig, err := openRig(ctx, n.bundle, n.threads)
		if err != nil {
			return err
		}
		length := time.Duration(n.length * float64(time.Second))
		m, err := rig.measure(ctx, o.pairs, length, "tcp://"+l.address)
		if err != nil {
			return err
		}
		ratio := ratios(m.pipelineRate, m.bareRate)
		r.fact("bare session, images/s", spread(m.bareRate))
		r.fact("source, frames/s (asked: twice the bare session)", spread(m.sourceRate))
		r.fact("pipeline, images/s", spread(m.pipelineRate))
		r.atLeast("pipeline / bare", median(ratio), n.bar, spread(ratio))
		r.fact("CPU an image, ms: bare session, whose waiting threads spin", spread(m.bareCPU))
		r.fact("CPU an image, ms: pipeline, preprocessing of dropped frames included", spread(m.pipelineCPU))
		bare99, wire99 := percentile(m.bareRun, 99), percentile(m.frameToWire, 99)
		r.fact("bare run, ms: p50, p99", fmt.Sprintf("%.2f, %.2f", median(m.bareRun), bare99))
		r.atMost("frame to PUBLISH on the wire, p99 ms (bar: bare p99 + 5)", wire99, bare99+5,
			fmt.Sprintf("%.2f (p50 %.2f, %d frames)", wire99, median(m.frameToWire), len(m.frameToWire)))
		if n.threads == 1 {
			if err := o.outsideReport(ctx, r, rig, l, median(m.bareRate), length); err != nil {
				return err
			}
		}
		if err := rig.close(); err != nil {
			return err
		}
	}
	return nil
}

// outsideReport compares what a frame costs beside the network's run, here and in the script.
func (o *options) outsideReport(ctx context.Context, r *report, rig *rig, l *listener, rate float64,
	length time.Duration) error {
	file := filepath.Join(o.scratch, "conveyor-60.mp4")
	if err := (film{1280, 720, 60}).write(ctx, file); err != nil {
		return fmt.Errorf("ffmpeg: %w", err)
	}
	link, stop, err := connect(ctx, "tcp://"+l.address, "")
	if err != nil {
		return err
	}
	defer stop()
	var ours, script, allocations, inner []float64
	for range o.pairs {
		cpu, count, err := rig.outside(ctx, rate, length, link)
		if err != nil {
			return err
		}
		theirs, err := o.scriptOutside(ctx, l, o.demo, file, int(rate*length.Seconds()/2))
		if err != nil {
			return err
		}
		_, none, err := rig.outside(ctx, rate, length, discard{})
		if err != nil {
			return err
		}
		ours, script = append(ours, cpu), append(script, theirs)
		allocations, inner = append(allocations, count), append(inner, none)
	}
	ratio := ratios(ours, script)
	r.fact("CPU outside the run, ms a frame: agent", spread(ours))
	r.fact("CPU outside the run, ms a frame: script", spread(script))
	r.atMost("agent / script", median(ratio), 0.45, spread(ratio))
	r.atMost("allocations a frame, capture to decision", median(inner), 0.5, spread(inner))
	r.fact("allocations a frame, with its message", spread(allocations))
	return nil
}

// peerReport runs agent and script as processes, on an H.264 file.
func (o *options) peerReport(ctx context.Context, r *report) error {
	for _, n := range []struct {
		title, bundle    string
		threads          int
		film             film
		honest           float64 // of the bare loop that the script must reach, or the comparison is void
		startBar         float64
		startAgainstPeer bool
	}{
		// A film of 1280×720 takes longer to decode than the demo network to run, on either side:
		// this is the one that compares.
		{"Demo network, one inference thread, H.264 file of 640×360", o.demo, 1, film{640, 360, 1200}, 0.4, 1.5, true},
		{"Demo network, one inference thread, H.264 file of 1280×720", o.demo, 1, film{1280, 720, 600}, 0.4, 1.5, true},
		{"Full-size network, all cores, H.264 file of 1280×720", o.full, 0, film{1280, 720, 60}, 0.9, 1.2, false},
	} {
		r.section(n.title)
		p, err := o.compare(ctx, n.bundle, n.threads, n.film, o.pairs)
		if err != nil {
			return err
		}
		var script, ours, cpu, theirCPU, peak, theirPeak, all, first, theirFirst []float64
		for i, a := range p.agent {
			s := p.script[i]
			ours, script = append(ours, a.rate), append(script, s.rate)
			cpu, theirCPU = append(cpu, a.cpu), append(theirCPU, s.cpu)
			peak, theirPeak = append(peak, a.peak), append(theirPeak, s.peak)
			all = append(all, a.all)
			first, theirFirst = append(first, a.first), append(theirFirst, s.first)
		}
		honest := ratios(script, p.bareRate)
		r.fact("bare session, images/s", spread(p.bareRate))
		r.atLeast("script / bare (else this comparison is void)", median(honest), n.honest, spread(honest))
		r.against("images/s", ours, script, true)
		r.against("CPU a frame, ms", cpu, theirCPU, false)
		r.against("peak memory of the process, MiB", peak, theirPeak, false)
		r.fact("agent and its camera's child, what both have counted once, MiB", spread(all))
		start := ratios(first, theirFirst)
		r.against("start to first result, s", first, theirFirst, false)
		r.fact("start to first run of a bare session, s", spread(p.bareStart))
		what := "start: agent / script"
		if !n.startAgainstPeer {
			start, what = ratios(first, p.bareStart), "start: agent / bare session"
		}
		r.atMost(what, median(start), n.startBar, spread(start))
	}
	return nil
}

// against is a row of agent and script; the agent is to be ahead.
func (r *report) against(what string, ours, script []float64, more bool) {
	ratio := ratios(ours, script)
	bar, ok := "< 1", median(ratio) < 1
	if more {
		bar, ok = "> 1", median(ratio) > 1
	}
	r.row(what+": agent / script", fmt.Sprintf("%s / %s = %s", spread(ours), spread(script), spread(ratio)), bar,
		verdict(ok))
}
