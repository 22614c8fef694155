package quant

import (
	"fmt"
	"slices"

	"github.com/vggse/vggse-agent/onnx"
)

// Site is a tensor between two layers that is stored in 8 bits: the picture, what leaves a ReLU, a
// gate of a squeeze-excitation block, and the product of the two.
type Site struct {
	Name  string // of the tensor in the FP32 graph
	Layer string // of the node that makes it; "input" for the picture
	Kind  Kind
}

// Kind says where a Site stands.
type Kind string

// The kinds of sites. All but the picture hold no negative values.
const (
	Picture    Kind = "picture"
	Activation Kind = "activation"
	Squeeze    Kind = "squeeze" // the mean of a map, which a gate is worked out of
	SEGate     Kind = "gate"
	Product    Kind = "product"
)

// Layer is a convolution or a fully connected layer whose inputs and weights are quantized.
type Layer struct {
	Name         string
	Op           string // Conv or Gemm
	Weight, Bias string // initializers; Bias may be ""
	In           int    // the site it reads
	Reads        string // the tensor that it reads: the site, or what a pool or flatten made of it
	out          string // what it puts out
	Relu         string // what the ReLU behind it puts out; "" where there is none
	Last         bool   // it puts out the answer of the network
	Pad          int64  // channels of zeros that the CPU file adds to the picture: see padPicture
	Size         int64  // number of weights
}

// Network is what there is to quantize in a graph.
type Graph struct {
	Sites  []Site
	Layers []Layer // in the order of the graph

	graph *onnx.Graph
	site  map[string]int   // tensor → its site; those behind a pool or a flatten have that of their input
	users map[string][]int // tensor → the nodes that read it
	by    map[string]int   // tensor → the node that makes it
	gate  map[int]bool     // nodes that only work out a gate
}

// Analyse finds what can be quantized in the graph of m, whose picture is the tensor input. It goes
// by operators, not by names: convolutions with a ReLU, Mul with a gate that comes from a Sigmoid,
// pools, and Gemm behind a flatten. What it does not know stays in float.
func Analyse(m *onnx.Model, input string) (*Graph, error) {
	nameNodes(&m.Graph)
	n := &Graph{graph: &m.Graph, site: map[string]int{}, users: map[string][]int{}, by: map[string]int{}}
	for i := range n.graph.Nodes {
		for _, t := range n.graph.Nodes[i].Inputs {
			n.users[t] = append(n.users[t], i)
		}
		for _, t := range n.graph.Nodes[i].Outputs {
			n.by[t] = i
		}
	}
	n.add(Site{Name: input, Layer: "input", Kind: Picture})
	n.gate = n.gateNodes()
	for i := range n.graph.Nodes {
		v := &n.graph.Nodes[i]
		if !n.gate[i] {
			n.node(v)
		} else if in, known := n.site[first(v.Inputs)]; known && v.OpType == "GlobalAveragePool" &&
			n.Sites[in].Kind != Picture {
			n.add(Site{Name: v.Outputs[0], Layer: v.Name, Kind: Squeeze})
		}
	}
	n.padPicture()
	if len(n.Layers) == 0 {
		return nil, fmt.Errorf("quant: the graph has no convolution that reads %q: nothing can be quantized", input)
	}
	return n, nil
}

// nameNodes gives nodes without a name, or with that of another, one of their own: plans go by it.
func nameNodes(g *onnx.Graph) {
	taken := map[string]bool{}
	for i := range g.Nodes {
		taken[g.Nodes[i].Name] = true
	}
	seen := map[string]bool{"": true}
	for i := range g.Nodes {
		n := &g.Nodes[i]
		for k := 0; seen[n.Name]; k++ {
			if name := fmt.Sprintf("%s/%d.%d", n.OpType, i, k); !taken[name] {
				n.Name = name
			}
		}
		seen[n.Name] = true
	}
}

// convolvedBy is what ONNX Runtime's direct integer convolution on x86 wants the channels to be a
// multiple of (KernelInputChannelAlignment of its MLAS); with any other number it first copies each
// pixel's neighbourhood.
const convolvedBy = 4

