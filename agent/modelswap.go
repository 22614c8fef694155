package agent

import (
	"context"
	"errors"
	"log/slog"
	"path/filepath"
	"reflect"
	"sync"
	"time"

	"github.com/vggse/vggse-agent/agent/pipeline"
	"github.com/vggse/vggse-agent/bundle"
	"github.com/vggse/vggse-agent/bundle/store"
	"github.com/vggse/vggse-agent/configs"
	"github.com/vggse/vggse-agent/device"
	"github.com/vggse/vggse-agent/infer"
	"github.com/vggse/vggse-agent/mqtt"
	"github.com/vggse/vggse-agent/samples"
)

// models is where new settings ask the running agent for another network.
type swapRequests struct {
	start configs.Config       // what Run was started with
	asked chan configs.Config  // settings that differ in the network alone; capacity 1: the newest
	anew  func(configs.Config) // begins anew with settings, cameras and all

	mu      sync.Mutex
	running *configs.Config // in force, with the bundle that runs; nil: none does yet
	digest  string          // of that bundle
}

func newSwapRequests(start configs.Config, anew func(configs.Config)) *swapRequests {
	return &swapRequests{start: start, asked: make(chan configs.Config, 1), anew: anew}
}

// take carries settings to whoever changes networks, where nothing but the network differs; else
// false.
func (m *swapRequests) take(next configs.Config) bool {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.running == nil || !m.sameBesides(next) ||
		next.Model.Demo != m.running.Model.Demo || next.Infer.Library != m.running.Infer.Library ||
		next.Infer.MaxBatch != m.start.Infer.MaxBatch || next.Infer.MaxWait != m.start.Infer.MaxWait {
		return false
	}
	if m.sameNetwork(next) {
		return false // a file has changed that is read at the start
	}
	select {
	case <-m.asked: // one that nobody has begun with is outdated
	default:
	}
	m.asked <- next
	return true
}

// same reports whether settings are those in force, and lead to the bundle that runs.
func (m *swapRequests) same(next configs.Config) bool {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.running != nil && m.sameBesides(next) && m.sameNetwork(next)
}

// sameBesides compares all but the network; sameNetwork that.
func (m *swapRequests) sameBesides(next configs.Config) bool {
	return reflect.DeepEqual(besidesModel(m.start), besidesModel(next))
}

func (m *swapRequests) sameNetwork(next configs.Config) bool {
	digest, err := bundle.Digest(next.Model.Bundle)
	return err == nil && digest == m.digest && next.Model == m.running.Model &&
		reflect.DeepEqual(silent(next.Infer), silent(m.running.Infer))
}

// runs tells what is in force now.
func (m *swapRequests) runs(c configs.Config) {
	digest, _ := bundle.Digest(c.Model.Bundle) // a bundle that was removed since equals no other
	m.mu.Lock()
	m.running, m.digest = &c, digest
	m.mu.Unlock()
}

// installed is the digest of the bundle that runs, where it is an installed one; else empty.
func (m *swapRequests) installed() string {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.running.Model.Demo == "" || m.running.Model.Bundle == m.running.Model.Demo {
		return ""
	}
	return m.digest
}

// inForce are the settings to begin again with: those of the start, with the network of now.
func (m *swapRequests) inForce() configs.Config {
	m.mu.Lock()
	defer m.mu.Unlock()
	c := m.start
	if m.running != nil {
		c.Model, c.Infer = m.running.Model, m.running.Infer
	}
	return c
}

func besidesModel(c configs.Config) configs.Config {
	c.Model, c.Infer, c.Warnings = configs.Model{}, infer.Config{}, nil
	return c
}

