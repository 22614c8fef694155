package agent

import (
	"context"
	"fmt"
	"log/slog"
	"maps"
	"slices"
	"strings"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/vggse/vggse-agent/bundle"
	"github.com/vggse/vggse-agent/configs"
	"github.com/vggse/vggse-agent/infer"
	"github.com/vggse/vggse-agent/mqtt"
)

// buildingEngine is the state of an agent whose network is still being built for the GPU, in logs
// and on MQTT.
const buildingEngine = "building_engine"

// construction is an engine that is being built.
type engineBuild struct {
	infer.Building
	since time.Time
}

// String is the state in one phrase.
func (c *engineBuild) String() string {
	text := fmt.Sprintf("%s: %s for %s, for %s so far", buildingEngine, c.Precision, c.Provider,
		time.Since(c.since).Round(time.Second))
	if c.Last > 0 {
		text += fmt.Sprintf(" (the last one took %s)", c.Last.Round(time.Second))
	}
	return text
}

// hears returns c with the observer listening to builds.
func (o *observer) hears(c infer.Config) infer.Config {
	if c.Engines != nil {
		engines := *c.Engines
		engines.Tell = o.builds
		c.Engines = &engines
	}
	return c
}

// silent is c without what listens and builds, for comparing settings: functions never equal.
func silent(c infer.Config) infer.Config {
	c.Engines = nil
	return c
}

// builds hears of a build's begin and end, and passes it on to the log and, where there is a link,
// to MQTT.
func (o *observer) builds(b infer.Building) {
	o.mu.Lock()
	link, early := o.link, o.early
	o.build = nil
	if !b.Done {
		o.build = &engineBuild{b, time.Now()}
	}
	now := o.build
	o.mu.Unlock()
	switch {
	case !b.Done:
		o.log.Info(buildingEngine, "provider", b.Provider, "precision", b.Precision, "why", b.Why, "last_took",
			b.Last.Round(time.Second))
	case b.Err != nil:
		o.log.Warn("engine not built", "provider", b.Provider, "precision", b.Precision, "took",
			b.Took.Round(time.Second), "error", b.Err)
	default:
		o.log.Info("engine built", "provider", b.Provider, "precision", b.Precision, "took", b.Took.Round(time.Second))
	}
	condition := mqtt.Condition{Status: mqtt.OK}
	if now != nil {
		condition = mqtt.Condition{Status: mqtt.Degraded, Reason: now.String()}
	}
	switch {
	case link != nil:
		link.Health("engine", condition)
	case early != nil && now != nil:
		early.begin(now)
	case early != nil:
		early.end()
	}
}

// engineCondition is the part "engine" of the health: which provider runs how many nodes, and what
// a GPU's left to the CPU.
func engineCondition(i infer.Info) mqtt.Condition {
	p := i.Placement
	if p == nil {
		return mqtt.Condition{Status: mqtt.OK, Reason: "all on " + i.Provider}
	}
	var words []string
	for _, provider := range slices.Sorted(maps.Keys(p.Nodes)) {
		words = append(words, fmt.Sprintf("%d on %s", p.Nodes[provider], provider))
	}
	c := mqtt.Condition{Status: mqtt.OK, Reason: "nodes: " + strings.Join(words, ", ")}
	if len(p.OnCPU) > 0 {
		c.Status = mqtt.Degraded
		c.Reason += "; left to the CPU: " + strings.Join(p.OnCPU, ", ")
	}
	return c
}

// earlyLink speaks to the broker while there is no network yet to speak for: subscribers see
// building_engine instead of a device that is away. The link of the pipeline takes over.
type earlyLink struct {
	config *configs.Config
	build  Build
	log    *slog.Logger
	every  time.Duration // between two words on how long it has taken

	stop  context.CancelFunc // nil: none runs
	group errgroup.Group
}

// begin connects. What goes wrong is told and is no reason to stop the build.
func (l *earlyLink) begin(c *engineBuild) {
	link, err := l.open(&c.Building)
	if err != nil {
		l.log.Warn("nothing is published while the engine is built", "error", err)
		return
	}
	ctx, stop := context.WithCancel(context.Background()) // end stops it, whatever becomes of the build
	l.stop = stop
	l.group.Go(func() error { return link.Run(ctx) })
	l.group.Go(func() error {
		tick := time.NewTicker(l.every)
		defer tick.Stop()
		for {
			link.Health("engine", mqtt.Condition{Status: mqtt.Degraded, Reason: c.String()})
			select {
			case <-ctx.Done():
				return nil
			case <-tick.C:
			}
		}
	})
}

func (l *earlyLink) open(b *infer.Building) (*mqtt.Link, error) {
	opened, err := bundle.Open(l.config.Model.Bundle)
	if err != nil {
		return nil, err
	}
	spec := &opened.Spec
	id := identity(l.config, spec, mqtt.ModelInfo{Name: spec.Name, Version: spec.Version, SHA256: b.SHA256,
		Precision: b.Precision, Provider: b.Provider}, l.build)
	settings := l.config.MQTT
	settings.StateDir, settings.Spool.Dir = "", "" // what waits and what is remembered is the pipeline's
	return mqtt.NewLink(settings, id, l.log)
}

// end disconnects, if begin has connected.
func (l *earlyLink) end() {
	if l.stop == nil {
		return
	}
	l.stop()
	if err := l.group.Wait(); err != nil {
		l.log.Warn("the link of the build ended badly", "error", err)
	}
	l.stop = nil
}
