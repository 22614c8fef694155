package agent

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/vggse/vggse-agent/agent/pipeline"
	"github.com/vggse/vggse-agent/api/page"
	"github.com/vggse/vggse-agent/bundle"
	"github.com/vggse/vggse-agent/bundle/store"
	"github.com/vggse/vggse-agent/camera"
	"github.com/vggse/vggse-agent/camera/worker"
	"github.com/vggse/vggse-agent/configs"
	"github.com/vggse/vggse-agent/infer"
	"github.com/vggse/vggse-agent/internal/redact"
	"github.com/vggse/vggse-agent/live"
	"github.com/vggse/vggse-agent/mqtt"
	"github.com/vggse/vggse-agent/reference"
	"github.com/vggse/vggse-agent/release"
	"github.com/vggse/vggse-agent/samples"
	"github.com/vggse/vggse-agent/vision"
)

const (
	// afterAnswer is how long an answer has to leave before what it tells of is done.
	afterAnswer = 300 * time.Millisecond
)

// livePage is what the live page shows of the agent, and asks of it. It implements page.Agent.
type livePage struct {
	*observer
	config  *configs.Config
	teacher *teacher
	live    *live.Monitor
	encoder *encoder
	told    conditions // what was noted of the parts last; for tend alone

	// observer.mu guards what follows.
	broker   string // without credentials
	model    page.Model
	commands *commands // nil until the pipeline runs
	samples  *samples.Review
}

// conditions are those of the parts, and whether the broker is connected.
type conditions struct {
	parts     map[string]mqtt.Condition
	connected bool
}

// newLivePage makes what remembers for the page, and gives the server the page.
func newLivePage(o *observer, c *configs.Config) *livePage {
	e := &encoder{}
	p := &livePage{observer: o, config: c, live: live.New(c.Streams(), e), encoder: e}
	about := page.About{
		Version: o.host.Build.Version, Commit: o.host.Build.Commit, ID: c.Device.ID, Name: c.Device.Name,
		Site: c.Device.Site, Pictures: c.HTTP.Pictures, Unsafe: !c.HTTP.Local() && c.HTTP.TLS.Cert == "",
		Samples: c.Samples.Dir != "",
		CanAct:  c.HTTP.ActTokenFile != "",
	}
	for i := range c.Cameras {
		about.Cameras = append(about.Cameras, pageCameras(&c.Cameras[i])...)
	}
	p.teacher = newTeacher(p)
	p.live.Note(live.Event{Kind: live.KindStart, Text: o.host.Build.Version})
	o.server.Show(page.New(about, p.live, p))
	return p
}

// pageCameras are the streams of a camera, with their regions.
func pageCameras(c *configs.Camera) []page.Camera {
	regions, err := c.Regions()
	if err != nil {
		regions = nil // Validate says what is wrong
	}
	var all []page.Camera
	for _, r := range regions {
		one := page.Camera{Name: r.Of(c.Name), Camera: c.Name, Pixels: r.Pixels}
		if !r.Whole() {
			one.Region = []float64{r.Left, r.Top, r.Width, r.Height}
		}
		all = append(all, one)
	}
	return all
}

// uses says which network answers from now on.
func (p *livePage) uses(n *infer.Network, decide func(stream string) vision.DecideConfig) {
	info, spec := n.Info(), &n.Bundle.Spec
	model := page.Model{Name: spec.Name, Version: spec.Version, SHA256: n.SHA256, Precision: info.Precision,
		Provider: info.Provider, Why: n.Why, Runtime: info.Version}
	for _, failed := range info.Tried {
		model.Tried = append(model.Tried, failed.Provider+": "+failed.Err.Error())
	}
	p.mu.Lock()
	p.model = model
	p.mu.Unlock()
	p.teacher.runs(n.Bundle)
	err := p.live.Use(live.Network{Labels: spec.Labels, Preprocess: spec.Preprocess,
		Size: spec.Architecture.InputSize, Decide: decide,
		Blocks: n.SignalSizes().Channels, NoBlocks: n.NoChannels(), Usual: p.usual(n)})
	if err != nil { // the pipeline has made deciders of the same
		p.log.Error("the live page cannot show this network", "error", err)
	}
	p.live.Note(live.Event{Kind: live.KindModel,
		Text: strings.TrimSpace(fmt.Sprintf("%s %s, %s, %s", spec.Name, spec.Version, info.Precision, info.Provider))})
}

