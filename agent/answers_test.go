package agent

import (
	"context"
	"log/slog"
	"math"
	"sync/atomic"
	"testing"

	"github.com/vggse/vggse-agent/mqtt"
	"github.com/vggse/vggse-agent/vision"
)

// scripted answers with one value after the other.
type scripted []float32

func (s *scripted) Run(_ context.Context, _ *vision.Tensor, out vision.Logits) error {
	out[0], out[1] = 1, (*s)[0]
	*s = (*s)[1:]
	return nil
}

func (s *scripted) SignalSizes() vision.SignalSizes { return vision.SignalSizes{Features: 1} }

func (s *scripted) Known() *vision.Known { return nil }

func (s *scripted) RunSignals(ctx context.Context, t *vision.Tensor, out vision.Logits,
	_ []*vision.Signals) error {
	return s.Run(ctx, t, out)
}

// TestAnswersThatAreNoNumbers: each change is told once.
func TestAnswersThatAreNoNumbers(t *testing.T) {
	nan, inf := float32(math.NaN()), float32(math.Inf(-1))
	script := scripted{1, nan, inf, nan, 2, 3, inf}
	var told []string
	var wrong atomic.Bool
	a := &answers{&script, mqtt.Condition{Status: mqtt.Degraded, Reason: "as before"},
		func(part string, c mqtt.Condition) { told = append(told, part+" "+c.Status) },
		slog.New(slog.DiscardHandler), &wrong, nil}
	run := a.Run
	for range len(script) {
		if err := run(t.Context(), nil, make(vision.Logits, 2)); err != nil {
			t.Fatal(err)
		}
		run = func(ctx context.Context, x *vision.Tensor, out vision.Logits) error { // from the second on
			return a.RunSignals(ctx, x, out, nil)
		}
	}
	want := []string{"model failed", "model degraded", "model failed"}
	if len(told) != len(want) || told[0] != want[0] || told[1] != want[1] || told[2] != want[2] || !wrong.Load() {
		t.Errorf("told %q, want %q", told, want)
	}
}
