package agent

import (
	"context"
	"errors"
	"fmt"
	"sync/atomic"
	"time"

	"github.com/vggse/vggse-agent/agent/pipeline"
	"github.com/vggse/vggse-agent/agent/shadow"
	"github.com/vggse/vggse-agent/agent/trial"
	"github.com/vggse/vggse-agent/bundle"
	"github.com/vggse/vggse-agent/bundle/store"
	"github.com/vggse/vggse-agent/configs"
	"github.com/vggse/vggse-agent/mqtt"
	"github.com/vggse/vggse-agent/vision"
)

const (
	// shadowLook is how often a shadow is looked at while no answer comes.
	shadowLook = 200 * time.Millisecond
	// shadowRise is how much longer than before the slowest frames may take beside a shadow.
	shadowRise = 1.1
	// shadowPatience is how long the pictures of a shadow may take to come, in times of what they take
	// where nothing is in the way; then the model goes on trial without the others.
	shadowPatience = 10
	// shadowOpening is how long the process of a shadow may take to open the model.
	shadowOpening = 10 * time.Minute
)

// shadowPause is how long a shadow rests that has slowed the model that answers; a variable for tests.
var shadowPause = 10 * time.Second

// shadowTap gives pictures that were classified to a shadow, where there is one. It implements
// pipeline.Recorder.
type shadowTap struct {
	pipeline *pipeline.Pipeline
	to       atomic.Pointer[shadowInput]
	next     pipeline.Recorder // that has every picture; nil: none
}

// shadowInput is a shadow that wants pictures.
type shadowInput struct {
	child  *shadow.Child
	last   time.Time   // one was taken; the inference's goroutine's
	paused atomic.Bool // by whoever looks after it
}

// Record implements pipeline.Recorder. One picture in sampleEvery is taken, and only while no other
// waits to be classified.
func (p *shadowTap) Record(d *vision.Decision, f *vision.Frame) {
	if p.next != nil {
		p.next.Record(d, f)
	}
	s := p.to.Load()
	if s == nil || len(d.Top) == 0 || s.paused.Load() {
		return
	}
	now := time.Now()
	if now.Sub(s.last) < sampleEvery || !p.pipeline.Idle() {
		return
	}
	seen := trial.Seen{Label: d.Top[0].Index, Score: d.Top[0].Score, Took: d.Latency.Infer}
	if s.child.Offer(d.Camera, seen, f) {
		s.last = now
	}
}

// errAbandoned is the end of a shadow that something else came between.
var errAbandoned = errors.New("something else was asked for")

// shadowing is a new model in a process of its own, beside the one that answers.
type shadowing struct {
	*modelSwap
	installed store.Installed
	bounds    configs.Trial
	inForce   *configs.Config
	input     *shadowInput
	pairs     *trial.Comparison
	spec      *bundle.Spec
	began     time.Time
	most      uint64 // memory of the process, bytes
	limit     uint64 // of it; 0: none

	before  time.Duration // the slowest frames without it
	since   uint64        // frames classified when it last began to work, or to rest
	resting time.Time     // until then; zero: it does not
}

// shadow has the active model, which is on trial and not open yet, answer to live pictures beside
// the one that runs. An error is why it is refused; errAbandoned, that something else is to be done
// first. Where a shadow cannot be, the model goes on trial without one.
func (c *modelSwap) shadow(ctx context.Context, next *configs.Config) error {
	i, ok, err := store.At(next.StateDir).Active()
	if err != nil || !ok || !i.OnTrial || c.shadowArgs == nil || next.Model.Demo == "" {
		return nil // opening it says what there is to say
	}
	s := &shadowing{modelSwap: c, installed: i, bounds: boundsOf(next, i.Dir), inForce: next, began: time.Now()}
	opened, err := bundle.Open(i.Dir)
	if err != nil || s.bounds.Shadow == 0 {
		return nil
	}
	if there := c.memory(); there != nil {
		if there.Available < roomFor(i.Dir)+reserve(there.Total) {
			c.log.Warn("no memory for a second process: the new model goes on trial without having been compared",
				"needed_mib", roomFor(i.Dir)>>20, "available_mib", there.Available>>20)
			return nil
		}
		s.limit = there.Available - reserve(there.Total)
	}
	s.spec = &opened.Spec
	s.pairs = trial.NewComparison(s.bounds, &c.network.Bundle.Spec, s.spec, c.pipeline.Decide.Threshold, trial.Nearly)
	child, err := shadow.Start(append([]string{shadow.Verb, i.Dir}, c.shadowArgs...), len(s.spec.Labels))
	if err != nil {
		c.log.Warn("the new model goes on trial without having been compared", "error", err)
		return nil
	}
	defer child.Close()
	s.input = &shadowInput{child: child}
	c.tap.to.Store(s.input)
	defer c.tap.to.Store(nil)
	s.before, s.since = c.pipeline.Slowest(1<<20), c.observer.frames()
	c.log.Info("the new model answers to live pictures in a process of its own, and publishes nothing", "sha256",
		i.SHA256, "pictures", s.bounds.Shadow)
	return s.run(ctx)
}

