package onnx

import (
	"slices"
	"strings"
	"testing"
)

// withLast is a network of a picture x that ends in the given nodes; f is N×2, the logits N×3.
func withLast(nodes []Node, constants ...Tensor) *Model {
	m := &Model{IRVersion: 8, Opsets: []Opset{{"", 13}}}
	m.Graph = Graph{Name: "g", Inputs: []ValueInfo{{Name: "x", Type: Float32, Shape: []Dim{{Name: "N"}, {Size: 2}}}},
		Outputs: []ValueInfo{{Name: "logits", Type: Float32, Shape: []Dim{{Name: "N"}, {Size: 3}}}}}
	m.Graph.Nodes = append([]Node{{OpType: "Relu", Inputs: []string{"x"}, Outputs: []string{"f"}}}, nodes...)
	m.Graph.Initializers = constants
	return m
}

func node(op, in, out string, attributes ...Attribute) Node {
	return Node{OpType: op, Inputs: strings.Fields(in), Outputs: strings.Fields(out), Attributes: attributes}
}

func TestLastLayer(t *testing.T) {
	rows := []float32{1, 2, 3, 4, 5, 6}    // 3×2
	columns := []float32{1, 3, 5, 2, 4, 6} // the same, 2×3
	for name, m := range map[string]*Model{
		"gemm": withLast([]Node{node("Gemm", "f w b", "logits", Int("transB", 1))},
			NewFloat32("w", rows, 3, 2), NewFloat32("b", []float32{7, 8, 9}, 3)),
		"gemm by columns, scaled": withLast([]Node{node("Gemm", "f w b", "logits", Float("alpha", 0.5),
			Float("beta", 2))},
			NewFloat32("w", []float32{2, 6, 10, 4, 8, 12}, 2, 3), NewFloat32("b", []float32{3.5, 4, 4.5}, 3)),
		"matmul and add": withLast([]Node{node("MatMul", "f w", "m"), node("Add", "b m", "logits")},
			NewFloat32("w", columns, 2, 3), NewFloat32("b", []float32{7, 8, 9}, 1, 3)),
		"behind what passes on": withLast([]Node{node("Gemm", "f w b", "g"), node("Identity", "g", "h"),
			node("Dropout", "h", "logits")},
			NewFloat32("w", columns, 2, 3), NewFloat32("b", []float32{7, 8, 9}, 3)),
	} {
		l, err := m.LastLayer("logits")
		if err != nil {
			t.Errorf("%s: %v", name, err)
			continue
		}
		weight, bias, err := l.Values()
		if err != nil || l.Features != "f" || l.Width != 2 || l.Classes != 3 || !slices.Equal(weight, rows) ||
			!slices.Equal(bias, []float32{7, 8, 9}) {
			t.Errorf("%s: %+v %v %v %v", name, l, weight, bias, err)
		}
	}
}

func TestLastLayerRefuses(t *testing.T) {
	w := NewFloat32("w", make([]float32, 6), 2, 3)
	for name, c := range map[string]struct {
		m    *Model
		says string
	}{
		"a pool at the end": {withLast([]Node{node("GlobalAveragePool", "f", "logits")}),
			"ends in GlobalAveragePool"},
		"weights of the input": {withLast([]Node{node("MatMul", "f x", "logits")}), "no constant matrix"},
		"two ways":             {withLast([]Node{node("Add", "f x", "logits")}), "two places"},
		"transposed":           {withLast([]Node{node("Gemm", "f w", "logits", Int("transA", 1))}, w), "transposed"},
		"from the left":        {withLast([]Node{node("MatMul", "w f", "logits")}, w), "from the left"},
		"nothing makes it":     {withLast(nil), "no layer makes logits"},
	} {
		if _, err := c.m.LastLayer("logits"); err == nil || !strings.Contains(err.Error(), c.says) {
			t.Errorf("%s: %v", name, err)
		}
	}
}

func TestValuesInHalfPrecision(t *testing.T) {
	if _, _, err := (&LastLayer{weight: &Tensor{Type: Float16}}).Values(); err == nil {
		t.Error("weights in half precision are read")
	}
}
