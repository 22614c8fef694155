package agent

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/vggse/vggse-agent/agent/shadow"
	"github.com/vggse/vggse-agent/bundle/store"
	"github.com/vggse/vggse-agent/configs"
	"github.com/vggse/vggse-agent/device"
	"github.com/vggse/vggse-agent/infer"
	"github.com/vggse/vggse-agent/mqtt"
	"github.com/vggse/vggse-agent/vision"
)

// shadowChild is this test program as the process of a new model; the version of its bundle says
// what goes wrong there, after a few pictures.
func shadowChild(dir string) int {
	shadow.Prepare()
	one := infer.Config{Providers: []string{infer.CPU}, Threads: 1}
	n, err := infer.OpenBundle(context.Background(), dir, "fp32", one)
	if err == nil {
		err = shadow.Serve(context.Background(), &badChild{n, n.Bundle.Spec.Version, nil, 0}, &n.Bundle.Spec)
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	return 0
}

type badChild struct {
	shadow.Classifier
	version string
	eaten   [][]byte
	n       int
}

func (c *badChild) Run(ctx context.Context, t *vision.Tensor, out vision.Logits) error {
	c.n++
	switch {
	case c.n < 5:
	case strings.HasPrefix(c.version, "crashing"):
		_ = syscall.Kill(os.Getpid(), syscall.SIGSEGV)
		time.Sleep(time.Hour) // until it arrives
	case strings.HasPrefix(c.version, "hungry"):
		more := make([]byte, 64<<20)
		for i := 0; i < len(more); i += 4096 {
			more[i] = 1
		}
		c.eaten = append(c.eaten, more)
	}
	return c.Classifier.Run(ctx, t, out)
}

// childKinds are the bad kinds that only the process of a shadow can be.
var childKinds = []badKind{
	{name: "crashing", want: "SIGSEGV", make: func(t testing.TB, r *rand.Rand) string {
		return candidate(t, fmt.Sprint("crashing ", r.Uint64()), nil)
	}},
	{name: "memory hungry", want: "are there for it", make: func(t testing.TB, r *rand.Rand) string {
		return candidate(t, fmt.Sprint("hungry ", r.Uint64()), nil)
	}},
}

// shadowPictures are those that a candidate is compared on.
const shadowPictures = 25

// ample is memory for one process more of the size that a small model has.
func ample() *device.Memory { return &device.Memory{Total: 2 << 30, Available: 450 << 20} }

// TestShadow: of ten kinds of bad candidates none stays, and those whose fault shows in any picture
// are refused before they answer to anybody; a good one is compared, then on trial, and stays.
func TestShadow(t *testing.T) {
	quick(t)
	b := newBench(t, ample())
	r := rand.New(rand.NewPCG(7, *candidateSeed))
	kinds := append(childKinds, badKinds[:3]...)
	if *candidates > 1 {
		kinds = append(childKinds, badKinds...)
	}
	for _, kind := range kinds {
		for range *candidates {
			i, answered := b.install(kind.make(t, r)), b.swap.observer.rolledBackSoFar()
			bounds := kind.bounds
			bounds.Frames, bounds.Shadow = 1<<20, shadowPictures
			b.try(i, bounds, kind.spoils(t, i, r))
			waitFor(t, kind.name+": its end", func() bool { return b.over(i) })
			now, _, _ := b.store.Active()
			why, _, aside := b.store.SetAside(i.SHA256)
			if now.SHA256 != b.base.SHA256 || now.OnTrial || !aside || !strings.Contains(why.Reason, kind.want) {
				t.Errorf("%s: %.8s is active; refused for %q, want %q", kind.name, now.SHA256, why.Reason, kind.want)
			}
			waitFor(t, kind.name+": the model before", func() bool { return b.running() == networkOf(t, b.base) })
			if b.swap.observer.rolledBackSoFar() != answered && kind.name != "slow" { // which needs a pair of runs
				t.Errorf("%s: it has answered", kind.name)
			}
			b.frames()
		}
		t.Logf("%s: %d tried", kind.name, *candidates)
	}
	var last store.Installed
	for range *candidates {
		last = b.install(good(t, r))
		b.try(last, configs.Trial{Shadow: shadowPictures, Frames: 60, Agreement: 0.6, Unknown: 0.4, Latency: 1.5}, nil)
		waitFor(t, "the end of a good one", func() bool { return b.over(last) })
		if now, _, _ := b.store.Active(); now.SHA256 != last.SHA256 || now.OnTrial {
			why, _, _ := b.store.SetAside(last.SHA256)
			t.Errorf("%.8s is active, on trial: %v: %s", now.SHA256, now.OnTrial, why.Reason)
		}
		b.frames()
	}
	t.Logf("%d bad candidates, %d good ones, %d frames, %d rollbacks", *candidates*len(kinds),
		*candidates, b.last.Load(), b.swap.observer.rolledBackSoFar())
	if err := b.end(); err != nil {
		t.Error(err)
	}
	b.end = func() error { return nil }
	b.compared(last.SHA256)
	text, err := os.ReadFile(filepath.Join(b.config.StateDir, trialFile))
	var report trialReport
	if err := errors.Join(err, json.Unmarshal(text, &report)); err != nil || report.Result != "confirmed" ||
		report.Stage != mqtt.UpdateProbation || report.Found.SHA256 != last.SHA256 || report.Found.Pairs == 0 {
		t.Errorf("kept: %s, %v", text, err)
	}
}

// compared looks at what was told of a good candidate.
func (b *bench) compared(sum string) {
	b.t.Helper()
	var states []string
	for _, u := range b.told {
		if u.Trial.SHA256 != sum {
			continue
		}
		if len(states) == 0 || states[len(states)-1] != u.State {
			states = append(states, u.State)
		}
		if u.State == mqtt.UpdateShadow && u.Trial.Pairs == shadowPictures &&
			(u.Trial.Common != shadowPictures || u.Trial.Agreed < shadowPictures*2/3 || u.Trial.Memory < 10<<20 ||
				u.Trial.Latency <= 0) {
			b.t.Errorf("told of the comparison: %+v", u.Trial)
		}
	}
	if got := strings.Join(states, " "); got != "shadow probation" {
		b.t.Errorf("told: %s", got)
	}
}

// TestShadowIsLeft: where something else is asked for, or memory does not suffice, nobody waits for
// it.
func TestShadowIsLeft(t *testing.T) {
	quick(t)
	b := newBench(t, ample())
	r := rand.New(rand.NewPCG(7, 7))
	i := b.install(good(t, r))
	endless := configs.Trial{Shadow: 1 << 20, Frames: 1 << 20}
	b.try(i, endless, nil)
	waitFor(t, "the shadow", func() bool { return b.swap.tap.to.Load() != nil })
	if _, err := Rollback(t.Context(), &b.config, ""); err != nil {
		t.Fatal(err)
	}
	waitFor(t, "its end", func() bool { return b.swap.tap.to.Load() == nil })
	if b.running() != networkOf(t, b.base) {
		t.Error("the model that was left answers")
	}
	b.frames()
	b.memory.Store(&device.Memory{Total: 16 << 30, Available: 1 << 30})
	i = b.install(good(t, r))
	b.try(i, endless, nil)
	waitFor(t, "the trial without it", func() bool { return b.running() == networkOf(t, i) })
	b.frames()
}

// TestShadowRests: while heat slows the agent down, and where the slowest frames take longer beside
// it, no picture is taken; afterwards it goes on.
func TestShadowRests(t *testing.T) {
	quick(t)
	before := shadowPause
	shadowPause = 20 * time.Millisecond
	t.Cleanup(func() { shadowPause = before })
	b := newBench(t, nil)
	i := b.install(nearby(t, rand.New(rand.NewPCG(7, 10))))
	waitFor(t, "frames to compare with", func() bool { return b.last.Load() > 100 })
	b.try(i, configs.Trial{Shadow: 1 << 20, Frames: 1 << 20}, nil)
	waitFor(t, "the shadow", func() bool { return b.swap.tap.to.Load() != nil })
	input := b.swap.tap.to.Load()
	slow := func(how string) {
		b.swap.observer.mu.Lock()
		b.swap.observer.slowed = how
		b.swap.observer.mu.Unlock()
	}
	rests := func() bool { return input.paused.Load() }
	slow("near to its limits")
	waitFor(t, "its rest by heat", rests)
	slow("")
	waitFor(t, "its work", func() bool { return !rests() })
	b.lag.Store(int64(time.Hour))
	waitFor(t, "its rest, for frames take longer", rests)
	waitFor(t, "its work, for they do so without it", func() bool { return !rests() })
	if b.running() != networkOf(t, b.base) {
		t.Error("the new model answers")
	}
	b.frames()
}