// usual tells what the gates of a network mostly are, by its bundle; nil where that does not say. Only
// what is returned reads the file, some MB: not before somebody looks. It tells a few KB, which are
// kept.
func (p *livePage) usual(n *infer.Network) func() live.Usual {
	blocks := n.SignalSizes().Channels
	if _, has := n.Bundle.Spec.Files[bundle.FileReference]; !has || len(blocks) == 0 {
		return nil
	}
	return func() live.Usual {
		// Others wait for the answer as well: who asked first may go.
		kept, err := reference.Read(context.Background(), n.Bundle)
		if err != nil {
			p.log.Warn("the live page does not know which channels are usual", "error", err)
			return live.Usual{}
		}
		middle, spread := kept.Usual(blocks)
		return live.Usual{Pictures: kept.Pictures, Middle: middle, Spread: spread}
	}
}

// shows makes the pipeline give its frames to the recorder and to the page, and the page show what is
// about to run, until hide is called. Either may be missing. processes are those of the cameras, by
// name.
func (p *livePage) shows(to *pipeline.Pipeline, recorder *samples.Recorder, c *commands, n *infer.Network,
	processes map[string]*worker.Camera) (hide func(), err error) {
	if recorder != nil {
		to.Recorder = recorder
	}
	if p == nil {
		return func() {}, nil
	}
	hide = func() {}
	p.encoder.processes.Store(&processes)
	to.Recorder, c.live = p.live, p.live
	if recorder != nil {
		review, err := recorder.Review()
		if err != nil {
			return nil, err
		}
		to.Recorder = recorders{recorder, p.live}
		p.keeps(review)
		hide = func() {
			p.keeps(nil)
			_ = review.Close() // of a folder that was read
		}
	}
	p.begins(c, to.Cameras, n)
	return hide, nil
}

func (p *livePage) begins(c *commands, cameras []pipeline.Camera, n *infer.Network) {
	decide := make(map[string]vision.DecideConfig)
	for i := range cameras {
		own := &cameras[i]
		for _, name := range camera.RegionNames(own.Name, own.Regions) {
			decide[name] = own.Decide
			p.live.Enabled(name, !own.Closed)
		}
	}
	p.uses(n, func(stream string) vision.DecideConfig { return decide[stream] })
	p.mu.Lock()
	defer p.mu.Unlock()
	p.commands, p.broker = c, redact.Text(c.config.MQTT.Broker)
}

// swaps says that another network answers, with the settings of now.
func (p *livePage) swaps(n *infer.Network) {
	p.uses(n, func(stream string) vision.DecideConfig {
		var s live.State
		_ = p.live.State(stream, &s) // it is one of the page's
		return s.Decide
	})
}

// look notes what has changed of the parts and the broker since the last look.
func (p *livePage) look() {
	p.mu.Lock()
	link := p.link
	p.mu.Unlock()
	if link == nil {
		return
	}
	now := conditions{link.Conditions(), link.Connected()}
	if now.connected != p.told.connected {
		text := "away"
		if now.connected {
			text = "connected"
		}
		p.live.Note(live.Event{Kind: live.KindBroker, Text: text})
	}
	for _, part := range partsOf(now.parts) {
		if before, known := p.told.parts[part.Name]; part.Name == "cameras" || !known && part.Status == mqtt.OK ||
			known && before.Status == part.Status {
			continue
		}
		text := part.Status
		if part.Reason != "" {
			text += ": " + part.Reason
		}
		p.live.Note(live.Event{Kind: live.KindHealth, Part: part.Name, Text: text})
	}
	p.told = now
}

// partsOf are the conditions by name.
func partsOf(all map[string]mqtt.Condition) []page.Part {
	parts := make([]page.Part, 0, len(all))
	for name, c := range all {
		parts = append(parts, page.Part{Name: name, Status: c.Status, Reason: redact.Text(c.Reason)})
	}
	slices.SortFunc(parts, func(a, b page.Part) int { return strings.Compare(a.Name, b.Name) })
	return parts
}

// Troubles implements page.Agent.
func (p *livePage) Troubles() []page.Trouble {
	if p.starting() {
		return []page.Trouble{{Part: "start", Status: mqtt.Degraded, Reason: p.sentence()}}
	}
	p.mu.Lock()
	link := p.link
	p.mu.Unlock()
	var all []page.Trouble
	if !link.Connected() {
		all = append(all, page.Trouble{Part: "broker", Status: mqtt.Degraded, Reason: p.awayFrom(link)})
	}
	for _, part := range partsOf(link.Conditions()) {
		if part.Status != mqtt.OK {
			all = append(all, page.Trouble{Part: part.Name, Status: part.Status, Reason: part.Reason})
		}
	}
	slices.SortStableFunc(all, func(a, b page.Trouble) int { return strings.Compare(b.Status, a.Status) })
	return all
}

