package quant

import (
	"strings"
	"testing"

	"github.com/vggse/vggse-agent/onnx"
)

// twoLayers is a network of two 1×1 convolutions with the weights given, each with a Relu behind it
// and without names.
func twoLayers(first, second float32) *onnx.Model {
	conv := func(in, w, out string) onnx.Node {
		return onnx.Node{OpType: "Conv", Inputs: []string{in, w}, Outputs: []string{out}}
	}
	relu := func(in, out string) onnx.Node {
		return onnx.Node{OpType: "Relu", Inputs: []string{in}, Outputs: []string{out}}
	}
	row := func(v float32) []float32 { return []float32{v, v, v, v, v, v, 0, 0, 0} }
	return &onnx.Model{IRVersion: 8, Opsets: []onnx.Opset{{Version: 13}}, Graph: onnx.Graph{
		Nodes: []onnx.Node{conv("x", "w1", "a"), relu("a", "b"), conv("b", "w2", "c"), relu("c", "d"),
			{OpType: "Flatten", Inputs: []string{"d"}, Outputs: []string{"y"}}},
		Initializers: []onnx.Tensor{onnx.NewFloat32("w1", row(first), 3, 3, 1, 1),
			onnx.NewFloat32("w2", row(second), 3, 3, 1, 1)},
		Inputs:  []onnx.ValueInfo{{Name: "x", Type: onnx.Float32}},
		Outputs: []onnx.ValueInfo{{Name: "y", Type: onnx.Float32}},
	}}
}

func TestScalesThatHalfPrecisionDoesNotHoldStayInFloat(t *testing.T) {
	for _, c := range []struct {
		first, second float32
		threshold     float64
		float         string // layers that are left out
	}{
		{0.5, 0.5, 1, ""},
		{1e-4, 0.5, 1, "Conv/0.0"},
		{0.5, 1e-5, 1, "Conv/2.0"},
		{0.5, 0.5, 1e-3, "Conv/2.0"}, // what the second reads is too small
		{1e-4, 1e-4, 1, "Conv/0.0 Conv/2.0"},
	} {
		m := twoLayers(c.first, c.second)
		n, err := Analyse(m, "x")
		if err != nil {
			t.Fatal(err)
		}
		p := &Plan{Levels: LevelsS8, Picture: [2]float64{-2, 2}}
		for _, s := range n.Sites[1:] {
			p.Choices = append(p.Choices, Choice{Site: s.Name, Threshold: c.threshold})
		}
		strict, err := p.strict(n)
		if err != nil {
			t.Fatal(err)
		}
		if got := strings.Join(strict.Float, " "); got != c.float {
			t.Errorf("weights %g and %g: %q stay in float, want %q", c.first, c.second, got, c.float)
		}
		if len(p.Float) != 0 {
			t.Errorf("the plan itself was changed: %v", p.Float)
		}
	}
}

func TestAWeightThatTwoLayersShareHasTwoBiasesAndNoNameTwice(t *testing.T) {
	m := twoLayers(0.5, 0.25)
	m.Graph.Nodes[2].Inputs[1] = "w1"
	n, err := Analyse(m, "x")
	if err != nil {
		t.Fatal(err)
	}
	for _, levels := range levelsOf {
		p := &Plan{Levels: levels, Bits: Bits8, Picture: [2]float64{-2, 2}}
		for _, s := range n.Sites[1:] {
			p.Choices = append(p.Choices, Choice{Site: s.Name, Threshold: 1})
		}
		emit := EmitCPU
		if levels == LevelsS8 {
			emit = EmitTRT
		}
		out, err := emit(m, n, p)
		if err != nil {
			t.Fatal(err)
		}
		names, made := map[string]bool{}, map[string]bool{}
		for _, v := range out.Graph.Nodes {
			if names[v.Name] || made[v.Outputs[0]] {
				t.Errorf("%d levels: %s or %s is there twice", levels, v.Name, v.Outputs[0])
			}
			names[v.Name], made[v.Outputs[0]] = true, true
		}
	}
}
