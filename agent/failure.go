package agent

import (
	"context"
	"errors"
	"time"

	"github.com/vggse/vggse-agent/bundle"
	"github.com/vggse/vggse-agent/configs"
	"github.com/vggse/vggse-agent/infer"
	"github.com/vggse/vggse-agent/mqtt"
)

// failureLimit is for how long the broker is tried with the last word of an agent that has nothing
// to run.
const failureLimit = 5 * time.Second

// tellFailure publishes why there is no network that runs. It returns reason: what the broker does
// not take is told in the log alone. An end that was asked for is no failure, neither are settings
// before which there are others to go back to; a broker of its own nobody hears.
func tellFailure(ctx context.Context, c *configs.Config, host *Host, reason error) error {
	if ctx.Err() != nil || host.goesBack || c.MQTT.Broker == mqtt.Embedded {
		return reason
	}
	part := "model"
	if errors.Is(reason, infer.ErrNoLibrary) {
		part = "engine"
	}
	ctx, cancel := context.WithTimeout(ctx, failureLimit)
	defer cancel()
	id := identity(c, &bundle.Spec{}, mqtt.ModelInfo{}, host.Build)
	if err := mqtt.TellFailure(ctx, c.MQTT, id, part, reason.Error()); err != nil {
		host.Log.Warn("the broker was not told that nothing runs", "broker", mqtt.Shown(c.MQTT.Broker), "error", err)
	}
	return reason
}
