package progress

import (
	"bytes"
	"errors"
	"strings"
	"testing"
	"testing/synctest"
	"time"
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
	p.At(4, 5)
	p.Start("part", 1).Done()
	p.Start("other part", 1).Done()
	for _, want := range []string{"\nstep 4 of 5: part", "\nstep 4 of 5: other part"} {
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

// On a terminal the time goes on while nothing gets done, until the step or the next one ends it.
func TestTimeGoesOn(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var out bytes.Buffer
		p := To(&out)
		p.terminal = true
		bar := p.Start("slow", 10)
		bar.One()
		time.Sleep(62500 * time.Millisecond)
		synctest.Wait()
		if !strings.Contains(out.String(), "[1m2s:") {
			t.Errorf("after a minute it shows %q", out.String()[max(0, out.Len()-100):])
		}
		next := p.Start("next", 10)
		next.Add(10)
		next.Done()
		time.Sleep(2 * time.Second)
		synctest.Wait()
		ended := out.Len()
		time.Sleep(time.Minute)
		synctest.Wait()
		if out.Len() != ended {
			t.Errorf("it draws on after the end: %q", out.String()[ended:])
		}
	})
}

// A step that is done is noted, one that fails is not.
func TestTimed(t *testing.T) {
	seconds, processor := map[string]float64{}, map[string]float64{}
	wrong := errors.New("wrong")
	if err := Timed("fails", seconds, processor, func() error { return wrong }); err != wrong {
		t.Errorf("%v, want %v", err, wrong)
	}
	err := Timed("waits", seconds, processor, func() error { time.Sleep(20 * time.Millisecond); return nil })
	if err != nil || len(seconds) != 1 || len(processor) != 1 || seconds["waits"] < 0.02 ||
		processor["waits"] < 0 {
		t.Errorf("%v: %v s, %v s of the processor", err, seconds, processor)
	}
}
