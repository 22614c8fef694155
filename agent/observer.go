package agent

import (
	"context"
	"fmt"
	"log/slog"
	"runtime"
	"slices"
	"strings"
	"sync"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/vggse/vggse-agent/agent/pipeline"
	"github.com/vggse/vggse-agent/api"
	"github.com/vggse/vggse-agent/configs"
	"github.com/vggse/vggse-agent/device"
	"github.com/vggse/vggse-agent/infer"
	"github.com/vggse/vggse-agent/mqtt"
	"github.com/vggse/vggse-agent/vision"
)

// Manager is the service manager, which is told how the service fares in the words of sd_notify(3).
type Manager interface {
	Notify(state string) error
}

// observer knows how the agent fares, and tells who asks (HTTP) and who wants to be told (the service
// manager). It is fed by what passes on its way to the link, and never holds that up.
type observer struct {
	host    Host
	log     *slog.Logger
	machine machine
	server  *api.Server // nil: HTTP is off
	started time.Time

	mu          sync.Mutex // guards what follows
	cameras     map[string]string
	model       api.Model
	pipeline    *pipeline.Pipeline // nil until it runs
	link        *mqtt.Link
	trial       *trial           // of a model that was activated; nil: none is on trial
	throttle    *device.Throttle // at the last stats
	slowed      string           // what the governor does; empty: nothing
	share       float64          // of the frame rate that it allows
	braking     bool             // it is wanted
	beside      string           // bundle that is being opened beside the one that runs; empty: none
	besideSince time.Time

	construction *construction // an engine that is being built; nil: none
	early        *earlyLink    // says so on MQTT where there is no link yet

	governor   governor  // for tend alone, like what follows
	looked     time.Time // at the last look of the governor
	classified uint64
}

// newObserver opens the HTTP port, where one is wanted.
func newObserver(c *configs.Config, host Host) (*observer, error) {
	o := &observer{
		host: host, log: host.Log, started: time.Now(), cameras: make(map[string]string),
		machine: machine{device.At("/"), c.StateDir}, share: 1, braking: c.Telemetry.Brake,
	}
	for _, name := range c.Streams() {
		o.cameras[name] = mqtt.CameraOffline
	}
	if c.HTTP.Off() {
		return o, nil
	}
	build := api.Build{Version: host.Build.Version, Commit: host.Build.Commit, Go: runtime.Version()}
	server, err := api.Listen(c.HTTP, build, o)
	if err != nil {
		return nil, err
	}
	o.server = server
	o.log.Info("http listening", "url", "http://"+server.Address())
	return o, nil
}

// run answers and tells until ctx ends.
func (o *observer) run(ctx context.Context) error {
	group, ctx := errgroup.WithContext(ctx)
	if o.server != nil {
		group.Go(func() error { return o.server.Run(ctx) })
	}
	group.Go(func() error { o.tend(ctx); return nil })
	return group.Wait()
}

// begin says what is about to run; from now on the agent can report, and for the manager it is up.
func (o *observer) begin(p *pipeline.Pipeline, link *mqtt.Link, n *infer.Network, t *trial) {
	o.use(n, t)
	o.mu.Lock()
	o.pipeline, o.link = p, link
	o.mu.Unlock()
	o.host.notify("READY=1\nSTATUS=" + o.sentence())
	if o.host.ready != nil {
		o.host.ready()
	}
}

// speaksEarly says who speaks to the broker before there is a link.
func (o *observer) speaksEarly(l *earlyLink) {
	o.mu.Lock()
	defer o.mu.Unlock()
	o.early = l
}

// use says which network answers from now on.
func (o *observer) use(n *infer.Network, t *trial) {
	if t != nil {
		t.from = o.frames()
	}
	o.mu.Lock()
	defer o.mu.Unlock()
	o.model, o.trial = api.Model(modelOf(n)), t
}

// besides says which bundle is being opened beside the one that runs; empty: none.
func (o *observer) besides(bundleDir string) {
	o.mu.Lock()
	defer o.mu.Unlock()
	o.beside, o.besideSince = bundleDir, time.Now()
}

// frames are all that were classified.
func (o *observer) frames() uint64 {
	n := uint64(0)
	for _, c := range o.counts().Cameras {
		n += c.Classified
	}
	return n
}

// tend keeps the manager informed. The watchdog is fed only while every step of the pipeline is within
// its time: who hangs in C is not helped by a clock that ticks elsewhere in the process.
func (o *observer) tend(ctx context.Context) {
	every := 5 * time.Second
	if o.host.Watchdog > 0 {
		every = min(every, o.host.Watchdog/3)
	}
	tick := time.NewTicker(every)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
		}
		if err := o.Stuck(); err != nil {
			o.log.Error("stuck, only a restart mends that", "error", err)
			o.host.notify("STATUS=stuck: " + err.Error())
			if o.host.Stuck != nil {
				o.host.Stuck(err)
			}
			return
		}
		if o.starting() { // an engine may take an hour to build
			o.host.notify(fmt.Sprintf("EXTEND_TIMEOUT_USEC=%d\n%sSTATUS=%s", (4 * every).Microseconds(), o.host.alive, o.sentence()))
		} else {
			o.slowDown()
			o.host.notify("WATCHDOG=1\nSTATUS=" + o.sentence())
			o.judge()
		}
	}
}

