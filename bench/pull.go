package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/vggse/vggse-agent/bundle/store"
	"github.com/vggse/vggse-agent/release"
	"github.com/vggse/vggse-agent/vision"
)

// What a pull beside the pipeline may take of it: images a second, the slowest of a hundred, memory.
const (
	pullRateBar   = 0.98
	pullSlowBar   = 1.05
	pullMemoryBar = 64 // MiB
)

// pullReport compares the saturated pipeline alone with the same while a release is pulled over and
// over, out of a folder: as fast as the disk gives it. What the kernel does for a network comes on top.
func (o *options) pullReport(ctx context.Context, r *report) error {
	work, err := os.MkdirTemp(o.scratch, "pull-*")
	if err != nil {
		return err
	}
	defer os.RemoveAll(work)
	p := &sizes{options: o, work: work}
	if err := p.keys(); err != nil {
		return err
	}
	place, err := p.publish(ctx, o.full)
	if err != nil {
		return err
	}
	for _, n := range []struct {
		title, bundle string
		threads       int
		length        float64
	}{
		{"Demo network, one inference thread", o.demo, 1, 3 * o.seconds},
		{"Full-size network, all cores", o.full, 0, 5 * o.seconds},
	} {
		rig, err := openRig(ctx, n.bundle, n.threads)
		if err != nil {
			return err
		}
		b := &besidePull{rig: rig, sizes: p, place: place}
		err = errors.Join(b.measure(ctx, o.pairs, time.Duration(n.length*float64(time.Second))), rig.close())
		if err != nil {
			return err
		}
		r.section(n.title + ", frames from memory, a full-size FP32 release pulled meanwhile")
		r.fact("alone, images/s", spread(b.alone.rate))
		r.fact("while it is pulled, images/s", spread(b.pulling.rate))
		rates, slow := ratios(b.pulling.rate, b.alone.rate), ratios(b.pulling.slow, b.alone.slow)
		r.atLeast("images/s, pulling / alone", median(rates), pullRateBar, spread(rates))
		r.atMost("p99 from frame to decision, pulling / alone", median(slow), pullSlowBar, spread(slow))
		r.atMost("memory, most while pulling less most alone, MiB", largest(b.pulling.memory)-largest(b.alone.memory),
			pullMemoryBar, fmt.Sprintf("%.0f, %.0f", largest(b.pulling.memory), largest(b.alone.memory)))
		r.fact("pulled meanwhile, MB/s", spread(b.speed))
	}
	return nil
}

// besidePull are the interleaved runs of one network.
type besidePull struct {
	*rig
	*sizes
	place          release.Place
	alone, pulling runs
	speed          []float64 // of the pulls, MB a second
}

// runs are images a second, the 99th percentile of milliseconds, and the most memory in MiB, of each.
type runs struct{ rate, slow, memory []float64 }

// late notes how old each frame is when its decision is out.
type late struct {
	counted
	ms []float64
}

func (l *late) Publish(ctx context.Context, d *vision.Decision) error {
	l.ms = append(l.ms, float64(time.Since(d.Time))/1e6)
	return l.counted.Publish(ctx, d)
}

func (b *besidePull) measure(ctx context.Context, n int, length time.Duration) error {
	took, err := b.bare.loop(length / 2)
	if err != nil {
		return err
	}
	for i := range 2 * n {
		to, beside := &b.alone, context.CancelFunc(func() {})
		var pulls sync.WaitGroup
		var failed error
		if i%4 == 1 || i%4 == 2 { // each is first in half of the pairs
			to = &b.pulling
			var within context.Context
			within, beside = context.WithCancel(ctx)
			pulls.Go(func() { failed = b.pullOn(within, length) })
		}
		l := &late{counted: counted{Publisher: discard{}}, ms: make([]float64, 0, 1<<16)}
		memory := sampled(length, func() error { return b.play(ctx, 2000/mean(took), length, b.network, l) })
		beside()
		pulls.Wait()
		if err := errors.Join(memory.err, failed); err != nil {
			return err
		}
		if l.n < 3 {
			return fmt.Errorf("the pipeline answered only %d times in %v", l.n, length)
		}
		to.rate, to.slow = append(to.rate, l.rate()), append(to.slow, percentile(l.ms, 99))
		to.memory = append(to.memory, memory.most)
	}
	return nil
}

// pullOn pulls the release on new devices until ctx ends.
func (b *besidePull) pullOn(ctx context.Context, length time.Duration) error {
	var bytes int64
	for ctx.Err() == nil {
		device, err := os.MkdirTemp(b.work, "device-*")
		if err != nil {
			return err
		}
		_, err = b.take(ctx, b.place, device, release.PullOptions{Store: store.At(device), Beside: true,
			Tell: counting(&bytes)})
		if err = errors.Join(err, os.RemoveAll(device)); err != nil && ctx.Err() == nil {
			return err
		}
	}
	b.speed = append(b.speed, float64(bytes)/1e6/length.Seconds())
	return nil
}

// counting adds up what comes, of several pulls one after the other.
func counting(sum *int64) func(release.Progress) {
	var mu sync.Mutex
	var last int64
	return func(now release.Progress) {
		mu.Lock()
		defer mu.Unlock()
		*sum += max(0, now.Bytes-last)
		last = now.Bytes
	}
}

type sample struct {
	most float64 // MiB
	err  error
}

// sampled runs do and looks now and then how much memory is resident.
func sampled(length time.Duration, do func() error) (s sample) {
	done := make(chan struct{})
	var looking sync.WaitGroup
	looking.Go(func() {
		for tick := time.NewTicker(length / 50); ; {
			s.most = max(s.most, resident())
			select {
			case <-done:
				tick.Stop()
				return
			case <-tick.C:
			}
		}
	})
	s.err = do()
	close(done)
	looking.Wait()
	return s
}

// resident is the memory of this process, MiB; 0 where the kernel does not say.
func resident() float64 {
	text, err := os.ReadFile("/proc/self/statm")
	fields := strings.Fields(string(text))
	if err != nil || len(fields) < 2 {
		return 0
	}
	pages, err := strconv.Atoi(fields[1])
	if err != nil {
		return 0
	}
	return float64(pages*os.Getpagesize()) / (1 << 20)
}

// publish puts a bundle, signed under the next number, into a folder of its own.
func (p *sizes) publish(ctx context.Context, dir string) (release.Place, error) {
	p.number++
	place := release.Place{Path: filepath.Join(p.work, fmt.Sprint("layout-", p.number))}
	without, err := pictured(dir)
	if err != nil {
		return place, err
	}
	m, err := release.NewImage(ctx, dir, without)
	if err != nil {
		return place, err
	}
	s, err := release.Sign(m, release.SignOptions{Name: "full", Release: p.number}, p.secret)
	if err != nil {
		return place, err
	}
	return place, release.Push(ctx, m, s, place)
}

// take pulls what is in a place onto a device, and returns what travelled, bytes.
func (p *sizes) take(ctx context.Context, place release.Place, device string, o release.PullOptions) (int64, error) {
	gate := &release.Gate{Folder: filepath.Join(p.work, "trust"), Require: release.RequireTrue, StateDir: device}
	r, err := release.Open(ctx, place, gate, release.Wanted{})
	if err != nil {
		return 0, err
	}
	defer r.Close()
	done, err := r.Pull(ctx, o)
	if err != nil {
		return 0, err
	}
	return done.Fetched + int64(len(r.Text)), nil
}
