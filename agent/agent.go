package agent

import (
	"context"
	"fmt"
	"log/slog"
	"path/filepath"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/vggse/vggse-agent/agent/pipeline"
	"github.com/vggse/vggse-agent/api/page"
	"github.com/vggse/vggse-agent/bundle"
	"github.com/vggse/vggse-agent/bundle/store"
	"github.com/vggse/vggse-agent/camera"
	"github.com/vggse/vggse-agent/camera/worker"
	"github.com/vggse/vggse-agent/configs"
	"github.com/vggse/vggse-agent/device"
	"github.com/vggse/vggse-agent/infer"
	"github.com/vggse/vggse-agent/mqtt"
	"github.com/vggse/vggse-agent/mqtt/broker"
	"github.com/vggse/vggse-agent/samples"
	"github.com/vggse/vggse-agent/vision"
)

// Build says which program this is.
type Build struct {
	Version, Commit string
}

// Host is who runs the agent, and what is told to whom.
type Host struct {
	Build Build
	Log   *slog.Logger
	// Announce is called once, as soon as the link may connect, with the broker's URL and that of
	// the live page, empty where there is none; nil: nobody is told.
	Announce func(brokerURL, pageURL string)
	Manager  Manager       // nil: no service manager
	Watchdog time.Duration // for how long the manager may hear nothing; 0: it does not watch
	// Verify answers whether a bundle gives on this machine what it should, in a process of its
	// own; nil: not here.
	Verify func(ctx context.Context, bundleDir string) error
	// Doctor examines the machine and the settings, in a process of its own; nil: not here.
	Doctor func(ctx context.Context) ([]page.Finding, error)
	// Teach fits the last layer of a bundle anew, in a process of its own of low priority; nil: not
	// here. It is called from a goroutine that ends with it.
	Teach func(ctx context.Context, r TeachRun) error
	// ShadowArgs are the arguments, behind shadow.Verb and the folder of a bundle, with which this
	// program runs a new model beside the one that answers; nil: it does not.
	ShadowArgs []string
	// Golden compares the answers of an open network with the goldens of its bundle, if it has any;
	// nil: not here.
	Golden func(ctx context.Context, n *infer.Network) error
	Stuck  func(error) // called where a call into C does not come back: ends the process; nil: go on

	ready    func()                           // called when the agent is up; nil: nobody
	reload   func() (begin func(), err error) // reads the settings; begin starts anew with them. nil: not here
	goesBack bool                             // there are other settings to go on with
	restart  func()                           // ends Run with ErrRestart
	swaps    *swapRequests                    // that other networks are asked of
	// what feeds the watchdog while the network opens: nothing at the start, for it does not watch
	// yet
	alive string
}

// notify tells the service manager, where there is one.
func (h *Host) notify(state string) {
	if h.Manager == nil {
		return
	}
	if err := h.Manager.Notify(state); err != nil {
		h.Log.Debug("service manager not told", "error", err)
	}
}

// Run is the daemon: it opens the network, the broker and the link, moves frames until ctx ends or
// every source has come to its end, and closes in reverse. Nothing is published before the
// network's file was found to be the one that the manifest names. ErrRestart is its end where a
// subscriber asked for a restart.
func Run(ctx context.Context, c configs.Config, host Host) (err error) {
	observer, err := newObserver(&c, host)
	if err != nil {
		return err
	}
	if host.swaps == nil {
		host.swaps = newSwapRequests(c, nil)
	}
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	host.restart = func() { cancel(ErrRestart) }
	defer func() {
		if err == nil && context.Cause(ctx) == ErrRestart {
			err = ErrRestart
		}
	}()
	group, ctx := errgroup.WithContext(ctx)
	observeCtx, stopObserver := context.WithCancel(context.WithoutCancel(ctx))
	unhook := context.AfterFunc(ctx, func() {
		if context.Cause(ctx) != errReload {
			host.notify("STOPPING=1")
		}
	})
	defer unhook()
	group.Go(func() error { return observer.run(observeCtx) })
	group.Go(func() error {
		defer stopObserver()
		return work(ctx, c, host, observer)
	})
	return group.Wait()
}

