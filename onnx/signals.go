package onnx

import (
	"fmt"
	"slices"
	"strconv"
)

// MostBlocks is the largest number of attention blocks whose signals a file has as outputs.
const MostBlocks = 64

// FeaturesOutput is the name of the output with what the last dense layer reads.
const FeaturesOutput = "features"

// SqueezeOutput is the name of the output with the channel means of an attention block, from 1.
func SqueezeOutput(block int) string { return fmt.Sprintf("squeeze%d", block) }

// GateOutput is the name of the output with the factors of an attention block, from 1.
func GateOutput(block int) string { return fmt.Sprintf("gate%d", block) }

// Signals says which signals Expose gives a file.
type Signals int

// What a file is given.
const (
	FeaturesOnly Signals = iota // what the last dense layer reads
	AllSignals                  // and of each channel attention (SE, ECA) what it squeezes, and its gates
	// AllInPlace is AllSignals where rows that are there already get the name of the output, instead
	// of being copied: for files whose inner names nobody goes by. On small networks nodes cost time.
	AllInPlace
)

// Expose adds outputs to a classifier whose scores are the given output: FeaturesOutput, N × width,
// and SqueezeOutput and GateOutput of each block, N × channels, all float32. What is there as
// integers is taken from these by a DequantizeLinear of its own: runtimes fuse one only where
// nothing else reads it. The nodes in front stay as they are, and so do the scores. What the
// network does not have, or has under unknown shapes, is left out, and so is what the file exposes
// already.
func (m *Model) Expose(output string, what Signals) {
	m.Graph.Nodes, m.Graph.Outputs = slices.Clone(m.Graph.Nodes), slices.Clone(m.Graph.Outputs)
	m.Graph.Initializers = slices.Clone(m.Graph.Initializers)
	m.Graph.freeNames()
	e := exposure{m: m, inPlace: what == AllInPlace, h: newHead(&m.Graph, output), shapes: m.Graph.Shapes(),
		used: m.Graph.names()}
	if i := slices.IndexFunc(m.Graph.Outputs, func(o ValueInfo) bool { return o.Name == output }); i >= 0 &&
		len(m.Graph.Outputs[i].Shape) > 0 {
		e.batch = m.Graph.Outputs[i].Shape[0]
	}
	var blocks []block
	if what != FeaturesOnly {
		blocks = e.blocks()
	}
	if l, err := m.LastLayer(output); err == nil {
		e.expose(l.Features, FeaturesOutput, int64(l.Width))
	}
	for i, b := range blocks {
		squeeze := b.squeeze
		if e.inPlace && e.kind(squeeze) == Float32 {
			squeeze = e.row(squeeze)
		}
		e.expose(squeeze, SqueezeOutput(i+1), elements(e.shapes[b.squeeze]))
		e.expose(b.gate, GateOutput(i+1), elements(e.shapes[b.gate]))
	}
}

// Exposes tells whether the file has the features among its outputs, beside the scores in the given
// one.
func (m *Model) Exposes(output string) bool {
	return output != FeaturesOutput &&
		slices.ContainsFunc(m.Graph.Outputs, func(o ValueInfo) bool { return o.Name == FeaturesOutput })
}

// GiveFeatures is Expose for a file of before there were signals, and tells whether the file has the
// features now; blocks is whether it may have those of its blocks, too.
func (m *Model) GiveFeatures(output string, blocks bool) bool {
	what := FeaturesOnly
	if blocks {
		what = AllInPlace
	}
	m.Expose(output, what)
	return m.Exposes(output)
}

// Conceal leaves the model the one output of the given name, and drops what only others need: the
// network as it was before Expose.
func (m *Model) Conceal(output string) {
	i := slices.IndexFunc(m.Graph.Outputs, func(o ValueInfo) bool { return o.Name == output })
	if i < 0 || len(m.Graph.Outputs) == 1 {
		return
	}
	m.Graph.Outputs = m.Graph.Outputs[i : i+1 : i+1]
	m.Graph.prune(output)
	m.Graph.dropUnused()
}

