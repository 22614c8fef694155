package agent

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"log/slog"
	"math"
	"math/rand/v2"
	"os"
	"runtime"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/vggse/vggse-agent/agent/pipeline"
	"github.com/vggse/vggse-agent/agent/trial"
	"github.com/vggse/vggse-agent/bundle"
	"github.com/vggse/vggse-agent/bundle/store"
	"github.com/vggse/vggse-agent/configs"
	parts "github.com/vggse/vggse-agent/demo"
	"github.com/vggse/vggse-agent/device"
	"github.com/vggse/vggse-agent/infer"
	"github.com/vggse/vggse-agent/mqtt"
	"github.com/vggse/vggse-agent/vision"
)

// filmSource shows the pictures of the demo over and over, a little slower than they are classified.
type filmSource struct {
	film []vision.Frame
	n    uint64
	lag  *atomic.Int64 // how old a picture is that comes
}

func (s *filmSource) Read(ctx context.Context, f *vision.Frame) error {
	time.Sleep(4 * time.Millisecond)
	from := &s.film[int(s.n)%len(s.film)]
	f.Resize(from.Width, from.Height)
	copy(f.Pix, from.Pix)
	s.n++
	f.Seq, f.Time = s.n, time.Now().Add(-time.Duration(s.lag.Load()))
	return ctx.Err()
}

func (*filmSource) Close() error { return nil }

// film are pictures of parts, each for a few frames.
func film(n int) []vision.Frame {
	scene, all := parts.NewScene(3, 160, 120), make([]vision.Frame, n)
	for i := range all {
		all[i].Resize(160, 120)
		scene.Render(uint64(5*i), &all[i])
	}
	return all
}

// bench is an agent as far as its models go: a store, a pipeline that runs, and what changes its
// networks.
type bench struct {
	t      *testing.T
	config configs.Config
	store  *store.Store
	swap   *modelSwap
	base   store.Installed
	wrong  atomic.Pointer[string] // what went wrong with the frames
	last   atomic.Uint64          // frame that was decided
	opens  atomic.Int32           // of the camera
	lag    atomic.Int64           // of its pictures
	told   []mqtt.Update
	memory atomic.Pointer[device.Memory]
	end    func() error
}

// observedBench sees that no frame is lost: with a source that waits, each has one decision.
type observedBench struct {
	observed
	b *bench
}

func (p observedBench) Publish(ctx context.Context, d *vision.Decision) error {
	if before := p.b.last.Swap(d.Frame); d.Frame != before+1 {
		p.b.lost(fmt.Sprintf("frame %d was decided after frame %d", d.Frame, before))
	}
	if len(d.Top) == 0 {
		p.b.lost(fmt.Sprintf("frame %d has an answer that is no number", d.Frame))
	}
	return p.observed.Publish(ctx, d)
}

func (b *bench) lost(what string) { b.wrong.CompareAndSwap(nil, &what) }

// newBench starts with the demo's model, which has proved itself.
func newBench(t *testing.T, memory *device.Memory) *bench {
	t.Helper()
	if _, err := infer.Version(infer.Config{}); errors.Is(err, infer.ErrNoLibrary) {
		t.Skip("no ONNX Runtime here")
	}
	b := &bench{t: t}
	b.memory.Store(memory)
	b.config = configs.Config{StateDir: t.TempDir(), Model: configs.Model{Demo: "/nowhere", Precision: "fp32",
		RequireSignature: "false", Trial: trialBounds}, Infer: infer.Config{Providers: []string{infer.CPU}, Threads: 1},
		Decide: vision.DecideConfig{TopK: 2, Threshold: 0.6, Confirm: 1, Unknown: vision.Unknown}}
	b.store = store.At(b.config.StateDir)
	b.base = b.install(demoBundle)
	b.activate(b.base)
	if err := b.store.Confirm(b.base.SHA256); err != nil {
		t.Fatal(err)
	}
	b.start()
	t.Cleanup(func() {
		if err := b.end(); err != nil {
			t.Error(err)
		}
	})
	return b
}

