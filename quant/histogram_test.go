package quant

import (
	"encoding/json"
	"math"
	"math/rand/v2"
	"reflect"
	"testing"
)

// Any order, any split: the same histogram, to the bit.
func TestHistogramForgetsTheOrder(t *testing.T) {
	r := rand.New(rand.NewPCG(4, 4))
	v := make([]float32, 40_000)
	for i := range v {
		v[i] = float32(math.Ldexp(r.NormFloat64(), r.IntN(30)-20))
		if i%3 == 0 {
			v[i] = 0
		}
	}
	v[5], v[6], v[7] = float32(math.NaN()), float32(math.Inf(1)), float32(math.Inf(-1))
	want := NewHistogram()
	want.Add(v)
	if want.Invalid != 3 || want.Zeros != 13_334-1 || want.Count() != uint64(len(v)-3) {
		t.Errorf("%d invalid, %d zeros, %d counted", want.Invalid, want.Zeros, want.Count())
	}
	for range 5 {
		r.Shuffle(len(v), func(i, j int) { v[i], v[j] = v[j], v[i] })
		got := NewHistogram()
		for rest := v; len(rest) > 0; {
			n := min(len(rest), 1+r.IntN(9000))
			part := NewHistogram()
			part.Add(rest[:n])
			got.Merge(part)
			rest = rest[n:]
		}
		if !reflect.DeepEqual(got, want) {
			t.Fatal("another order gives another histogram")
		}
	}
	text, err := json.Marshal(want)
	if err != nil {
		t.Fatal(err)
	}
	var back Histogram
	if err := json.Unmarshal(text, &back); err != nil || !reflect.DeepEqual(&back, want) {
		t.Errorf("through JSON: %v", err)
	}
	var empty Histogram
	if text, err := json.Marshal(NewHistogram()); err != nil || json.Unmarshal(text, &empty) != nil ||
		!reflect.DeepEqual(&empty, NewHistogram()) {
		t.Errorf("an empty one through JSON: %s %v", text, err)
	}
}

// Every value lies in the cell that its magnitude says.
func TestHistogramCells(t *testing.T) {
	h := NewHistogram()
	h.Add([]float32{0.5, 1, 1.5, 3.999, 4, -7.5})
	if h.Exp != 3 || h.Min != -7.5 || h.Max != 4 || h.Negative != 1 {
		t.Fatalf("range 2^%d, %g to %g, %d negative", h.Exp, h.Min, h.Max, h.Negative)
	}
	for _, x := range []float64{0.5, 1, 1.5, 3.999, 4, 7.5} {
		if i := int(x / h.Width()); h.Counts[i] != 1 {
			t.Errorf("%g: cell %d holds %d", x, i, h.Counts[i])
		}
	}
}

func TestHistogramRefusesNonsense(t *testing.T) {
	for _, text := range []string{`{"exp":-900}`, `{"exp":0,"cells":[[4096,1]]}`,
		`{"exp":0,"zeros":18446744073709551615,"cells":[[1,2]]}`, `{"min":2,"max":1}`} {
		if err := new(Histogram).UnmarshalJSON([]byte(text)); err == nil {
			t.Errorf("%s was taken", text)
		}
	}
}

func BenchmarkAdd(b *testing.B) {
	r, h := rand.New(rand.NewPCG(1, 2)), NewHistogram()
	v := make([]float32, 1<<16)
	for i := range v {
		v[i] = max(0, float32(r.NormFloat64()))
	}
	b.SetBytes(int64(len(v)))
	for b.Loop() {
		h.Add(v)
	}
}
