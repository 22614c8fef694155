package prune

import (
	"errors"
	"math"
	"strings"
	"testing"

	"github.com/vggse/vggse-agent/eval"
)

// narrow doubles until a factor loses too much or is not possible, then halves in on the largest
// that does not.
func TestNarrow(t *testing.T) {
	for _, tt := range []struct {
		name     string
		limit    float64 // the largest factor that loses no more than allowed
		possible float64 // the largest for which there are channels
		want     float64 // at most so far below
	}{
		{"between 2 and 4", 3, 100, 3},
		{"below 2", 1.3, 100, 1.3},
		{"the widths run out first", 100, 5, 5},
		{"nothing can go", 1, 100, 1},
		{"not possible at all", 100, 1, 1},
		{"more than doubling reaches", 1000, 1000, 64},
	} {
		best, tries := 1.0, 0
		err := narrow(budgetSteps, 0.5, func(factor float64) (float64, bool, error) {
			tries++
			if factor > tt.possible {
				return 0, false, nil
			}
			if factor > tt.limit {
				return 0.6, true, nil
			}
			best = max(best, factor)
			return 0.5, true, nil
		})
		if err != nil || tries != budgetSteps || best > tt.want || best < tt.want*0.9 {
			t.Errorf("%s: %g after %d tries, %v; want %g", tt.name, best, tries, err, tt.want)
		}
	}
	broken := errors.New("no memory")
	tries := 0
	err := narrow(budgetSteps, 1, func(float64) (float64, bool, error) { tries++; return 0, false, broken })
	if !errors.Is(err, broken) || tries != 1 {
		t.Errorf("%v after %d tries", err, tries)
	}
}

// The gate is missed by what is lost beyond the points allowed, where there is a limit.
func TestGate(t *testing.T) {
	for _, tt := range []struct {
		lost, allowed float64
		missed        bool
	}{{0.4, 0.5, false}, {0.5, 0.5, false}, {0.51, 0.5, true}, {60, 0, false}, {-1, 0.5, false}} {
		got := gate(tt.lost, tt.allowed, 200)
		if (got != "") != tt.missed || tt.missed && !strings.Contains(got, "200 pictures") {
			t.Errorf("%g points lost of %g: %q", tt.lost, tt.allowed, got)
		}
	}
}

// A way counts top-1 where labels are known, agreement where they are not.
func TestWay(t *testing.T) {
	c := eval.Counts{Images: 10, Same: 8, Labelled: 10, Right: 7, Right5: 9, ReferenceRight: 8, Lost: 2, Won: 1}
	if w := way("pruned", &c); w.Name != "pruned" || w.Agreement != 0.8 || *w.Top1 != 0.7 || *w.Top5 != 0.9 ||
		math.Abs(w.Lost-0.1) > 1e-12 || w.LostHalf <= 0 {
		t.Errorf("labelled: %+v", w)
	}
	c = eval.Counts{Images: 10, Same: 8}
	if w := way("pruned", &c); w.Top1 != nil || w.Top5 != nil || math.Abs(w.Lost-0.2) > 1e-12 {
		t.Errorf("not labelled: %+v", w)
	}
}
