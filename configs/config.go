package configs

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"slices"

	"github.com/vggse/vggse-agent/api"
	"github.com/vggse/vggse-agent/fleet"
	"github.com/vggse/vggse-agent/infer"
	"github.com/vggse/vggse-agent/internal/mistake"
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

	Warnings []string `mapstructure:"-"` // what may not be meant, one sentence each
}

// Device says who publishes.
type Device struct {
	ID   string `mapstructure:"id"`   // [A-Za-z0-9_-]+, the second level of every topic
	Name string `mapstructure:"name"` // for people
	Site string `mapstructure:"site"`
	// of the fleet that it belongs to; the first that wants a model decides
	Groups []string `mapstructure:"groups"`
}

// Model says what classifies.
type Model struct {
	Bundle string `mapstructure:"bundle"` // folder with model.yaml
	// where no folder was named: what runs while no installed bundle is active
	Demo      string `mapstructure:"-"`
	Precision string `mapstructure:"precision"` // auto, fp32, fp16, bf16 or int8
	Trust     string `mapstructure:"trust"`     // folder with the public keys of publishers
	// auto (once a key is in trust), true or false
	RequireSignature string `mapstructure:"require_signature"`
	// none, teach or all: bundles that were made here, where signatures are required
	AllowLocal string `mapstructure:"allow_local"`
	// what a model that was activated is held to before it counts as good
	Trial Trial `mapstructure:"trial"`
}

// Unnamed is err, or, where nobody has named a bundle and there is no demo, an error that says so.
func (m *Model) Unnamed(err error) error {
	if err == nil || m.Demo == "" || m.Bundle != m.Demo {
		return err
	}
	if _, missing := os.Stat(m.Demo); !errors.Is(missing, fs.ErrNotExist) {
		return err
	}
	return fmt.Errorf("no bundle was named, and the demo's (%s) is not there: name one with --bundle DIR, or set "+
		"model.bundle", m.Demo)
}

// Gate is the check of whatever is to be installed or activated; version is that of this program.
func (c *Config) Gate(version string) *release.Gate {
	return &release.Gate{Folder: c.Model.Trust, Require: c.Model.RequireSignature, StateDir: c.StateDir, Agent: version,
		AllowLocal: c.Model.AllowLocal}
}

// FilesUsed are those of a release's files, by key, that these settings use on this machine: the best
// of each provider that there is, or the one that precision asks for. Where none is, all.
func (c *Config) FilesUsed(keys []string) []string {
	return c.Infer.FilesUsed(c.Model.Precision, keys)
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

// Validate returns what cannot be, naming each key: the first mistake of every section and camera.
func (c *Config) Validate() error { return mistake.Together(c.mistakes()) }

// mistakes are the first of every section, and of every camera.
func (c *Config) mistakes() []error {
	all := []error{c.Infer.Validate(), c.Decide.Validate(), c.MQTT.Validate(), c.HTTP.Validate(), c.Samples.Validate(),
		c.Model.validate(), c.Update.Validate(), c.Log.validate()}
	if err := mqtt.CheckDevice(c.Device.ID); err != nil {
		all = append(all, fmt.Errorf("device.id: %w", err))
	}
	all = append(all, c.groupMistake())
	all = append(all, c.cameraMistakes()...)
	return slices.DeleteFunc(all, func(err error) bool { return err == nil })
}

// mostGroups is how many groups a device may be in: some brokers take no more filters at a time.
const mostGroups = 8

// groupMistake is the first mistake of device.groups.
func (c *Config) groupMistake() error {
	for i, g := range c.Device.Groups {
		if err := fleet.CheckGroup(g); err != nil {
			return fmt.Errorf("device.groups[%d]: %w", i, err)
		}
	}
	switch {
	case len(c.Device.Groups) > mostGroups:
		return fmt.Errorf("device.groups: must be at most %d, got %d", mostGroups, len(c.Device.Groups))
	case len(c.Device.Groups) > 0 && c.Update.From == "":
		return errors.New("device.groups: wants update.from: the fleet names releases, and never where they are")
	case len(c.Device.Groups) > 0 && c.Update.Every > 0:
		return errors.New("device.groups: the fleet says which release runs, so remove update.every, which takes the " +
			"highest")
	}
	return nil
}

func (m *Model) validate() error {
	if m.Bundle == "" {
		return fmt.Errorf("model.bundle: must name the folder of a bundle")
	}
	switch m.Precision {
	case "auto", "fp32", "fp16", "bf16", "int8":
	default:
		return fmt.Errorf("model.precision: must be auto, fp32, fp16, bf16 or int8, got %q", m.Precision)
	}
	switch m.RequireSignature {
	case release.RequireAuto, release.RequireTrue, release.RequireFalse:
	default:
		return fmt.Errorf("model.require_signature: must be auto, true or false, got %q", m.RequireSignature)
	}
	switch m.AllowLocal {
	case release.LocalNone, release.LocalTeach, release.LocalAll:
		return m.Trial.validate()
	}
	return fmt.Errorf("model.allow_local: must be none, teach or all, got %q", m.AllowLocal)
}

// cameraMistakes has the first of every camera.
func (c *Config) cameraMistakes() (all []error) {
	if len(c.Cameras) == 0 {
		return []error{fmt.Errorf("cameras: at least one is needed, for example {name: line1, source: /dev/video0}")}
	}
	seen := make(map[string]int)
	for i := range c.Cameras {
		if err := c.Cameras[i].validate(i, c); err != nil {
			all = append(all, err)
		} else if err := c.checkNames(i, seen); err != nil {
			all = append(all, err)
		}
	}
	return all
}

// checkNames looks at the names of a camera and its regions, beside those seen before.
func (c *Config) checkNames(i int, seen map[string]int) error {
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
