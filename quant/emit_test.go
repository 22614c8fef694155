package quant_test

import (
	"bytes"
	"context"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/vggse/vggse-agent/eval"
	"github.com/vggse/vggse-agent/infer"
	"github.com/vggse/vggse-agent/onnx"
	"github.com/vggse/vggse-agent/quant"
	"github.com/vggse/vggse-agent/vgg16se"
	"github.com/vggse/vggse-agent/vision"
)

func encoded(t *testing.T, m *onnx.Model, err error) []byte {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
	var b bytes.Buffer
	if err := onnx.Write(&b, m); err != nil {
		t.Fatal(err)
	}
	return b.Bytes()
}

// The same pictures in another order, on another number of workers, in two halves: the same bytes.
func TestSamePicturesSameBytes(t *testing.T) {
	_, m, n := fixture(t, small)
	forward, backward := sequence(0, 8), sequence(0, 8)
	for i := range backward {
		backward[i] = 7 - i
	}
	emit := func(c *quant.Collection) []byte {
		out, err := quant.EmitCPU(m, n, plan(t, n, c, quant.MSE, quant.LevelsU8, quant.BitsPair))
		return encoded(t, out, err)
	}
	want := emit(collect(t, m, n, forward, 1, small.InputSize))
	if !bytes.Equal(emit(collect(t, m, n, backward, 3, small.InputSize)), want) {
		t.Error("the order of the pictures or the number of workers shows in the file")
	}
	halves := collect(t, m, n, backward[4:], 1, small.InputSize)
	if err := halves.Merge(collect(t, m, n, backward[:4], 2, small.InputSize)); err != nil {
		t.Fatal(err)
	}
	if halves.Images != 8 || !bytes.Equal(emit(halves), want) {
		t.Error("two merged collections give another file")
	}
	if err := halves.Merge(quant.NewCollection(n, "another network")); err == nil {
		t.Error("collections of two networks were merged")
	}
}

// What TensorRT gets obeys its rules, answers as FP32 does, and so does the half-precision form.
func TestTensorRTFiles(t *testing.T) {
	path, m, n := fixture(t, small)
	c := collect(t, m, n, sequence(0, 8), 1, small.InputSize)
	trt, err := quant.EmitTRT(m, n, plan(t, n, c, quant.MinMax, quant.LevelsS8, quant.Bits8))
	if err != nil {
		t.Fatal(err)
	}
	if err := quant.Lint(trt); err != nil {
		t.Error(err)
	}
	trt11, err := quant.EmitFP16(trt)
	if err != nil {
		t.Fatal(err)
	}
	if trt11.Opset("") < 19 || m.Opset("") != 17 {
		t.Errorf("opset %d, want 19 in the new file alone (%d)", trt11.Opset(""), m.Opset(""))
	}
	half, err := quant.EmitFP16(m)
	if err != nil {
		t.Fatal(err)
	}
	logits := infer.ProbeOptions{Outputs: []string{vgg16se.Output}}
	db := map[string]float64{}
	for name, want := range map[string]struct {
		m  *onnx.Model
		db float64
	}{"trt": {trt, 20}, "folded": {quant.Folded(trt), 20}, "trt11": {quant.HalfTwin(trt11), 20}, "fp16": {half, 50}} {
		file := filepath.Join(t.TempDir(), name)
		write(t, file, want.m)
		j := eval.NewEvaluator(small.Classes)
		if err := j.Ask(context.Background(), open(t, prober, path, logits), 2, small.InputSize,
			labelled(sequence(50, 58), 0)); err != nil {
			t.Fatal(err)
		}
		own := open(t, prober, file, infer.ProbeOptions{Outputs: logits.Outputs, Plain: true})
		v, err := j.Run(context.Background(), own, 2, small.InputSize, labelled(sequence(50, 58), 0))
		if err != nil {
			t.Fatal(err)
		}
		if v.SQNR < want.db || v.Top1 == nil || v.Images != 8 {
			t.Errorf("%s: %.1f dB, want %.0f; %+v", name, v.SQNR, want.db, v)
		}
		db[name] = v.SQNR
	}
	if db["folded"] != db["trt"] {
		t.Errorf("folded %v dB, as the file is %v", db["folded"], db["trt"])
	}
	if db["folded"] != db["trt"] {
		t.Errorf("folded %v dB, as the file is %v", db["folded"], db["trt"])
	}
	if err := quant.Lint(trt); err != nil {
		t.Error(err)
	}
	cpu, err := quant.EmitCPU(m, n, plan(t, n, c, quant.MinMax, quant.LevelsU8, quant.Bits8))
	if err != nil {
		t.Fatal(err)
	}
	if err := quant.Lint(cpu); err == nil || !strings.Contains(err.Error(), "zero point must be int8") {
		t.Errorf("the CPU's file passed for TensorRT's: %v", err)
	}
}

