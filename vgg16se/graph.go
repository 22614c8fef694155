package vgg16se

import (
	"fmt"
	"strings"

	"github.com/vggse/vggse-agent/onnx"
)

// Names of the graph's ports: Input is N×3×S×S float32, Output N×classes raw scores.
const (
	Input  = "input"
	Output = "logits"
)

// Weights gives the content of a parameter: float32, little-endian, row-major, in PyTorch's layout.
// It is called once per parameter; the Source it returns when the model is written.
type Weights func(p Param) (onnx.Source, error)

// Graph builds the network as an ONNX model (opset 17, of CBAM 18, IR version 8) with a symbolic
// batch N. Every parameter is an initializer under its state_dict name. Nothing of the weights is
// read yet.
func (a Architecture) Graph(weights Weights) (*onnx.Model, error) {
	if err := a.Validate(); err != nil {
		return nil, err
	}
	a = a.Full()
	size := int64(a.InputSize)
	g := grapher{last: Input, weights: weights}
	g.graph.Name = "vgg16se"
	g.graph.Inputs = []onnx.ValueInfo{{Name: Input, Type: onnx.Float32,
		Shape: []onnx.Dim{{Name: "N"}, {Size: 3}, {Size: size}, {Size: size}}}}
	g.graph.Outputs = []onnx.ValueInfo{{Name: Output, Type: onnx.Float32,
		Shape: []onnx.Dim{{Name: "N"}, {Size: int64(a.Classes)}}}}
	layers := a.Layers()
	for i, l := range layers {
		g.layer(l, a, i == len(layers)-1)
	}
	if g.err != nil {
		return nil, fmt.Errorf("vgg16se: %w", g.err)
	}
	opset := onnx.Opset{Version: 17}
	if a.Attention == CBAM {
		opset.Version = 18 // where both of its reductions take their axes as an input, as all later versions do
	}
	return &onnx.Model{IRVersion: 8, Producer: "vggse-agent", Graph: g.graph, Opsets: []onnx.Opset{opset}}, nil
}

// grapher appends nodes; last is the tensor that the next one continues from.
type grapher struct {
	graph   onnx.Graph
	last    string
	weights Weights
	err     error
}

func (g *grapher) layer(l Layer, a Architecture, final bool) {
	switch l.Op {
	case OpConv:
		g.node("Conv", l.Name, g.params(l), onnx.Ints("kernel_shape", 3, 3), onnx.Ints("pads", 1, 1, 1, 1))
	case OpReLU:
		g.node("Relu", l.Name, nil)
	case OpMaxPool:
		g.node("MaxPool", l.Name, nil, onnx.Ints("kernel_shape", 2, 2), onnx.Ints("strides", 2, 2))
	case OpAvgPool:
		g.averagePool(l.Name, a.mapSize(), a.PoolSize)
		g.node("Flatten", "flatten", nil, onnx.Int("axis", 1))
	case OpLinear:
		g.node("Gemm", l.Name, g.params(l), onnx.Int("transB", 1))
		if final {
			g.graph.Nodes[len(g.graph.Nodes)-1].Outputs[0] = Output
		}
	default:
		g.attend(l)
	}
}

// averagePool appends PyTorch's AdaptiveAvgPool2d: nothing where the sizes agree, an average pool
// where one divides the other, else two small matrices of averages, which expand and overlap
// exactly.
func (g *grapher) averagePool(name string, in, out int) {
	switch {
	case in == out:
	case in%out == 0:
		k := int64(in / out)
		g.node("AveragePool", name, nil, onnx.Ints("kernel_shape", k, k), onnx.Ints("strides", k, k))
	default:
		columns := make([]float32, in*out) // in×out
		rows := make([]float32, out*in)    // its transpose
		for o := range out {
			from, to := adaptive(o, in, out)
			for i := from; i < to; i++ {
				columns[i*out+o] = float32(1 / float64(to-from))
				rows[o*in+i] = columns[i*out+o]
			}
		}
		g.graph.Initializers = append(g.graph.Initializers,
			onnx.NewFloat32(name+".columns", columns, int64(in), int64(out)),
			onnx.NewFloat32(name+".rows", rows, int64(out), int64(in)))
		g.node("MatMul", name+".x", []string{name + ".columns"})
		last := g.last
		g.last = name + ".rows"
		g.node("MatMul", name, []string{last})
	}
}

// adaptive returns the elements [from, to) that PyTorch averages into element o of out:
// floor(o·in/out) to ceil((o+1)·in/out) (aten/src/ATen/native/AdaptivePooling.h).
func adaptive(o, in, out int) (from, to int) {
	return o * in / out, ((o+1)*in + out - 1) / out
}

// params declares the parameters of a layer and returns their names.
func (g *grapher) params(l Layer) []string {
	var names []string
	for _, p := range l.Params {
		source, err := g.weights(p)
		if err != nil && g.err == nil {
			g.err = fmt.Errorf("%s: %w", p.Name, err)
		}
		dims := make([]int64, len(p.Shape))
		for i, d := range p.Shape {
			dims[i] = int64(d)
		}
		g.graph.Initializers = append(g.graph.Initializers,
			onnx.Tensor{Name: p.Name, Type: onnx.Float32, Dims: dims, Source: source})
		names = append(names, p.Name)
	}
	return names
}

// node appends one node that takes the last tensor and more, and becomes the last.
func (g *grapher) node(op, name string, more []string, attributes ...onnx.Attribute) {
	out := strings.ReplaceAll(name, ".", "/") // no colon: it would end the name in TensorRT's calibration cache
	g.graph.Nodes = append(g.graph.Nodes, onnx.Node{OpType: op, Name: name,
		Inputs: append([]string{g.last}, more...), Outputs: []string{out}, Attributes: attributes})
	g.last = out
}
