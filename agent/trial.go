package agent

import (
	"context"
	"errors"
	"fmt"
	"path/filepath"

	"github.com/vggse/vggse-agent/bundle/store"
	"github.com/vggse/vggse-agent/configs"
	"github.com/vggse/vggse-agent/infer"
	"github.com/vggse/vggse-agent/mqtt"
)

// openActive opens the bundle that model.bundle names, else the active one of those that are
// installed. One that cannot be opened, or that crashed the agent on its trial, gives way to the
// one before it: refuse is told of it, and c which it became. Where there is none that can be
// opened it is an error: the demo speaks only where no model was ever activated.
func openActive(ctx context.Context, c *configs.Config, golden golden, refuse func(r store.Refusal, now bool)) (
	*infer.Network, *probation, error) {
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
	n, err := openOnTrial(ctx, c, begun.OnTrial, golden, nil)
	err = c.Model.Unnamed(err)
	switch outcomeOf(begun, err, ctx.Err() != nil) {
	case onTrial:
		return n, newProbation(c, begun.Installed, begun.Progress), nil
	case givesWay:
		return openBefore(ctx, c, s, begun.Installed, err, refuse)
	}
	return n, nil, err
}

// golden compares the answers of a network with the goldens of its bundle, where it has any; nil:
// nothing compares.
type golden func(ctx context.Context, n *infer.Network) error

// openOnTrial opens the bundle that c names, beside a network that runs; nil: none does. One on trial
// must answer as its goldens say.
func openOnTrial(ctx context.Context, c *configs.Config, onTrial bool, golden golden, beside *infer.Network) (
	*infer.Network, error) {
	n, err := infer.OpenBeside(ctx, c.Model.Bundle, c.Model.Precision, c.Infer, beside)
	if err != nil || !onTrial || golden == nil {
		return n, err
	}
	if err := golden(ctx, n); err != nil {
		return nil, errors.Join(err, n.Close())
	}
	return n, nil
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
	refuse func(r store.Refusal, now bool)) (*infer.Network, *probation, error) {
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
