package onnx

import (
	"fmt"
	"slices"
)

// LastLayer is the dense layer that makes a classifier's answer of its features.
type LastLayer struct {
	Features       string // the tensor that it reads, N × Width
	Width, Classes int

	transposed  bool // the weights are Classes × Width
	alpha, beta float32
	weight      *Tensor
	bias        *Tensor // nil: none
}

// LastLayer finds the dense layer (Gemm, or MatMul and Add) that makes the given output, behind
// operators that only pass values on. A network that ends otherwise is refused.
func (m *Model) LastLayer(output string) (*LastLayer, error) {
	h, t := newHead(&m.Graph, output), output
	var bias *Tensor
	for {
		n := h.maker(t)
		switch {
		case n == nil:
			return nil, fmt.Errorf("onnx: no layer makes %s", output)
		case n.OpType == "Gemm":
			return h.gemm(n)
		case n.OpType == "MatMul":
			return h.matMul(n, bias)
		case n.OpType == "Add" && bias == nil:
			for _, in := range n.Inputs {
				if !h.fed[in] {
					bias = h.constant(in)
				}
			}
		case !passOps[n.OpType]:
			return nil, fmt.Errorf("onnx: the network ends in %s, not in a dense layer whose input could be its "+
				"features (Gemm, or MatMul and Add)", n.OpType)
		}
		if t = h.fedInput(n); t == "" {
			return nil, fmt.Errorf("onnx: what %s reads at the end of the network comes from two places: there is no "+
				"last dense layer", n.OpType)
		}
	}
}

// passOps pass a row of scores on as it is.
var passOps = map[string]bool{"Identity": true, "Cast": true, "Dropout": true, "Flatten": true, "Reshape": true,
	"Squeeze": true, "QuantizeLinear": true, "DequantizeLinear": true}

// constant is the initializer that t is or is made of, nil where there is none.
func (h *head) constant(t string) *Tensor {
	for range 8 {
		if c := h.g.Initializer(t); c != nil {
			return c
		}
		n := h.maker(t)
		if n == nil || !passOps[n.OpType] {
			return nil
		}
		t = first(n.Inputs)
	}
	return nil
}

func (h *head) gemm(n *Node) (*LastLayer, error) {
	if a := n.Attribute("transA"); a != nil && a.Int != 0 || len(n.Inputs) < 2 {
		return nil, fmt.Errorf("onnx: the last dense layer %q has transposed features", n.Name)
	}
	l := &LastLayer{Features: n.Inputs[0], alpha: 1, beta: 1}
	if a := n.Attribute("alpha"); a != nil {
		l.alpha = a.Float
	}
	if a := n.Attribute("beta"); a != nil {
		l.beta = a.Float
	}
	if a := n.Attribute("transB"); a != nil {
		l.transposed = a.Int != 0
	}
	if len(n.Inputs) > 2 && n.Inputs[2] != "" {
		l.bias = h.constant(n.Inputs[2])
	}
	return l.sized(h, n.Inputs[1])
}

func (h *head) matMul(n *Node, bias *Tensor) (*LastLayer, error) {
	if len(n.Inputs) != 2 || !h.fed[n.Inputs[0]] {
		return nil, fmt.Errorf("onnx: the last MatMul %q multiplies its weights from the left", n.Name)
	}
	l := &LastLayer{Features: n.Inputs[0], alpha: 1, beta: 1, bias: bias}
	return l.sized(h, n.Inputs[1])
}

// sized reads the size of the layer off its weights.
func (l *LastLayer) sized(h *head, weight string) (*LastLayer, error) {
	if l.weight = h.constant(weight); l.weight == nil || len(l.weight.Dims) != 2 {
		return nil, fmt.Errorf("onnx: the weights %s of the last dense layer are no constant matrix", weight)
	}
	l.Width, l.Classes = int(l.weight.Dims[0]), int(l.weight.Dims[1])
	if l.transposed {
		l.Width, l.Classes = l.Classes, l.Width
	}
	return l, nil
}

// Values are the weights, Classes × Width, and the bias, of a layer whose file holds them as
// float32.
func (l *LastLayer) Values() (weight, bias []float32, err error) {
	if l.weight.Type != Float32 || l.bias != nil && l.bias.Type != Float32 {
		return nil, nil, fmt.Errorf("onnx: the weights of the last dense layer are %v, float32 is wanted",
			l.weight.Type)
	}
	own := l.weight.Float32s()
	if len(own) != l.Width*l.Classes {
		return nil, nil, fmt.Errorf("onnx: the last dense layer has %d weights for %d features and %d classes",
			len(own),
			l.Width, l.Classes)
	}
	weight, bias = make([]float32, len(own)), make([]float32, l.Classes)
	for c := range l.Classes {
		for i := range l.Width {
			from := i*l.Classes + c
			if l.transposed {
				from = c*l.Width + i
			}
			weight[c*l.Width+i] = l.alpha * own[from]
		}
	}
	if l.bias == nil {
		return weight, bias, nil
	}
	b := l.bias.Float32s()
	if len(b) != l.Classes && len(b) != 1 {
		return nil, nil, fmt.Errorf("onnx: the last dense layer has %d biases for %d classes", len(b), l.Classes)
	}
	for c := range bias {
		bias[c] = l.beta * b[c%len(b)]
	}
	return weight, bias, nil
}

// rename gives a tensor another name, wherever it is.
func (g *Graph) rename(from, to string) {
	each := func(names []string) []string {
		if !slices.Contains(names, from) {
			return names
		}
		names = slices.Clone(names)
		for i := range names {
			if names[i] == from {
				names[i] = to
			}
		}
		return names
	}
	for i := range g.Nodes {
		g.Nodes[i].Inputs, g.Nodes[i].Outputs = each(g.Nodes[i].Inputs), each(g.Nodes[i].Outputs)
	}
}

// dropUnused drops the constants that no node reads any more, also where old exporters list them
// among the inputs.
func (g *Graph) dropUnused() {
	used := map[string]bool{}
	for i := range g.Nodes {
		for _, t := range g.Nodes[i].Reads() {
			used[t] = true
		}
	}
	constant := map[string]bool{}
	for i := range g.Initializers {
		constant[g.Initializers[i].Name] = true
	}
	g.Initializers = slices.DeleteFunc(slices.Clone(g.Initializers), func(t Tensor) bool { return !used[t.Name] })
	g.Inputs = slices.DeleteFunc(slices.Clone(g.Inputs), func(v ValueInfo) bool {
		return constant[v.Name] && !used[v.Name]
	})
}
