package vision

import (
	"math"
	"testing"

	"gonum.org/v1/gonum/mat"
)

// runLength is after how many pictures on average the chart says drift, where each is strange with
// probability p: from the expectations of all sums, which are linear in each other.
func runLength(p float64, limit int) float64 {
	a, b := mat.NewDense(limit, limit, nil), mat.NewVecDense(limit, nil)
	for s := range limit {
		b.SetVec(s, 1)
		a.Set(s, s, a.At(s, s)+1)
		below := max(0, s-usualTakes)
		a.Set(s, below, a.At(s, below)-(1-p))
		if next := s + strangeAdds; next < limit {
			a.Set(s, next, a.At(s, next)-p)
		}
	}
	var n mat.VecDense
	if err := n.SolveVec(a, b); err != nil {
		panic(err)
	}
	return n.AtVec(0)
}

// Two charts that are asked every 30 s, features and channels, say drift of pictures like the reference's at
// most once a month together; and what is said in the comment holds.
func TestDriftFalseAlarms(t *testing.T) {
	const month = 30 * 24 * 120
	if n := runLength(strange, DriftLimit); n < 2*month {
		t.Errorf("a false alarm in %.0f pictures", n)
	}
	for _, c := range []struct{ share, want float64 }{{strange, 1_444_839}, {0.3, 78}, {0.5, 25}, {1, 9}} {
		if n := runLength(c.share, DriftLimit); math.Abs(n-c.want) > 0.5 {
			t.Errorf("%.0f %% strange: %.1f pictures, not %g", 100*c.share, n, c.want)
		}
	}
}

func TestDrift(t *testing.T) {
	var d Drift
	feed := func(n int, p float32) (changed int) {
		for range n {
			if d.Add(p) {
				changed++
			}
		}
		return changed
	}
	if n := feed(8, 0.01); n != 0 || d.Drifted() || d.Score() != 56.0/DriftLimit {
		t.Errorf("after 8 strange ones: %d changes, %+v", n, d)
	}
	if n := feed(1, 0.01); n != 1 || !d.Drifted() || d.Score() != 1 {
		t.Errorf("after 9: %d changes, %+v", n, d)
	}
	// More of it says nothing new, and 31 usual ones end it.
	if n := feed(1000, 0.01); n != 0 {
		t.Errorf("%d changes more", n)
	}
	if n := feed(30, 0.5); n != 0 || !d.Drifted() {
		t.Errorf("after 30 usual ones: %d changes, %+v", n, d)
	}
	if n := feed(1, 0.1); n != 1 || d.Drifted() || d.Score() != 0 {
		t.Errorf("after 31: %d changes, %+v", n, d)
	}
}

func TestLevels(t *testing.T) {
	z := SignalSizes{Features: 1, Channels: []int{2, 1}}
	s := z.New()
	s.Squeeze[0][1], s.Squeeze[1][0] = -1, 0.999
	out := make([]float32, z.Levels())
	if n := testing.AllocsPerRun(10, func() { s.Levels(out) }); n != 0 {
		t.Errorf("%v allocations", n)
	}
	silent := float32(math.Log(1e-3))
	if len(out) != 3 || out[0] != silent || out[1] != silent || math.Abs(float64(out[2])) > 1e-6 {
		t.Errorf("%v", out)
	}
}
