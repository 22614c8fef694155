package configs

import (
	"fmt"
	"time"
)

// Trial is what a new model is held to before it counts as good. A bound of 0 is none.
type Trial struct {
	// so many pictures it must answer to in a process of its own before it answers at all; 0: none
	Shadow    int           `mapstructure:"shadow"`
	Hold      time.Duration `mapstructure:"hold"`      // it must run for so long, and
	Frames    int           `mapstructure:"frames"`    // decide so often
	Agreement float64       `mapstructure:"agreement"` // least share of labels like those of the model before, 0..1
	Unknown   float64       `mapstructure:"unknown"`   // largest share of pictures without a label, 0..1
	Latency   float64       `mapstructure:"latency"`   // largest ratio of its time for a picture to that of before
}

// validate returns the first key that cannot be.
func (c *Trial) validate() error {
	switch {
	case c.Shadow < 0 || c.Shadow > mostFrames:
		return fmt.Errorf("model.trial.shadow: must be between 0 and %d, got %d", mostFrames, c.Shadow)
	case c.Hold < 0 || c.Hold > mostHold:
		return fmt.Errorf("model.trial.hold: must be between 0 and %s, got %s", mostHold, c.Hold)
	case c.Frames < 0 || c.Frames > mostFrames:
		return fmt.Errorf("model.trial.frames: must be between 0 and %d, got %d", mostFrames, c.Frames)
	case !(c.Agreement >= 0 && c.Agreement <= 1):
		return fmt.Errorf("model.trial.agreement: must be between 0 and 1, got %g", c.Agreement)
	case !(c.Unknown >= 0 && c.Unknown <= 1):
		return fmt.Errorf("model.trial.unknown: must be between 0 and 1, got %g", c.Unknown)
	case c.Latency != 0 && !(c.Latency >= 1 && c.Latency <= mostLatency):
		return fmt.Errorf("model.trial.latency: must be 0, or between 1 and %d, got %g", mostLatency, c.Latency)
	}
	return nil
}

// What nobody asks for who means a trial that ends.
const (
	mostHold    = 7 * 24 * time.Hour
	mostFrames  = 10_000_000
	mostLatency = 1000
)

// Stricter is c with what other asks for beyond it. What cannot be asked for is passed over.
func (c Trial) Stricter(other Trial) Trial {
	c.Shadow = max(c.Shadow, min(other.Shadow, mostFrames))
	c.Hold = max(c.Hold, min(other.Hold, mostHold))
	c.Frames = max(c.Frames, min(other.Frames, mostFrames))
	if other.Agreement <= 1 {
		c.Agreement = max(c.Agreement, other.Agreement)
	}
	c.Unknown = tighter(c.Unknown, other.Unknown, 0)
	c.Latency = tighter(c.Latency, other.Latency, 1)
	return c
}

// tighter is the lower of two bounds, of which 0 is none; another below least is none, either.
func tighter(own, other, least float64) float64 {
	if other <= 0 || other < least || own > 0 && own <= other {
		return own
	}
	return other
}
