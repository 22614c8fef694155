package vgg16se

import (
	"context"
	"errors"
	"math"
	"testing"

	"github.com/vggse/vggse-agent/vision"
)

// The goldens cover whole networks; here the pool that expands, overlaps, keeps and divides,
// against numbers that torch.nn.functional.adaptive_avg_pool2d gives for the map 0, 1, 2, ….
func TestAdaptiveAveragePool(t *testing.T) {
	ramp := func(n int) []float64 {
		x := make([]float64, n*n)
		for i := range x {
			x[i] = float64(i)
		}
		return x
	}
	for _, c := range []struct {
		in, out int
		want    []float64 // the first row
	}{
		{2, 7, []float64{0, 0, 0, 0.5, 1, 1, 1}},
		{8, 7, []float64{4.5, 5.5, 6.5, 7.5, 8.5, 9.5, 10.5}},
		{3, 2, []float64{2, 3}},
		{3, 3, []float64{0, 1, 2}},
		{4, 2, []float64{2.5, 4.5}},
		{1, 3, []float64{0, 0, 0}},
	} {
		got := adaptiveAveragePool(ramp(c.in), []int{1, c.in, c.in}, c.out)
		if len(got) != c.out*c.out {
			t.Errorf("%d → %d: %d values", c.in, c.out, len(got))
		}
		for i, want := range c.want {
			if math.Abs(got[i]-want) > 1e-12 {
				t.Errorf("%d → %d: row 0 is %v, want %v", c.in, c.out, got[:c.out], c.want)
				break
			}
		}
	}
}

func TestReferenceRefuses(t *testing.T) {
	m := seeded(t, small, 1)
	if _, err := small.Reference(t.Context(), &m.Graph, vision.NewTensor(1, 3, 32, 32)); err == nil {
		t.Error("took pictures of another size")
	}
	other := small
	other.Classes = 6
	if _, err := other.Reference(t.Context(), &m.Graph, vision.NewTensor(1, 3, 64, 64)); err == nil {
		t.Error("took the weights of another network")
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := small.Reference(ctx, &m.Graph, vision.NewTensor(1, 3, 64, 64)); !errors.Is(err, context.Canceled) {
		t.Errorf("cancelled: %v", err)
	}
}

func BenchmarkReferenceFull(b *testing.B) {
	if testing.Short() {
		b.Skip("takes 554 MB and seconds")
	}
	a := Architecture{}
	m := seeded(b, a, 1)
	x := pictures(1, 224)
	for b.Loop() {
		if _, err := a.Reference(b.Context(), &m.Graph, x); err != nil {
			b.Fatal(err)
		}
	}
}
