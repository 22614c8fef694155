package onnx

import (
	"bytes"
	"slices"
	"strings"
	"testing"
)

// attentive is a network of a picture N×2×4×4 with an SE block between a convolution and a last
// layer; excite are the nodes from the mean z to the gate s.
func attentive(excite []Node, constants ...Tensor) *Model {
	m := &Model{IRVersion: 8, Opsets: []Opset{{"", 13}}}
	m.Graph = Graph{Name: "g",
		Inputs:  []ValueInfo{{Name: "x", Type: Float32, Shape: []Dim{{Name: "N"}, {Size: 2}, {Size: 4}, {Size: 4}}}},
		Outputs: []ValueInfo{{Name: "logits", Type: Float32, Shape: []Dim{{Name: "N"}, {Size: 3}}}}}
	m.Graph.Nodes = slices.Concat([]Node{node("Conv", "x k", "c"), node("Relu", "c", "map"),
		node("GlobalAveragePool", "map", "z")}, excite, []Node{node("Mul", "map s", "scaled"),
		node("GlobalAveragePool", "scaled", "pooled"), node("Flatten", "pooled", "f"), node("Gemm", "f w", "logits")})
	m.Graph.Initializers = append([]Tensor{NewFloat32("k", make([]float32, 10), 5, 2, 1, 1),
		NewFloat32("w", make([]float32, 15), 5, 3)}, constants...)
	return m
}

func tensors() (all []Tensor) {
	for i, dims := range [][]int64{{5, 2}, {2, 5}, {2, 5, 1, 1}, {5, 2, 1, 1}} {
		all = append(all, NewFloat32([]string{"w1", "w2", "k1", "k2"}[i], make([]float32, 10), dims...))
	}
	return append(all, NewInt64("hw", []int64{2, 3}, 2))
}

// TestExpose: blocks are found in the forms that exporters give them, and every output is told with
// its width.
func TestExpose(t *testing.T) {
	for name, excite := range map[string][]Node{
		"dense": {node("Flatten", "z", "zf"), node("Gemm", "zf w1", "a"), node("Relu", "a", "b"),
			node("Gemm", "b w2", "d"), node("Sigmoid", "d", "e"), node("Unsqueeze", "e hw", "s")},
		"convolutions": {node("Conv", "z k1", "a"), node("Relu", "a", "b"), node("Conv", "b k2", "d"),
			node("Sigmoid", "d", "s")},
		"swish inside": {node("Conv", "z k1", "a"), node("Sigmoid", "a", "i"), node("Mul", "a i", "b"),
			node("Conv", "b k2", "d"), node("HardSigmoid", "d", "s")},
	} {
		m := attentive(excite, tensors()...)
		m.Graph.dropUnused()
		var before, again bytes.Buffer
		if err := Write(&before, m); err != nil {
			t.Fatal(err)
		}
		m.Expose("logits", AllSignals)
		want := "logits float32[N 3], features float32[N 5], squeeze1 float32[N 5], gate1 float32[N 5]"
		if got := ports(m.Graph.Outputs); got != want {
			t.Errorf("%s: %s, want %s", name, got, want)
		}
		nodes := len(m.Graph.Nodes)
		if m.Expose("logits", AllSignals); len(m.Graph.Nodes) != nodes || !m.Exposes("logits") {
			t.Errorf("%s: exposed twice", name)
		}
		m.Conceal("logits")
		if err := Write(&again, m); err != nil || !bytes.Equal(before.Bytes(), again.Bytes()) {
			t.Errorf("%s: concealed it is not what it was: %v", name, err)
		}
	}
}

