package quant

import (
	"fmt"
	"sync"

	"github.com/vggse/vggse-agent/onnx"
)

// Graph is what there is to quantize in a network.
type Graph struct {
	Sites  []Site
	Layers []Layer // in the order of the graph

	graph  *onnx.Graph
	site   map[string]int     // tensor → its site; those behind a pool or a flatten have that of their input
	users  map[string][]int   // tensor → the nodes that read it
	by     map[string]int     // tensor → the node that makes it
	gate   map[int]bool       // nodes that only work out a gate
	shapes map[string][]int64 // of one picture, where they are known
	acts   map[string]int     // what a layer or a sum puts out → the ReLU or Clip that a rounding does the work of

	scalesMu sync.Mutex
	scales   map[scaleKey][]float64 // of weights, once they were worked out
}

// Analyse finds what can be quantized in the graph of m, whose picture is the tensor input. It goes
// by operators, not by names: convolutions and fully connected layers with constant weights, what
// only moves their values, sums, products with a gate that comes from a sigmoid. What it does not
// know stays in float. Without a layer that it can quantize it is an error.
func Analyse(m *onnx.Model, input string) (*Graph, error) {
	nameNodes(&m.Graph)
	n := &Graph{graph: &m.Graph, site: map[string]int{}, users: map[string][]int{}, by: map[string]int{},
		shapes: m.Graph.Shapes(), acts: map[string]int{}}
	for i := range n.graph.Nodes {
		for _, t := range n.graph.Nodes[i].Reads() {
			n.users[t] = append(n.users[t], i)
		}
		for _, t := range n.graph.Nodes[i].Outputs {
			n.by[t] = i
		}
	}
	n.add(Site{Name: input, Layer: "input", Kind: Picture, Signed: true})
	n.gate = n.gateNodes()
	for i := range n.graph.Nodes {
		v := &n.graph.Nodes[i]
		if !n.gate[i] {
			n.node(v)
		} else if in, known := n.site[first(v.Inputs)]; known && v.OpType == "GlobalAveragePool" &&
			n.Sites[in].Kind != Picture {
			n.add(Site{Name: v.Outputs[0], Layer: v.Name, Kind: Squeeze, Signed: n.Sites[in].Signed})
		}
	}
	n.padPicture()
	if len(n.Layers) == 0 {
		return nil, fmt.Errorf("quant: %w", nothing(n.graph))
	}
	return n, nil
}

// moves are operators that only move values, or choose among them: what they put out has the code
// of what they read.
var moves = map[string]bool{"MaxPool": true, "AveragePool": true, "Flatten": true, "Reshape": true, "Transpose": true,
	"Squeeze": true, "Unsqueeze": true, "Split": true, "Slice": true}

// curves are functions of one number that ONNX Runtime has on integers, or that cost next to
// nothing between a layer on integers and the next. The others stay in float, and the layer behind
// them only where it pays.
var curves = map[string]bool{"LeakyRelu": true, "Sigmoid": true, "Relu": true, "Clip": true}

// node sees what one node does to the sites.
func (n *Graph) node(v *onnx.Node) {
	if v.Domain != "" && v.Domain != "ai.onnx" || len(v.Outputs) == 0 {
		return
	}
	in, known := n.site[first(v.Inputs)]
	switch {
	case v.OpType == "Conv" || v.OpType == "Gemm" || v.OpType == "MatMul":
		if n.quantizable(v) && (known || n.pays(v)) && !(v.OpType == "Conv" && n.output(n.behind(v))) {
			n.layer(v)
		}
	case n.site[first(v.Outputs)] != 0: // the ReLU that its layer does the work of
	case moves[v.OpType] && known:
		for _, t := range v.Outputs {
			n.site[t] = in
		}
	case v.OpType == "GlobalAveragePool" && known && n.Sites[in].Kind != Picture && !n.output(v.Outputs[0]):
		n.add(Site{Name: v.Outputs[0], Layer: v.Name, Kind: Squeeze, Signed: n.Sites[in].Signed})
	case (curves[v.OpType] || n.hardGate(v)) && known && !n.output(v.Outputs[0]):
		n.add(Site{Name: v.Outputs[0], Layer: v.Name, Kind: Entry, Signed: !positive[v.OpType]})
	case v.OpType == "Add":
		n.sum(v)
	case v.OpType == "Concat":
		n.joint(v)
	case v.OpType == "Mul":
		n.product(v)
	}
}