// padPicture sees to it that the picture has as many channels as a direct convolution wants, where
// nothing but plain convolutions reads it: the first layer of the full-size network then takes 2 ms
// instead of 7 (measured 2026-11-26, one core of a Xeon with VNNI). The weights of the new channel
// are 0, so the sums are the same.
func (n *Graph) padPicture() {
	var readers []*Layer
	for i := range n.Layers {
		l := &n.Layers[i]
		group := n.graph.Nodes[n.by[l.out]].Attribute("group")
		if l.Op == "Conv" && l.Reads == n.Sites[Input].Name && len(n.graph.Initializer(l.Weight).Dims) == 4 &&
			(group == nil || group.Int == 1) {
			readers = append(readers, l)
		}
	}
	if len(readers) != len(n.users[n.Sites[Input].Name]) {
		return
	}
	for _, l := range readers {
		l.Pad = -n.graph.Initializer(l.Weight).Dims[1] & (convolvedBy - 1)
	}
}

// stored is the weight of a layer as the CPU file has it: with the channels that are added to the
// picture.
func (n *Graph) stored(l *Layer) *onnx.Tensor {
	w := n.graph.Initializer(l.Weight)
	if l.Pad == 0 {
		return w
	}
	out, channels, area := int(w.Dims[0]), int(w.Dims[1]), int(w.Dims[2]*w.Dims[3])
	row, wide := channels*area, (channels+int(l.Pad))*area
	values := make([]float32, out*wide)
	for i := range out * row {
		values[i/row*wide+i%row] = float32(weights(w.Data).at(i))
	}
	t := onnx.NewFloat32(w.Name, values, w.Dims[0], w.Dims[1]+l.Pad, w.Dims[2], w.Dims[3])
	return &t
}

func (n *Graph) add(s Site) {
	n.site[s.Name] = len(n.Sites)
	n.Sites = append(n.Sites, s)
}

// node sees what one node does to the sites.
func (n *Graph) node(v *onnx.Node) {
	in, known := n.site[first(v.Inputs)]
	switch v.OpType {
	case "Conv", "Gemm":
		if known && n.quantizable(v) {
			n.layer(v, in)
		}
	case "MaxPool", "AveragePool", "Flatten", "Reshape":
		if known {
			n.site[v.Outputs[0]] = in
		}
	case "Mul":
		n.product(v)
	}
}

// layer takes in a convolution or Gemm that reads site in, and the ReLU behind it.
func (n *Graph) layer(v *onnx.Node, in int) {
	l := Layer{Name: v.Name, Op: v.OpType, Weight: v.Inputs[1], In: in, Reads: v.Inputs[0], out: v.Outputs[0],
		Last: n.output(v.Outputs[0]),
		Size: n.graph.Initializer(v.Inputs[1]).Elements()}
	if len(v.Inputs) > 2 {
		l.Bias = v.Inputs[2]
	}
	if users := n.users[v.Outputs[0]]; len(users) == 1 && n.graph.Nodes[users[0]].OpType == "Relu" {
		l.Relu = n.graph.Nodes[users[0]].Outputs[0]
		if !n.output(l.Relu) {
			n.add(Site{Name: l.Relu, Layer: v.Name, Kind: Activation})
		}
	}
	n.Layers = append(n.Layers, l)
}

// product makes sites of the gate and of the result where v multiplies a site with a sigmoid.
func (n *Graph) product(v *onnx.Node) {
	for i, t := range v.Inputs {
		other := v.Inputs[1-i]
		if _, known := n.site[other]; known && n.Sites[n.site[other]].Kind != Picture && n.fromSigmoid(t) {
			n.add(Site{Name: t, Layer: v.Name + ".gate", Kind: SEGate})
			n.add(Site{Name: v.Outputs[0], Layer: v.Name, Kind: Product})
			return
		}
	}
}

// gateNodes finds what works out the gates of attention blocks: everything between a map and what
// it is multiplied with. It stays in float: it is a small part of the work, and what it gets wrong
// hits a whole channel or place.
func (n *Graph) gateNodes() map[int]bool {
	marked := map[int]bool{}
	var mark func(t, stop string)
	mark = func(t, stop string) {
		i, made := n.by[t]
		if t == stop || !made || marked[i] {
			return
		}
		marked[i] = true
		for _, in := range n.graph.Nodes[i].Inputs {
			mark(in, stop)
		}
	}
	for i := range n.graph.Nodes {
		v := &n.graph.Nodes[i]
		if v.OpType != "Mul" || len(v.Inputs) != 2 {
			continue
		}
		for k, t := range v.Inputs {
			if other := v.Inputs[1-k]; n.fromSigmoid(t) && !n.fromSigmoid(other) && n.reaches(t, other) {
				mark(t, other)
			}
		}
	}
	return marked
}

