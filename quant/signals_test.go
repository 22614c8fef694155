package quant_test

import (
	"context"
	"path/filepath"
	"slices"
	"testing"

	"github.com/vggse/vggse-agent/infer"
	"github.com/vggse/vggse-agent/onnx"
	"github.com/vggse/vggse-agent/quant"
	"github.com/vggse/vggse-agent/vgg16se"
	"github.com/vggse/vggse-agent/vision"
)

// TestSignalsChangeNoAnswer: with the signals among its outputs a file of any precision gives the
// same logits to the bit, runs on as many integers, and the features are what the network that ends
// at them gives.
func TestSignalsChangeNoAnswer(t *testing.T) {
	path, m, n := fixture(t, small)
	p := plan(t, n, collect(t, m, n, sequence(0, 8), 1, small.InputSize), quant.MinMax, quant.LevelsU8, quant.BitsPair)
	integers, err := quant.EmitCPU(m, n, p)
	if err != nil {
		t.Fatal(err)
	}
	half, err := quant.EmitFP16(m)
	if err != nil {
		t.Fatal(err)
	}
	files := map[string]string{"fp32": path}
	for name, of := range map[string]*onnx.Model{"int8": integers, "fp16": half} {
		files[name] = filepath.Join(t.TempDir(), name+".onnx")
		write(t, files[name], of)
	}
	for name, file := range files {
		exposed, cut := rewritten(t, file, func(m *onnx.Model) { m.Expose(vgg16se.Output, signalsOf(name)) }),
			rewritten(t, file, func(m *onnx.Model) {
				m.Expose(vgg16se.Output, onnx.FeaturesOnly)
				m.Conceal(onnx.FeaturesOutput)
			})
		outputs := []string{vgg16se.Output, onnx.FeaturesOutput, onnx.SqueezeOutput(1), onnx.GateOutput(5)}
		got := answersOf(t, exposed, outputs...)
		if want := answersOf(t, file, vgg16se.Output)[0]; !slices.Equal(got[0], want) {
			t.Errorf("%s: logits %v, without signals %v", name, got[0], want)
		}
		if want := answersOf(t, cut, onnx.FeaturesOutput)[0]; !slices.Equal(got[1], want) {
			t.Errorf("%s: features %v, of the network that ends there %v", name, got[1], want)
		}
		if len(got[2]) != 8 || len(got[3]) != 64 { // an eighth of the article's
			t.Errorf("%s: %d means of the first block, want 8; %d gates of the last, want 64", name, len(got[2]),
				len(got[3]))
		}
		if low, high := slices.Min(got[3]), slices.Max(got[3]); low < 0 || high > 1 || low == high {
			t.Errorf("%s: gates from %g to %g", name, low, high)
		}
	}
	exposed := rewritten(t, files["int8"], func(m *onnx.Model) { m.Expose(vgg16se.Output, signalsOf("int8")) })
	proof, err := quant.Prove(context.Background(), prober, exposed, n, p)
	if err != nil || !proof.Fused() || proof.Convolutions != 13 || proof.Dense != 3 {
		t.Errorf("with signals: %+v %v", proof, err)
	}
}

// signalsOf is how calibrate exposes the signals of a file.
func signalsOf(precision string) onnx.Signals {
	if precision == "int8" {
		return onnx.AllInPlace
	}
	return onnx.AllSignals
}

// rewritten is a copy of a model file with a change.
func rewritten(t *testing.T, file string, change func(*onnx.Model)) string {
	t.Helper()
	m, err := onnx.Open(file)
	if err != nil {
		t.Fatal(err)
	}
	defer m.Close()
	change(m)
	to := filepath.Join(t.TempDir(), "changed.onnx")
	write(t, to, m)
	return to
}

// answersOf runs a picture through a file.
func answersOf(t *testing.T, file string, outputs ...string) [][]float32 {
	t.Helper()
	s := open(t, prober, file, infer.ProbeOptions{Outputs: outputs})
	x := vision.NewTensor(1, 3, small.InputSize, small.InputSize)
	draw(x, 7)
	got := make([][]float32, len(outputs))
	if err := s.Run(context.Background(), x, func(i int, v []float32) { got[i] = slices.Clone(v) }); err != nil {
		t.Fatal(err)
	}
	return got
}