// start runs the agent with what the store says.
func (b *bench) start() {
	t, log := b.t, slog.New(slog.DiscardHandler)
	c := b.config
	network, onTrial, err := openActive(t.Context(), &c, nil, func(store.Refusal, bool) {})
	if err != nil {
		t.Fatal(err)
	}
	requests := newSwapRequests(c, nil)
	requests.runs(c)
	link, err := mqtt.NewLink(mqttConfig(), mqtt.Identity{Device: "edge", Cameras: []string{"a"}}, log)
	if err != nil {
		t.Fatal(err)
	}
	o := &observer{log: log, cameras: map[string]string{}, host: Host{Log: log}}
	b.last.Store(0)
	p := &pipeline.Pipeline{Spec: &network.Bundle.Spec, Decide: c.Decide, Log: log,
		Network:   o.looksAt(network, onTrial, mqtt.Condition{Status: mqtt.OK}, link),
		Publisher: observedBench{observed{link, o}, b},
		Cameras: []pipeline.Camera{{Name: "a", EveryFrame: true, Open: func(context.Context) (pipeline.Source, error) {
			b.opens.Add(1)
			return &filmSource{film: film(60), lag: &b.lag}, nil
		}}}}
	tap := &shadowTap{pipeline: p}
	p.Recorder = tap
	b.swap = &modelSwap{tap: tap, shadowArgs: []string{}, network: network,
		trial: onTrial, requests: requests, observer: o, pipeline: p, link: link,
		memory: b.memory.Load, every: time.Millisecond, log: log,
		updates: newUpdateState(func(u mqtt.Update) { b.told = append(b.told, u) })}
	o.begin(p, link, network, onTrial)
	ctx, cancel := context.WithCancel(t.Context())
	group, ctx := errgroup.WithContext(ctx)
	group.Go(func() error { return p.Run(ctx) })
	group.Go(func() error { return b.swap.run(ctx) })
	b.end = func() error {
		cancel()
		return errors.Join(group.Wait(), b.swap.close())
	}
	waitFor(t, "the first decision", func() bool { return b.last.Load() > 0 })
}

// install moves a bundle into the store; the demo's stays where it is.
func (b *bench) install(dir string) store.Installed {
	b.t.Helper()
	i, err := b.store.Install(b.t.Context(), dir)
	if err == nil && dir != demoBundle {
		err = os.RemoveAll(dir)
	}
	if err != nil {
		b.t.Fatal(err)
	}
	return i
}

func (b *bench) activate(i store.Installed) {
	b.t.Helper()
	if _, err := b.store.Activate(b.t.Context(), i.SHA256); err != nil {
		b.t.Fatal(err)
	}
}

// try activates a candidate as a reload does.
func (b *bench) try(i store.Installed, bounds configs.Trial, before func()) {
	b.t.Helper()
	b.activate(i)
	if before != nil {
		before()
	}
	next := b.swap.requests.inForce()
	next.Model.Bundle, next.Model.Trial = i.Dir, bounds
	if !b.swap.requests.take(next) {
		b.t.Fatal("the model was not taken")
	}
}

// running is the file of the model that answers.
func (b *bench) running() string {
	b.swap.observer.mu.Lock()
	defer b.swap.observer.mu.Unlock()
	return b.swap.observer.model.SHA256
}

// networkOf is the digest of the file that answers where a bundle runs.
func networkOf(t testing.TB, i store.Installed) string {
	t.Helper()
	opened, err := bundle.Open(i.Dir)
	if err != nil {
		t.Fatal(err)
	}
	return opened.Spec.Files[bundle.FileFP32].SHA256
}

// over reports whether no trial is under way, and the store has the model active, or set it aside.
func (b *bench) over(i store.Installed) bool {
	now, _, err := b.store.Active()
	if err != nil {
		b.t.Fatal(err)
	}
	_, _, aside := b.store.SetAside(i.SHA256)
	return b.swap.observer.onTrial() == nil && (aside || now.SHA256 == i.SHA256 && !now.OnTrial)
}