// refusals are the models that were refused, each digest with its reason.
type refusals struct {
	all, now map[string]string // ever, and at this start
	log      *slog.Logger
}

func (r *refusals) add(refusal store.Refusal, now bool) {
	r.log.Error("the new model was refused, the one before goes on where there is one", "sha256", refusal.SHA256,
		"reason", refusal.Reason)
	r.all[refusal.SHA256] = refusal.Reason
	if now {
		r.now[refusal.SHA256] = refusal.Reason
	}
}

// work is Run without the supervisor.
func work(ctx context.Context, c configs.Config, host Host, observer *observer) (err error) {
	start, log := time.Now(), host.Log
	c.Infer = observer.hears(c.Infer)
	if c.MQTT.Broker != mqtt.Embedded { // a broker of its own is only started for a network that runs
		observer.speaksEarly(&earlyLink{config: &c, build: host.Build, log: log, every: 10 * time.Second})
	}
	refused := refusals{all: make(map[string]string), now: make(map[string]string), log: log}
	network, trial, err := openActive(ctx, &c, host.Golden, refused.add)
	if err != nil {
		return tellFailure(ctx, &c, &host, err)
	}
	changes := &modelSwap{network: network, took: time.Since(start), trial: trial, requests: host.swaps,
		observer: observer, golden: host.Golden, memory: device.At("/").Memory, every: time.Second, log: log}
	defer func() { err = joinClose(err, changes.close()) }()
	host.swaps.runs(c)
	tell(log, &c, network, time.Since(start))

	endBroker, err := ownBroker(&c, log)
	if err != nil {
		return err
	}
	defer endBroker()
	kept := openOverrides(c.StateDir, log)
	cameras, processes := openers(&c, kept)
	link, err := linkFor(&c, network, &host, refused.now)
	if err != nil {
		return err
	}
	if host.Announce != nil {
		host.Announce(c.MQTT.Broker, observer.pageURL())
	}
	publisher, condition := observed{link, observer}, modelCondition(refused.all, c.Model.Bundle)
	p := &pipeline.Pipeline{
		Cameras: cameras, Spec: &network.Bundle.Spec, Decide: c.Decide,
		Network: observer.looksAt(network, trial, condition, link), Publisher: publisher, Log: log,
		StatsEvery: c.MQTT.StatsInterval,
		MaxBatch:   c.Infer.MaxBatch, MaxWait: c.Infer.MaxWait,
	}
	recorder, err := samples.OpenRecorder(c.Samples, network.SHA256, log)
	if err != nil {
		return err
	}
	handler := &commands{config: &c, overrides: kept, pipeline: p, link: link, host: &host, log: log}
	hide, err := observer.page.shows(p, recorder, handler, network, processes)
	if err != nil {
		return err
	}
	changes.tap, changes.shadowArgs = &shadowTap{pipeline: p, next: p.Recorder}, host.ShadowArgs
	p.Recorder = changes.tap
	defer hide()
	handler.tellStates()
	handler.tellUnused(network.Bundle.Spec.Labels)
	changes.swapped = handler.tellUnused
	link.Handle(handler)
	changes.pipeline, changes.link, changes.recorder = p, link, recorder
	changes.updates = newUpdateState(func(u mqtt.Update) {
		link.Update(u)
		observer.updates.told(u)
	})
	changes.updates.refusedBefore(c, refused.all)
	updates := &updater{config: &c, version: host.Build.Version, activate: handler.activate,
		tell: changes.updates.pulls, running: host.swaps.installed, log: log}
	updates.listen(link)
	observer.updates.released(releaseOf(&c))
	observer.begin(p, link, network, trial)
	link.Health("engine", engineCondition(network.Info()))
	link.Health("model", condition)
	return runAll(ctx, p, link, changes, updates, recorder)
}

