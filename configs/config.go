package configs

import (
	"fmt"

	"github.com/vggse/vggse-agent/api"
	"github.com/vggse/vggse-agent/infer"
	"github.com/vggse/vggse-agent/mqtt"
	"github.com/vggse/vggse-agent/release"
	"github.com/vggse/vggse-agent/samples"
	"github.com/vggse/vggse-agent/vision"
)

// Config is everything that can be set, one field for each top-level key of the YAML file.
type Config struct {
	Device    Device              `mapstructure:"device"`
	Cameras   []Camera            `mapstructure:"cameras"`
	Model     Model               `mapstructure:"model"`
	Infer     infer.Config        `mapstructure:"infer"`
	Decide    vision.DecideConfig `mapstructure:"decide"`
	MQTT      mqtt.Config         `mapstructure:"mqtt"`
	HTTP      api.Config          `mapstructure:"http"`
	Update    release.Config      `mapstructure:"update"`
	Samples   samples.Config      `mapstructure:"samples"`
	Telemetry Telemetry           `mapstructure:"telemetry"`
	Log       Log                 `mapstructure:"log"`
	StateDir  string              `mapstructure:"state_dir"` // what must outlive a restart
	CacheDir  string              `mapstructure:"cache_dir"` // what can be made again
}

// Device says who publishes.
type Device struct {
	ID   string `mapstructure:"id"`   // [A-Za-z0-9_-]+, the second level of every topic
	Name string `mapstructure:"name"` // for people
	Site string `mapstructure:"site"`
}

// Model says what classifies.
type Model struct {
	Bundle string `mapstructure:"bundle"` // folder with model.yaml
	// where no folder was named: what runs while no installed bundle is active
	Demo      string `mapstructure:"-"`
	Precision string `mapstructure:"precision"` // auto, fp32, fp16 or int8
	Trust     string `mapstructure:"trust"`     // folder with the public keys of publishers
	// auto (once a key is in trust), true or false
	RequireSignature string `mapstructure:"require_signature"`
}

// Gate is the check of whatever is to be installed or activated; version is that of this program.
func (c *Config) Gate(version string) *release.Gate {
	return &release.Gate{Folder: c.Model.Trust, Require: c.Model.RequireSignature, StateDir: c.StateDir, Agent: version}
}

// Telemetry says what follows from what the machine measures.
type Telemetry struct {
	Brake bool `mapstructure:"brake"` // fewer frames where heat or current are near to their limits
}

// Log says how much is told, and how.
type Log struct {
	Level  string `mapstructure:"level"`  // debug, info, warn or error
	Format string `mapstructure:"format"` // text or json
}

// Validate returns the first setting that cannot be, naming its key.
func (c *Config) Validate() error {
	if err := mqtt.CheckDevice(c.Device.ID); err != nil {
		return fmt.Errorf("device.id: %w", err)
	}
	if c.Model.Bundle == "" {
		return fmt.Errorf("model.bundle: must name the folder of a bundle")
	}
	switch c.Model.Precision {
	case "auto", "fp32", "fp16", "int8":
	default:
		return fmt.Errorf("model.precision: must be auto, fp32, fp16 or int8, got %q", c.Model.Precision)
	}
	switch c.Model.RequireSignature {
	case release.RequireAuto, release.RequireTrue, release.RequireFalse:
	default:
		return fmt.Errorf("model.require_signature: must be auto, true or false, got %q", c.Model.RequireSignature)
	}
	if err := c.Update.Validate(); err != nil {
		return err
	}
	if err := c.Infer.Validate(); err != nil {
		return err
	}
	if err := c.Decide.Validate(); err != nil {
		return err
	}
	if err := c.MQTT.Validate(); err != nil {
		return err
	}
	if err := c.HTTP.Validate(); err != nil {
		return err
	}
	if err := c.Samples.Validate(); err != nil {
		return err
	}
	if err := c.validateCameras(); err != nil {
		return err
	}
	return c.Log.validate()
}

func (c *Config) validateCameras() error {
	if len(c.Cameras) == 0 {
		return fmt.Errorf("cameras: at least one is needed, for example {name: line1, source: /dev/video0}")
	}
	seen := make(map[string]int)
	for i := range c.Cameras {
		if err := c.Cameras[i].validate(i, c); err != nil {
			return err
		}
		key, whole := "name", c.Cameras[i].Name
		for _, name := range append([]string{whole}, c.Cameras[i].Streams()...) {
			if name != whole {
				key = "roi"
			}
			if err := mqtt.CheckCamera(name); err != nil {
				return fmt.Errorf("cameras[%d].%s: %w", i, key, err)
			}
			if j, twice := seen[name]; twice && j != i {
				return fmt.Errorf("cameras[%d].%s: %q is already cameras[%d]", i, key, name, j)
			}
			seen[name] = i
		}
	}
	return nil
}

// Streams are the names under which results come, of all cameras, also disabled ones.
func (c *Config) Streams() []string {
	var all []string
	for i := range c.Cameras {
		all = append(all, c.Cameras[i].Streams()...)
	}
	return all
}

func (l *Log) validate() error {
	switch l.Level {
	case "debug", "info", "warn", "error":
	default:
		return fmt.Errorf("log.level: must be debug, info, warn or error, got %q", l.Level)
	}
	if l.Format != "text" && l.Format != "json" {
		return fmt.Errorf("log.format: must be text or json, got %q", l.Format)
	}
	return nil
}
