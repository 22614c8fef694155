package quant_test

import (
	"io"
	"strings"
	"testing"

	"github.com/vggse/vggse-agent/bundle"
	"github.com/vggse/vggse-agent/onnx"
	"github.com/vggse/vggse-agent/quant"
	"github.com/vggse/vggse-agent/vgg16se"
)

// A network with nothing to quantize gets its file in half precision, and is told why no other; also
// one that computes in integers or in float64 only.
func TestNothingToQuantize(t *testing.T) {
	for name, kind := range map[string]onnx.DataType{"float32": onnx.Float32, "int32": onnx.Int32,
		"float64": onnx.Float64} {
		t.Run(name, func(t *testing.T) { nothingToQuantize(t, kind) })
	}
}

func nothingToQuantize(t *testing.T, kind onnx.DataType) {
	dir := seeded(t, vgg16se.Architecture{InputSize: 32, Width: 0.0625, Reduction: 4, Hidden: 8, PoolSize: 1,
		Classes: 3})
	b, err := bundle.Open(dir)
	if err != nil {
		t.Fatal(err)
	}
	spec := b.Spec
	in := onnx.ValueInfo{Name: spec.Input.Name, Type: onnx.Float32, Shape: []onnx.Dim{{Name: "N"}, {Size: 3},
		{Size: 32},
		{Size: 32}}}
	m := &onnx.Model{IRVersion: 8, Opsets: []onnx.Opset{{Version: 9}}, Graph: onnx.Graph{
		Nodes: []onnx.Node{
			{OpType: "Mul", Inputs: []string{in.Name, "hundred"}, Outputs: []string{"more"}},
			{OpType: "Cast", Inputs: []string{"more"}, Outputs: []string{"other"},
				Attributes: []onnx.Attribute{onnx.Int("to", int64(kind))}},
			{OpType: "ReduceMean", Inputs: []string{"other"}, Outputs: []string{"mean"},
				Attributes: []onnx.Attribute{onnx.Ints("axes", 2, 3), onnx.Int("keepdims", 0)}},
			{OpType: "Cast", Inputs: []string{"mean"}, Outputs: []string{spec.Output.Name},
				Attributes: []onnx.Attribute{onnx.Int("to", int64(onnx.Float32))}}},
		Initializers: []onnx.Tensor{onnx.NewFloat32("hundred", []float32{100}, 1)},
		Inputs:       []onnx.ValueInfo{in}, Outputs: []onnx.ValueInfo{{Name: spec.Output.Name, Type: onnx.Float32}}}}
	f, err := bundle.WriteFile(t.Context(), dir, "fp32.onnx", io.Discard,
		func(w io.Writer) error { return onnx.Write(w, m) })
	spec.Files = map[string]bundle.File{bundle.FileFP32: f}
	if err == nil {
		err = bundle.WriteSpec(dir, &spec)
	}
	if err != nil {
		t.Fatal(err)
	}
	r, err := quant.Calibrate(t.Context(), quant.Options{Bundle: dir, Out: dir, TensorRT: "10.16", Workers: 2,
		Seconds: 0.1,
		Images:  demoPictures(t, 26, 1, 48, 32), Method: quant.Auto, MinAgreement: 0.99}, nil)
	if err != nil || len(r.Gate.Missed) > 0 || len(r.Files) != 1 || r.Files[0].Key != bundle.FileFP16 ||
		r.Files[0].Verdict == nil || r.Files[0].Verdict.SQNR < 50 {
		t.Fatalf("%v, %+v", err, r)
	}
	said := false
	for _, f := range r.Findings {
		said = said || f.Check == "8 bits" && strings.Contains(f.Evidence, "no convolution")
	}
	if !said {
		t.Errorf("not said: %+v", r.Findings)
	}
	if b, err = bundle.Open(dir); err != nil || len(b.Spec.Files) != 2 || b.Spec.Files[bundle.FileFP16].Path == "" {
		t.Errorf("%v, %+v", err, b)
	}
}