// modelSwap puts other networks into a running pipeline. It owns the one that runs, and the one
// before that stays loaded while a new model is on trial.
type modelSwap struct {
	network  *infer.Network
	took     time.Duration // to open it
	trial    *probation    // of the one that runs; nil: it has proved itself
	before   *standby      // nil: none is loaded
	requests *swapRequests
	pipeline *pipeline.Pipeline
	link     *mqtt.Link
	observer *observer
	updates  *updateState
	golden   golden
	recorder *samples.Recorder // nil: no pictures are kept
	tap      *shadowTap        // for a shadow
	// shadowArgs are the arguments, behind verb and bundle, of the process of a shadow; nil: there is none
	shadowArgs []string
	memory     func() *device.Memory // of the machine; nil: unknown
	every      time.Duration         // between two looks at a trial
	log        *slog.Logger
	swapped    func(labels []string) // is told what the network knows that answers from then on; nil: nobody

	told   time.Time  // of the trial, and it was written down
	toldOf *probation // that it was told of
}

// run changes what it is asked to, and ends trials, until ctx ends. An error is that no network is
// there to go on with.
func (c *modelSwap) run(ctx context.Context) error {
	c.goOn(ctx)
	tick := time.NewTicker(c.every)
	defer tick.Stop()
	looked := time.Now()
	for {
		var failed chan *probation
		if c.trial != nil {
			failed = c.trial.failed
		}
		select {
		case <-ctx.Done():
			return nil
		case next := <-c.requests.asked:
			if err := c.change(ctx, next); err != nil && ctx.Err() == nil {
				c.refuse(&next, filepath.Base(next.Model.Bundle), err)
			}
		case t := <-failed:
			if err := c.goBack(ctx, t.why); err != nil {
				return err
			}
		case now := <-tick.C:
			if err := c.look(ctx, now.Sub(looked)); err != nil {
				return err
			}
			looked = now
		}
	}
}

// refuse tells that a new model, the one of the given settings, was refused, and that the one before
// goes on.
func (c *modelSwap) refuse(its *configs.Config, bundleDir string, why error) {
	c.log.Error("the new model was refused, the one before goes on", "bundle", bundleDir, "reason", why)
	c.link.ModelRefused(bundleDir, why.Error())
	c.link.Health("model", refusedCondition(why))
	c.updates.failed(releaseOf(its), bundleDir, why)
}

func refusedCondition(why error) mqtt.Condition {
	return mqtt.Condition{Status: mqtt.Degraded, Reason: "the new model was refused: " + why.Error()}
}

// change opens the network of next beside the one that runs, which answers meanwhile, and exchanges
// them between two frames. A network that cannot be opened changes nothing.
func (c *modelSwap) change(ctx context.Context, next configs.Config) error {
	if c.network.Shares(next.Model.Bundle, next.Model.Precision, next.Infer) {
		c.log.Info("the new model has the same network: only its last layer is exchanged", "bundle", next.Model.Bundle)
	} else if !c.makeRoom(next.Model.Bundle) {
		c.requests.anew(next)
		return nil
	}
	if c.before != nil && c.before.sum == filepath.Base(next.Model.Bundle) {
		begun, err := store.At(next.StateDir).Begin(ctx, store.BootID())
		if err != nil {
			return err
		}
		takeInstalled(&next.Model, begun.Installed, begun.OK)
		return c.comeBack(ctx, next, begun, mqtt.Condition{Status: mqtt.OK})
	}
	switch err := c.shadow(ctx, &next); {
	case errors.Is(err, errAbandoned):
		c.log.Info("the new model's comparison ends", "why", err)
		return nil
	case ctx.Err() != nil:
		return ctx.Err()
	case err != nil:
		s := store.At(next.StateDir)
		return errors.Join(err, s.Refuse(filepath.Base(next.Model.Bundle), c.requests.installed(), err))
	}
	start := time.Now()
	c.log.Info("opening another model beside the one that runs", "bundle", next.Model.Bundle)
	c.observer.besides(next.Model.Bundle)
	defer c.observer.besides("")
	next.Infer = c.observer.hears(next.Infer)
	network, trial, err := openBeside(ctx, &next, c.golden, c.network, c.requests.installed())
	if err != nil {
		return err
	}
	if err := c.put(ctx, next, network, trial, mqtt.Condition{Status: mqtt.OK}, time.Since(start)); err != nil {
		return joinClose(trial.refused(c.requests.installed(), err), network.Close())
	}
	return nil
}

