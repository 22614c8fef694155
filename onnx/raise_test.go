package onnx

import (
	"slices"
	"strings"
	"testing"
)

func raised(t *testing.T, opset, to int64, v Node) (*Model, error) {
	t.Helper()
	m := &Model{IRVersion: 3, Opsets: []Opset{{Version: opset}}, Graph: Graph{Nodes: []Node{v},
		Inputs:  []ValueInfo{{Name: "x", Type: Float32, Shape: []Dim{{Name: "N"}, {Size: 4}, {Size: 6}, {Size: 1}}}},
		Outputs: []ValueInfo{{Name: "y", Type: Float32}}}}
	return m, m.Raise(to)
}

func TestRaise(t *testing.T) {
	for _, c := range []struct {
		opset, to int64
		op        string
		a         []Attribute
		inputs    int
		ints      map[int][]int64   // constants by input
		floats    map[int][]float32 // the same
		attribute string            // that is left, or has come
		value     int64
	}{
		{opset: 9, to: 13, op: "Squeeze", a: []Attribute{Ints("axes", 3)}, inputs: 2, ints: map[int][]int64{1: {3}}},
		{opset: 13, to: 19, op: "ReduceMean", a: []Attribute{Ints("axes", 2, 3), Int("keepdims", 0)}, inputs: 2,
			ints: map[int][]int64{1: {2, 3}}, attribute: "keepdims"},
		{opset: 11, to: 13, op: "ReduceMean", a: []Attribute{Ints("axes", 2, 3)}, inputs: 1, attribute: "axes"},
		{opset: 10, to: 13, op: "Clip", a: []Attribute{Float("max", 6)}, inputs: 3,
			floats: map[int][]float32{1: {-0x1.fffffep127}, 2: {6}}},
		{opset: 10, to: 13, op: "Pad", a: []Attribute{Ints("pads", 0, 0, 1, 1, 0, 0, 1, 1)}, inputs: 3,
			ints: map[int][]int64{1: {0, 0, 1, 1, 0, 0, 1, 1}}, floats: map[int][]float32{2: {0}}},
		{opset: 9, to: 13, op: "Slice", a: []Attribute{Ints("starts", 1), Ints("ends", 3)}, inputs: 4,
			ints: map[int][]int64{1: {1}, 2: {3}, 3: {0}}},
		{opset: 12, to: 13, op: "Split", a: []Attribute{Ints("split", 1, 3)}, inputs: 2,
			ints: map[int][]int64{1: {1, 3}}},
		{opset: 13, to: 19, op: "Split", inputs: 1, attribute: "num_outputs", value: 1},
		{opset: 12, to: 13, op: "Softmax", a: []Attribute{Int("axis", 2)}, inputs: 1, attribute: "axis", value: 2},
		{opset: 9, to: 13, op: "BatchNormalization", a: []Attribute{Int("spatial", 1)}, inputs: 1},
	} {
		m, err := raised(t, c.opset, c.to, Node{OpType: c.op, Name: "n", Inputs: []string{"x"}, Outputs: []string{"y"},
			Attributes: c.a})
		if err != nil {
			t.Errorf("%s: %v", c.op, err)
			continue
		}
		v := m.Graph.Nodes[0]
		if m.Opset("") != c.to || len(v.Inputs) != c.inputs || m.IRVersion < 7 {
			t.Errorf("%s: opset %d, inputs %v, IR %d", c.op, m.Opset(""), v.Inputs, m.IRVersion)
		}
		for i, want := range c.ints {
			if k := m.Graph.Initializer(v.Inputs[i]); k == nil || !slices.Equal(k.Int64s(), want) {
				t.Errorf("%s: input %d is %+v, want %v", c.op, i, k, want)
			}
		}
		for i, want := range c.floats {
			if k := m.Graph.Initializer(v.Inputs[i]); k == nil || !slices.Equal(k.Float32s(), want) {
				t.Errorf("%s: input %d is %+v, want %v", c.op, i, k, want)
			}
		}
		if a := v.Attribute(c.attribute); len(v.Attributes) > 1 || c.attribute == "" && len(v.Attributes) > 0 ||
			c.attribute != "" && (a == nil || c.value != 0 && a.Int != c.value) {
			t.Errorf("%s: attributes %+v, want %s", c.op, v.Attributes, c.attribute)
		}
	}
}

