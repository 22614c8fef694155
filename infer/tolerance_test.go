package infer

import (
	"math"
	"testing"

	"github.com/vggse/vggse-agent/vision"
)

// The self-test of an engine and 'verify' allow the same: both ask Tolerance.
func TestTolerance(t *testing.T) {
	for _, c := range []struct {
		precision, provider string
		want                float64
	}{
		{"fp32", CPU, 1e-4}, {"fp32", CUDA, 5e-3}, {"fp32", TensorRT, 5e-3},
		{"fp16", CPU, 2e-2}, {"fp16", TensorRT, 2e-2},
		{"int8", CPU, 0.2}, {"int8", TensorRT, 0.2},
	} {
		if got := Tolerance(c.precision, c.provider); got != c.want {
			t.Errorf("%s on %s: got %g, want %g", c.precision, c.provider, got, c.want)
		}
	}
}

func TestDifference(t *testing.T) {
	nan := float32(math.NaN())
	for _, c := range []struct {
		want, got      vision.Logits
		worst, largest float64
	}{
		{vision.Logits{1, -4}, vision.Logits{1, -4}, 0, 4},
		{vision.Logits{1, -4}, vision.Logits{3, -4.5}, 2, 4},
		{vision.Logits{1, 2}, vision.Logits{nan, 2}, math.Inf(1), 2},
	} {
		if worst, largest := Difference(c.want, c.got); worst != c.worst || largest != c.largest {
			t.Errorf("%v and %v: got %g, %g, want %g, %g", c.want, c.got, worst, largest, c.worst, c.largest)
		}
	}
}
