package agent

import (
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"os"
	"path/filepath"
	"strings"

	"github.com/vggse/vggse-agent/internal/atomicfile"
	"github.com/vggse/vggse-agent/vision"
)

// kept are the settings that were changed over MQTT, in a file of the state folder. Each holds
// until what is configured for it changes: then the configuration wins, and it is forgotten. For
// one goroutine at a time.
type overrides struct {
	path    string
	Cameras map[string]*cameraOverrides `json:"cameras"`
}

// keptCamera is what was set for one camera; nil: nothing.
type cameraOverrides struct {
	Enabled   *override[bool]    `json:"enabled,omitempty"`
	Threshold *override[float64] `json:"threshold,omitempty"`
	// Thresholds are those of single labels, as textOf writes them.
	Thresholds *override[string] `json:"thresholds,omitempty"`

	UnknownBelow *override[float64] `json:"unknown_below,omitempty"`
}

// textOf are thresholds as one text that can be compared.
func textOf(own []vision.ClassThreshold) string {
	return strings.Join(vision.FormatThresholds(own), "\n")
}

// thresholdsOf is the way back; what is damaged counts as none.
func thresholdsOf(text string) []vision.ClassThreshold {
	if text == "" {
		return nil
	}
	own, _ := vision.ParseThresholds(strings.Split(text, "\n"))
	return own
}

// thresholds are those of single labels in force for a camera, configured being what is configured.
func (k *cameraOverrides) thresholds(configured *vision.DecideConfig) []vision.ClassThreshold {
	own, _ := vision.ParseThresholds(configured.Thresholds) // was validated
	return thresholdsOf(inForce(&k.Thresholds, textOf(own)))
}

// keptValue is what was set, and what was configured at that time.
type override[T comparable] struct {
	Value      T `json:"value"`
	Configured T `json:"configured"`
}

// over is the value in force where configured is what the configuration has; a setting that is
// outlived becomes nil.
func inForce[T comparable](k **override[T], configured T) T {
	if *k == nil {
		return configured
	}
	if (*k).Configured != configured {
		*k = nil
		return configured
	}
	return (*k).Value
}

// overridesLimit is the largest file of settings that is read, bytes.
const overridesLimit = 1 << 20

// openKept reads the file in the state folder dir. One that is damaged is passed over, and told of.
func openOverrides(dir string, log *slog.Logger) *overrides {
	k := &overrides{path: filepath.Join(dir, "settings.json")}
	err := atomicfile.ReadSealed(k.path, overridesLimit, k)
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		log.Warn("settings made over MQTT are lost, the configured ones hold", "file", k.path, "error", err)
		k.Cameras = nil
	}
	if k.Cameras == nil {
		k.Cameras = make(map[string]*cameraOverrides)
	}
	return k
}

// camera is what was set for a camera, made where there is none.
func (k *overrides) camera(name string) *cameraOverrides {
	c := k.Cameras[name]
	if c == nil {
		c = new(cameraOverrides)
		k.Cameras[name] = c
	}
	return c
}

// save writes the file, all of it or nothing.
func (k *overrides) save() error {
	if err := os.MkdirAll(filepath.Dir(k.path), 0o700); err != nil {
		return fmt.Errorf("the setting cannot be kept: %w", err)
	}
	if err := atomicfile.WriteSealed(k.path, 0o644, k); err != nil {
		return fmt.Errorf("the setting cannot be kept: %w", err)
	}
	return nil
}
