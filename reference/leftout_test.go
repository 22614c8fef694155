package reference

import (
	"math"
	"testing"
)

func TestAUROC(t *testing.T) {
	for _, c := range []struct {
		low, high []float64
		want      float64
	}{
		{[]float64{2, 1}, []float64{3, 4}, 1},
		{[]float64{3, 4}, []float64{2, 1}, 0},
		{[]float64{1, 1, 1}, []float64{1}, 0.5},
		{[]float64{1, 3}, []float64{2, 3}, (0.5 + 0.75) / 2},
	} {
		if got := AUROC(c.low, c.high); math.Abs(got-c.want) > 1e-12 {
			t.Errorf("%v, %v: %g, want %g", c.low, c.high, got, c.want)
		}
	}
}

// A class that looks like no other is told when it is left out; one that is drawn from another's
// cloud is not.
func TestLeaveOut(t *testing.T) {
	pictures := clouds(1, 240, 4, 12, 0.3)
	for i := range pictures {
		if pictures[i].Class == 3 { // looks as class 2 does
			pictures[i].Features[3], pictures[i].Features[2] = pictures[i].Features[2], pictures[i].Features[3]
		}
	}
	all, err := LeaveOut(pictures, 4, func(int) bool { return true })
	if err != nil || len(all) != 4 {
		t.Fatalf("%+v, %v", all, err)
	}
	for _, l := range all {
		alike := l.Class > 1
		if alike != (l.AUROC < 0.75) || len(l.Found) != len(Alarms) || alike == (l.Found[2] > 0.9) {
			t.Errorf("%+v", l)
		}
	}
	// Beside two known classes the two others are told, each left out or not.
	all, err = LeaveOut(pictures, 4, func(class int) bool { return class < 2 })
	if err != nil || len(all) != 4 || all[3].AUROC < 0.99 || all[2].AUROC < 0.99 {
		t.Errorf("%+v, %v", all, err)
	}
}
