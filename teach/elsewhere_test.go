package teach

import (
	"encoding/json"
	"flag"
	"math"
	"math/rand/v2"
	"os"
	"testing"

	"gonum.org/v1/gonum/mat"
)

var update = flag.Bool("update", false, "write testdata/coefficients.json")

// dice are 300 rows of 24 numbers in 6 classes, the same to the bit on every machine.
func dice() *rows {
	random := rand.New(rand.NewPCG(7, 8))
	r := &rows{x: mat.NewDense(300, 24, nil)}
	for i := range 300 {
		class := i % 6
		for j := range 24 {
			v := random.IntN(256)
			if j%6 == class {
				v += 100
			}
			r.x.Set(i, j, float64(v)/256)
		}
		r.class, r.weight = append(r.class, class), append(r.weight, 1)
	}
	return r
}

// The coefficients are those of amd64 to 1e-9 on every processor, whose products and sums are rounded
// otherwise: cross/teach.sh runs this on arm64 under qemu.
func TestCoefficientsElsewhere(t *testing.T) {
	const path = "testdata/coefficients.json"
	prior := newLinear(6, 24)
	l, err := dice().regress(prior.weight, 1e-3, gradientKept, prior)
	if err != nil {
		t.Fatal(err)
	}
	got := append(append([]float64{}, l.weight.RawMatrix().Data...), l.bias...)
	if *update {
		text, err := json.Marshal(got)
		if err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, append(text, '\n'), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	text, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	var want []float64
	if err := json.Unmarshal(text, &want); err != nil || len(want) != len(got) {
		t.Fatalf("%s: %d numbers, want %d: %v", path, len(want), len(got), err)
	}
	worst, largest, rounded := 0.0, 0.0, 0
	for i := range want {
		worst, largest = max(worst, math.Abs(got[i]-want[i])), max(largest, math.Abs(want[i]))
		if float32(got[i]) != float32(want[i]) {
			rounded++
		}
	}
	t.Logf("largest coefficient %.3g, worst difference %.1e, %d of %d others as float32", largest, worst, rounded,
		len(want))
	if worst > 1e-9 {
		t.Errorf("a coefficient is %.1e off", worst)
	}
}
