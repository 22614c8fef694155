package onnx

import "slices"

// Shapes works out the shapes of the tensors for one picture, as far as the operators of image
// classifiers go; what it cannot tell, and what follows from it, is not in the map.
func (g *Graph) Shapes() map[string][]int64 {
	s := shaper{graph: g}
	return s.run()
}

func (s *shaper) run() map[string][]int64 {
	g := s.graph
	s.shapes, s.values, s.cast = map[string][]int64{}, map[string][]int64{}, map[string]bool{}
	for i := range g.Initializers {
		t := &g.Initializers[i]
		s.shapes[t.Name] = append([]int64{}, t.Dims...) // of a single number: empty, not unknown
		if t.Type == Int64 && len(t.Dims) <= 1 {
			s.values[t.Name] = t.Int64s()
		}
	}
	for _, in := range g.FreeInputs() {
		shape := make([]int64, len(in.Shape))
		for i, d := range in.Shape {
			shape[i] = max(d.Size, 1)
			if d.Size < 1 {
				shape[i] = max(s.batch, 1)
			}
		}
		s.shapes[in.Name] = shape
	}
	for i := range g.Nodes {
		n := &g.Nodes[i]
		if len(n.Outputs) == 0 || len(n.Inputs) == 0 && n.OpType != "Constant" {
			continue
		}
		if s.visit != nil {
			s.visit(i, n)
		}
		if v := s.value(n); v != nil {
			s.values[n.Outputs[0]] = v
			s.cast[n.Outputs[0]] = n.OpType == "Cast" && integer(n, "to", 0) != int64(Int64) ||
				slices.ContainsFunc(n.Inputs, func(t string) bool { return s.cast[t] })
		}
		if n.OpType == "Split" {
			s.split(n)
			continue
		}
		if shape := s.shape(n); shape != nil &&
			!slices.ContainsFunc(shape, func(d int64) bool { return d < 1 || d > 1<<31 }) {
			s.shapes[n.Outputs[0]] = shape
		}
	}
	return s.shapes
}

// shaper knows shapes, and the values of small integer tensors, which are the arguments of Reshape
// and its kin.
type shaper struct {
	graph  *Graph
	batch  int64 // for a dimension that is open; 0: 1
	shapes map[string][]int64
	values map[string][]int64
	cast   map[string]bool // of values, those that are not int64

	visit func(i int, n *Node) // called before the shape of node i is worked out; nil: not
}

// in is the shape of input i of n, nil where it is not known.
func (s *shaper) in(n *Node, i int) []int64 {
	if i >= len(n.Inputs) {
		return nil
	}
	return s.shapes[n.Inputs[i]]
}

// ints is an argument that is an attribute in old operator sets and input i in newer ones.
func (s *shaper) ints(n *Node, name string, i int) []int64 {
	if a := n.Attribute(name); a != nil {
		return a.Ints
	}
	if i < len(n.Inputs) {
		return s.values[n.Inputs[i]]
	}
	return nil
}

// shape is that of the first output of n, nil where it is not known.
func (s *shaper) shape(n *Node) []int64 {
	x := s.in(n, 0)
	if n.OpType == "Constant" {
		if a := n.Attribute("value"); a != nil && a.Tensor != nil {
			return append([]int64{}, a.Tensor.Dims...)
		}
		return nil
	}
	if x == nil {
		return nil
	}
	switch n.OpType {
	case "Conv":
		if w := s.in(n, 1); len(w) == len(x) && len(x) > 2 {
			return window(n, append([]int64{x[0], w[0]}, x[2:]...), w[2:])
		}
	case "MaxPool", "AveragePool":
		if a := n.Attribute("kernel_shape"); a != nil && len(a.Ints) == len(x)-2 {
			return window(n, x, a.Ints)
		}
	case "GlobalAveragePool", "GlobalMaxPool":
		return pooled(x)
	case "Flatten":
		return flat(x, int(integer(n, "axis", 1)))
	case "Gemm":
		return s.gemm(n, x)
	case "MatMul":
		return matmul(x, s.in(n, 1))
	case "Add", "Sub", "Mul", "Div":
		return broadcast(x, s.in(n, 1))
	case "Resize":
		return resized(x, s.ints(n, "sizes", 3), s.ints(n, "axes", 9))
	case "Expand":
		return broadcast(x, s.ints(n, "shape", 1))
	case "Reshape":
		return reshape(x, s.ints(n, "shape", 1))
	case "ReduceMean", "ReduceMax":
		if axes := s.ints(n, "axes", 1); axes != nil {
			return reduce(x, axes, integer(n, "keepdims", 1) == 1)
		}
	case "Unsqueeze":
		return unsqueeze(x, s.ints(n, "axes", 1))
	case "Squeeze":
		return reduce(x, s.ints(n, "axes", 1), false)
	case "Concat":
		return s.concat(n, x)
	case "Transpose":
		return transpose(x, s.ints(n, "perm", 9))
	case "Slice":
		return s.slice(n, x)
	case "Pad":
		return padded(x, s.ints(n, "pads", 1))
	case "Shape":
		return []int64{int64(len(s.values[n.Outputs[0]]))}
	case "Gather":
		return s.gather(n, x)
	default:
		if sameShape[n.OpType] {
			return x
		}
	}
	return nil
}

var sameShape = map[string]bool{"Relu": true, "LeakyRelu": true, "PRelu": true, "Clip": true, "Sigmoid": true,
	"HardSigmoid": true,
	"HardSwish":   true, "Tanh": true, "Erf": true, "Softmax": true, "LogSoftmax": true, "BatchNormalization": true,
	"Dropout": true, "Identity": true,
	"Cast": true, "Exp": true, "Sqrt": true, "Pow": true, "LRN": true, "QuantizeLinear": true,
	"DequantizeLinear": true, "Elu": true, "Gelu": true, "Selu": true, "Celu": true, "Softplus": true, "Mish": true,
	"Neg": true, "Abs": true, "Log": true, "Reciprocal": true, "LayerNormalization": true,
	"InstanceNormalization": true, "GroupNormalization": true, "LpNormalization": true}

func integer(n *Node, name string, otherwise int64) int64 {
	if a := n.Attribute(name); a != nil {
		return a.Int
	}
	return otherwise
}