func (b *bench) frames() {
	b.t.Helper()
	if why := b.wrong.Load(); why != nil {
		b.t.Fatal(*why)
	}
	if n := b.opens.Load(); n != 1 {
		b.t.Fatalf("the camera was opened %d times", n)
	}
}

// trialBounds are those that the bars are held to.
var trialBounds = configs.Trial{Frames: 80, Agreement: 0.6, Unknown: 0.4, Latency: 1.5}

var (
	// candidates is how many of each kind are tried.
	candidates = flag.Int("candidates", 1, "bad candidates of each kind, and as many good ones")
	// candidateSeed makes others of them, so that a long run can be done in pieces.
	candidateSeed = flag.Uint64("candidate-seed", 6, "what the candidates of TestShadow are drawn from")
)

func quick(t testing.TB) {
	t.Helper()
	before := sampleEvery
	sampleEvery = 0
	t.Cleanup(func() { sampleEvery = before })
}

// TestBadCandidates: none stays active, each gives way for its reason, and no frame is lost.
func TestBadCandidates(t *testing.T) {
	quick(t)
	b := newBench(t, nil)
	r := rand.New(rand.NewPCG(7, 1))
	for _, kind := range badKinds {
		for range *candidates {
			i := b.install(kind.make(t, r))
			bounds := kind.bounds
			bounds.Frames = trialBounds.Frames
			b.try(i, bounds, kind.spoils(t, i, r))
			waitFor(t, kind.name+": its end", func() bool { return b.over(i) })
			now, _, _ := b.store.Active()
			why, _, aside := b.store.SetAside(i.SHA256)
			if now.SHA256 != b.base.SHA256 || now.OnTrial || !aside || !strings.Contains(why.Reason, kind.want) {
				t.Errorf("%s: %.8s is active, on trial: %v; refused for %q, want %q", kind.name, now.SHA256,
					now.OnTrial, why.Reason, kind.want)
			}
			waitFor(t, kind.name+": the model before", func() bool { return b.running() == networkOf(t, b.base) })
			b.frames()
		}
	}
}

// rolledBackSoFar are the models that were refused while they answered.
func (o *observer) rolledBackSoFar() uint64 {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.rollbacks
}

// TestGoodCandidates: each stays, and is then what the next goes back to.
func TestGoodCandidates(t *testing.T) {
	quick(t)
	b := newBench(t, nil)
	r := rand.New(rand.NewPCG(7, 2))
	for range *candidates {
		i := b.install(good(t, r))
		b.try(i, trialBounds, nil)
		waitFor(t, "its end", func() bool { return b.over(i) })
		if now, _, _ := b.store.Active(); now.SHA256 != i.SHA256 || now.OnTrial {
			why, _, _ := b.store.SetAside(i.SHA256)
			t.Errorf("%.8s is active, on trial: %v: %s", now.SHA256, now.OnTrial, why.Reason)
		}
		b.frames()
	}
}

// TestTrialGoesOn: what a trial has counted outlives the end of the process, the model before is
// loaded again, and comes back as fast.
func TestTrialGoesOn(t *testing.T) {
	quick(t)
	b := newBench(t, nil)
	endless := configs.Trial{Frames: 1 << 20}
	i := b.install(good(t, rand.New(rand.NewPCG(7, 3))))
	b.try(i, endless, nil)
	counted := func() int {
		if p := b.swap.observer.onTrial(); p != nil {
			done, _, _ := p.report()
			return done.Frames
		}
		return 0
	}
	waitFor(t, "50 decisions", func() bool { return counted() >= 50 })
	b.config.Model.Trial = endless
	if err := b.end(); err != nil {
		t.Fatal(err)
	}
	begun, err := b.store.Begin(t.Context(), "boot")
	if err != nil || !begun.OnTrial || begun.SHA256 != i.SHA256 || len(begun.Progress) == 0 {
		t.Fatalf("the next start finds %+v, %v", begun, err)
	}
	b.opens.Store(0)
	b.start()
	waitFor(t, "pairs again", func() bool {
		_, pairs, _ := b.swap.observer.onTrial().report()
		return pairs.Pairs > 0
	})
	if n := counted(); n < 50 {
		t.Errorf("%d decisions are left of 50", n)
	}
	b.fails(i)
	b.frames()
	if last := b.told[len(b.told)-1]; last.State != mqtt.UpdateFailed || !strings.Contains(last.Reason, "a test") {
		t.Errorf("told at last %+v", last)
	}
}

