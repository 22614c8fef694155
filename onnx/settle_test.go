package onnx

import (
	"reflect"
	"testing"
)

// shuffling is a channel shuffle as torch.onnx writes it for an open batch: every length is asked of
// the tensor in each run, and the groups are channels by 2. The second Reshape has a -1 of its own.
func shuffling() *Model {
	m := &Model{Opsets: []Opset{{Version: 13}}}
	g := &m.Graph
	g.Inputs = []ValueInfo{{Name: "x", Type: Float32, Shape: []Dim{{Name: "N"}, {Size: 6}, {Size: 4}, {Size: 5}}}}
	g.Outputs = []ValueInfo{{Name: "y", Type: Float32}}
	add := func(op, out string, in []string, a ...Attribute) {
		g.Nodes = append(g.Nodes, Node{OpType: op, Name: out, Inputs: in, Outputs: []string{out}, Attributes: a})
	}
	g.Initializers = []Tensor{NewInt64("0", []int64{0}, 1), NewInt64("two", []int64{2}), NewInt64("2", []int64{2}, 1),
		NewInt64("open", []int64{-1}, 1)}
	add("Shape", "shape", []string{"x"})
	for i, name := range []string{"n", "c", "h", "w"} {
		g.Initializers = append(g.Initializers, NewInt64("at."+name, []int64{int64(i)}))
		add("Gather", name, []string{"shape", "at." + name})
		add("Unsqueeze", name+".1", []string{name, "0"})
	}
	add("Div", "half", []string{"c", "two"})
	add("Unsqueeze", "half.1", []string{"half", "0"})
	add("Concat", "groups", []string{"n.1", "2", "half.1", "h.1", "w.1"}, Int("axis", 0))
	add("Reshape", "grouped", []string{"x", "groups"})
	add("Transpose", "shuffled", []string{"grouped"}, Ints("perm", 0, 2, 1, 3, 4))
	add("Concat", "whole", []string{"n.1", "c.1", "open"}, Int("axis", 0))
	add("Reshape", "y", []string{"shuffled", "whole"})
	return m
}

// TestSettleShapes: of twenty nodes three are left, and what they reshape to holds for any batch.
func TestSettleShapes(t *testing.T) {
	m := shuffling()
	g := &m.Graph
	before := g.Shapes()
	g.SettleShapes()
	if len(g.Nodes) != 3 {
		t.Fatalf("%d nodes are left", len(g.Nodes))
	}
	for i, want := range map[int][]int64{0: {0, 2, 3, 4, 5}, 2: {0, 6, -1}} {
		if c := g.Initializer(g.Nodes[i].Inputs[1]); c == nil || !reflect.DeepEqual(c.Int64s(), want) {
			t.Errorf("%s goes by %+v, want %v", g.Nodes[i].Name, c, want)
		}
	}
	if after := g.Shapes(); !reflect.DeepEqual(before["y"], after["y"]) || after["y"] == nil {
		t.Errorf("it answered with %v and does so with %v", before["y"], after["y"])
	}
}

// TestSettleShapesLeaves what goes with the batch in a way that no constant says, and integers of
// another type.
func TestSettleShapesLeaves(t *testing.T) {
	twice := shuffling() // the batch twice, of a tensor whose shape nobody knows
	g := &twice.Graph
	last := len(g.Nodes) - 1
	g.Nodes = append(g.Nodes[:last], Node{OpType: "Unknown", Name: "made", Inputs: []string{"shuffled"},
		Outputs: []string{"made"}}, Node{OpType: "Concat", Name: "square", Inputs: []string{"n.1", "n.1"},
		Outputs: []string{"square"}, Attributes: []Attribute{Int("axis", 0)}}, Node{OpType: "Reshape", Name: "y",
		Inputs: []string{"made", "square"}, Outputs: []string{"y"}})
	g.SettleShapes()
	if y := g.Nodes[len(g.Nodes)-1]; y.Inputs[1] != "square" {
		t.Errorf("a constant was made of a batch that stands twice: %+v", g.Initializer(y.Inputs[1]))
	}
	short := shuffling() // 32 bits, which a Reshape does not take
	g = &short.Graph
	for i := range g.Nodes {
		if g.Nodes[i].Name == "y" {
			g.Nodes[i].Inputs[1] = "whole.32"
		}
	}
	g.Nodes = append(g.Nodes[:len(g.Nodes)-1], Node{OpType: "Cast", Name: "whole.32", Inputs: []string{"whole"},
		Outputs: []string{"whole.32"}, Attributes: []Attribute{Int("to", int64(Int32))}}, g.Nodes[len(g.Nodes)-1])
	g.SettleShapes()
	if last := g.Nodes[len(g.Nodes)-1]; last.Inputs[1] != "whole.32" {
		t.Errorf("%v was made of 32 bits", last.Inputs[1])
	}
}
