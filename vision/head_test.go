package vision

import (
	"math"
	"testing"
)

func TestHeadByHand(t *testing.T) {
	plain, err := NewHead(nil, []float32{1, 2, 3, 0, -1, 1}, []float32{0.5, -0.5})
	if err != nil {
		t.Fatal(err)
	}
	out := make(Logits, 4)
	plain.Apply([]float32{1, 1, 1, 2, 0, -1}, out)
	if want := (Logits{6.5, -0.5, -0.5, -1.5}); !equalLogits(out, want) {
		t.Errorf("%v, not %v", out, want)
	}
	// x − mean = (3, 4): of length 5.
	normed, err := NewHead([]float32{1, -2}, []float32{5, 0, 0, 10}, []float32{0, 1})
	if err != nil {
		t.Fatal(err)
	}
	normed.Apply([]float32{4, 2, 1, -2}, out) // the second picture is the mean itself
	if want := (Logits{3, 9, 0, 1}); !equalLogits(out, want) {
		t.Errorf("%v, not %v", out, want)
	}
	if n := testing.AllocsPerRun(10, func() { normed.Apply([]float32{4, 2, 1, -2}, out) }); n != 0 {
		t.Errorf("%v allocations", n)
	}
	plain.Apply([]float32{float32(math.NaN()), 1, 1, 0, 0, 0}, out)
	if !math.IsNaN(float64(out[0])) || out[2] != 0.5 {
		t.Errorf("NaN in the first picture gives %v", out)
	}
}

func equalLogits(a, b Logits) bool {
	for i := range b {
		if math.Abs(float64(a[i]-b[i])) > 1e-6 {
			return false
		}
	}
	return len(a) == len(b)
}

func TestHeadRefuses(t *testing.T) {
	inf := float32(math.Inf(1))
	for name, c := range map[string]struct{ mean, weight, bias []float32 }{
		"no classes":        {nil, []float32{1}, nil},
		"no weights":        {nil, nil, []float32{1}},
		"weights too few":   {nil, []float32{1, 2, 3}, []float32{1, 2}},
		"mean too short":    {[]float32{1}, []float32{1, 2}, []float32{1}},
		"infinite weight":   {nil, []float32{inf}, []float32{1}},
		"too many features": {nil, make([]float32, MaxFeatures+1), []float32{1}},
	} {
		if _, err := NewHead(c.mean, c.weight, c.bias); err == nil {
			t.Errorf("%s: taken", name)
		}
	}
}