// run goes on until the pictures have been compared, or the model is refused.
func (s *shadowing) run(ctx context.Context) error {
	told, looked := time.Time{}, time.Now()
	for s.pairs.Report().Pairs < s.bounds.Shadow {
		answer, err := s.input.child.Next(shadowLook)
		switch {
		case ctx.Err() != nil:
			return ctx.Err()
		case errors.Is(err, shadow.ErrKilled) && s.limit == 0:
			s.log.Warn("the new model goes on trial without having been compared", "error", err)
			return nil
		case err != nil:
			return s.over(err)
		case answer != nil:
			if err := s.compare(answer); err != nil {
				return s.over(err)
			}
		}
		if time.Since(told) > tellTrialEvery {
			told = time.Now()
			s.tell()
		}
		if time.Since(looked) < shadowLook {
			continue
		}
		looked = time.Now()
		if done, err := s.look(); done || err != nil {
			return err
		}
	}
	return s.over(nil)
}

// compare counts an answer.
func (s *shadowing) compare(a *shadow.Answer) error {
	if !numbers(a.Logits) {
		return trial.ErrNoNumber
	}
	s.pairs.Add(a.Stream, a.Old, a.Logits, a.Took)
	return s.pairs.Worse()
}

// look sees after what the shadow costs, and whether it is still wanted.
func (s *shadowing) look() (done bool, err error) {
	now, ok, err := store.At(s.inForce.StateDir).Active()
	if err != nil || !ok || now.SHA256 != s.installed.SHA256 || len(s.requests.asked) > 0 ||
		s.trial != nil && len(s.trial.failed) > 0 {
		return true, errAbandoned
	}
	s.most = max(s.most, s.input.child.Memory())
	if s.limit > 0 && s.most > s.limit {
		return true, s.over(fmt.Errorf("its process takes %d MiB, and %d are there for it", s.most>>20, s.limit>>20))
	}
	s.rest()
	patience := max(time.Duration(s.bounds.Shadow)*sampleEvery*shadowPatience, time.Minute)
	if !s.input.child.Open() {
		patience = shadowOpening
	}
	if time.Since(s.began) > patience {
		s.log.Warn("the new model goes on trial before all pictures were compared", "pictures", s.pairs.Report().Pairs)
		return true, nil
	}
	return false, nil
}

// rest pauses the shadow while heat slows the agent down, and where the slowest frames have become
// slower beside it.
func (s *shadowing) rest() {
	if s.observer.slowedDown() {
		s.pause("the machine is near to its limits")
		return
	}
	frames := s.observer.frames() - s.since
	if !s.resting.IsZero() {
		if time.Now().Before(s.resting) {
			return
		}
		if frames >= 100 { // what the machine does without it now
			s.before = s.pipeline.Slowest(frames)
		}
		s.resting, s.since = time.Time{}, s.observer.frames()
		s.input.paused.Store(false)
		return
	}
	if frames >= 100 && s.before > 0 && float64(s.pipeline.Slowest(frames)) > shadowRise*float64(s.before) {
		s.pause("frames take longer beside it")
	}
}

func (s *shadowing) pause(why string) {
	if s.resting.IsZero() {
		s.log.Info("the new model rests", "why", why)
		s.since = s.observer.frames()
	}
	s.resting = time.Now().Add(shadowPause)
	s.input.paused.Store(true)
}

// over tells what was found, and returns why the model is refused.
func (s *shadowing) over(why error) error {
	s.most = max(s.most, s.input.child.Memory())
	r := s.pairs.Report()
	s.log.Info("the new model was compared", "sha256", s.installed.SHA256, "pairs", r.Pairs, "common",
		r.Common, "agreed", r.Agreed, "changes", r.Changes, "changes_before", r.ChangesOld, "unknown",
		r.Unknown, "unknown_before", r.UnknownOld, "latency_ratio", r.Ratio, "memory_mib", s.most>>20)
	s.tell()
	s.keepReport(mqtt.UpdateShadow, "compared", why, trialOf(s.installed.SHA256, r, s.most), releaseOf(s.inForce))
	return why
}

// tell publishes how far the shadow is.
func (s *shadowing) tell() {
	release, r := releaseOf(s.inForce), s.pairs.Report()
	s.updates.tries(mqtt.Update{State: mqtt.UpdateShadow, Name: release.Name, Release: release.Number,
		Reason: fmt.Sprintf("%d of %d pictures compared", r.Pairs, s.bounds.Shadow),
		Trial:  trialOf(s.installed.SHA256, r, s.most)})
}

// trialOf is a comparison as messages tell it.
func trialOf(sum string, r trial.Report, memory uint64) mqtt.Trial {
	return mqtt.Trial{SHA256: sum, Pairs: r.Pairs, Common: r.Common, Agreed: r.Agreed,
		Changes: [2]int{r.ChangesOld, r.Changes}, Unknown: [2]int{r.UnknownOld, r.Unknown}, Latency: r.Ratio,
		Memory: memory}
}