// What has no equal in the newer version is refused, and nothing is changed.
func TestRaiseRefuses(t *testing.T) {
	for want, v := range map[string]Node{
		"since opset 11":     {OpType: "Resize"},
		"has a graph inside": {OpType: "If", Attributes: []Attribute{{Name: "then_branch", Type: AttrGraph}}},
	} {
		v.Inputs, v.Outputs = []string{"x"}, []string{"y"}
		m, err := raised(t, 10, 13, v)
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: got %v", v.OpType, err)
		}
		if m.Opset("") != 10 || m.Graph.Nodes[0].OpType != v.OpType {
			t.Errorf("%s: the model was changed", v.OpType)
		}
	}
	if _, err := raised(t, 6, 13, Node{OpType: "Relu", Inputs: []string{"x"}, Outputs: []string{"y"}}); err == nil {
		t.Error("opset 6 was raised")
	}
}

// A Softmax over more than one dimension goes over the rows of a matrix.
func TestRaisedSoftmax(t *testing.T) {
	m, err := raised(t, 11, 13, Node{OpType: "Softmax", Name: "n", Inputs: []string{"x"}, Outputs: []string{"y"}})
	if err != nil {
		t.Fatal(err)
	}
	var ops []string
	for _, v := range m.Graph.Nodes {
		ops = append(ops, v.OpType)
	}
	if !slices.Equal(ops, []string{"Flatten", "Softmax", "Shape", "Reshape"}) || m.Graph.Nodes[3].Outputs[0] != "y" ||
		m.Graph.Nodes[0].Attribute("axis").Int != 1 || m.Graph.Nodes[1].Attribute("axis").Int != 1 {
		t.Errorf("%v, %+v", ops, m.Graph.Nodes)
	}
}

// Parts of tensors have the shapes that ONNX gives them.
func TestShapesOfParts(t *testing.T) {
	g := Graph{Inputs: []ValueInfo{{Name: "x", Type: Float32, Shape: []Dim{{Size: 1}, {Size: 7}, {Size: 6}}}},
		Initializers: []Tensor{NewInt64("one", []int64{1}, 1), NewInt64("end", []int64{-1}, 1),
			NewInt64("two", []int64{2}, 1), NewInt64("at", []int64{3, 0}, 2), NewInt64("zero", []int64{0}),
			NewInt64("pads", []int64{0, 1, 2, 0, 0, 3}, 6)},
		Nodes: []Node{
			{OpType: "Slice", Inputs: []string{"x", "one", "end", "two"}, Outputs: []string{"slice"}},
			{OpType: "Slice", Inputs: []string{"x", "one", "end", "two", "two"}, Outputs: []string{"strided"}},
			{OpType: "Split", Inputs: []string{"x"}, Outputs: []string{"a", "b"},
				Attributes: []Attribute{Int("axis", 1)}},
			{OpType: "Gather", Inputs: []string{"x", "at"}, Outputs: []string{"gather"},
				Attributes: []Attribute{Int("axis", 1)}},
			{OpType: "Gather", Inputs: []string{"x", "zero"}, Outputs: []string{"scalar"},
				Attributes: []Attribute{Int("axis", -1)}},
			{OpType: "Pad", Inputs: []string{"x", "pads"}, Outputs: []string{"pad"}},
		}}
	g.Initializers[4].Dims = nil
	shapes := g.Shapes()
	for name, want := range map[string][]int64{"slice": {1, 7, 4}, "strided": {1, 7, 2}, "a": {1, 4, 6}, "b": {1, 3, 6},
		"gather": {1, 2, 6}, "scalar": {1, 7}, "pad": {1, 8, 11}} {
		if !slices.Equal(shapes[name], want) {
			t.Errorf("%s: %v, want %v", name, shapes[name], want)
		}
	}
}
