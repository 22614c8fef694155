package progress

import (
	"bytes"
	"strings"
	"testing"
)

// Each step says its number, once somebody has said how many there are.
func TestStepsAreNumbered(t *testing.T) {
	var out bytes.Buffer
	p := To(&out)
	p.Start("alone", 1).Done()
	p.Of(2)
	p.Start("first", 1).Done()
	p.Start("second", 1).Done()
	p.Start("more", 1).Done()
	for _, want := range []string{"\nstep 1 of 2: first", "\nstep 2 of 2: second", "\nstep 3 of 3: more"} {
		if !strings.Contains(out.String(), want) {
			t.Errorf("no %q in %s", want, out.String())
		}
	}
	if strings.Contains(strings.SplitN(out.String(), "\n", 2)[0], "step") {
		t.Errorf("a step is numbered though nobody said of how many: %s", out.String())
	}
}

// A step that is broken off is not shown as complete, one of unknown length is ended.
func TestBrokenOff(t *testing.T) {
	for name, c := range map[string]struct {
		total int64
		done  int
		want  bool
	}{"nothing done": {30, 0, false}, "some": {30, 12, false}, "all": {30, 30, true}} {
		var out bytes.Buffer
		bar := To(&out).Start("reading", c.total)
		bar.Add(c.done)
		bar.Done()
		bar.Done() // harmless
		if got := strings.Contains(out.String(), "100%"); got != c.want {
			t.Errorf("%s: complete is %v, want %v: %s", name, got, c.want, out.String())
		}
	}
}
