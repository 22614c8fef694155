package agent

import (
	"context"
	"fmt"
	"log/slog"
	"runtime"
	"sync"
	"sync/atomic"
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

// observer knows how the agent fares, and tells who asks (HTTP) and who wants to be told (the
// service manager). It is fed by what passes on its way to the link, and never holds that up.
type observer struct {
	host    Host
	log     *slog.Logger
	sensors sensors
	server  *api.Server // nil: HTTP is off
	page    *livePage   // nil: HTTP is off
	started time.Time

	mu          sync.Mutex // guards what follows
	cameras     map[string]string
	model       api.Model
	pipeline    *pipeline.Pipeline // nil until it runs
	link        *mqtt.Link
	trial       *probation       // of a model that was activated; nil: none is on trial
	rollbacks   uint64           // that happened by themselves
	throttle    *device.Throttle // at the last stats
	slowed      string           // what the governor does; empty: nothing
	share       float64          // of the frame rate that it allows
	braking     bool             // it is wanted
	beside      string           // bundle that is being opened beside the one that runs; empty: none
	besideSince time.Time

	updates updateView
	wrong   atomic.Bool // the last answer of the network was no number

	build *engineBuild // an engine that is being built; nil: none
	early *earlyLink   // says so on MQTT where there is no link yet

	governor   governor  // for tend alone, like what follows
	looked     time.Time // at the last look of the governor
	classified uint64
}

// newObserver opens the HTTP port, where one is wanted.
func newObserver(c *configs.Config, host Host) (*observer, error) {
	o := &observer{
		host: host, log: host.Log, started: time.Now(), cameras: make(map[string]string),
		sensors: sensors{device.At("/"), c.StateDir}, share: 1, braking: c.Telemetry.Brake,
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
	o.page = newLivePage(o, c)
	o.log.Info("http listening", "url", server.URL())
	return o, nil
}

// run answers and tells until ctx ends.
func (o *observer) run(ctx context.Context) error {
	group, ctx := errgroup.WithContext(ctx)
	if o.server != nil {
		group.Go(func() error { return o.server.Run(ctx) })
		group.Go(func() error { o.page.teacher.run(ctx); return nil })
	}
	group.Go(func() error { o.tend(ctx); return nil })
	return group.Wait()
}

// begin says what is about to run; from now on the agent can report, and for the manager it is up.
func (o *observer) begin(p *pipeline.Pipeline, link *mqtt.Link, n *infer.Network, t *probation) {
	o.use(n, t)
	o.mu.Lock()
	o.pipeline, o.link = p, link
	o.mu.Unlock()
	o.host.notify("READY=1\nSTATUS=" + o.sentence())
	if o.host.ready != nil {
		o.host.ready()
	}
}

// pageURL is where a person opens the live page; empty where there is none.
func (o *observer) pageURL() string {
	if o.server == nil {
		return ""
	}
	return o.server.URL()
}

// speaksEarly says who speaks to the broker before there is a link.
func (o *observer) speaksEarly(l *earlyLink) {
	o.mu.Lock()
	defer o.mu.Unlock()
	o.early = l
}

// use says which network answers from now on.
func (o *observer) use(n *infer.Network, t *probation) {
	o.mu.Lock()
	defer o.mu.Unlock()
	o.model, o.trial = api.Model(modelOf(n)), t
}

// looksAt is the network with its answers looked at; good is its condition while they are numbers,
// and t its trial, if it is on one.
func (o *observer) looksAt(n *infer.Network, t *probation, good mqtt.Condition, link *mqtt.Link) *answers {
	return &answers{n, good, link.Health, o.log, &o.wrong, t}
}

// besides says which bundle is being opened beside the one that runs; empty: none.
func (o *observer) besides(bundleDir string) {
	o.mu.Lock()
	defer o.mu.Unlock()
	o.beside, o.besideSince = bundleDir, time.Now()
}

// tend keeps the manager informed. The watchdog is fed only while every step of the pipeline is
// within its time: who hangs in C is not helped by a clock that ticks elsewhere in the process.
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
			o.host.notify(fmt.Sprintf("EXTEND_TIMEOUT_USEC=%d\n%sSTATUS=%s", (4 * every).Microseconds(), o.host.alive,
				o.sentence()))
		} else {
			o.slowDown()
			if o.page != nil {
				o.page.look()
			}
			o.host.notify("WATCHDOG=1\nSTATUS=" + o.sentence())
		}
	}
}

// decided tells the trial of the model that answers, if it is on one, of a decision.
func (o *observer) decided(d *vision.Decision) {
	o.mu.Lock()
	t := o.trial
	o.mu.Unlock()
	t.decided(d)
}

// rolledBack counts a model that was refused while it was on trial.
func (o *observer) rolledBack() {
	o.mu.Lock()
	defer o.mu.Unlock()
	o.rollbacks++
}

// slowedDown reports whether the governor holds the frame rate down.
func (o *observer) slowedDown() bool {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.slowed != ""
}

// onTrial is the trial of the model that answers; nil: it is on none.
func (o *observer) onTrial() *probation {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.trial
}

func (o *observer) starting() bool {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.pipeline == nil
}

// sentence is the state in one line, as 'systemctl status' shows it.
func (o *observer) sentence() string {
	o.mu.Lock()
	building := o.build
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
	text := fmt.Sprintf("%d of %d cameras deliver, broker %s, %d frames classified", online, len(f.Cameras), brokerURL,
		frames)
	o.mu.Lock()
	defer o.mu.Unlock()
	if o.slowed != "" {
		text += ", " + o.slowed
	}
	if building != nil {
		text += ", " + building.String()
	}
	if word := o.updates.String(); word != "" {
		text += ", " + word
	}
	if o.beside != "" {
		text += fmt.Sprintf(", opening %s for %s so far", o.beside, time.Since(o.besideSince).Round(time.Second))
	}
	return text
}
