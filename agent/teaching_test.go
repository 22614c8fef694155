package agent

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/vggse/vggse-agent/api/page"
	"github.com/vggse/vggse-agent/bundle"
	"github.com/vggse/vggse-agent/live"
)

// What 'teach' says of its progress is understood, in every form that it has.
func TestTeacherHears(t *testing.T) {
	p, _ := pageOf(t)
	for _, c := range []struct {
		line string
		want page.Teaching
	}{
		{"step 1 of 2: reading pictures  40% |████      | (112/280, 20 it/s) [5s:8s]",
			page.Teaching{Step: 1, Steps: 2, What: "reading pictures", Share: 0.4}},
		{"| step 2 of 2: fitting (0/-) [0s]", page.Teaching{Step: 2, Steps: 2, What: "fitting", Share: -1}},
		{"step 2 of 2: fitting", page.Teaching{Step: 2, Steps: 2, What: "fitting", Share: -1}},
		{"a warning of the runtime", page.Teaching{Step: 2, Steps: 2, What: "fitting", Share: -1}},
	} {
		p.teacher.hear(c.line)
		got := p.teacher.Teaching()
		got.State, got.Off = "", ""
		if got != c.want {
			t.Errorf("%s: %+v, want %+v", c.line, got, c.want)
		}
	}
}

// A run ends as its files and its error say; there is one at a time, and each end is told.
func TestTeacherRuns(t *testing.T) {
	p, _ := pageOf(t)
	p.teacher.folder = t.TempDir()
	if err := p.teacher.Begin(false); err == nil || !strings.Contains(err.Error(), "does not teach") {
		t.Errorf("where nobody can teach: %v", err)
	}
	run := func(dir string, err error, files ...string) error {
		for _, name := range files {
			text := `{"verdict":"better: it is"}`
			if e := os.MkdirAll(dir, 0o755); e != nil {
				return e
			}
			if e := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o644); e != nil {
				return e
			}
		}
		return err
	}
	asked := make(chan TeachRun, 1)
	how := make(chan func(ctx context.Context, r TeachRun) error, 1)
	p.host.Teach = func(ctx context.Context, r TeachRun) error {
		asked <- r
		return (<-how)(ctx, r)
	}
	if err := p.teacher.Begin(false); !errors.Is(err, errStarting) {
		t.Errorf("before a network runs: %v", err)
	}
	p.teacher.runs(&bundle.Bundle{Dir: "/b", Spec: bundle.Spec{Files: map[string]bundle.File{"reference": {}}}})
	ctx, cancel := context.WithCancel(t.Context())
	ended := make(chan struct{})
	go func() { defer close(ended); p.teacher.run(ctx) }()
	for _, c := range []struct {
		what string
		how  func(ctx context.Context, r TeachRun) error
		stop bool
		want page.Teaching
	}{
		{"a bundle", func(_ context.Context, r TeachRun) error {
			return run(r.Out, nil, "model.yaml", "report.json")
		}, false, page.Teaching{State: page.TeachDone}},
		{"a gate that was missed", func(_ context.Context, r TeachRun) error {
			return run(r.Out, errors.New("lost"), "report.json")
		}, false, page.Teaching{State: page.TeachMissed}},
		{"an error", func(context.Context, TeachRun) error { return errors.New("no picture can be read") }, false,
			page.Teaching{State: page.TeachFailed, Says: "no picture can be read"}},
		{"a stop", func(ctx context.Context, _ TeachRun) error { <-ctx.Done(); return ctx.Err() }, true,
			page.Teaching{State: page.TeachStopped}},
	} {
		noted := p.live.Noted()
		if err := p.teacher.Begin(true); err != nil {
			t.Fatal(err)
		}
		if err := p.teacher.Begin(true); err == nil {
			t.Errorf("%s: a second run began", c.what)
		}
		how <- c.how // not before: until now the first run cannot have ended
		r := <-asked
		if r.Bundle != "/b" || !r.AddOnly || !r.Flip || r.Out != filepath.Join(p.teacher.folder, "taught") {
			t.Errorf("%s: asked for %+v", c.what, r)
		}
		if c.stop {
			if err := p.teacher.Stop(); err != nil {
				t.Error(err)
			}
		}
		var told []live.Event
		for end := time.Now().Add(time.Minute); len(told) == 0; time.Sleep(time.Millisecond) {
			if told = p.live.Events(noted); time.Now().After(end) {
				t.Fatalf("%s does not end", c.what)
			}
		}
		got := p.teacher.Teaching()
		if got.State != c.want.State || got.Says != c.want.Says || got.Ended == 0 || !got.Stored ||
			(got.SHA256 != "") != (got.State == page.TeachDone) || told[0].Kind != live.KindTeach {
			t.Errorf("%s: %+v, told %+v", c.what, got, told)
		}
	}
	if err := p.teacher.Stop(); err == nil {
		t.Error("nothing is being taught, and was stopped")
	}
	cancel()
	<-ended
	if err := run(p.teacher.out(), nil, "report.json"); err != nil {
		t.Fatal(err)
	}
	if now := p.teacher.outcome(page.Teaching{State: page.TeachNever}, os.ErrNotExist); now.State != page.TeachMissed {
		t.Errorf("after a restart: %+v", now)
	}
}