// makeRoom reports whether memory suffices for the network of a bundle beside those that are loaded;
// the model before gives way to it.
func (c *modelSwap) makeRoom(dir string) bool {
	need := roomFor(dir)
	if there := c.memory(); there != nil && need > there.Available {
		c.drop("memory is needed for another model")
	}
	there := c.memory()
	if there == nil || need <= there.Available {
		return true
	}
	c.log.Warn("no memory for two networks at once: the cameras are opened again with the new one",
		"needed_mib", need>>20, "available_mib", there.Available>>20)
	return false
}

// put makes network answer from the next frame on, under the settings next, with its trial, if it is
// on one, and the condition of the part "model". took is how long it was opened. With an error
// nothing has changed.
func (c *modelSwap) put(ctx context.Context, next configs.Config, network *infer.Network, trial *probation,
	condition mqtt.Condition, took time.Duration) error {
	running := &standby{network: c.network, sum: c.requests.installed(), took: c.took}
	stays := c.standbyOf(trial, running)
	if trial != nil {
		trial.baseline(c.pipeline.RunTime())
		c.compare(trial, stays, network)
	}
	looked := c.observer.looksAt(network, trial, condition, c.link)
	err := c.pipeline.SwapNetwork(ctx, looked, &network.Bundle.Spec, func() {
		released := releaseOf(&next)
		c.link.Released(released)
		c.observer.updates.released(released)
		c.link.Model(modelOf(network), network.Bundle.Spec.Labels)
		c.link.Knows(network.Known() != nil)
		c.link.Health("model", condition) // before its first answer says otherwise
		c.observer.use(network, trial)
		if c.recorder != nil {
			c.recorder.Uses(network.SHA256)
		}
		if shown := c.observer.page; shown != nil {
			shown.swaps(network)
		}
	})
	if err != nil {
		return err
	}
	c.network, c.trial, c.took = network, trial, took
	if c.swapped != nil {
		c.swapped(network.Bundle.Spec.Labels)
	}
	c.requests.runs(next)
	c.settle(running, stays)
	tell(c.log, &next, network, took)
	c.link.Health("engine", engineCondition(network.Info()))
	c.tellTrial(&next)
	return nil
}

// roomFor is the memory that the network of a bundle may need, bytes: that of its largest file, and
// the copies that a runtime makes (measured with the full-size network on the CPU: 1.1 times its
// file).
func roomFor(dir string) uint64 {
	const runtimeItself = 128 << 20
	b, err := bundle.Open(dir)
	if err != nil {
		return 0 // opening it says why
	}
	largest := int64(0)
	for _, f := range b.Spec.Files {
		largest = max(largest, f.Bytes)
	}
	return uint64(largest)*5/4 + runtimeItself
}

// openBeside opens what c names, or the active one of the installed bundles, on the network that is
// loaded beside it where both have the same model file. One on trial that cannot be opened is
// refused: from then on the one that runs is the active one.
func openBeside(ctx context.Context, c *configs.Config, golden golden, beside *infer.Network, running string) (
	*infer.Network, *probation, error) {
	if c.Model.Demo == "" {
		n, err := infer.OpenBeside(ctx, c.Model.Bundle, c.Model.Precision, c.Infer, beside)
		return n, nil, err
	}
	active, err := store.At(c.StateDir).Begin(ctx, store.BootID())
	if err != nil {
		return nil, nil, err
	}
	takeInstalled(&c.Model, active.Installed, active.OK)
	var t *probation
	if active.OnTrial {
		t = newProbation(c, active.Installed, active.Progress)
	}
	n, err := openOnTrial(ctx, c, active.OnTrial, golden, beside)
	if err != nil {
		if ctx.Err() == nil {
			err = t.refused(running, err)
		}
		return nil, nil, err
	}
	return n, t, nil
}
