package onnx

import (
	"slices"
	"testing"
)

// A batch of 4 in the shape that a Reshape makes is copied from what comes, in either form.
func TestFreeBatch(t *testing.T) {
	for _, opset := range []int64{4, 13} {
		m := &Model{Opsets: []Opset{{"", opset}}, Graph: Graph{
			Inputs: []ValueInfo{{Name: "x", Type: Float32, Shape: []Dim{{Size: 4}, {Size: 3}, {Size: 8}, {Size: 8}}}},
			Nodes:  []Node{{OpType: "Relu", Inputs: []string{"x"}, Outputs: []string{"r"}}}}}
		n := Node{OpType: "Reshape", Inputs: []string{"r"}, Outputs: []string{"y"}}
		if opset < 5 {
			n.Attributes = []Attribute{Ints("shape", 4, -1)}
		} else {
			n.Inputs = append(n.Inputs, "to")
			m.Graph.Initializers = []Tensor{NewInt64("to", []int64{4, -1}, 2)}
		}
		m.Graph.Nodes = append(m.Graph.Nodes, n)
		m.freeBatch(&Picture{Name: "x", Batch: 4, Channels: 3, Height: 8, Width: 8})
		var got []int64
		if last := &m.Graph.Nodes[1]; opset < 5 {
			got = last.Attributes[0].Ints
		} else {
			got = m.Graph.Initializer(last.Inputs[1]).Int64s()
		}
		if !slices.Equal(got, []int64{0, -1}) {
			t.Errorf("opset %d: %v, want [0 -1]", opset, got)
		}
	}
}

// A product with a number alone has the shape of the other factor.
func TestShapeOfAProductWithANumber(t *testing.T) {
	scale := NewFloat32("", []float32{0.5})
	g := Graph{Inputs: []ValueInfo{{Name: "x", Type: Float32, Shape: []Dim{{Size: 2}, {Size: 6}}}},
		Nodes: []Node{{OpType: "Constant", Outputs: []string{"c"},
			Attributes: []Attribute{{Name: "value", Type: AttrTensor, Tensor: &scale}}},
			{OpType: "Mul", Inputs: []string{"x", "c"}, Outputs: []string{"y"}},
			{OpType: "Mul", Inputs: []string{"y", "k"}, Outputs: []string{"z"}}},
		Initializers: []Tensor{NewFloat32("k", []float32{2})}}
	if got := g.Shapes(); !slices.Equal(got["y"], []int64{2, 6}) || !slices.Equal(got["z"], []int64{2, 6}) {
		t.Errorf("%v", got)
	}
}
