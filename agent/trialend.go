package agent

import (
	"context"
	"errors"
	"fmt"
	"os"
	"strconv"
	"strings"
	"time"

	"github.com/vggse/vggse-agent/bundle/store"
	"github.com/vggse/vggse-agent/configs"
	"github.com/vggse/vggse-agent/mqtt"
)

// goBack makes the model before answer again, because of why.
func (c *modelSwap) goBack(ctx context.Context, why error) error {
	sum := c.trial.sum
	refused := c.trial.refused("", why)
	if refused != why { // the disk; the next start will find out anew
		c.log.Error("that the model was refused is not written down", "error", refused)
	}
	start, next := time.Now(), c.requests.inForce()
	c.refuse(&next, sum, why)
	_, found, _ := c.trial.report()
	c.keepReport(mqtt.UpdateProbation, "", why, trialOf(sum, found, 0), releaseOf(&next))
	c.observer.rolledBack()
	next.Infer = c.observer.hears(next.Infer)
	begun, err := c.trial.wayBack(ctx, refused == why)
	c.trial = nil
	if err == nil {
		takeInstalled(&next.Model, begun.Installed, begun.OK)
		err = c.comeBack(ctx, next, begun, refusedCondition(why))
	}
	if err == nil || ctx.Err() != nil {
		c.log.Info("the model before answers again", "took", time.Since(start).Round(time.Microsecond))
		return nil
	}
	c.log.Error("the model before does not come back beside the one that runs", "error", err)
	if c.requests.anew == nil {
		return err
	}
	c.requests.anew(next)
	return nil
}

// wayBack is the model to go back to: the active one of the store, where the refusal is written there;
// else the one before, for the active one would be the refused one again.
func (p *probation) wayBack(ctx context.Context, written bool) (store.Beginning, error) {
	if written {
		return p.store.Begin(ctx, store.BootID())
	}
	before, ok := p.store.Before()
	if !ok {
		return store.Beginning{}, errors.New("there is no model to go back to")
	}
	return store.Beginning{Installed: before, OK: true}, nil
}

// comeBack makes the active model answer, from standby where it is there.
func (c *modelSwap) comeBack(ctx context.Context, next configs.Config, begun store.Beginning,
	condition mqtt.Condition) (err error) {
	start := time.Now()
	var t *probation
	if begun.OnTrial {
		t = newProbation(&next, begun.Installed, begun.Progress)
	}
	if s := c.before; s != nil && s.sum == begun.SHA256 {
		c.before = nil
		if err := c.put(ctx, next, s.network, t, condition, s.took); err != nil {
			return joinClose(err, s.network.Close())
		}
		return nil
	}
	network, err := openOnTrial(ctx, &next, begun.OnTrial, c.golden, c.network)
	if err != nil {
		return err
	}
	if err := c.put(ctx, next, network, t, condition, time.Since(start)); err != nil {
		return joinClose(err, network.Close())
	}
	return nil
}

// look ends the trial where it is over, after so much more time.
func (c *modelSwap) look(ctx context.Context, ran time.Duration) error {
	if c.trial == nil {
		return nil
	}
	over, why := c.trial.look(ran)
	if c.short() {
		if c.before != nil {
			c.drop("memory is short")
		} else if own := ownMemory(); why == nil && c.trial.before && c.hungry(own) {
			over, why = false, fmt.Errorf("the agent takes %d MiB with it, %d when it began, and memory is short",
				own>>20, c.trial.began>>20)
		}
	}
	switch {
	case why != nil:
		return c.goBack(ctx, why)
	case over:
		c.confirm()
	default:
		next := c.requests.inForce()
		c.tellTrial(&next)
	}
	return nil
}

// tellTrialEvery is how often the trial is told of, and written down: so much of it a kill may cost.
const tellTrialEvery = 15 * time.Second

// tellTrial tells how far the trial is, at its begin and now and then.
func (c *modelSwap) tellTrial(inForce *configs.Config) {
	if c.trial == nil || c.toldOf == c.trial && time.Since(c.told) < tellTrialEvery {
		return
	}
	_, report, far := c.trial.report()
	back := "going back takes a while"
	switch {
	case !c.trial.before:
		back = "there is none to go back to"
	case c.before != nil:
		back = "the model before stays loaded"
	}
	if c.toldOf != c.trial {
		b := c.trial.bounds
		c.log.Info("the new model is on trial", "sha256", c.trial.sum, "hold", b.Hold, "frames", b.Frames, "agreement",
			b.Agreement, "unknown", b.Unknown, "latency", b.Latency, "back", back)
	}
	c.told, c.toldOf = time.Now(), c.trial
	if err := c.trial.keep(); err != nil {
		c.log.Warn("how far the trial of the new model is was not kept", "error", err)
	}
	r := releaseOf(inForce)
	c.updates.tries(mqtt.Update{State: mqtt.UpdateProbation, Name: r.Name, Release: r.Number,
		Reason: far + "; " + back, Trial: trialOf(c.trial.sum, report, 0)})
}

// hungry reports whether the model on trial has taken far more memory than its files explain, own
// being what this process has now.
func (c *modelSwap) hungry(own uint64) bool {
	return c.trial.began > 0 && own > c.trial.began+2*roomFor(c.requests.inForce().Model.Bundle)
}

// ownMemory is what this process has in memory, bytes; 0: unknown.
func ownMemory() uint64 {
	text, err := os.ReadFile("/proc/self/statm")
	fields := strings.Fields(string(text))
	if err != nil || len(fields) < 2 {
		return 0
	}
	pages, _ := strconv.ParseUint(fields[1], 10, 64)
	return pages * uint64(os.Getpagesize())
}

// confirm ends a trial well.
func (c *modelSwap) confirm() {
	if err := c.trial.passed(); err != nil {
		c.log.Warn("the new model's trial goes on", "error", err)
		return
	}
	_, report, far := c.trial.report()
	c.log.Info("the new model has made good", "sha256", c.trial.sum, "trial", far, "pairs", report.Pairs, "common",
		report.Common, "agreed", report.Agreed, "latency_ratio", report.Ratio)
	c.link.ModelConfirmed(c.trial.sum)
	next := c.requests.inForce()
	c.keepReport(mqtt.UpdateProbation, "confirmed", nil, trialOf(c.trial.sum, report, 0), releaseOf(&next))
	c.updates.over()
	c.trial.alone()
	c.trial = nil
	c.observer.use(c.network, nil)
	c.settle(nil, nil)
}