// freeNames gives tensors inside that have the name of a signal another one. What is an input or an
// output, or stands in the graph inside a node, keeps its own.
func (g *Graph) freeNames() {
	b := builder{used: g.names()}
	names := []string{FeaturesOutput}
	for i := range MostBlocks {
		names = append(names, SqueezeOutput(i+1), GateOutput(i+1))
	}
	for _, name := range names {
		if !b.used[name] || g.isPort(name) {
			continue
		}
		other := b.name(name + "/inner")
		g.rename(name, other)
		for i := range g.Initializers {
			if g.Initializers[i].Name == name {
				g.Initializers[i].Name = other
			}
		}
	}
}

// isPort tells whether a name is that of an input or output, or is known inside a node.
func (g *Graph) isPort(name string) bool {
	named := func(v ValueInfo) bool { return v.Name == name }
	return slices.ContainsFunc(g.Inputs, named) || slices.ContainsFunc(g.Outputs, named) ||
		slices.ContainsFunc(g.Nodes, func(n Node) bool {
			return slices.ContainsFunc(n.Attributes, func(a Attribute) bool { return a.Graph != nil })
		})
}

// isSignal tells whether an output has the name of a signal.
func isSignal(name string) bool {
	if name == FeaturesOutput {
		return true
	}
	for i := range MostBlocks {
		if name == SqueezeOutput(i+1) || name == GateOutput(i+1) {
			return true
		}
	}
	return false
}

// exposure is one Expose under way.
type exposure struct {
	m       *Model
	inPlace bool
	h       *head
	shapes  map[string][]int64
	used    map[string]bool
	batch   Dim
}

// expose makes the tensor an output, N × width.
func (e *exposure) expose(tensor, name string, width int64) {
	g := &e.m.Graph
	if e.used[name] {
		return // the file has it already, or calls something else so
	}
	steps := e.copyOf(tensor)
	if e.kind(tensor) != Float32 {
		steps = append(steps, castTo("", Float32))
	}
	if len(e.shapes[tensor]) > 2 {
		steps = append(steps, Node{OpType: "Flatten", Attributes: []Attribute{Int("axis", 1)}})
	}
	switch {
	case len(steps) > 0:
	case e.inPlace && !g.isPort(tensor) && name != FeaturesOutput:
		g.rename(tensor, name)
	default:
		steps = []Node{{OpType: "Identity"}}
	}
	for i, n := range steps {
		if n.Name = name + "/" + strconv.Itoa(i); len(n.Inputs) == 0 || n.Inputs[0] == "" {
			n.Inputs = []string{tensor}
		}
		if tensor = n.Name; i == len(steps)-1 {
			tensor = name
		}
		n.Outputs = []string{tensor}
		g.Nodes = append(g.Nodes, n)
	}
	g.Outputs = append(g.Outputs, ValueInfo{Name: name, Type: Float32, Shape: []Dim{e.batch, {Size: width}}})
}

// row is the tensor of rows that a Flatten makes of one with a number for each channel, through a
// rounding; where there is none, the tensor itself.
func (e *exposure) row(tensor string) string {
	at := tensor
	for range 3 {
		k := slices.IndexFunc(e.m.Graph.Nodes, func(n Node) bool {
			return gateOps[n.OpType] && first(n.Inputs) == at && n.OpType != "Cast"
		})
		if k < 0 {
			return tensor
		}
		at = e.m.Graph.Nodes[k].Outputs[0]
		if shape := e.shapes[at]; len(shape) == 2 && elements(shape) == elements(e.shapes[tensor]) {
			return at
		}
	}
	return tensor
}

// copyOf is the node, if one is needed, that makes what the tensor holds once more.
func (e *exposure) copyOf(tensor string) []Node {
	if maker := e.h.maker(tensor); maker != nil && maker.OpType == "DequantizeLinear" {
		return []Node{*maker}
	}
	for i := range e.m.Graph.Nodes { // what is rounded at once may be made by an operator on integers
		if n := &e.m.Graph.Nodes[i]; n.OpType == "QuantizeLinear" && first(n.Inputs) == tensor {
			return []Node{{OpType: "DequantizeLinear", Inputs: append([]string{n.Outputs[0]}, n.Inputs[1:]...),
				Attributes: n.Attributes}}
		}
	}
	return nil
}

var floating = map[DataType]bool{Float16: true, Float32: true, BFloat16: true, Float64: true}

