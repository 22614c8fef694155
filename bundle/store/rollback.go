package store

import (
	"context"
	"errors"
	"fmt"
	"slices"

	"github.com/vggse/vggse-agent/bundle"
)

// asideLimit is how many refused models are remembered, the last ones.
const asideLimit = 32

// byHand is the reason of a model that somebody went back from.
const byHand = "rolled back by hand"

// Rollback makes the model before the active one active again, at once, where approve agrees to its
// folder; nil agrees. All its files are compared with their digests before. The one that was active
// is set aside: nothing activates it again by itself.
func (s *Store) Rollback(ctx context.Context, approve Approve) (Installed, error) {
	i, err := s.rollback(ctx, approve)
	if err != nil {
		return i, fmt.Errorf("store: rollback: %w", err)
	}
	i.Active = true
	return i, nil
}

func (s *Store) rollback(ctx context.Context, approve Approve) (Installed, error) {
	unlock, err := s.lock(ctx)
	if err != nil {
		return Installed{}, err
	}
	defer unlock()
	st, err := s.read()
	if err != nil {
		return Installed{}, err
	}
	const cure = "'vggse-agent model list' shows what else may be activated"
	if st.Previous == "" {
		return Installed{}, errors.New("there is no model before the active one: " + cure)
	}
	before := s.installed(st.Previous, st)
	b, err := bundle.Open(before.Dir)
	if err == nil {
		err = bundle.CheckAll(ctx, before.Dir)
	}
	if err == nil && approve != nil {
		err = approve(before.Dir)
	}
	if err != nil {
		return before, fmt.Errorf("the model before, %.12s, cannot come back, %s: %w", before.SHA256, cure, err)
	}
	before.Name, before.Version = b.Spec.Name, b.Spec.Version
	return before, s.edit(func(st *state) error {
		st.refuse(byHand)
		st.Refused = nil // nothing is wrong
		st.touch(before.SHA256)
		return nil
	})
}

// SetAside says why a model that was active here is not activated again by itself; hand is that
// somebody went back from it. ok is false where nothing speaks against it. Activate forgets it.
func (s *Store) SetAside(sum string) (r Refusal, hand, ok bool) {
	st, err := s.read()
	if err != nil {
		return Refusal{}, false, false
	}
	for _, r := range st.Aside {
		if r.SHA256 == sum {
			return r, r.Reason == byHand, true
		}
	}
	return Refusal{}, false, false
}

// setAside remembers a refusal, in place of an older one of the same model.
func (st *state) setAside(r Refusal) {
	st.takeBack(r.SHA256)
	st.Aside = append(st.Aside, r)
	st.Aside = st.Aside[max(0, len(st.Aside)-asideLimit):]
}

func (st *state) takeBack(sum string) {
	st.Aside = slices.DeleteFunc(st.Aside, func(r Refusal) bool { return r.SHA256 == sum })
}
