package eval

import (
	"errors"
	"math"
	"math/rand/v2"
	"testing"
	"time"
)

// timed plays runs: of a in a milliseconds and of b in b, times what the machine does at that time.
func timed(a, b float64, machine func(i int) float64) func(second bool) (time.Duration, error) {
	i := 0
	return func(second bool) (time.Duration, error) {
		ms := a
		if second {
			ms = b
		}
		i++
		return time.Duration(ms * machine(i) * float64(time.Millisecond)), nil
	}
}

// TestRaceRefusesOnlyWhatIsProven: equal files on a noisy machine are neither slower nor faster,
// and are measured for longer; a difference is found in spite of the noise.
func TestRaceRefusesOnlyWhatIsProven(t *testing.T) {
	for _, c := range []struct {
		name           string
		a, b           float64
		slower, faster bool
	}{
		{"equal", 14, 14, false, false},
		{"a thousandth slower, in noise of half", 14, 14.014, false, false},
		{"a third faster", 12, 9, false, true},
		{"a third slower", 9, 12, true, false},
	} {
		r := rand.New(rand.NewPCG(1, 7))
		noise := func(int) float64 { // now and then, four times as long
			return 1 + 0.5*r.Float64() + 3*math.Floor(1.05*r.Float64())
		}
		pairs := 0
		l, err := race(timed(c.a, c.b, noise), func(round int) bool {
			pairs++
			return pairs < 100*round
		})
		if err != nil {
			t.Fatal(err)
		}
		if l.Slower() != c.slower || l.Faster() != c.faster {
			t.Errorf("%s: %+v", c.name, l)
		}
		if open := !c.slower && !c.faster; open != (l.Runs > 400) {
			t.Errorf("%s: %d pairs", c.name, l.Runs)
		}
		if !(l.SpeedupLow <= l.SpeedupHigh) {
			t.Errorf("%s: interval from %g to %g", c.name, l.SpeedupLow, l.SpeedupHigh)
		}
	}
}

// TestRaceTakesTurns: the two change places from pair to pair, and an error ends it.
func TestRaceTakesTurns(t *testing.T) {
	var order []bool
	broken := errors.New("broken")
	_, err := race(func(second bool) (time.Duration, error) {
		if order = append(order, second); len(order) == 5 {
			return 0, broken
		}
		return time.Millisecond, nil
	}, func(int) bool { return false })
	if !errors.Is(err, broken) {
		t.Errorf("got %v", err)
	}
	for i, want := range []bool{false, true, true, false, false} {
		if order[i] != want {
			t.Fatalf("order %v", order)
		}
	}
}

// TestMedianInterval: ranks as the binomial distribution has them (two-sided, 1 %): up to 11 values
// leave none out, 12 leave one out at either end, 20 three, 100 thirty-six.
func TestMedianInterval(t *testing.T) {
	for n, rank := range map[int]int{1: 0, 6: 0, 8: 0, 11: 0, 12: 1, 20: 3, 100: 36} {
		v := make([]float64, n)
		for i := range v {
			v[i] = float64((i * 7) % n)
			if n%7 == 0 {
				v[i] = float64(i)
			}
		}
		low, high := medianInterval(v)
		if low != float64(rank) || high != float64(n-1-rank) {
			t.Errorf("%d values: from %g to %g, want %d to %d", n, low, high, rank, n-1-rank)
		}
	}
	// It holds the true median in at least 99 of 100 draws, here of a skewed distribution.
	r, covered := rand.New(rand.NewPCG(3, 4)), 0
	for range 2000 {
		v := make([]float64, 15)
		for i := range v {
			v[i] = math.Exp(2 * r.NormFloat64())
		}
		if low, high := medianInterval(v); low <= 1 && 1 <= high {
			covered++
		}
	}
	if covered < 1960 {
		t.Errorf("the interval holds the median in %d of 2000 draws", covered)
	}
}
