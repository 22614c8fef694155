package agent

import (
	"context"
	"errors"
	"time"

	"github.com/vggse/vggse-agent/bundle/store"
	"github.com/vggse/vggse-agent/configs"
	"github.com/vggse/vggse-agent/infer"
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
// installed. One that cannot be opened on its trial, or that ended the process twice, gives way to
// the one before it, and to the demo where there was none: refuse is told of it, and c which it
// became.
func openActive(ctx context.Context, c *configs.Config, refuse func(bundleDir string, reason error)) (*infer.Network,
	*trial, error) {
	if c.Model.Demo == "" {
		n, err := infer.OpenBundle(ctx, c.Model.Bundle, c.Model.Precision, c.Infer)
		return n, nil, err
	}
	s := store.At(c.StateDir)
	active, ok, refused, err := s.Begin()
	if err != nil {
		return nil, nil, err
	}
	if refused != nil {
		refuse(refused.SHA256, errors.New(refused.Reason))
	}
	takeInstalled(&c.Model, active, ok)
	n, err := infer.OpenBundle(ctx, c.Model.Bundle, c.Model.Precision, c.Infer)
	if !ok || !active.OnTrial {
		return n, nil, err
	}
	if err == nil {
		return n, &trial{store: s, sum: active.SHA256, since: time.Now()}, nil
	}
	if ctx.Err() != nil {
		return nil, nil, err
	}
	refuse(active.SHA256, err)
	if err := s.Refuse(active.SHA256, "", err); err != nil {
		return nil, nil, err
	}
	if active, ok, err = s.Active(); err != nil {
		return nil, nil, err
	}
	takeInstalled(&c.Model, active, ok)
	n, err = infer.OpenBundle(ctx, c.Model.Bundle, c.Model.Precision, c.Infer)
	return n, nil, err
}

// takeInstalled makes m name the installed bundle, or the demo where ok is false.
func takeInstalled(m *configs.Model, i store.Installed, ok bool) {
	m.Bundle = m.Demo
	if ok {
		m.Bundle = i.Dir
	}
}
