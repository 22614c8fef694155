package agent

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/vggse/vggse-agent/agent/pipeline"
	"github.com/vggse/vggse-agent/bundle/store"
	"github.com/vggse/vggse-agent/camera"
	"github.com/vggse/vggse-agent/configs"
	"github.com/vggse/vggse-agent/live"
	"github.com/vggse/vggse-agent/mqtt"
	"github.com/vggse/vggse-agent/vision"
)

// ErrRestart is the end of a Run that was asked to end, for the service manager to start it again.
var ErrRestart = errors.New("a restart was asked for")

// shotPatience is how long a camera may take to give the frame of a snapshot.
const shotPatience = 5 * time.Second

// commands does what subscribers and the live page ask for, one thing at a time. It implements
// mqtt.Handler.
type commands struct {
	mu        sync.Mutex      // held while something is done
	config    *configs.Config // as it was configured, before what was set over MQTT
	overrides *overrides
	pipeline  *pipeline.Pipeline
	link      *mqtt.Link
	host      *Host
	log       *slog.Logger
	live      *live.Monitor // is told what was set; nil: nobody is
}

// tellStates publishes what holds at the start.
func (c *commands) tellStates() {
	for i := range c.pipeline.Cameras {
		own := &c.pipeline.Cameras[i]
		for _, name := range camera.RegionNames(own.Name, own.Regions) {
			c.link.Enabled(name, !own.Closed)
			c.link.Threshold(name, own.Decide.Threshold)
			c.link.UnknownBelow(name, own.Decide.UnknownBelow)
			own, _ := vision.ParseThresholds(own.Decide.Thresholds) // come from FormatThresholds
			c.link.Thresholds(name, own)
		}
	}
}

// Enable opens or closes a camera with all its regions, now and after every restart.
func (c *commands) Enable(name string, on bool) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	configured, err := c.find(name)
	if err != nil {
		return err
	}
	k := c.overrides.camera(configured.Name)
	if err := saveOverride(c.overrides, &k.Enabled, on, configured.Enabled); err != nil {
		return err
	}
	c.pipeline.Enable(configured.Name, on)
	for _, part := range configured.Streams() {
		c.link.Enabled(part, on)
		if c.live != nil {
			c.live.Enabled(part, on)
		}
	}
	c.log.Info("camera set", "camera", configured.Name, "enabled", on)
	return nil
}

// Threshold sets the score below which a class does not count, for a camera with all its regions,
// now and after every restart.
func (c *commands) Threshold(name string, score float64) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	configured, err := c.find(name)
	if err != nil {
		return err
	}
	k := c.overrides.camera(configured.Name)
	if err := saveOverride(c.overrides, &k.Threshold, score,
		configured.Decide.Over(c.config.Decide).Threshold); err != nil {
		return err
	}
	c.pipeline.SetThreshold(configured.Name, score)
	for _, part := range configured.Streams() {
		c.link.Threshold(part, score)
		if c.live != nil {
			c.live.Threshold(part, score)
		}
	}
	c.log.Info("camera set", "camera", configured.Name, "threshold", score)
	return nil
}

// UnknownBelow sets the p-value below which a frame shows none of the classes, for a camera with all
// its regions, now and after every restart.
func (c *commands) UnknownBelow(name string, p float64) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	configured, err := c.find(name)
	if err != nil {
		return err
	}
	k := c.overrides.camera(configured.Name)
	if err := saveOverride(c.overrides, &k.UnknownBelow, p,
		configured.Decide.Over(c.config.Decide).UnknownBelow); err != nil {
		return err
	}
	c.pipeline.SetUnknownBelow(configured.Name, p)
	for _, part := range configured.Streams() {
		c.link.UnknownBelow(part, p)
		if c.live != nil {
			c.live.UnknownBelow(part, p)
		}
	}
	c.log.Info("camera set", "camera", configured.Name, "unknown_below", p)
	return nil
}

// Thresholds sets those of single labels, all of them, for a camera with all its regions, now and
// after every restart.
func (c *commands) Thresholds(name string, own []vision.ClassThreshold) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	configured, err := c.find(name)
	if err != nil {
		return err
	}
	return c.setThresholds(configured, own)
}

// ClassThreshold sets the one of a label, and leaves the others as they are; nil: the label has none
// of its own any more.
func (c *commands) ClassThreshold(name, label string, score *float64) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	configured, err := c.find(name)
	if err != nil {
		return err
	}
	decide := configured.Decide.Over(c.config.Decide)
	own := slices.DeleteFunc(c.overrides.camera(configured.Name).thresholds(&decide),
		func(t vision.ClassThreshold) bool { return t.Label == label })
	if score != nil {
		own = append(own, vision.ClassThreshold{Label: label, Score: *score})
	}
	return c.setThresholds(configured, own)
}

// setThresholds does so where the network has every label, or the threshold was there before.
func (c *commands) setThresholds(camera *configs.Camera, own []vision.ClassThreshold) error {
	k, decide := c.overrides.camera(camera.Name), camera.Decide.Over(c.config.Decide)
	before := k.thresholds(&decide)
	for _, label := range vision.UnknownLabels(own, c.pipeline.Labels()) {
		if !slices.ContainsFunc(before, func(t vision.ClassThreshold) bool { return t.Label == label }) {
			return fmt.Errorf("the model has no label %q", label)
		}
	}
	was, err := vision.ParseThresholds(decide.Thresholds)
	if err != nil {
		return err
	}
	if err := saveOverride(c.overrides, &k.Thresholds, textOf(own), textOf(was)); err != nil {
		return err
	}
	c.pipeline.SetThresholds(camera.Name, own)
	for _, part := range camera.Streams() {
		c.link.Thresholds(part, own)
		if c.live != nil {
			c.live.Thresholds(part, vision.FormatThresholds(own))
		}
	}
	c.log.Info("camera set", "camera", camera.Name, "thresholds", vision.FormatThresholds(own))
	return nil
}