// TestExposeIsNotFooled: an activation of a row, a gate for places and a network that ends otherwise
// have no signals of blocks.
func TestExposeIsNotFooled(t *testing.T) {
	row := withLast([]Node{node("GlobalAveragePool", "f", "z"), node("Sigmoid", "z", "s"), node("Mul", "z s", "a"),
		node("Flatten", "a", "b"), node("Gemm", "b w", "logits")}, NewFloat32("w", make([]float32, 15), 5, 3))
	row.Graph.Inputs[0].Shape = []Dim{{Name: "N"}, {Size: 5}, {Size: 4}, {Size: 4}}
	swish := withLast([]Node{node("GlobalAveragePool", "f", "z"), node("Conv", "z k1", "c"), node("Sigmoid", "c", "s"),
		node("Mul", "c s", "a"), node("Flatten", "a", "b"), node("Gemm", "b w", "logits")},
		NewFloat32("w", make([]float32, 15), 5, 3), NewFloat32("k1", make([]float32, 25), 5, 5, 1, 1))
	swish.Graph.Inputs[0].Shape = row.Graph.Inputs[0].Shape
	places := attentive([]Node{node("Conv", "map k1", "a"), node("Sigmoid", "a", "s")},
		NewFloat32("k1", make([]float32, 5), 1, 5, 1, 1))
	for name, m := range map[string]*Model{"activation": row, "swish": swish, "places": places} {
		m.Expose("logits", AllSignals)
		if got := ports(m.Graph.Outputs); got != "logits float32[N 3], features float32[N 5]" {
			t.Errorf("%s: %s", name, got)
		}
	}
	m := withLast([]Node{node("GlobalAveragePool", "f", "logits")})
	if m.Expose("logits", AllSignals); m.Exposes("logits") || len(m.Graph.Outputs) != 1 {
		t.Errorf("without a last layer: %s", ports(m.Graph.Outputs))
	}
}

// TestExposeOfIntegers: what is rounded is taken from the integers by a DequantizeLinear of its own;
// half precision is cast; a tensor with the name of a signal gets another.
func TestExposeOfIntegers(t *testing.T) {
	scale, zero := NewFloat32("s1", []float32{0.5}), Tensor{Name: "z1", Type: Uint8, Data: []byte{0}}
	m := attentive([]Node{node("QuantizeLinear", "z s1 z1", "zq"), node("DequantizeLinear", "zq s1 z1", "gate1"),
		node("Conv", "gate1 k1", "a"), node("Conv", "a k2", "d"), node("Sigmoid", "d", "s")},
		append(tensors(), scale, zero)...)
	m.Graph.Nodes[len(m.Graph.Nodes)-1].Inputs[0] = "dq"
	m.Graph.Nodes = slices.Insert(m.Graph.Nodes, len(m.Graph.Nodes)-1, node("QuantizeLinear", "f s1 z1", "q"),
		node("DequantizeLinear", "q s1 z1", "dq"))
	m.Expose("logits", AllSignals)
	made := map[string]string{}
	for _, n := range m.Graph.Nodes {
		made[n.Outputs[0]] = n.OpType + " " + strings.Join(n.Inputs, " ")
	}
	for out, want := range map[string]string{"features": "DequantizeLinear q s1 z1",
		"squeeze1/0": "DequantizeLinear zq s1 z1", "squeeze1": "Flatten squeeze1/0", "gate1": "Flatten s",
		"a": "Conv gate1/inner k1", "logits": "Gemm dq w"} {
		if made[out] != want {
			t.Errorf("%s is %q, want %q", out, made[out], want)
		}
	}
	half := withLast([]Node{node("Gemm", "f h", "g"), node("Relu", "g", "r"), node("Gemm", "r w", "logits")},
		Tensor{Name: "h", Type: Float16, Dims: []int64{2, 2}, Data: make([]byte, 8)},
		Tensor{Name: "w", Type: Float16, Dims: []int64{2, 3}, Data: make([]byte, 12)})
	half.Expose("logits", FeaturesOnly)
	last := half.Graph.Nodes[len(half.Graph.Nodes)-1]
	if last.OpType != "Cast" || last.Inputs[0] != "r" || last.Attribute("to").Int != int64(Float32) {
		t.Errorf("half precision: %+v", last)
	}
}
