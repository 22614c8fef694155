package onnx

import (
	"strings"
	"testing"
)

// classifier is a model that takes batch×3×size×size and answers batch×classes.
func classifier(batch, size Dim, classes int64) *Model {
	return &Model{IRVersion: 8, Graph: Graph{
		Nodes: []Node{{OpType: "Gemm", Inputs: []string{"x"}, Outputs: []string{"scores"}},
			{OpType: "Softmax", Inputs: []string{"scores"}, Outputs: []string{"p"}}},
		Inputs:  []ValueInfo{{Name: "x", Type: Float32, Shape: []Dim{batch, {Size: 3}, size, size}}},
		Outputs: []ValueInfo{{Name: "p", Type: Float32, Shape: []Dim{batch, {Size: classes}}}},
		Values:  []ValueInfo{{Name: "scores", Type: Float32, Shape: []Dim{batch, {Size: classes}}}},
	}}
}

func TestAsClassifier(t *testing.T) {
	m := classifier(Dim{Size: 1}, Dim{Size: 64}, 9)
	c, err := m.AsClassifier(9)
	if err != nil {
		t.Fatal(err)
	}
	if want := (Classifier{"x", "scores", 64, 9, true, 1}); *c != want {
		t.Errorf("got %+v, want %+v", *c, want)
	}
	if got := m.Graph.Inputs[0].String() + " " +
		m.Graph.Outputs[0].String(); got != "x float32[N 3 64 64] scores float32[N 9]" || len(m.Graph.Nodes) != 1 ||
		m.Graph.Values != nil {
		t.Errorf("got %s, %d nodes, values %v", got, len(m.Graph.Nodes), m.Graph.Values)
	}
	free := classifier(Dim{Name: "b"}, Dim{Name: "h"}, 9)
	if c, err = free.AsClassifier(9); err != nil || c.Size != 0 {
		t.Fatalf("got %+v, %v", c, err)
	}
	free.SetInputSize(c, 96)
	if got := free.Graph.Inputs[0].String(); got != "x float32[N 3 96 96]" {
		t.Error(got)
	}
}

func TestAsClassifierRefuses(t *testing.T) {
	batch, size := Dim{Name: "N"}, Dim{Size: 64}
	for _, c := range []struct {
		change func(*Model)
		want   string
	}{
		{func(m *Model) { m.Graph.Inputs = append(m.Graph.Inputs, m.Graph.Inputs[0]) }, "has 2"},
		{func(m *Model) { m.Graph.Inputs[0].Type = Float16 }, "float16"},
		{func(m *Model) { m.Graph.Inputs[0].Shape[1].Size = 1 }, "N 1 64 64"},
		{func(m *Model) { m.Graph.Inputs[0].Shape[3].Size = 32 }, "64 32"},
		{func(m *Model) { m.Graph.Outputs[0].Shape[1].Size = 8 }, "float32[N 9]"},
		{func(m *Model) { m.Graph.Outputs = nil }, "one output"},
	} {
		m := classifier(batch, size, 9)
		c.change(m)
		if _, err := m.AsClassifier(9); err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("got %v, want …%s…", err, c.want)
		}
	}
}