// tellUnused says which thresholds are of labels that the model does not have: it may be another
// one than they were set for.
func (c *commands) tellUnused(labels []string) {
	c.mu.Lock()
	defer c.mu.Unlock()
	for i := range c.config.Cameras {
		own := &c.config.Cameras[i]
		decide := own.Decide.Over(c.config.Decide)
		unused := vision.UnknownLabels(c.overrides.camera(own.Name).thresholds(&decide), labels)
		if len(unused) == 0 {
			continue
		}
		c.log.Warn("thresholds of labels that the model does not have are not used", "camera", own.Name, "labels",
			unused)
		if c.live != nil {
			c.live.Note(live.Event{Kind: live.KindHealth, Part: "model", Camera: own.Name, Text: fmt.Sprintf(
				"has no label %s: its threshold is not used", strings.Join(unused, ", "))})
		}
	}
}

// keep writes a value to the disk; where that fails, the old one is kept.
func saveOverride[T comparable](all *overrides, k **override[T], value, configured T) error {
	before := *k
	*k = &override[T]{value, configured}
	err := all.save()
	if err != nil {
		*k = before
	}
	return err
}

// find is the camera that a name, its own or that of one of its regions, belongs to.
func (c *commands) find(name string) (*configs.Camera, error) {
	if !c.pipeline.Running() {
		return nil, fmt.Errorf("the cameras are not there yet, try again")
	}
	for i := range c.config.Cameras {
		if own := &c.config.Cameras[i]; slices.Contains(own.Streams(), name) {
			return own, nil
		}
	}
	return nil, fmt.Errorf("there is no camera %q", name)
}

// Command carries out one command; what would end this Run comes in then, for after the answer.
func (c *commands) Command(ctx context.Context, m mqtt.Command) (then func(), err error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	switch m.Name {
	case mqtt.CommandSnapshot:
		return nil, c.snapshot(ctx, m.Camera)
	case mqtt.CommandReload:
		return c.reload()
	case mqtt.CommandRestart:
		return c.host.restart, nil
	case mqtt.CommandModelActivate:
		if r, hand, ok := store.At(c.config.StateDir).SetAside(m.SHA256); ok && !hand {
			return nil, setAsideError(r)
		}
		return c.activate(ctx, m.SHA256)
	case mqtt.CommandRollback:
		return c.rollback(ctx)
	}
	return nil, fmt.Errorf("nobody carries out %s", m.Name)
}

func (c *commands) snapshot(ctx context.Context, camera string) error {
	if _, err := c.find(camera); err != nil {
		return err
	}
	ctx, cancel := context.WithTimeout(ctx, shotPatience)
	defer cancel()
	frame, err := c.pipeline.Snapshot(ctx, camera)
	if err != nil {
		return err
	}
	jpeg, err := pipeline.EncodeJPEG(frame, mqtt.SnapshotLimit)
	if err != nil {
		return err
	}
	return c.link.Snapshot(camera, jpeg)
}

func (c *commands) reload() (then func(), err error) {
	if c.host.reload == nil {
		return nil, fmt.Errorf("this process does not read its settings again")
	}
	return c.host.reload()
}

// setAsideError is why a model is not activated again from afar.
func setAsideError(r store.Refusal) error {
	return fmt.Errorf("model %.12s was refused here before (%s): 'vggse-agent model activate %.12s' at the device "+
		"tries it again", r.SHA256, r.Reason, r.SHA256)
}

// rollback makes the bundle before the active one run again, at once, where it may.
func (c *commands) rollback(ctx context.Context) (then func(), err error) {
	i, err := Rollback(ctx, c.config, c.host.Build.Version)
	if err != nil {
		return nil, err
	}
	c.log.Info("rolled back by hand", "sha256", i.SHA256, "name", i.Name, "version", i.Version)
	return c.reload()
}

// errConfigured is why nothing that is installed can be chosen.
var errConfigured = errors.New("model.bundle is configured: take it out there to let an installed model run")

// Rollback makes the bundle before the active one of the settings' state folder the active one, if
// it is whole and may run here; version is that of this program. The agent that runs takes it at its
// next reload.
func Rollback(ctx context.Context, c *configs.Config, version string) (store.Installed, error) {
	if c.Model.Demo == "" {
		return store.Installed{}, errConfigured
	}
	gate := c.Gate(version)
	return store.At(c.StateDir).Rollback(ctx, func(dir string) error {
		_, err := gate.Installed(dir)
		return err
	})
}

// activate makes an installed bundle the one that runs. Nothing else than what 'model install' has
// put there, complete and with the right digests, can be named.
func (c *commands) activate(ctx context.Context, sum string) (then func(), err error) {
	if c.config.Model.Demo == "" {
		return nil, errConfigured
	}
	s := store.At(c.config.StateDir)
	i, err := s.Find(sum)
	if err != nil {
		return nil, err
	}
	if _, err := c.config.Gate(c.host.Build.Version).Installed(i.Dir); err != nil {
		return nil, fmt.Errorf("model %.12s was not activated: %w", sum, err)
	}
	if c.host.Verify != nil {
		if err := c.host.Verify(ctx, i.Dir); err != nil {
			return nil, fmt.Errorf("model %.12s was not activated: %w", sum, err)
		}
	}
	if _, err := s.Activate(ctx, sum); err != nil {
		return nil, err
	}
	return c.reload()
}