// layer takes in a convolution or fully connected layer, and the ReLU behind it.
func (n *Graph) layer(v *onnx.Node) {
	in, known := n.site[v.Inputs[0]]
	if !known {
		in = len(n.Sites)
		n.add(Site{Name: v.Inputs[0], Layer: n.maker(v.Inputs[0]), Kind: Entry, Signed: n.signed(v.Inputs[0])})
	}
	w := n.graph.Initializer(v.Inputs[1])
	l := Layer{Name: v.Name, Op: v.OpType, Weight: v.Inputs[1], In: in, Reads: v.Inputs[0], out: v.Outputs[0],
		Last: n.last(v.Outputs[0]), Size: w.Elements(), columns: columns(v), groups: 1}
	if len(v.Inputs) > 2 {
		l.Bias = v.Inputs[2]
	}
	if g := v.Attribute("group"); g != nil {
		l.groups = max(1, g.Int)
	}
	out := n.behind(v)
	if act := n.rectifier(l.out); act != nil {
		l.Relu, l.clipped = out, act.OpType == "Clip"
	}
	n.Layers = append(n.Layers, l)
	if n.output(out) || v.OpType == "MatMul" || v.OpType == "Gemm" && l.Relu == "" {
		return // it puts out floating-point numbers
	}
	n.add(Site{Name: out, Layer: v.Name, Kind: Activation, Signed: l.Relu == ""})
	n.folds(l.out, out)
}

// last tells whether a tensor is the answer of the network, or becomes it by being moved.
func (n *Graph) last(t string) bool {
	for !n.output(t) {
		users := n.users[t]
		if len(users) != 1 || !moves[n.graph.Nodes[users[0]].OpType] {
			return false
		}
		t = n.graph.Nodes[users[0]].Outputs[0]
	}
	return true
}

// behind is what v puts out, or the ReLU behind it.
func (n *Graph) behind(v *onnx.Node) string {
	if act := n.rectifier(v.Outputs[0]); act != nil {
		return act.Outputs[0]
	}
	return v.Outputs[0]
}

// folds notes that what makes tensor t puts out its activation out at once.
func (n *Graph) folds(t, out string) {
	if t != out {
		n.acts[t] = n.by[out]
	}
}

// rectifier is the only node behind a tensor where it is a ReLU, or a Clip from 0 to a constant:
// rounding to codes from 0 on does its work. It is nil else.
func (n *Graph) rectifier(t string) *onnx.Node {
	users := n.users[t]
	if len(users) != 1 || n.output(t) {
		return nil
	}
	v := &n.graph.Nodes[users[0]]
	switch v.OpType {
	case "Relu":
		return v
	case "Clip":
		if len(v.Inputs) == 3 && n.scalar(v.Inputs[1]) == 0 && n.scalar(v.Inputs[2]) > 0 {
			return v
		}
	}
	return nil
}

// scalar is the value of a float32 constant of one number, -1 where t is none.
func (n *Graph) scalar(t string) float32 {
	c := n.graph.Initializer(t)
	if c == nil || c.Type != onnx.Float32 || c.Elements() != 1 || len(c.Data) != 4 {
		return -1
	}
	return c.Float32s()[0]
}

// sum makes a site of the sum of two tensors that are stored in 8 bits.
func (n *Graph) sum(v *onnx.Node) {
	a, known := n.site[v.Inputs[0]]
	b, both := n.site[v.Inputs[1]]
	if !known || !both || n.Sites[a].Kind == Picture || n.Sites[b].Kind == Picture {
		return
	}
	s := Site{Name: v.Outputs[0], Layer: v.Name, Kind: Sum, Signed: n.Sites[a].Signed || n.Sites[b].Signed}
	if act := n.rectifier(v.Outputs[0]); act != nil {
		s.Name, s.Signed = act.Outputs[0], false
	}
	if !n.output(s.Name) {
		n.add(s)
		n.folds(v.Outputs[0], s.Name)
	}
}

// joint makes a site of several tensors side by side that are all stored in 8 bits.
func (n *Graph) joint(v *onnx.Node) {
	signed := false
	for _, t := range v.Inputs {
		in, known := n.site[t]
		if !known || n.Sites[in].Kind == Picture {
			return
		}
		signed = signed || n.Sites[in].Signed
	}
	if !n.output(v.Outputs[0]) {
		n.add(Site{Name: v.Outputs[0], Layer: v.Name, Kind: Joined, Signed: signed})
	}
}

