package agent

import (
	"errors"
	"fmt"
	"testing"

	"github.com/vggse/vggse-agent/agent/trial"
	"github.com/vggse/vggse-agent/bundle/store"
	"github.com/vggse/vggse-agent/configs"
	"github.com/vggse/vggse-agent/infer"
	"github.com/vggse/vggse-agent/mqtt"
)

// An installed model gives way to the one before where it is the model that cannot be opened, on
// trial or not; never because the agent ends, the runtime is missing, or nothing is installed.
func TestOutcomeOf(t *testing.T) {
	damaged := errors.New("fp32.onnx has another SHA-256")
	noRuntime := fmt.Errorf("infer: %w", infer.ErrNoLibrary)
	for _, tt := range []struct {
		installed, trial bool
		err              error
		ended            bool
		want             outcome
	}{
		{true, false, nil, false, stays},
		{true, true, nil, false, onTrial},
		{false, false, nil, false, stays}, // the demo
		{true, true, damaged, false, givesWay},
		{true, false, damaged, false, givesWay},
		{false, false, damaged, false, fails},
		{true, true, damaged, true, fails},
		{true, false, noRuntime, false, fails},
		{true, true, noRuntime, false, fails},
		{true, true, nil, true, onTrial}, // it was opened before the end
	} {
		begun := store.Beginning{Installed: store.Installed{OnTrial: tt.trial}, OK: tt.installed}
		if got := outcomeOf(begun, tt.err, tt.ended); got != tt.want {
			t.Errorf("%+v: %s", tt, got)
		}
	}
}

// The demo is what runs where nothing is installed, and only there.
func TestTakeInstalled(t *testing.T) {
	for ok, want := range map[bool]string{true: "/state/models/a", false: "/demo"} {
		m := configs.Model{Bundle: "/before", Demo: "/demo"}
		if takeInstalled(&m, store.Installed{Dir: "/state/models/a"}, ok); m.Bundle != want {
			t.Errorf("installed: %v: %s, want %s", ok, m.Bundle, want)
		}
	}
}

// A model that was refused degrades the agent; where it runs nevertheless, as nothing came before
// it, that is a failure.
func TestModelCondition(t *testing.T) {
	for _, tt := range []struct {
		refused map[string]string
		running string
		want    string
	}{
		{nil, "/models/a", mqtt.OK},
		{map[string]string{"b": "no memory"}, "/models/a", mqtt.Degraded},
		{map[string]string{"a": "it crashed"}, "/models/a", mqtt.Failed},
	} {
		got := modelCondition(tt.refused, tt.running)
		if got.Status != tt.want || (got.Reason == "") != (tt.refused == nil) {
			t.Errorf("refused %v, %s runs: %+v, want %s", tt.refused, tt.running, got, tt.want)
		}
	}
}

// A trial that there is none of loses nothing of the reason it is refused with.
func TestNoTrial(t *testing.T) {
	var none *probation
	why := errors.New("a NaN")
	if err := none.keep(); err != nil {
		t.Error(err)
	}
	if err := none.refused("a", why); err != why {
		t.Errorf("%v, want %v", err, why)
	}
}

// The end of a trial of a model that is no longer the active one changes nothing.
func TestTrialOfAnotherModel(t *testing.T) {
	s := store.At(t.TempDir())
	one := &probation{store: s, sum: "another", watch: trial.NewWatch(configs.Trial{}, trial.Progress{}, 0)}
	why := errors.New("a NaN")
	if err := one.refused("a", why); !errors.Is(err, why) {
		t.Errorf("%v, want %v", err, why)
	}
	if err := errors.Join(one.keep(), one.passed()); err != nil {
		t.Error(err)
	}
	if _, ok, err := s.Active(); ok || err != nil {
		t.Errorf("a model became active that nobody installed: %v", err)
	}
}
