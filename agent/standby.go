package agent

import (
	"context"
	"time"

	"github.com/vggse/vggse-agent/infer"
)

// standby is the network of the model before, which stays loaded while a new one is on trial: going
// back is then a matter of one frame.
type standby struct {
	network *infer.Network
	sum     string        // digest of its bundle
	took    time.Duration // to open it
}

// reserve is how much memory must be left to others while a second network is loaded, bytes.
func reserve(total uint64) uint64 { return max(128<<20, total/10) }

// short reports whether a second network takes memory that others need.
func (c *modelSwap) short() bool {
	there := c.memory()
	return there != nil && there.Available < reserve(there.Total)
}

// standbyOf is what stays loaded during a trial: running, or what is loaded already, whichever is
// the model to go back to; nil: neither is, or memory is short.
func (c *modelSwap) standbyOf(t *probation, running *standby) *standby {
	if t == nil || !t.before || c.short() {
		return nil
	}
	to, _ := t.store.Before()
	switch {
	case running.sum == to.SHA256:
		return running
	case c.before != nil && c.before.sum == to.SHA256:
		return c.before
	}
	return nil
}

// compare has the model on standby answer to some of the pictures of the trial.
func (c *modelSwap) compare(t *probation, s *standby, next *infer.Network) {
	if s != nil {
		t.compares(s.network, &s.network.Bundle.Spec, &next.Bundle.Spec, max(1, c.pipeline.MaxBatch),
			c.pipeline.Decide.Threshold)
	}
}

// settle closes what neither answers nor is on standby.
func (c *modelSwap) settle(replaced, stays *standby) {
	for _, s := range []*standby{replaced, c.before} {
		if s != nil && s != stays && s.network != c.network {
			if err := s.network.Close(); err != nil {
				c.log.Warn("the model before was not closed well", "error", err)
			}
		}
	}
	c.before = stays
}

// drop closes the model on standby, because of why.
func (c *modelSwap) drop(why string) {
	if c.before == nil {
		return
	}
	c.log.Warn("the model before is loaded no more: going back to it takes a while", "why", why, "takes",
		c.before.took.Round(time.Millisecond))
	if c.trial != nil {
		c.trial.alone()
	}
	c.settle(nil, nil)
}

// goOn is for a trial that an earlier process began: the model to go back to is loaded, where memory
// allows.
func (c *modelSwap) goOn(ctx context.Context) {
	if c.trial == nil {
		return
	}
	next := c.requests.inForce()
	defer c.tellTrial(&next)
	before, ok := c.trial.store.Before()
	there := c.memory()
	if !ok || !c.trial.before || there != nil && there.Available < roomFor(before.Dir)+reserve(there.Total) {
		return
	}
	start := time.Now()
	network, err := infer.OpenBeside(ctx, before.Dir, next.Model.Precision, c.observer.hears(next.Infer), c.network)
	if err != nil {
		c.log.Warn("the model to go back to cannot be opened", "bundle", before.Dir, "error", err)
		return
	}
	c.before = &standby{network, before.SHA256, time.Since(start)}
	c.compare(c.trial, c.before, c.network)
}

// close closes all networks.
func (c *modelSwap) close() error {
	if c.trial != nil {
		if err := c.trial.keep(); err != nil {
			c.log.Warn("how far the trial of the new model is was not kept", "error", err)
		}
	}
	c.settle(nil, nil)
	return c.network.Close()
}
