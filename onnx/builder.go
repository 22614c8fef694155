package onnx

import (
	"encoding/binary"
	"math"
	"slices"
	"strconv"
)

// builder adds nodes to a graph, under names that nothing in it has yet, in the form that the
// model's operator set wants.
type builder struct {
	m    *Model
	used map[string]bool
}

// names are all names of tensors and nodes in the graph and in those inside it.
func (g *Graph) names() map[string]bool {
	used := map[string]bool{}
	var add func(*Graph)
	add = func(g *Graph) {
		for i := range g.Nodes {
			n := &g.Nodes[i]
			used[n.Name] = true
			for _, t := range slices.Concat(n.Inputs, n.Outputs) {
				used[t] = true
			}
			for _, a := range n.Attributes {
				if a.Graph != nil {
					add(a.Graph)
				}
			}
		}
		for i := range g.Initializers {
			used[g.Initializers[i].Name] = true
		}
		for _, v := range slices.Concat(g.Inputs, g.Outputs) {
			used[v.Name] = true
		}
	}
	add(g)
	return used
}

// name is the word given, with a number where it is taken.
func (b *builder) name(word string) string {
	name := word
	for i := 2; b.used[name] || name == ""; i++ {
		name = word + "_" + strconv.Itoa(i)
	}
	b.used[name] = true
	return name
}

// constant adds an initializer and returns its name.
func (b *builder) constant(t Tensor) string {
	t.Name = b.name(t.Name)
	b.m.Graph.Initializers = append(b.m.Graph.Initializers, t)
	return t.Name
}

// node adds a node behind all others and returns the tensor that it makes.
func (b *builder) node(n Node, out string) string {
	n = b.named(n, out)
	b.m.Graph.Nodes = append(b.m.Graph.Nodes, n)
	return n.Outputs[0]
}

// named gives a node its output and a name.
func (b *builder) named(n Node, out string) Node {
	n.Outputs = []string{b.name(out)}
	n.Name = b.name("to_" + n.Outputs[0])
	return n
}

// castTo is a Cast.
func castTo(x string, t DataType) Node {
	return Node{OpType: "Cast", Inputs: []string{x}, Attributes: []Attribute{Int("to", int64(t))}}
}

// reshaped is a Reshape to constant dimensions, of operator set 5 or older ones.
func (b *builder) reshaped(x string, dims ...int64) Node {
	if b.m.Opset("") < 5 {
		return Node{OpType: "Reshape", Inputs: []string{x}, Attributes: []Attribute{Ints("shape", dims...)}}
	}
	return Node{OpType: "Reshape", Inputs: []string{x, b.constant(NewInt64("shape", dims, int64(len(dims))))}}
}

// cropped is the front of the last two of four dimensions, height×width.
func (b *builder) cropped(x string, height, width int64) Node {
	if b.m.Opset("") < 10 {
		return Node{OpType: "Slice", Inputs: []string{x}, Attributes: []Attribute{Ints("starts", 0, 0),
			Ints("ends", height, width), Ints("axes", 2, 3)}}
	}
	return Node{OpType: "Slice", Inputs: []string{x, b.constant(NewInt64("starts", []int64{0, 0}, 2)),
		b.constant(NewInt64("ends", []int64{height, width}, 2)), b.constant(NewInt64("axes", []int64{2, 3}, 2))}}
}

// padded has one more channel behind the others, all of one value.
func (b *builder) padded(x string, value float32) Node {
	pads := []int64{0, 0, 0, 0, 0, 1, 0, 0}
	if b.m.Opset("") < 11 {
		return Node{OpType: "Pad", Inputs: []string{x}, Attributes: []Attribute{Ints("pads", pads...),
			Float("value", value)}}
	}
	data := binary.LittleEndian.AppendUint32(nil, math.Float32bits(value))
	return Node{OpType: "Pad", Inputs: []string{x, b.constant(NewInt64("pads", pads, 8)),
		b.constant(Tensor{Name: "opaque", Type: Float32, Dims: []int64{}, Data: data})}}
}

// gathered are the elements with the given places along an axis.
func (b *builder) gathered(x string, axis int64, places ...int64) Node {
	return Node{OpType: "Gather", Inputs: []string{x, b.constant(NewInt64("places", places, int64(len(places))))},
		Attributes: []Attribute{Int("axis", axis)}}
}

