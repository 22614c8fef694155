package quant_test

import (
	"context"
	"path/filepath"
	"testing"

	"github.com/vggse/vggse-agent/infer"
	"github.com/vggse/vggse-agent/onnx"
	"github.com/vggse/vggse-agent/quant"
	"github.com/vggse/vggse-agent/vgg16se"
	"github.com/vggse/vggse-agent/vision"
)

// The equalized network answers as the one it was made of, bit for bit, and its channels are less
// unlike.
func TestEqualizeIsExact(t *testing.T) {
	path, m, n := fixture(t, small)
	out, groups := quant.Equalize(m, n, collect(t, m, n, sequence(0, 8), 2, small.InputSize))
	if groups != 13+2 {
		t.Errorf("%d groups, want 13 convolutions, five of them through a squeeze-excitation block, "+
			"and 2 dense layers", groups)
	}
	file := filepath.Join(t.TempDir(), "equalized.onnx")
	write(t, file, out)
	logits := infer.ProbeOptions{Outputs: []string{vgg16se.Output}, Plain: true}
	answers := func(path string) (all []float32) {
		s, x := open(t, prober, path, logits), vision.NewTensor(1, 3, small.InputSize, small.InputSize)
		for seed := range 4 {
			draw(x, uint64(200+seed))
			if err := s.Run(context.Background(), x, func(_ int, v []float32) { all = append(all, v...) }); err != nil {
				t.Fatal(err)
			}
		}
		return all
	}
	want, got := answers(path), answers(file)
	for i := range want {
		if want[i] != got[i] {
			t.Fatalf("logit %d is %g, before %g", i, got[i], want[i])
		}
	}
	equal, err := onnx.Open(file)
	if err != nil {
		t.Fatal(err)
	}
	defer equal.Close()
	changed := 0
	for _, w := range m.Graph.Initializers {
		if string(w.Data) != string(equal.Graph.Initializer(w.Name).Data) {
			changed++
		}
	}
	if changed < 20 {
		t.Errorf("only %d constants differ", changed)
	}
}

// Rounded weights move the mean of what the network puts out; the correction moves it back.
func TestCorrection(t *testing.T) {
	path, m, n := fixture(t, small)
	c := collect(t, m, n, sequence(0, 16), 2, small.InputSize)
	logits := infer.ProbeOptions{Outputs: []string{vgg16se.Output}, Plain: true}
	mean := func(path string) []float64 {
		s, x, sums := open(t, prober, path, logits), vision.NewTensor(1, 3, small.InputSize, small.InputSize),
			make([]float64, small.Classes)
		for seed := range uint64(16) {
			draw(x, seed)
			if err := s.Run(context.Background(), x, func(_ int, v []float32) {
				for i := range sums {
					sums[i] += float64(v[i])
				}
			}); err != nil {
				t.Fatal(err)
			}
		}
		return sums
	}
	want := mean(path)
	for _, levels := range []int{quant.LevelsU8, quant.LevelsS8} {
		p := plan(t, n, c, quant.MinMax, levels, quant.Bits7)
		emit, layers := quant.EmitCPU, len(n.Layers)
		if levels == quant.LevelsS8 {
			emit, layers = quant.EmitTRT, layers-1 // the last is in float there
		}
		var off [2]float64
		for i := range off {
			out, err := emit(m, n, p)
			if err != nil {
				t.Fatal(err)
			}
			file := filepath.Join(t.TempDir(), "file.onnx")
			write(t, file, out)
			for k, v := range mean(file) {
				off[i] += (v - want[k]) * (v - want[k])
			}
			if p.Bias, err = quant.Correction(n, c, p); err != nil || len(p.Bias) != layers {
				t.Fatalf("%d layers corrected, want %d; %v", len(p.Bias), layers, err)
			}
		}
		if t.Logf("%d levels: squared error of the means %.3g, corrected %.3g", levels, off[0],
			off[1]); off[1] >= off[0] {
			t.Errorf("%d levels: the correction does not help", levels)
		}
	}
}