// slowDown has the governor look at the machine, and tells where it moves.
func (o *observer) slowDown() {
	o.mu.Lock()
	p, link, wanted := o.pipeline, o.link, o.braking
	o.mu.Unlock()
	if !wanted {
		return
	}
	classified, now := o.frames(), time.Now()
	rate := float64(classified-o.classified) / now.Sub(o.looked).Seconds()
	first := o.looked.IsZero()
	o.looked, o.classified = now, classified
	if first || !o.governor.look(o.machine.Headroom(), o.machine.Throttle(), rate) {
		return
	}
	p.Limit(o.governor.every)
	slowed := o.governor.sentence()
	o.mu.Lock()
	o.slowed, o.share = slowed, o.governor.share()
	o.mu.Unlock()
	if slowed == "" {
		o.log.Info("back to the full frame rate")
		link.Health("thermal", mqtt.Condition{Status: mqtt.OK})
		return
	}
	o.log.Warn("the machine is near to its limits", "frames", slowed)
	link.Health("thermal", mqtt.Condition{Status: mqtt.Degraded, Reason: slowed})
}

// passed ends the trial of a model whose run has ended well.
func (o *observer) passed() error {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.trial.passed()
}

// judge ends the trial of a model that has been answering for long enough.
func (o *observer) judge() {
	o.mu.Lock()
	t := o.trial
	o.mu.Unlock()
	if t == nil || time.Since(t.since) < probation {
		return
	}
	if o.frames() == t.from {
		return
	}
	if err := t.passed(); err != nil {
		o.log.Warn("the new model's trial goes on", "error", err)
		return
	}
	o.mu.Lock()
	o.trial = nil
	o.mu.Unlock()
}

func (o *observer) starting() bool {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.pipeline == nil
}

// sentence is the state in one line, as 'systemctl status' shows it.
func (o *observer) sentence() string {
	o.mu.Lock()
	building := o.construction
	o.mu.Unlock()
	if o.starting() && building != nil {
		return building.String()
	}
	if o.starting() {
		return fmt.Sprintf("opening the network, for %s so far", time.Since(o.started).Round(time.Second))
	}
	f := o.counts()
	online, frames := 0, uint64(0)
	for _, c := range f.Cameras {
		frames += c.Classified
		if c.Online {
			online++
		}
	}
	brokerURL := "connected"
	if !f.Connected {
		brokerURL = "away"
	}
	text := fmt.Sprintf("%d of %d cameras deliver, broker %s, %d frames classified", online, len(f.Cameras), brokerURL, frames)
	o.mu.Lock()
	defer o.mu.Unlock()
	if o.slowed != "" {
		text += ", " + o.slowed
	}
	if building != nil {
		text += ", " + building.String()
	}
	if o.beside != "" {
		text += fmt.Sprintf(", opening %s for %s so far", o.beside, time.Since(o.besideSince).Round(time.Second))
	}
	return text
}

// Stuck implements api.Agent.
func (o *observer) Stuck() error {
	o.mu.Lock()
	defer o.mu.Unlock()
	if o.pipeline == nil {
		return nil
	}
	return o.pipeline.Stuck()
}

// Unready implements api.Agent: why no decision reaches a broker.
func (o *observer) Unready() []string {
	if o.starting() {
		return []string{o.sentence()}
	}
	var reasons []string
	o.mu.Lock()
	defer o.mu.Unlock()
	if !o.link.Connected() {
		reasons = append(reasons, "the broker is not connected")
	}
	var away []string
	for name, status := range o.cameras {
		switch status {
		case mqtt.CameraOnline:
			return reasons
		case mqtt.CameraOffline, mqtt.CameraStalled:
			away = append(away, name)
		}
	}
	if len(away) == 0 {
		return append(reasons, "every camera is disabled")
	}
	slices.Sort(away)
	return append(reasons, "no camera delivers: "+strings.Join(away, ", "))
}

// Figures implements api.Agent.
func (o *observer) Figures() api.Figures {
	f := o.counts()
	t := o.machine.telemetry()
	o.mu.Lock()
	defer o.mu.Unlock()
	f.Machine = gauges(&t, o.share)
	return f
}

// counts are the figures but for the machine's.
func (o *observer) counts() api.Figures {
	o.mu.Lock()
	defer o.mu.Unlock()
	if o.pipeline == nil {
		return api.Figures{}
	}
	q := o.link.Queue()
	f := api.Figures{
		Connected: o.link.Connected(), Waiting: o.link.Waiting(), Model: o.model,
		Queue: api.Queue{Bytes: q.Bytes, Dropped: q.Dropped, Failing: q.Err != nil},
	}
	for _, c := range o.pipeline.Counts() {
		f.Cameras = append(f.Cameras, api.Camera{Name: c.Name, Captured: c.Captured, Classified: c.Classified, Skipped: c.Skipped,
			Online: o.cameras[c.Name] == mqtt.CameraOnline})
	}
	return f
}

// observed is the link, with an observer that sees what passes.
type observed struct {
	*mqtt.Link
	observer *observer
}

func (l observed) Publish(ctx context.Context, d *vision.Decision) error {
	if s := l.observer.server; s != nil {
		s.Observe(d)
	}
	return l.Link.Publish(ctx, d)
}

func (l observed) CameraStatus(camera, status string) {
	l.observer.mu.Lock()
	l.observer.cameras[camera] = status
	l.observer.mu.Unlock()
	l.Link.CameraStatus(camera, status)
}

// Stats adds the machine's telemetry, and publishes what it means for the device's health.
func (l observed) Stats(s mqtt.Stats) {
	o := l.observer
	t := o.machine.telemetry()
	s.Machine = t
	l.Link.Stats(s)
	o.mu.Lock()
	condition := thermal(t.Throttle, o.throttle)
	o.throttle = t.Throttle
	if o.slowed != "" {
		condition = mqtt.Condition{Status: mqtt.Degraded, Reason: o.slowed}
	}
	o.mu.Unlock()
	l.Link.Health("thermal", condition)
}