// reaches tells whether tensor t is worked out from tensor from, within a block's few nodes.
func (n *Graph) reaches(t, from string) bool {
	next := []string{t}
	for range 40 {
		if len(next) == 0 {
			return false
		}
		if next[0] == from {
			return true
		}
		if i, made := n.by[next[0]]; made {
			next = append(next, n.graph.Nodes[i].Inputs...)
		}
		next = next[1:]
	}
	return false
}

// fromSigmoid follows a tensor up through operators that only move values.
func (n *Graph) fromSigmoid(t string) bool {
	for {
		i, made := n.by[t]
		if !made {
			return false
		}
		switch v := &n.graph.Nodes[i]; v.OpType {
		case "Sigmoid":
			return true
		case "Unsqueeze", "Reshape", "Expand", "Identity":
			t = v.Inputs[0]
		case "Add": // the gates of scSE and BAM: a sum with a sigmoid or a constant, never negative
			return n.fromSigmoid(v.Inputs[0]) || n.fromSigmoid(v.Inputs[1])
		default:
			return false
		}
	}
}

// onlyPooled tells whether v is the product of values with a gate that is one number a channel, and
// a MaxPool all that reads it.
func (n *Graph) onlyPooled(v *onnx.Node) bool {
	out := first(v.Outputs)
	if site, known := n.site[out]; !known || n.Sites[site].Name != out || n.Sites[site].Kind != Product ||
		n.output(out) {
		return false
	}
	users := n.users[out]
	if len(users) != 1 || n.graph.Nodes[users[0]].OpType != "MaxPool" || len(n.graph.Nodes[users[0]].Outputs) != 1 {
		return false
	}
	return n.ofWholeChannels(v.Inputs[0], v.Inputs[1]) || n.ofWholeChannels(v.Inputs[1], v.Inputs[0])
}

// ofWholeChannels tells whether t is a sigmoid of what a global average of from says, channel by
// channel.
func (n *Graph) ofWholeChannels(t, from string) bool {
	for sigmoids := 0; ; {
		i, made := n.by[t]
		if !made {
			return false
		}
		v := &n.graph.Nodes[i]
		switch v.OpType {
		case "GlobalAveragePool":
			return sigmoids == 1 && v.Inputs[0] == from
		case "Sigmoid":
			sigmoids++
		case "Unsqueeze", "Squeeze", "Reshape", "Flatten", "Identity", "Relu":
		case "Gemm", "MatMul", "Conv":
			if n.graph.Initializer(v.Inputs[1]) == nil {
				return false
			}
		default:
			return false
		}
		t = v.Inputs[0]
	}
}

// quantizable tells whether a Conv or Gemm is of the plain kind with float32 constants.
func (n *Graph) quantizable(v *onnx.Node) bool {
	w := n.graph.Initializer(v.Inputs[1])
	if w == nil || w.Type != onnx.Float32 || len(w.Dims) < 2 || int64(len(w.Data)) != w.Bytes() {
		return false
	}
	if len(v.Inputs) > 2 {
		if b := n.graph.Initializer(v.Inputs[2]); b == nil || b.Type != onnx.Float32 || b.Elements() != w.Dims[0] {
			return false
		}
	}
	if v.OpType == "Conv" {
		return true
	}
	transB := v.Attribute("transB")
	return transB != nil && transB.Int == 1 && one(v, "alpha") && one(v, "beta") && v.Attribute("transA") == nil
}

func one(v *onnx.Node, name string) bool {
	a := v.Attribute(name)
	return a == nil || a.Float == 1
}

// output tells whether a tensor leaves the graph.
func (n *Graph) output(t string) bool {
	return slices.ContainsFunc(n.graph.Outputs, func(v onnx.ValueInfo) bool { return v.Name == t })
}

// Tensors are what a collection looks at: all sites but the picture, whose range the preprocessing
// gives, and behind them what layers read that is no site: of a pooled tensor only the means are
// wanted.
func (n *Graph) Tensors() []string {
	var names []string
	for _, s := range n.Sites[1:] {
		names = append(names, s.Name)
	}
	for _, l := range n.Layers {
		if n.Sites[n.site[l.Reads]].Name != l.Reads && !slices.Contains(names, l.Reads) {
			names = append(names, l.Reads)
		}
	}
	return names
}

func first(s []string) string {
	if len(s) == 0 {
		return ""
	}
	return s[0]
}
