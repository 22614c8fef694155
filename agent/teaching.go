package agent

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"strconv"
	"sync"
	"time"

	"github.com/vggse/vggse-agent/api/page"
	"github.com/vggse/vggse-agent/bundle"
	"github.com/vggse/vggse-agent/bundle/store"
	"github.com/vggse/vggse-agent/internal/atomicfile"
	"github.com/vggse/vggse-agent/live"
	"github.com/vggse/vggse-agent/mqtt"
	"github.com/vggse/vggse-agent/release"
)

// TeachRun is one run of 'teach' beside the agent.
type TeachRun struct {
	Bundle, Images, Out string // folders: of the bundle, of labelled pictures, of what is made
	AddOnly, Flip       bool
	Line                func(string) // is told each line that it says
}

// teacher runs 'teach' on the samples, one run at a time. Its results lie in the state folder until
// the next run, and outlive the agent. It implements page.Teacher.
type teacher struct {
	page   *livePage
	folder string // of the results
	asked  chan TeachRun

	mu     sync.Mutex // guards what follows
	now    page.Teaching
	bundle *bundle.Bundle     // the one that runs; nil: none yet
	cancel context.CancelFunc // of the run that is carried out; nil: none is
	stop   bool               // the run that was asked for is to end
}

// referenceFile is the key of the file in which a bundle keeps features of pictures.
const referenceFile = "reference"

// newTeacher finds what the last run has left.
func newTeacher(p *livePage) *teacher {
	t := &teacher{page: p, folder: filepath.Join(p.config.StateDir, "teaching"), asked: make(chan TeachRun, 1)}
	t.now.State = page.TeachNever
	t.now = t.outcome(t.now, fs.ErrNotExist)
	return t
}

// out is where a run puts its bundle and its reports.
func (t *teacher) out() string { return filepath.Join(t.folder, "taught") }

// outcome is how a run that ended with err stands, by what it has left.
func (t *teacher) outcome(now page.Teaching, err error) page.Teaching {
	_, reported := os.Stat(filepath.Join(t.out(), "report.json"))
	digest, made := bundle.Digest(t.out())
	switch {
	case reported == nil && made == nil:
		now.State, now.SHA256 = page.TeachDone, digest
	case reported == nil:
		now.State = page.TeachMissed
	case errors.Is(err, context.Canceled):
		now.State = page.TeachStopped
	case now.State == page.TeachRunning:
		now.State, now.Says = page.TeachFailed, err.Error()
	}
	return now
}

// runs says which bundle answers from now on: it is what the next run begins with.
func (t *teacher) runs(b *bundle.Bundle) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.bundle = b
}

// Teaching implements page.Teacher.
func (t *teacher) Teaching() page.Teaching {
	t.mu.Lock()
	defer t.mu.Unlock()
	now := t.now
	if t.page.host.Teach == nil {
		now.Off = "this process does not teach"
	}
	if t.bundle != nil {
		_, now.Stored = t.bundle.Spec.Files[referenceFile]
	}
	return now
}

// Begin implements page.Teacher.
func (t *teacher) Begin(flip bool) error {
	t.mu.Lock()
	defer t.mu.Unlock()
	switch {
	case t.page.host.Teach == nil:
		return errors.New("this process does not teach")
	case t.bundle == nil:
		return errStarting
	case t.now.State == page.TeachRunning:
		return errors.New("teaching is under way already: wait, or stop it")
	}
	_, stored := t.bundle.Spec.Files[referenceFile]
	run := TeachRun{Bundle: t.bundle.Dir, Images: t.page.config.Samples.Dir, Out: t.out(), AddOnly: stored, Flip: flip}
	t.now = page.Teaching{State: page.TeachRunning, Began: time.Now().UnixMilli(), Share: -1}
	t.stop = false
	t.asked <- run // there is room: none is under way
	return nil
}

// Stop implements page.Teacher.
func (t *teacher) Stop() error {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.now.State != page.TeachRunning {
		return errors.New("nothing is being taught")
	}
	if t.stop = true; t.cancel != nil {
		t.cancel()
	}
	return nil
}

// Report implements page.Teacher.
func (t *teacher) Report(name string) (*os.File, error) {
	return atomicfile.OpenRegular(filepath.Join(t.out(), name))
}

// run carries out what is asked for until ctx ends.
func (t *teacher) run(ctx context.Context) {
	for {
		select {
		case <-ctx.Done():
			return
		case r := <-t.asked:
			var child sync.WaitGroup
			child.Go(func() { t.carryOut(ctx, r) }) // a goroutine of its own, with a thread of its own
			child.Wait()
		}
	}
}

