package agent

import (
	"context"
	"log/slog"
	"math"
	"sync/atomic"

	"github.com/vggse/vggse-agent/agent/pipeline"
	"github.com/vggse/vggse-agent/mqtt"
	"github.com/vggse/vggse-agent/vision"
)

// answers is a network whose answers are looked at: one that answers with what is no number is told
// as failed, until it answers with numbers again.
type answers struct {
	pipeline.Classifier
	good  mqtt.Condition // of the part "model", while it answers with numbers
	tell  func(part string, c mqtt.Condition)
	log   *slog.Logger
	wrong *atomic.Bool // what the last answer was; shared with the observer
}

// Run implements pipeline.Classifier.
func (a *answers) Run(ctx context.Context, t *vision.Tensor, out vision.Logits) error {
	if err := a.Classifier.Run(ctx, t, out); err != nil {
		return err
	}
	wrong := !numbers(out)
	if wrong == a.wrong.Load() {
		return nil
	}
	a.wrong.Store(wrong)
	if !wrong {
		a.log.Info("the network answers with numbers again")
		a.tell("model", a.good)
		return nil
	}
	const reason = "the network answers with what is no number (NaN or infinite)"
	a.log.Error(reason)
	a.tell("model", mqtt.Condition{Status: mqtt.Failed, Reason: reason})
	return nil
}

// numbers reports whether all values are finite.
func numbers(v []float32) bool {
	for _, x := range v {
		if d := float64(x); math.IsNaN(d) || math.IsInf(d, 0) {
			return false
		}
	}
	return true
}
