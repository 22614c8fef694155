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
	"github.com/vggse/vggse-agent/internal/mistake"
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

// setting is one that is set for a camera: its key, and who takes a value of it.
type setting[T any] struct {
	key   string
	apply func(p *pipeline.Pipeline, camera string, value T)
	tell  func(l *mqtt.Link, stream string, value T) // of the camera, and of each of its regions
	show  func(m *live.Monitor, stream string, value T)
}

var (
	enabled = setting[bool]{"enabled", (*pipeline.Pipeline).Enable, (*mqtt.Link).Enabled,
		(*live.Monitor).Enabled}
	threshold = setting[float64]{"threshold", (*pipeline.Pipeline).SetThreshold, (*mqtt.Link).Threshold,
		(*live.Monitor).Threshold}
	unknownBelow = setting[float64]{"unknown_below", (*pipeline.Pipeline).SetUnknownBelow, (*mqtt.Link).UnknownBelow,
		(*live.Monitor).UnknownBelow}
	thresholds = setting[[]vision.ClassThreshold]{"thresholds", (*pipeline.Pipeline).SetThresholds,
		(*mqtt.Link).Thresholds, func(m *live.Monitor, stream string, own []vision.ClassThreshold) {
			m.Thresholds(stream, vision.FormatThresholds(own))
		}}
)

// put gives a value that was kept to whoever takes it; the log has it as shown. c.mu is held.
func (s *setting[T]) put(c *commands, own *configs.Camera, value T, shown any) {
	s.apply(c.pipeline, own.Name, value)
	for _, stream := range own.Streams() {
		s.tell(c.link, stream, value)
		if c.live != nil {
			s.show(c.live, stream, value)
		}
	}
	c.log.Info("camera set", "camera", own.Name, s.key, shown)
}

// with does something about the camera that a name belongs to, and what was set for it, with c.mu
// held.
func (c *commands) with(name string, do func(own *configs.Camera, k *cameraOverrides) error) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	own, err := c.find(name)
	if err != nil {
		return err
	}
	return do(own, c.overrides.camera(own.Name))
}

// Enable opens or closes a camera with all its regions, now and after every restart.
func (c *commands) Enable(name string, on bool) error {
	return c.with(name, func(own *configs.Camera, k *cameraOverrides) error {
		if err := saveOverride(c.overrides, &k.Enabled, on, own.Enabled); err != nil {
			return err
		}
		enabled.put(c, own, on, on)
		return nil
	})
}

// Threshold sets the score below which a class does not count, for a camera with all its regions,
// now and after every restart.
func (c *commands) Threshold(name string, score float64) error {
	return c.with(name, func(own *configs.Camera, k *cameraOverrides) error {
		configured := own.Decide.Over(c.config.Decide).Threshold
		if err := saveOverride(c.overrides, &k.Threshold, score, configured); err != nil {
			return err
		}
		threshold.put(c, own, score, score)
		return nil
	})
}

// UnknownBelow sets the p-value below which a frame shows none of the classes, for a camera with all
// its regions, now and after every restart.
func (c *commands) UnknownBelow(name string, p float64) error {
	return c.with(name, func(own *configs.Camera, k *cameraOverrides) error {
		configured := own.Decide.Over(c.config.Decide).UnknownBelow
		if err := saveOverride(c.overrides, &k.UnknownBelow, p, configured); err != nil {
			return err
		}
		unknownBelow.put(c, own, p, p)
		return nil
	})
}

// Thresholds sets those of single labels, all of them, for a camera with all its regions, now and
// after every restart.
func (c *commands) Thresholds(name string, own []vision.ClassThreshold) error {
	return c.with(name, func(camera *configs.Camera, k *cameraOverrides) error {
		return c.setThresholds(camera, k, own)
	})
}

// ClassThreshold sets the one of a label, and leaves the others as they are; nil: the label has none
// of its own any more.
func (c *commands) ClassThreshold(name, label string, score *float64) error {
	return c.with(name, func(camera *configs.Camera, k *cameraOverrides) error {
		decide := camera.Decide.Over(c.config.Decide)
		own := slices.DeleteFunc(k.thresholds(&decide), func(t vision.ClassThreshold) bool { return t.Label == label })
		if score != nil {
			own = append(own, vision.ClassThreshold{Label: label, Score: *score})
		}
		return c.setThresholds(camera, k, own)
	})
}

// setThresholds does so where the network has every label, or the threshold was there before.
func (c *commands) setThresholds(camera *configs.Camera, k *cameraOverrides, own []vision.ClassThreshold) error {
	decide := camera.Decide.Over(c.config.Decide)
	before := k.thresholds(&decide)
	for _, label := range vision.UnknownLabels(own, c.pipeline.Labels()) {
		if !slices.ContainsFunc(before, func(t vision.ClassThreshold) bool { return t.Label == label }) {
			return fmt.Errorf("the model has no label %q%s", label, mistake.DidYouMean(label, c.pipeline.Labels()))
		}
	}
	was, err := vision.ParseThresholds(decide.Thresholds)
	if err != nil {
		return err
	}
	if err := saveOverride(c.overrides, &k.Thresholds, textOf(own), textOf(was)); err != nil {
		return err
	}
	thresholds.put(c, camera, own, vision.FormatThresholds(own))
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

// saveOverride writes a value to the disk; where that fails, the old one is kept.
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