// A layer that the plan keeps in float is no integer operator, and the proof does not ask for it.
func TestDemotedLayer(t *testing.T) {
	_, m, n := fixture(t, small)
	p := plan(t, n, collect(t, m, n, sequence(0, 2), 1, small.InputSize), quant.MinMax, quant.LevelsU8, quant.Bits8)
	// the only reader of an integer layer is the second
	p.Float = []string{n.Layers[0].Name, n.Layers[5].Name, "classifier.6"}
	out, err := quant.EmitCPU(m, n, p)
	if err != nil {
		t.Fatal(err)
	}
	file := filepath.Join(t.TempDir(), "int8.onnx")
	write(t, file, out)
	proof, err := quant.Prove(context.Background(), prober, file, n, p)
	if err != nil || !proof.Fused() || proof.Convolutions != 11 || proof.Dense != 2 {
		t.Errorf("%+v, %v", proof, err)
	}
	p.Float = []string{"no such layer"}
	if _, err := quant.EmitCPU(m, n, p); err == nil {
		t.Error("a plan for another network was taken")
	}
}

// A pool in front of its product gives the same logits to the bit as one behind it, where the file
// has it because somebody else reads the product too; and only gates of whole channels can be
// passed.
func TestPoolsComeFirst(t *testing.T) {
	_, m, n := fixture(t, small)
	p := plan(t, n, collect(t, m, n, sequence(0, 4), 1, small.InputSize), quant.MSE, quant.LevelsU8, quant.Bits8)
	shown := *m
	for _, v := range m.Graph.Nodes {
		if v.OpType == "Mul" {
			shown.Graph.Outputs = append(shown.Graph.Outputs[:len(shown.Graph.Outputs):len(shown.Graph.Outputs)],
				onnx.ValueInfo{Name: v.Outputs[0], Type: onnx.Float32})
		}
	}
	shownNetwork, err := quant.Analyse(&shown, vgg16se.Input)
	if err != nil {
		t.Fatal(err)
	}
	logits := map[bool][]float32{}
	for first, of := range map[bool]struct {
		m *onnx.Model
		n *quant.Graph
	}{true: {m, n}, false: {&shown, shownNetwork}} {
		out, err := quant.EmitCPU(of.m, of.n, p)
		if err != nil {
			t.Fatal(err)
		}
		if got := poolsFirst(out); got != first {
			t.Errorf("pools in front of their products: %v, want %v", got, first)
		}
		file := filepath.Join(t.TempDir(), "int8.onnx")
		write(t, file, out)
		x := vision.NewTensor(1, 3, small.InputSize, small.InputSize)
		draw(x, 77)
		s := open(t, prober, file, infer.ProbeOptions{Outputs: []string{vgg16se.Output}})
		if err := s.Run(context.Background(), x,
			func(_ int, v []float32) { logits[first] = slices.Clone(v) }); err != nil {
			t.Fatal(err)
		}
	}
	if len(logits[true]) != small.Classes || !slices.Equal(logits[true], logits[false]) {
		t.Errorf("logits %v with pools first, %v with pools last", logits[true], logits[false])
	}
	for _, attention := range []vgg16se.Attention{vgg16se.SSE, vgg16se.SCSE, vgg16se.BAM, vgg16se.CBAM} {
		a := small
		a.Attention = attention
		_, m, n := fixture(t, a)
		out, err := quant.EmitCPU(m, n, plan(t, n, collect(t, m, n, sequence(0, 2), 1, a.InputSize), quant.MinMax,
			quant.LevelsU8, quant.Bits8))
		if err != nil {
			t.Fatal(err)
		}
		if poolsFirst(out) {
			t.Errorf("%s: a pool was put in front of a gate that differs from place to place", attention)
		}
	}
}

// poolsFirst tells whether a pool reads what is only multiplied behind it.
func poolsFirst(m *onnx.Model) bool {
	return slices.ContainsFunc(m.Graph.Nodes, func(v onnx.Node) bool {
		return v.OpType == "MaxPool" && strings.HasSuffix(v.Outputs[0], "/values")
	})
}

func TestAnalyseRefusesWhatItCannotQuantize(t *testing.T) {
	if _, err := quant.Analyse(&onnx.Model{}, "input"); err == nil {
		t.Error("an empty graph was taken")
	}
}