// kind is the type of a tensor of floating-point numbers: that of the nearest constants above it.
func (e *exposure) kind(tensor string) DataType {
	for range 1000 {
		n := e.h.maker(tensor)
		if n == nil {
			break
		}
		if to := n.Attribute("to"); n.OpType == "Cast" && to != nil {
			return DataType(to.Int)
		}
		for i, t := range n.Inputs {
			c := e.m.Graph.Initializer(t)
			scale := i == 1 || n.OpType != "DequantizeLinear"
			if c != nil && scale && floating[c.Type] {
				return c.Type
			}
		}
		tensor = first(n.Inputs)
	}
	return Float32
}

// block is an attention over channels: a gate for each channel, made of the channels' means.
type block struct{ squeeze, gate string }

// blocks finds them: products of a map and a row of sigmoids of a global mean.
func (e *exposure) blocks() (all []block) {
	for i := range e.m.Graph.Nodes {
		n := &e.m.Graph.Nodes[i]
		if n.OpType != "Mul" || len(n.Inputs) != 2 || len(all) == MostBlocks {
			continue
		}
		for k, gate := range n.Inputs {
			if b, ok := e.block(gate, n.Inputs[1-k]); ok && !slices.Contains(all, b) {
				all = append(all, b)
			}
		}
	}
	return all
}

// Operators between a gate and the Sigmoid that makes it, and between that and the mean.
var (
	gateOps = map[string]bool{"Identity": true, "Cast": true, "Unsqueeze": true, "Reshape": true, "Expand": true,
		"Transpose": true, "Squeeze": true, "Flatten": true, "QuantizeLinear": true, "DequantizeLinear": true}
	exciteOps = map[string]bool{"Gemm": true, "MatMul": true, "Conv": true, "Add": true, "Sub": true, "Relu": true,
		"PRelu": true, "LeakyRelu": true, "Clip": true, "HardSwish": true, "BatchNormalization": true, "Dropout": true}
)

// block follows a factor of a map back to the mean that it is made of.
func (e *exposure) block(gate, x string) (b block, ok bool) {
	sigmoid := e.above(gate, gateOps)
	if sigmoid == nil || sigmoid.OpType != "Sigmoid" && sigmoid.OpType != "HardSigmoid" {
		return b, false
	}
	mean := e.above(first(sigmoid.Inputs), exciteOps)
	if mean == nil || mean.OpType != "GlobalAveragePool" && mean.OpType != "ReduceMean" {
		return b, false
	}
	if e.above(x, exciteOps) == mean {
		return b, false // an activation of what is made of the mean
	}
	b = block{mean.Outputs[0], sigmoid.Outputs[0]}
	n := channels(e.shapes[b.squeeze])
	return b, n > 0 && n == channels(e.shapes[b.gate]) && elements(e.shapes[x])%n == 0
}

// above is the node above the operators that are passed, each with its one fed input; of x·sigmoid x,
// which is an activation, x goes on.
func (e *exposure) above(t string, pass map[string]bool) *Node {
	for range 32 {
		n := e.h.maker(t)
		if n == nil {
			return nil
		}
		up := e.h.fedInput(n)
		if n.OpType == "Mul" && len(n.Inputs) == 2 && up == "" {
			for k, s := range n.Inputs {
				if m := e.h.maker(s); m != nil && m.OpType == "Sigmoid" && first(m.Inputs) == n.Inputs[1-k] {
					up = n.Inputs[1-k]
				}
			}
			if up == "" {
				return nil
			}
		} else if !pass[n.OpType] && !gateOps[n.OpType] {
			return n
		}
		t = up
	}
	return nil
}

// channels is the length of a shape of one picture with one number for each channel; else 0.
func channels(shape []int64) int64 {
	if len(shape) < 2 || shape[0] != 1 || elements(shape) > MaxChannels ||
		!slices.Contains(shape, elements(shape)) {
		return 0
	}
	return elements(shape)
}

// MaxChannels is the largest number of channels of a block that is exposed.
const MaxChannels = 1 << 14

func elements(shape []int64) int64 {
	if len(shape) == 0 {
		return 0
	}
	n := int64(1)
	for _, d := range shape {
		n *= d
	}
	return n
}
