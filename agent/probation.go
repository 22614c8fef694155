package agent

import (
	"context"
	"encoding/json"
	"errors"
	"sync"
	"time"

	"github.com/vggse/vggse-agent/agent/pipeline"
	"github.com/vggse/vggse-agent/agent/trial"
	"github.com/vggse/vggse-agent/bundle"
	"github.com/vggse/vggse-agent/bundle/store"
	"github.com/vggse/vggse-agent/configs"
	"github.com/vggse/vggse-agent/vision"
)

// probation is the first run of a model that was activated; nil where there is nothing to prove. The
// inference's goroutine feeds it, and whoever changes networks ends it.
type probation struct {
	store  *store.Store
	sum    string
	bounds configs.Trial
	before bool            // there is a model to go back to
	failed chan *probation // told once, when the model is to go; capacity 1
	every  time.Duration   // between two pictures of a stream that are looked at
	began  uint64          // what this process had in memory then, bytes; 0: unknown

	mu     sync.Mutex
	watch  *trial.Watch
	pairs  *trial.Comparison // with the model before; nil: nothing compares
	rival  rival
	why    error // the model is to go; nil: it is not
	over   bool  // it has made good
	took   time.Duration
	looked time.Time // when a pair was last made
}

// rival is the model before, which answers to some of the pictures, too.
type rival struct {
	network pipeline.Classifier
	out     vision.Logits // of a whole batch
	scores  []float32
	kind    vision.Scores
}

// sampleEvery is trial.SampleEvery, but for tests.
var sampleEvery = trial.SampleEvery

// newProbation is the trial of the model of an installed bundle, which goes on where progress says.
func newProbation(c *configs.Config, i store.Installed, progress []byte) *probation {
	s := store.At(c.StateDir)
	before, ok := s.Before()
	p := &probation{store: s, sum: i.SHA256, bounds: boundsOf(c, i.Dir), before: ok && before.SHA256 != i.SHA256,
		failed: make(chan *probation, 1), every: sampleEvery,
		began: ownMemory()}
	var done trial.Progress
	if json.Unmarshal(progress, &done) != nil { // of another version: it begins anew
		done = trial.Progress{}
	}
	p.watch = trial.NewWatch(p.bounds, done, p.every)
	return p
}

// boundsOf are those of the settings, and what the signed statement of the bundle asks for beyond.
func boundsOf(c *configs.Config, dir string) configs.Trial {
	a, err := c.Gate("").Installed(dir)
	if err != nil || a.Signer == nil || a.Statement == nil || a.Statement.Trial == nil {
		return c.Model.Trial
	}
	asked := a.Statement.Trial
	return c.Model.Trial.Stricter(configs.Trial{Hold: time.Duration(min(asked.Minutes, 1<<20)) * time.Minute,
		Frames: asked.Frames, Agreement: asked.Agreement, Unknown: asked.Unknown, Latency: asked.Latency})
}

// compares has the model before answer to some of the pictures, too, where both take the same input.
// most is how many pictures a run of the network may have.
func (p *probation) compares(network pipeline.Classifier, before, next *bundle.Spec, most int, threshold float64) {
	if before.Preprocess != next.Preprocess || before.Architecture.InputSize != next.Architecture.InputSize {
		return
	}
	labels := len(before.Labels)
	p.mu.Lock()
	defer p.mu.Unlock()
	p.rival = rival{network, make(vision.Logits, most*labels), make([]float32, labels), before.Output.Scores}
	if p.pairs == nil {
		p.pairs = trial.NewComparison(p.bounds, before, next, threshold, trial.Half)
	}
}

// alone ends the comparing: the model before is about to be closed.
func (p *probation) alone() {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.rival.network = nil
}

// fail says that the model is to go; the first reason counts. It is false where the trial is over.
func (p *probation) fail(why error) bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.over {
		return false
	}
	if p.why == nil {
		p.why = why
		p.failed <- p
	}
	return true
}

// answered looks at what a run gave. Where the model is to go for it, the pictures wait for the one
// before.
func (p *probation) answered(ctx context.Context, out vision.Logits, took time.Duration, err error) error {
	if p == nil || !p.before || ctx.Err() != nil {
		return err
	}
	why := err
	if err == nil && !numbers(out) {
		why = trial.ErrNoNumber
	}
	if why != nil && p.fail(why) {
		return pipeline.ErrSwapped
	}
	p.took = took // of the inference's goroutine, as After is
	return err
}

// pair has the model before answer to the pictures of a run, now and then.
func (p *probation) pair(ctx context.Context, t *vision.Tensor, out vision.Logits) {
	p.mu.Lock()
	defer p.mu.Unlock()
	now := time.Now()
	if p.rival.network == nil || now.Sub(p.looked) < p.every {
		return
	}
	p.looked = now
	n := int(t.Shape[0])
	old := p.rival.out[:n*len(p.rival.scores)]
	if err := p.rival.network.Run(ctx, t, old); err != nil {
		p.rival.network = nil // it was proven before; that it fails now is no news of the new one
		return
	}
	took := time.Since(now) / time.Duration(n)
	for i := range n {
		row := old[i*len(p.rival.scores):][:len(p.rival.scores)]
		label, score, ok := trial.Top(p.rival.scores, row, p.rival.kind)
		if !ok {
			continue
		}
		width := len(out) / n
		p.pairs.Add("", trial.Seen{Label: label, Score: score, Took: took}, out[i*width:][:width],
			p.took/time.Duration(n))
	}
}

// decided counts a decision.
func (p *probation) decided(d *vision.Decision) {
	if p == nil {
		return
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	p.watch.Decided(d.Camera, d.Time, d.Stable.Index < 0, d.Latency.Infer)
}

// look is told that the model has run for some time more, and says whether its trial is over: for
// good, or because of why.
func (p *probation) look(ran time.Duration) (over bool, why error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.watch.Held += ran
	switch {
	case p.why != nil:
		return false, nil // who was told of it ends it
	case !p.before: // nothing to go back to
	case p.pairs != nil && p.pairs.Report().Pairs > 0:
		why = p.pairs.Worse()
	default:
		why = p.watch.Worse()
	}
	p.over = why == nil && p.watch.Done()
	return p.over, why
}

// baseline remembers how long the model before took for a picture, unless that is known.
func (p *probation) baseline(took time.Duration) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.watch.Baseline == 0 {
		p.watch.Baseline = took
	}
}

// report is how far the trial is, and what the comparison found.
func (p *probation) report() (trial.Progress, trial.Report, string) {
	p.mu.Lock()
	defer p.mu.Unlock()
	var r trial.Report
	if p.pairs != nil {
		r = p.pairs.Report()
	}
	return p.watch.Progress, r, p.watch.String()
}

// keep writes down how far the trial is.
func (p *probation) keep() error {
	if p == nil {
		return nil
	}
	done, _, _ := p.report()
	text, err := json.Marshal(done)
	if err == nil {
		err = p.store.Keep(p.sum, text)
	}
	return err
}

// passed ends the trial: the model stays.
func (p *probation) passed() error { return p.store.Confirm(p.sum) }

// refused ends the trial: the model that runs, or the one before, is active again. It returns why,
// with what went wrong about it.
func (p *probation) refused(running string, why error) error {
	if p == nil {
		return why
	}
	if err := p.store.Refuse(p.sum, running, why); err != nil {
		return errors.Join(why, err)
	}
	return why
}
