package configs

import (
	"fmt"
	"strings"
	"time"

	"github.com/vggse/vggse-agent/camera"
	"github.com/vggse/vggse-agent/mqtt"
	"github.com/vggse/vggse-agent/vision"
)

// CameraConfig is one camera, and which of the settings for all cameras it has of its own.
type Camera struct {
	camera.Config `mapstructure:",squash"`
	Decide        OwnDecide  `mapstructure:"decide"`
	Publish       OwnPublish `mapstructure:"publish"`
}

// OwnDecide is in place of what stands in decide; nil: what stands there.
type OwnDecide struct {
	Threshold  *float64       `mapstructure:"threshold"`
	Thresholds *[]string      `mapstructure:"thresholds"`
	Hysteresis *float64       `mapstructure:"hysteresis"`
	Confirm    *int           `mapstructure:"confirm"`
	Dwell      *time.Duration `mapstructure:"dwell"`
	Smoothing  *float64       `mapstructure:"smoothing"`

	UnknownBelow *float64       `mapstructure:"unknown_below"`
	DriftEvery   *time.Duration `mapstructure:"drift_every"`
}

// Over is what holds for the camera, all being what holds for every one.
func (o *OwnDecide) Over(all vision.DecideConfig) vision.DecideConfig {
	take(&all.Threshold, o.Threshold)
	take(&all.Thresholds, o.Thresholds)
	take(&all.Hysteresis, o.Hysteresis)
	take(&all.Confirm, o.Confirm)
	take(&all.Dwell, o.Dwell)
	take(&all.Smoothing, o.Smoothing)
	take(&all.UnknownBelow, o.UnknownBelow)
	take(&all.DriftEvery, o.DriftEvery)
	return all
}

// OwnPublish is in place of what stands in mqtt.publish; nil: what stands there.
type OwnPublish struct {
	Every     *bool          `mapstructure:"every"`
	Deadband  *float64       `mapstructure:"deadband"`
	Heartbeat *time.Duration `mapstructure:"heartbeat"`
	MaxRate   *float64       `mapstructure:"max_rate"`
}

func (o *OwnPublish) Over(all mqtt.Policy) mqtt.Policy {
	take(&all.Every, o.Every)
	take(&all.Deadband, o.Deadband)
	take(&all.Heartbeat, o.Heartbeat)
	take(&all.MaxRate, o.MaxRate)
	return all
}

func take[T any](into, own *T) {
	if own != nil {
		*into = *own
	}
}

// validate returns the first setting of cameras[i] that cannot be, naming its key.
func (c *Camera) validate(i int, all *Config) error {
	if err := c.Config.Validate(); err != nil {
		return fmt.Errorf("cameras[%d].%w", i, err)
	}
	decide, publish := c.Decide.Over(all.Decide), c.Publish.Over(all.MQTT.Publish)
	if err := decide.Validate(); err != nil && all.Decide.Validate() == nil { // else that is told
		return fmt.Errorf("cameras[%d].%w", i, err)
	}
	if err := publish.Validate(); err != nil && all.MQTT.Publish.Validate() == nil {
		return fmt.Errorf("cameras[%d].%s", i, strings.TrimPrefix(err.Error(), "mqtt."))
	}
	return nil
}

// Streams are the names under which the camera's results come.
func (c *Camera) Streams() []string {
	regions, err := c.Regions()
	if err != nil {
		return []string{c.Name} // Validate says what is wrong
	}
	return camera.RegionNames(c.Name, regions)
}
