package quant

import (
	"testing"

	"github.com/vggse/vggse-agent/onnx"
)

// branch is a graph inside a node, of one operator on tensors of the graph around it.
func branch(name, op string, in ...string) onnx.Attribute {
	out := name + ".out"
	return onnx.Attribute{Name: name, Type: onnx.AttrGraph, Graph: &onnx.Graph{Name: name,
		Nodes:   []onnx.Node{{OpType: op, Name: out, Inputs: in, Outputs: []string{out}}},
		Outputs: []onnx.ValueInfo{{Name: out, Type: onnx.Float32}}}}
}

// What a graph inside an If reads from outside, a constant and a layer's answer, stays there.
func TestGraphsInside(t *testing.T) {
	needLibrary(t)
	b := build(17)
	b.conv("c1", 3, 16, 1)
	b.op("Relu", "r1", nil)
	c2 := b.conv("c2", 16, 16, 1)
	b.drawn("outside", 0.3, 1, 16, 1, 1)
	b.put(onnx.Tensor{Name: "always", Type: onnx.Bool, Data: []byte{1}})
	b.op("If", "chosen", []string{"always"}, branch("then_branch", "Add", c2, "outside"),
		branch("else_branch", "Sub", c2, "outside"))
	b.conv("c3", 16, 16, 1)
	m := b.end(16)
	want := scores(t, m, false)
	if err := prepare(m); err != nil {
		t.Fatal(err)
	}
	n, err := Analyse(m, "x")
	if err != nil {
		t.Fatal(err)
	}
	collected := collectedFrom(t, m, n)
	for _, levels := range levelsOf {
		choices, err := Choose(n, collected, MinMax, levels)
		if err != nil {
			t.Fatal(err)
		}
		p := &Plan{Levels: levels, Bits: Bits8, Picture: [2]float64{-2, 2}, Choices: choices}
		emit := EmitCPU
		if levels == LevelsS8 {
			emit = EmitTRT
		}
		emitted, err := emit(m, n, p)
		if err != nil {
			t.Fatal(err)
		}
		if db := ratio(want, scores(t, emitted, true)); db < 25 {
			t.Errorf("%d levels: %.1f dB", levels, db)
		}
	}
}

// The floating-point tensors of a network that takes integers are those behind the cast, those of a
// network in 8 bits are those behind a DequantizeLinear, and a network of float64 may have none.
func TestFloatTensors(t *testing.T) {
	node := func(op, in, out string, a ...onnx.Attribute) onnx.Node {
		return onnx.Node{OpType: op, Inputs: []string{in, "constant"}, Outputs: []string{out}, Attributes: a}
	}
	to := func(kind onnx.DataType) onnx.Attribute { return onnx.Int("to", int64(kind)) }
	for _, c := range []struct {
		nodes []onnx.Node
		want  string
	}{
		{[]onnx.Node{node("Cast", "x", "bytes", to(onnx.Int8)), node("Cast", "bytes", "f", to(onnx.Float32)),
			node("Relu", "f", "r"), node("Shape", "r", "s")}, "f r "},
		{[]onnx.Node{node("QuantizeLinear", "x", "q"), node("DequantizeLinear", "q", "dq"),
			node("Conv", "dq", "c")}, "dq c "},
		{[]onnx.Node{node("Cast", "x", "d", to(onnx.Float64)), node("Relu", "d", "r")}, ""},
		{[]onnx.Node{node("DequantizeLinear", "w", "weight"), node("Relu", "x", "r")}, "r "},
	} {
		tensors, layers := floatTensors(&onnx.Graph{Nodes: c.nodes}, "x")
		got := ""
		for _, s := range tensors {
			got += s + " "
		}
		if got != c.want || len(layers) != len(tensors) {
			t.Errorf("got %q %q, want %q", got, layers, c.want)
		}
	}
}
