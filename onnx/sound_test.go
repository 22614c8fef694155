package onnx

import (
	"strings"
	"testing"
)

// TestSound: what ONNX Runtime would divide by, or read behind the end of, is refused; what an
// operator of another kind has under such a name is not.
func TestSound(t *testing.T) {
	for name, c := range map[string]struct {
		spoil func(*Node)
		want  string
	}{
		"as it is":           {func(*Node) {}, ""},
		"a stride of 0":      {func(n *Node) { n.Attributes = []Attribute{Ints("strides", 2, 0)} }, "strides of 0"},
		"no group":           {func(n *Node) { n.Attributes = []Attribute{Int("group", 0)} }, "group of 0"},
		"pads of 0":          {func(n *Node) { n.Attributes = []Attribute{Ints("pads", 0, 0, 0, 0)} }, ""},
		"too short a bias":   {func(n *Node) { n.Inputs[2] = "short" }, "its outputs are 8"},
		"a map for a bias":   {func(n *Node) { n.Inputs[2] = "map" }, "shape [1 8 1 1]"},
		"no bias":            {func(n *Node) { n.Inputs = n.Inputs[:2] }, ""},
		"one that is unseen": {func(n *Node) { n.Inputs[2] = "made elsewhere" }, ""},
	} {
		n := Node{OpType: "Conv", Name: "c1", Inputs: []string{"x", "w", "b"}, Outputs: []string{"y"}}
		c.spoil(&n)
		g := Graph{Nodes: []Node{n}, Inputs: []ValueInfo{{Name: "x", Type: Float32,
			Shape: []Dim{{Size: 1}, {Size: 3}, {Size: 9}, {Size: 9}}}}, Initializers: []Tensor{
			NewFloat32("w", make([]float32, 8*27), 8, 3, 3, 3), NewFloat32("b", make([]float32, 8), 8),
			NewFloat32("short", make([]float32, 4), 4), NewFloat32("map", make([]float32, 8), 1, 8, 1, 1)}}
		err := g.Sound()
		if (err == nil) != (c.want == "") || err != nil && !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s: %v, want %q", name, err, c.want)
		}
	}
}
