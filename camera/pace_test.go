package camera

import (
	"context"
	"errors"
	"testing"
	"testing/synctest"
	"time"
)

// A file keeps its rate, and does not hurry after a pause.
func TestPaceWait(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := paceOf(10)
		start := time.Now()
		var got []time.Duration
		for i := range 6 {
			if err := p.wait(t.Context()); err != nil {
				t.Fatal(err)
			}
			got = append(got, time.Since(start))
			switch i {
			case 1:
				time.Sleep(50 * time.Millisecond) // work that fits
			case 3:
				time.Sleep(time.Second) // a pause
			}
		}
		want := []time.Duration{0, 100, 200, 300, 1300, 1400}
		for i := range want {
			if got[i] != want[i]*time.Millisecond {
				t.Errorf("picture %d at %v, want %v ms", i, got[i], int(want[i]))
			}
		}
		ctx, cancel := context.WithTimeout(t.Context(), time.Millisecond)
		defer cancel()
		if err := p.wait(ctx); !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("wait under an ended context = %v", err)
		}
		if err := p.wait(t.Context()); err != nil {
			t.Errorf("wait after a cancelled one = %v", err)
		}
	})
}

// Thinning keeps the wanted rate from any source that is faster, jitter or not.
func TestPaceDue(t *testing.T) {
	for _, tt := range []struct{ source, wanted, want float64 }{
		{30, 10, 10}, {30, 20, 20}, {30, 30, 30}, {30, 60, 30}, {15, 14, 14}, {60, 1, 1}, {30, 0, 30}, {30, 0.5, 0.5},
	} {
		p, start, kept := paceOf(tt.wanted), time.Unix(1000, 0), 0
		const seconds = 20
		for i := range int(seconds * tt.source) {
			jitter := time.Duration(i*7919%5-2) * time.Millisecond
			if p.due(start.Add(time.Duration(float64(i)*float64(time.Second)/tt.source) + jitter)) {
				kept++
			}
		}
		if want := tt.want * seconds; float64(kept) < 0.93*want || float64(kept) > want+1 {
			t.Errorf("%g a second thinned to %g: %d frames in %d s, want %g", tt.source, tt.wanted, kept, seconds, want)
		}
	}
}

func TestPaceAllocates(t *testing.T) {
	p := paceOf(1000)
	if n := testing.AllocsPerRun(20, func() { p.wait(context.Background()) }); n > 0 {
		t.Errorf("wait allocates %g times", n)
	}
}