func (t *teacher) carryOut(ctx context.Context, r TeachRun) {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	t.mu.Lock()
	if t.cancel = cancel; t.stop {
		cancel()
	}
	t.mu.Unlock()
	r.Line = t.hear
	err := os.RemoveAll(r.Out)
	if err == nil {
		err = os.MkdirAll(t.folder, 0o750)
	}
	if err == nil {
		err = t.page.host.Teach(ctx, r)
	}
	t.mu.Lock()
	t.cancel = nil
	t.now.Ended = time.Now().UnixMilli()
	t.now = t.outcome(t.now, cmp.Or(err, error(fs.ErrNotExist)))
	now := t.now
	t.mu.Unlock()
	said := now.State
	if now.State == page.TeachFailed {
		said += ": " + now.Says
	} else if verdict := t.verdict(); verdict != "" {
		said = verdict
	}
	t.page.log.Info("teaching ended", "state", now.State, "said", said)
	t.page.live.Note(live.Event{Kind: live.KindTeach, Text: said})
}

// verdict is the sentence of the report; empty where there is none.
func (t *teacher) verdict() string {
	var report struct {
		Verdict string `json:"verdict"`
	}
	f, err := t.Report("report.json")
	if err != nil {
		return ""
	}
	defer f.Close()
	_ = json.NewDecoder(f).Decode(&report) // whoever opens the report is told that it is damaged
	return report.Verdict
}

// teachStep is a line of progress: the step, how many there are, what is done, and how much of it.
var teachStep = regexp.MustCompile(`step (\d+) of (\d+): (.*?)\s*(?:(\d+)% .*|\(.*)?$`)

// hear takes in a line of a run.
func (t *teacher) hear(line string) {
	t.mu.Lock()
	defer t.mu.Unlock()
	m := teachStep.FindStringSubmatch(line)
	if m == nil {
		return
	}
	t.now.Step, _ = strconv.Atoi(m[1])
	t.now.Steps, _ = strconv.Atoi(m[2])
	t.now.What, t.now.Share = m[3], -1
	if m[4] != "" {
		percent, _ := strconv.Atoi(m[4])
		t.now.Share = float64(percent) / 100
	}
}

// Use implements page.Teacher.
func (t *teacher) Use(ctx context.Context) error {
	now := t.Teaching()
	if now.State != page.TeachDone {
		return errors.New("there is nothing taught to be installed")
	}
	if t.page.config.Model.Demo == "" {
		return fmt.Errorf("model.bundle is configured, so no installed model runs: what was taught lies in %s",
			t.out())
	}
	sum, err := t.installTaught(ctx)
	if err != nil {
		return err
	}
	return t.page.Activate(ctx, sum)
}

// installTaught puts the bundle that was taught into the store, and first the one that runs where it
// is not there: it is what rolling back leads to.
func (t *teacher) installTaught(ctx context.Context) (sum string, err error) {
	s := store.At(t.page.config.StateDir)
	if _, active, err := s.Active(); err == nil && !active {
		before, err := t.install(ctx, s, t.running().Dir)
		if err == nil {
			_, err = s.Activate(ctx, before)
		}
		if err == nil {
			err = s.Confirm(before)
		}
		if err != nil {
			return "", fmt.Errorf("the model that runs cannot be kept to go back to: %w", err)
		}
	}
	return t.install(ctx, s, t.out())
}

// install is what 'model install' does: the same check, the same record.
func (t *teacher) install(ctx context.Context, s *store.Store, dir string) (sum string, err error) {
	source, err := bundle.OpenSource(dir)
	if err != nil {
		return "", err
	}
	defer source.Close()
	approve, admitted := t.page.config.Gate(t.page.host.Build.Version).Installing(ctx, release.Wanted{})
	i, err := s.InstallFrom(ctx, source, approve)
	if err != nil {
		return "", err
	}
	return i.SHA256, admitted().Record(ctx)
}

// running is the bundle that answers; nil before there is one.
func (t *teacher) running() *bundle.Bundle {
	t.mu.Lock()
	defer t.mu.Unlock()
	return t.bundle
}

// RollBack implements page.Agent.
func (p *livePage) RollBack(ctx context.Context) error {
	return p.commandModel(ctx, mqtt.Command{Name: mqtt.CommandRollback})
}