// feed puts in front of the graph what leads from N×3×S×S to the input that it came with.
func (b *builder) feed(c *Classifier, w *Wanted) {
	p := &c.Picture
	size := Dim{Size: int64(c.Size)}
	shape := []Dim{{Name: "N"}, {Size: 3}, size, size}
	var steps []func(x string) Node
	add := func(step func(x string) Node) { steps = append(steps, step) }
	if p.Height != p.Width {
		add(func(x string) Node { return b.cropped(x, int64(p.Height), int64(p.Width)) })
	}
	switch p.Channels {
	case 1:
		add(func(x string) Node { return b.gathered(x, 1, 0) })
	case 4:
		add(func(x string) Node { return b.padded(x, w.Opaque) })
	}
	if p.ChannelsLast && !b.m.Graph.cancel(p.Name) {
		add(func(x string) Node {
			return Node{OpType: "Transpose", Inputs: []string{x}, Attributes: []Attribute{Ints("perm", 0, 2, 3, 1)}}
		})
	}
	if p.NoBatch {
		add(func(x string) Node { return b.reshaped(x, p.dims(0)...) })
	}
	if p.Type != Float32 {
		add(func(x string) Node { return castTo(x, p.Type) })
	}
	if w.Repeat && p.Batch > 1 {
		add(func(x string) Node {
			return Node{OpType: "Concat", Inputs: slices.Repeat([]string{x}, p.Batch),
				Attributes: []Attribute{Int("axis", 0)}}
		})
	}
	if len(steps) > 0 {
		c.Input = b.name("pictures")
		b.lead(steps, c.Input, p.Name)
	}
	b.m.Graph.Inputs = []ValueInfo{{Name: c.Input, Type: Float32, Shape: shape}}
	if w.Repeat || p.NoBatch {
		b.m.FixBatch()
	}
}

// lead puts nodes before all others that make the tensor to of the tensor from, step by step.
func (b *builder) lead(steps []func(string) Node, from, to string) {
	var nodes []Node
	for i, step := range steps {
		n := step(from)
		if n = b.named(n, "picture"); i == len(steps)-1 {
			n.Outputs = []string{to}
		}
		nodes, from = append(nodes, n), n.Outputs[0]
	}
	b.m.Graph.Nodes = append(nodes, b.m.Graph.Nodes...)
}

// cancel leaves Transposes from channels last to channels first out, where nothing else reads the
// input, and tells whether it did.
func (g *Graph) cancel(input string) bool {
	var first []int
	for i := range g.Nodes {
		n := &g.Nodes[i]
		if !slices.Contains(n.Reads(), input) {
			continue
		}
		perm := n.Attribute("perm")
		if n.OpType != "Transpose" || perm == nil || !slices.Equal(perm.Ints, []int64{0, 3, 1, 2}) ||
			g.isOutput(n.Outputs[0]) {
			return false
		}
		first = append(first, i)
	}
	for _, i := range slices.Backward(first) {
		old := g.Nodes[i].Outputs[0]
		g.Nodes = slices.Delete(g.Nodes, i, i+1)
		g.replace(old, input)
	}
	return len(first) > 0
}

func (g *Graph) isOutput(t string) bool {
	return slices.ContainsFunc(g.Outputs, func(o ValueInfo) bool { return o.Name == t })
}

// replace makes all nodes that read the tensor old read another, also inside If and Loop.
func (g *Graph) replace(old, by string) {
	for i := range g.Nodes {
		n := &g.Nodes[i]
		if at := slices.Index(n.Inputs, old); at >= 0 {
			n.Inputs = slices.Clone(n.Inputs)
			for k, t := range n.Inputs {
				if t == old {
					n.Inputs[k] = by
				}
			}
		}
		for _, a := range n.Attributes {
			if a.Graph != nil {
				a.Graph.replace(old, by)
			}
		}
	}
}

// answer puts behind the graph what makes rows of float32 scores of its answer.
func (b *builder) answer(c *Classifier, out *answer, w *Wanted) {
	at := out.at
	add := func(n Node) { at = b.node(n, "scores") }
	if out.kind != Float32 {
		add(castTo(at, Float32))
	}
	classes := int64(w.Classes)
	if out.head == HeadOne {
		classes = 1
	}
	if !out.rows {
		add(b.reshaped(at, -1, classes))
	}
	if w.Repeat && c.Batch > 1 {
		add(b.gathered(at, 0, 0))
	}
	if out.head == HeadOne {
		zero := b.node(Node{OpType: "Sub", Inputs: []string{at, at}}, "zero")
		add(Node{OpType: "Concat", Inputs: []string{zero, at}, Attributes: []Attribute{Int("axis", 1)}})
	}
	c.Output = at
	b.m.Graph.Outputs = []ValueInfo{{Name: at, Type: Float32, Shape: []Dim{{Name: "N"}, {Size: int64(w.Classes)}}}}
}

// AddOutput adds an output with the numbers of a tensor of the graph as float32, in one row, and
// returns its name.
func (m *Model) AddOutput(tensor string) string {
	b := builder{m: m, used: m.Graph.names()}
	name := b.node(b.reshaped(b.node(castTo(tensor, Float32), "scores"), -1), "scores")
	m.Graph.Outputs = []ValueInfo{{Name: name, Type: Float32}}
	m.silence()
	return name
}
