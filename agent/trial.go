package agent

import (
	"context"
	"errors"
	"fmt"
	"path/filepath"
	"time"

	"github.com/vggse/vggse-agent/bundle/store"
	"github.com/vggse/vggse-agent/configs"
	"github.com/vggse/vggse-agent/infer"
	"github.com/vggse/vggse-agent/mqtt"
)

// probation is how long a model that was activated must run before it counts as good.
const probation = time.Minute

// trial is the first run of a model that was activated; nil where there is nothing to prove.
type trial struct {
	store *store.Store
	sum   string
	since time.Time
	from  uint64 // frames that were classified before it began
}

// passed ends the trial: the model stays.
func (t *trial) passed() error {
	if t == nil {
		return nil
	}
	return t.store.Confirm(t.sum)
}

// refused ends the trial: the model that runs, or the one before, is active again. It returns why,
// with what went wrong about it.
func (t *trial) refused(running string, why error) error {
	if t == nil {
		return why
	}
	if err := t.store.Refuse(t.sum, running, why); err != nil {
		return errors.Join(why, err)
	}
	return why
}

// openActive opens the bundle that model.bundle names, else the active one of those that are
// installed. One that cannot be opened, or that crashed the agent on its trial, gives way to the
// one before it: refuse is told of it, and c which it became. Where there is none that can be
// opened it is an error: the demo speaks only where no model was ever activated.
func openActive(ctx context.Context, c *configs.Config, refuse func(r store.Refusal, now bool)) (*infer.Network,
	*trial, error) {
	if c.Model.Demo == "" {
		n, err := infer.OpenBundle(ctx, c.Model.Bundle, c.Model.Precision, c.Infer)
		return n, nil, err
	}
	s := store.At(c.StateDir)
	begun, err := s.Begin(ctx, store.BootID())
	if err != nil {
		return nil, nil, err
	}
	if begun.Refused != nil {
		refuse(*begun.Refused, begun.Now)
	}
	if !begun.OK && begun.Refused != nil {
		return nil, nil, fmt.Errorf("model %.12s was refused (%s) and no other is active: activate one that is "+
			"installed",
			begun.Refused.SHA256, begun.Refused.Reason)
	}
	takeInstalled(&c.Model, begun.Installed, begun.OK)
	n, err := infer.OpenBundle(ctx, c.Model.Bundle, c.Model.Precision, c.Infer)
	switch outcomeOf(begun, err, ctx.Err() != nil) {
	case onTrial:
		return n, &trial{store: s, sum: begun.SHA256, since: time.Now()}, nil
	case givesWay:
		return openBefore(ctx, c, s, begun.Installed, err, refuse)
	}
	return n, nil, err
}

// outcome is what becomes of a model that was to run.
type outcome string

const (
	stays    outcome = "stays"     // it runs, and has proved itself
	onTrial  outcome = "on trial"  // it runs, and has to prove itself
	fails    outcome = "fails"     // it does not run, and no model is to blame, or none is installed
	givesWay outcome = "gives way" // it does not run, and the one before is to
)

// outcomeOf says what becomes of the model that the store began with, by the error of opening it;
// ended is that the agent itself is ending. Where the machine lacks the runtime no model is to
// blame.
func outcomeOf(begun store.Beginning, err error, ended bool) outcome {
	switch {
	case err == nil && begun.OnTrial:
		return onTrial
	case err == nil:
		return stays
	case !begun.OK || ended || errors.Is(err, infer.ErrNoLibrary):
		return fails
	}
	return givesWay
}

// openBefore opens the model before the active one, which could not be opened because of reason.
// The active one stays what it is unless it was on trial: its files may come back.
func openBefore(ctx context.Context, c *configs.Config, s *store.Store, active store.Installed, reason error,
	refuse func(r store.Refusal, now bool)) (*infer.Network, *trial, error) {
	before, ok := s.Before()
	if active.OnTrial {
		if err := s.Refuse(active.SHA256, "", reason); err != nil {
			return nil, nil, err
		}
	}
	if !ok {
		return nil, nil, fmt.Errorf("the active model %.12s cannot be opened, and there is none before it: %w",
			active.SHA256, reason)
	}
	refuse(store.Refusal{SHA256: active.SHA256, Reason: reason.Error()}, true)
	takeInstalled(&c.Model, before, true)
	n, err := infer.OpenBundle(ctx, c.Model.Bundle, c.Model.Precision, c.Infer)
	return n, nil, err
}

// modelCondition is the part "model" of the health at the start.
func modelCondition(refused map[string]string, running string) mqtt.Condition {
	for sum, reason := range refused {
		c := mqtt.Condition{Status: mqtt.Degraded, Reason: fmt.Sprintf("model %.12s was refused: %s", sum, reason)}
		if filepath.Base(running) == sum { // nothing to go back to
			c.Status = mqtt.Failed
		}
		return c
	}
	return mqtt.Condition{Status: mqtt.OK}
}

// takeInstalled makes m name the installed bundle, or the demo where ok is false.
func takeInstalled(m *configs.Model, i store.Installed, ok bool) {
	m.Bundle = m.Demo
	if ok {
		m.Bundle = i.Dir
	}
}