// TestTrialWithoutMemory: where two networks do not fit for long, the one before comes back from the
// disk, and the pictures wait for it.
func TestTrialWithoutMemory(t *testing.T) {
	quick(t)
	b := newBench(t, &device.Memory{Total: 16 << 30, Available: 1 << 30})
	r := rand.New(rand.NewPCG(7, 4))
	for _, kind := range badKinds[:1] {
		i := b.install(kind.make(t, r))
		b.try(i, trialBounds, nil)
		waitFor(t, "its end", func() bool { return b.over(i) })
		waitFor(t, "the model before", func() bool { return b.running() == networkOf(t, b.base) })
		b.frames()
	}
	i := b.install(good(t, r))
	b.try(i, configs.Trial{Frames: 1 << 20}, nil)
	waitFor(t, "the trial", func() bool { return b.swap.observer.onTrial() != nil && b.running() == networkOf(t, i) })
	b.fails(i)
	b.frames()
}

// TestRollbackDuringTrial: by hand it is the same, and nothing is refused.
func TestRollbackDuringTrial(t *testing.T) {
	quick(t)
	b := newBench(t, nil)
	i := b.install(good(t, rand.New(rand.NewPCG(7, 5))))
	b.try(i, configs.Trial{Frames: 1 << 20}, nil)
	waitFor(t, "the trial", func() bool { return b.swap.observer.onTrial() != nil && b.running() == networkOf(t, i) })
	back, err := Rollback(t.Context(), &b.config, "")
	if err != nil || back.SHA256 != b.base.SHA256 {
		t.Fatalf("%+v, %v", back, err)
	}
	next := b.swap.requests.inForce()
	next.Model.Bundle = back.Dir
	if !b.swap.requests.take(next) {
		t.Fatal("it was not taken")
	}
	waitFor(t, "the model before", func() bool { return b.running() == networkOf(t, b.base) })
	if b.swap.observer.onTrial() != nil || b.swap.observer.rolledBackSoFar() != 0 {
		t.Errorf("on trial: %v, %d refused", b.swap.observer.onTrial() != nil, b.swap.observer.rolledBackSoFar())
	}
	b.frames()
}

// TestTheFirstModel: where there is nothing to go back to, a model that answers with no numbers stays,
// and is told as failed.
func TestTheFirstModel(t *testing.T) {
	p := &probation{watch: trial.NewWatch(trialBounds, trial.Progress{}, 0), failed: make(chan *probation, 1)}
	nan := vision.Logits{float32(math.NaN())}
	if err := p.answered(t.Context(), nan, 1, nil); err != nil {
		t.Errorf("its answer is held back: %v", err)
	}
	p.before = true
	if err := p.answered(t.Context(), nan, 1, nil); !errors.Is(err, pipeline.ErrSwapped) || len(p.failed) != 1 {
		t.Errorf("with a model before: %v", err)
	}
	p = &probation{watch: trial.NewWatch(configs.Trial{}, trial.Progress{Frames: 1}, 0), before: true,
		failed: make(chan *probation, 1)}
	if over, why := p.look(0); !over || why != nil {
		t.Errorf("over: %v, %v", over, why)
	}
	if err := p.answered(t.Context(), nan, 1, nil); err != nil || len(p.failed) != 0 {
		t.Errorf("after its trial nobody waits: %v", err)
	}
}

