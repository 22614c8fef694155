package agent

import (
	"context"
	"log/slog"
	"math"
	"sync/atomic"
	"time"

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
	trial *probation   // of this network; nil: it has proved itself
}

// Run implements pipeline.Classifier.
func (a *answers) Run(ctx context.Context, t *vision.Tensor, out vision.Logits) error {
	start := time.Now()
	err := a.Signaller.Run(ctx, t, out)
	return a.look(ctx, out, time.Since(start), err)
}

// RunSignals implements pipeline.Signaller.
func (a *answers) RunSignals(ctx context.Context, t *vision.Tensor, out vision.Logits,
	signals []*vision.Signals) error {
	start := time.Now()
	err := a.Signaller.RunSignals(ctx, t, out, signals)
	return a.look(ctx, out, time.Since(start), err)
}

// look tells of a change between answers that are numbers and answers that are none, and the trial
// of what a run gave, and how long it took.
func (a *answers) look(ctx context.Context, out vision.Logits, took time.Duration, err error) error {
	if err = a.trial.answered(ctx, out, took, err); err != nil {
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

// After implements pipeline.Follower.
func (a *answers) After(ctx context.Context, t *vision.Tensor, out vision.Logits) {
	if a.trial != nil {
		a.trial.pair(ctx, t, out)
	}
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