// product makes sites of the gate and of the result where v multiplies a site with a sigmoid.
func (n *Graph) product(v *onnx.Node) {
	for i, t := range v.Inputs {
		other := v.Inputs[1-i]
		in, known := n.site[other]
		if !known || n.Sites[in].Kind == Picture || !n.fromSigmoid(t) {
			continue
		}
		if _, known := n.site[t]; !known {
			n.add(Site{Name: t, Layer: v.Name + ".gate", Kind: SEGate})
		}
		n.floor(other, t)
		n.add(Site{Name: v.Outputs[0], Layer: v.Name, Kind: Product, Signed: n.Sites[in].Signed})
		return
	}
}

// sigmoidOf tells whether a tensor is the sigmoid of another, and nothing in between.
func (n *Graph) sigmoidOf(t, of string) bool {
	i, made := n.by[t]
	return made && n.graph.Nodes[i].Inputs[0] == of
}

// paysFrom is how many multiply-adds there must be for each number that is rounded for them alone.
const paysFrom = 32

// pays tells whether a layer that reads floating-point numbers is worth rounding them.
func (n *Graph) pays(v *onnx.Node) bool {
	x, y := n.shapes[v.Inputs[0]], n.shapes[v.Outputs[0]]
	w := n.graph.Initializer(v.Inputs[1]).Dims
	if v.OpType != "Conv" {
		return w[0] >= paysFrom && w[1] >= paysFrom || len(x) == 2 && x[0] == 1
	}
	if x == nil || y == nil {
		return true
	}
	return elements(y)*elements(w[1:]) >= paysFrom*elements(x)
}

func elements(dims []int64) int64 {
	count := int64(1)
	for _, d := range dims {
		count *= d
	}
	return count
}

// maker is the name of the node that makes a tensor.
func (n *Graph) maker(t string) string {
	if i, made := n.by[t]; made {
		return n.graph.Nodes[i].Name
	}
	return t
}

// positive are operators that put out nothing below 0.
var positive = map[string]bool{"Relu": true, "Sigmoid": true, "HardSigmoid": true, "Softmax": true, "Abs": true,
	"Exp": true, "Sqrt": true, "Softplus": true}

// signed tells whether a tensor that an operator in float makes may hold values below 0.
func (n *Graph) signed(t string) bool {
	for {
		i, made := n.by[t]
		if !made {
			return true
		}
		v := &n.graph.Nodes[i]
		if positive[v.OpType] {
			return false
		}
		if !moves[v.OpType] {
			return true
		}
		t = v.Inputs[0]
	}
}

// quantizable tells whether a Conv, Gemm or MatMul is of the plain kind with float32 constants.
func (n *Graph) quantizable(v *onnx.Node) bool {
	w := n.graph.Initializer(v.Inputs[1])
	if w == nil || w.Type != onnx.Float32 || len(w.Dims) < 2 || w.Elements() == 0 || int64(len(w.Data)) != w.Bytes() {
		return false
	}
	if len(v.Inputs) > 2 && v.Inputs[2] != "" {
		b := n.graph.Initializer(v.Inputs[2])
		if b == nil || b.Type != onnx.Float32 || len(b.Dims) != 1 || b.Elements() != outputs(w, columns(v)) ||
			int64(len(b.Data)) != b.Bytes() {
			return false
		}
	}
	switch v.OpType {
	case "Conv":
		return true
	case "MatMul":
		return len(w.Dims) == 2
	}
	transA := v.Attribute("transA")
	return len(w.Dims) == 2 && one(v, "alpha") && one(v, "beta") && (transA == nil || transA.Int == 0)
}

// columns tells whether each output of a layer is a column of its weight.
func columns(v *onnx.Node) bool {
	if v.OpType == "Gemm" {
		transB := v.Attribute("transB")
		return transB == nil || transB.Int == 0
	}
	return v.OpType == "MatMul"
}

// outputs is the number of outputs of a layer with weight w.
func outputs(w *onnx.Tensor, columns bool) int64 {
	if columns {
		return w.Dims[len(w.Dims)-1]
	}
	return w.Dims[0]
}

func one(v *onnx.Node, name string) bool {
	a := v.Attribute(name)
	return a == nil || a.Float == 1
}