// linkFor is the link of a network. What was refused just now, reasons by bundle, is an event, told
// once; the health tells it at every start.
func linkFor(c *configs.Config, network *infer.Network, host *Host, refused map[string]string) (*mqtt.Link, error) {
	id := identity(c, &network.Bundle.Spec, modelOf(network), host.Build)
	id.Knows = network.Known() != nil
	sayUnknown(c, network, host.Log)
	link, err := mqtt.NewLink(c.MQTT, id, host.Log)
	if err != nil {
		return nil, err
	}
	for bundleDir, reason := range refused {
		link.ModelRefused(bundleDir, reason)
	}
	return link, nil
}

// ownBroker starts the embedded broker where that is asked for, and puts its address into c. Beside
// it nothing waits for long; for another broker c gets the folder of the spool.
func ownBroker(c *configs.Config, log *slog.Logger) (end func(), err error) {
	if c.MQTT.Broker != mqtt.Embedded {
		c.MQTT.Spool.Dir = filepath.Join(c.StateDir, "spool")
		return func() {}, nil
	}
	embedded, err := broker.Start("127.0.0.1:1883", log)
	if err != nil {
		return nil, err
	}
	c.MQTT.Broker, c.MQTT.Dial = embedded.URL(), embedded.Dial
	return func() { embedded.Close() }, nil
}

// tell says what classifies, and why nothing better does.
func tell(log *slog.Logger, c *configs.Config, n *infer.Network, took time.Duration) {
	info, spec := n.Info(), &n.Bundle.Spec
	for _, failed := range info.Tried {
		log.Info("provider not used", "provider", failed.Provider, "error", failed.Err)
	}
	if p := info.Placement; p != nil {
		log.Info("placement", "nodes", p.Nodes)
		if len(p.OnCPU) > 0 {
			log.Warn("nodes of the network are left to the CPU", "provider", info.Provider, "nodes", p.OnCPU)
		}
	}
	if r := info.Race; r != nil {
		log.Info("measured", "provider", info.Provider, "picture", r.Own, "cpu", r.Rival)
	}
	log.Info("network ready", "bundle", c.Model.Bundle, "name", spec.Name, "version", spec.Version,
		"provider", info.Provider, "precision", info.Precision, "file", n.File, "why", n.Why, "onnxruntime",
		info.Version, "took", took.Round(time.Millisecond))
}

// runAll runs pipeline and link, what changes the pipeline's network, what pulls releases and, where
// there is one, recorder; the link outlives the others, to say the last word.
func runAll(ctx context.Context, p *pipeline.Pipeline, link *mqtt.Link, changes *modelSwap, updates *updater,
	recorder *samples.Recorder) error {
	group, ctx := errgroup.WithContext(ctx)
	linkCtx, stopLink := context.WithCancel(context.WithoutCancel(ctx))
	besideCtx, stopBeside := context.WithCancel(ctx)
	if recorder != nil {
		group.Go(func() error { recorder.Run(besideCtx); return nil })
	}
	group.Go(func() error {
		defer stopLink()
		defer stopBeside()
		return p.Run(ctx)
	})
	group.Go(func() error { return changes.run(besideCtx) })
	group.Go(func() error { updates.run(besideCtx); return nil })
	group.Go(func() error { return link.Run(linkCtx) })
	return group.Wait()
}

// sayUnknown warns where frames are to be told as unknown and cannot be.
func sayUnknown(c *configs.Config, network *infer.Network, log *slog.Logger) {
	why := network.NoKnown()
	for i := range c.Cameras {
		if why != "" && c.Cameras[i].Decide.Over(c.Decide).UnknownBelow > 0 {
			log.Warn("no frame is told as unknown", "camera", c.Cameras[i].Name, "reason", why)
		}
	}
}

