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
	pipeline.Signaller
	good  mqtt.Condition // of the part "model", while it answers with numbers
	tell  func(part string, c mqtt.Condition)
	log   *slog.Logger
	wrong *atomic.Bool // what the last answer was; shared with the observer
}

// Run implements pipeline.Classifier.
func (a *answers) Run(ctx context.Context, t *vision.Tensor, out vision.Logits) error {
	err := a.Signaller.Run(ctx, t, out)
	a.look(out, err)
	return err
}

// RunSignals implements pipeline.Signaller.
func (a *answers) RunSignals(ctx context.Context, t *vision.Tensor, out vision.Logits,
	signals []*vision.Signals) error {
	err := a.Signaller.RunSignals(ctx, t, out, signals)
	a.look(out, err)
	return err
}

// look tells of a change between answers that are numbers and answers that are none.
func (a *answers) look(out vision.Logits, err error) {
	wrong := !numbers(out)
	if err != nil || wrong == a.wrong.Load() {
		return
	}
	a.wrong.Store(wrong)
	if !wrong {
		a.log.Info("the network answers with numbers again")
		a.tell("model", a.good)
		return
	}
	const reason = "the network answers with what is no number (NaN or infinite)"
	a.log.Error(reason)
	a.tell("model", mqtt.Condition{Status: mqtt.Failed, Reason: reason})
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