// TestHungryOnTrial: a model under which memory gets short goes, if it is what has taken it; the one
// on standby goes first.
func TestHungryOnTrial(t *testing.T) {
	quick(t)
	b := newBench(t, &device.Memory{Total: 16 << 30, Available: 8 << 30})
	i := b.install(nearby(t, rand.New(rand.NewPCG(7, 8))))
	b.try(i, configs.Trial{Frames: 1 << 20}, nil)
	waitFor(t, "the trial", func() bool { return b.swap.observer.onTrial() != nil && b.running() == networkOf(t, i) })
	b.memory.Store(&device.Memory{Total: 16 << 30, Available: 1 << 30})
	seen := b.last.Load()
	waitFor(t, "50 decisions", func() bool { return b.last.Load() > seen+50 })
	if b.running() != networkOf(t, i) {
		t.Fatal("it went although it is not what took the memory")
	}
	eaten := make([]byte, 2*roomFor(i.Dir)+64<<20)
	for at := 0; at < len(eaten); at += 4096 {
		eaten[at] = 1
	}
	waitFor(t, "the model before", func() bool { return b.running() == networkOf(t, b.base) })
	if why, _, _ := b.store.SetAside(i.SHA256); !strings.Contains(why.Reason, "memory is short") {
		t.Errorf("refused for %q", why.Reason)
	}
	b.frames()
	runtime.KeepAlive(eaten)
}

// TestMissedGoldens: a model on trial that does not answer as its goldens say never answers to
// anybody, at a start neither.
func TestMissedGoldens(t *testing.T) {
	b := newBench(t, nil)
	missed := errors.New("verify: it answers 7 off")
	b.swap.golden = func(context.Context, *infer.Network) error { return missed }
	i := b.install(nearby(t, rand.New(rand.NewPCG(7, 9))))
	b.try(i, trialBounds, nil)
	waitFor(t, "its end", func() bool { return b.over(i) })
	if why, _, _ := b.store.SetAside(i.SHA256); why.Reason != missed.Error() || b.running() != networkOf(t, b.base) {
		t.Errorf("refused for %q", why.Reason)
	}
	b.frames()
	b.activate(i)
	c, asked := b.config, 0
	n, onTrial, err := openActive(t.Context(), &c, func(_ context.Context, n *infer.Network) error {
		asked++
		return missed
	}, func(store.Refusal, bool) {})
	if err != nil || onTrial != nil || asked != 1 || n.SHA256 != networkOf(t, b.base) {
		t.Fatalf("a start opens %+v, %v, asked %d times, want the model before", onTrial, err, asked)
	}
	if err := n.Close(); err != nil {
		t.Error(err)
	}
}

// fails makes the model on trial go, and waits for the one before.
func (b *bench) fails(i store.Installed) {
	b.t.Helper()
	start := time.Now()
	b.swap.observer.onTrial().fail(errors.New("a test"))
	want := networkOf(b.t, b.base)
	waitFor(b.t, "the model before", func() bool { return b.running() == want })
	b.t.Logf("the model before answers after %s at most", time.Since(start).Round(time.Millisecond))
	if why, _, _ := b.store.SetAside(i.SHA256); why.Reason != "a test" {
		b.t.Errorf("refused for %q", why.Reason)
	}
}

// TestWayBack: where the disk takes no refusal, the refused model is not opened once more.
func TestWayBack(t *testing.T) {
	s := store.At(t.TempDir())
	p := &probation{store: s}
	if _, err := p.wayBack(t.Context(), false); err == nil {
		t.Error("there is nothing to go back to, and no error")
	}
	var both []store.Installed
	for _, dir := range []string{demoBundle, nearby(t, rand.New(rand.NewPCG(7, 11)))} {
		i, err := s.Install(t.Context(), dir)
		if err == nil {
			_, err = s.Activate(t.Context(), i.SHA256)
		}
		if err != nil {
			t.Fatal(err)
		}
		both = append(both, i)
	}
	p.sum = both[1].SHA256
	begun, err := p.wayBack(t.Context(), false)
	if err != nil || !begun.OK || begun.SHA256 != both[0].SHA256 || begun.OnTrial {
		t.Errorf("not written: %+v, %v, want the model before", begun, err)
	}
	if err := s.Refuse(p.sum, "", errors.New("a test")); err != nil {
		t.Fatal(err)
	}
	if begun, err = p.wayBack(t.Context(), true); err != nil || begun.SHA256 != both[0].SHA256 {
		t.Errorf("written: %+v, %v, want the model before", begun, err)
	}
}