// identity says who publishes, and with what.
func identity(c *configs.Config, spec *bundle.Spec, network mqtt.ModelInfo, build Build) mqtt.Identity {
	id := mqtt.Identity{
		Unknown: c.Decide.Unknown, Labels: spec.Labels,
		Device: c.Device.ID, Name: c.Device.Name, Site: c.Device.Site, Version: build.Version, Commit: build.Commit,
		Model: network,
	}
	id.Cameras, id.Release, id.Updates = c.Streams(), releaseOf(c), c.Update.Every > 0
	if id.Groups = c.Device.Groups; len(id.Groups) > 0 {
		id.Updates = true
	}
	return id
}

// releaseOf is what the model's statement says, where a trusted key signed it or none is required.
func releaseOf(c *configs.Config) (r mqtt.Release) {
	gate := c.Gate("")
	t, err := gate.Trust()
	r.Required = err != nil || t.Required()
	if sum := filepath.Base(c.Model.Bundle); c.Model.Demo != "" && bundle.IsDigest(sum) {
		r.Bundle = sum
	}
	a, err := gate.Installed(c.Model.Bundle)
	if err == nil && a.Local != nil {
		r.Local, r.SignedBy, r.Name, r.Number = true, a.SignedBy(), a.Local.Parent.Name, a.Local.Parent.Release
	}
	if err != nil || a.Statement == nil {
		return r
	}
	r.SignedBy, r.Name, r.Number = a.SignedBy(), a.Statement.Name, a.Statement.Release
	return r
}

// openers turns the configured cameras into the pipeline's, with what was set over MQTT since, and
// gives the link what each of them has of its own. Beside them it returns their processes, by name.
func openers(c *configs.Config, kept *overrides) ([]pipeline.Camera, map[string]*worker.Camera) {
	c.MQTT.StateDir = c.StateDir
	c.MQTT.PublishOf = make(map[string]mqtt.Policy)
	var cameras []pipeline.Camera
	processes := make(map[string]*worker.Camera)
	for i := range c.Cameras {
		own := &c.Cameras[i]
		set := kept.camera(own.Name)
		decide := own.Decide.Over(c.Decide)
		decide.Thresholds = vision.FormatThresholds(set.thresholds(&decide))
		decide.Threshold = inForce(&set.Threshold, decide.Threshold)
		decide.UnknownBelow = inForce(&set.UnknownBelow, decide.UnknownBelow)
		publish := own.Publish.Over(c.MQTT.Publish)
		regions, _ := own.Regions() // both were validated
		motion, _ := own.MotionThreshold()
		for _, name := range camera.RegionNames(own.Name, regions) {
			c.MQTT.PublishOf[name] = publish
		}
		process := worker.New(own.Config)
		processes[own.Name] = process
		cameras = append(cameras, pipeline.Camera{
			Name:       own.Name,
			Open:       func(ctx context.Context) (pipeline.Source, error) { return process.Open(ctx) },
			Close:      process.Close,
			EveryFrame: own.EveryFrame(),
			Closed:     !inForce(&set.Enabled, own.Enabled),
			Decide:     decide,
			Slow:       camera.Slowness(&own.Config),
			Regions:    regions,
			Watch:      own.Watch(),
			Motion:     motion,
			Heartbeat:  publish.Heartbeat,
		})
	}
	return cameras, processes
}

func joinClose(err, closing error) error {
	if err == nil && closing != nil {
		return fmt.Errorf("agent: close: %w", closing)
	}
	return err
}

// modelOf is what messages say of a network.
func modelOf(n *infer.Network) mqtt.ModelInfo {
	info, spec := n.Info(), &n.Bundle.Spec
	return mqtt.ModelInfo{Name: spec.Name, Version: spec.Version, SHA256: n.SHA256, Precision: info.Precision,
		Provider: info.Provider}
}