// awayFrom is the broker's address, and why it is not connected.
func (p *livePage) awayFrom(link *mqtt.Link) string {
	if why := link.Away(); why != "" {
		return p.brokerURL() + ": " + redact.Text(why)
	}
	return p.brokerURL()
}

func (p *livePage) brokerURL() string {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.broker
}

// Device implements page.Agent.
func (p *livePage) Device() page.Device {
	d := page.Device{Sentence: p.sentence(), Uptime: time.Since(p.started).Seconds(), Machine: p.sensors.telemetry()}
	f := p.counts()
	d.Queue = page.Queue{Records: f.Waiting, Bytes: f.Queue.Bytes, Dropped: f.Queue.Dropped}
	for _, c := range f.Cameras {
		d.Cameras = append(d.Cameras, page.Counts{Name: c.Name, Captured: c.Captured, Classified: c.Classified,
			Skipped: c.Skipped, Judged: c.Judged, Unknown: c.Unknown, Drift: c.Drift.Features || c.Drift.Channels})
	}
	p.mu.Lock()
	link := p.link
	d.Model, d.Broker = p.model, page.Broker{URL: p.broker, Connected: f.Connected}
	p.mu.Unlock()
	if link != nil {
		d.Parts = partsOf(link.Conditions())
	}
	d.Models, d.ModelNote = p.installed()
	d.Update = p.updates.page()
	return d
}

// installed are the bundles of the device, or why there are none to choose from.
func (p *livePage) installed() (models []page.Installed, note string) {
	if p.config.Model.Demo == "" {
		return nil, "model.bundle"
	}
	all, err := store.At(p.config.StateDir).List()
	if err != nil {
		return nil, err.Error()
	}
	before, _ := store.At(p.config.StateDir).Before()
	for _, i := range all {
		refused, _, _ := store.At(p.config.StateDir).SetAside(i.SHA256)
		models = append(models, page.Installed{SHA256: i.SHA256, Name: i.Name, Version: i.Version, Active: i.Active,
			OnTrial: i.OnTrial, Local: release.LocalOf(i.Dir) != nil, Before: i.SHA256 == before.SHA256,
			Refused: refused.Reason})
	}
	return models, ""
}

var errStarting = errors.New("the agent is still starting: try again")

// does hands an action to commands, which take one at a time.
func (p *livePage) does(what func(c *commands) error) error {
	p.mu.Lock()
	c := p.commands
	p.mu.Unlock()
	if c == nil {
		return errStarting
	}
	return what(c)
}

// SetThreshold implements page.Agent.
func (p *livePage) SetThreshold(stream string, score float64) error {
	return p.does(func(c *commands) error { return c.Threshold(stream, score) })
}

// SetClassThreshold implements page.Agent.
func (p *livePage) SetClassThreshold(stream, label string, score *float64) error {
	return p.does(func(c *commands) error { return c.ClassThreshold(stream, label, score) })
}

// Enable implements page.Agent.
func (p *livePage) Enable(stream string, on bool) error {
	return p.does(func(c *commands) error { return c.Enable(stream, on) })
}

// Samples implements page.Agent.
func (p *livePage) Samples() *samples.Review {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.samples
}

// keeps says where kept pictures are looked through.
func (p *livePage) keeps(r *samples.Review) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.samples = r
}

// Activate implements page.Agent.
func (p *livePage) Activate(ctx context.Context, sum string) error {
	return p.commandModel(ctx, mqtt.Command{Name: mqtt.CommandModelActivate, SHA256: sum})
}

// commandModel carries out a command that may make another model run.
func (p *livePage) commandModel(ctx context.Context, m mqtt.Command) error {
	return p.does(func(c *commands) error {
		then, err := c.Command(ctx, m)
		if err == nil && then != nil {
			time.AfterFunc(afterAnswer, then) // beginning anew closes the connection of whoever asked
		}
		return err
	})
}

// Examine implements page.Agent.
func (p *livePage) Examine(ctx context.Context) ([]page.Finding, error) {
	if p.host.Doctor == nil {
		return nil, errors.New("this process does not examine the device")
	}
	return p.host.Doctor(ctx)
}

// Teacher implements page.Agent.
func (p *livePage) Teacher() page.Teacher { return p.teacher }

// Acted implements page.Agent.
func (p *livePage) Acted(by, done, camera string) {
	p.log.Info("done on the live page", "by", by, "action", done, "camera", camera)
}

// recorders hand a frame to each of several.
type recorders []pipeline.Recorder

func (all recorders) Record(d *vision.Decision, f *vision.Frame) {
	for _, r := range all {
		r.Record(d, f)
	}
}
