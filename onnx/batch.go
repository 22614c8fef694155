package onnx

import "slices"

// ratio is how many times more pictures go through the second of two shapers: a number that no
// dimension of a network is likely to grow by for another reason.
const ratio = 7

// freeBatch takes the number of pictures that a file was exported for out of its graph: where it
// stands in the shape that a Reshape or Expand makes, and where constants for one picture are put
// beside what comes of several. What the file answers to as many pictures as it wants stays the
// same. Where the number stands elsewhere, it stays.
func (m *Model) freeBatch(p *Picture) {
	g, batch := &m.Graph, int64(max(p.Batch, 1))
	for i := range g.Inputs {
		if in := &g.Inputs[i]; in.Name == p.Name {
			in.Shape = []Dim{{}}
			for _, d := range p.dims(0) {
				in.Shape = append(in.Shape, Dim{Size: d})
			}
		}
	}
	f := freeing{b: builder{m: m, used: g.names()}, batch: batch, file: shaper{graph: g, batch: batch},
		more: shaper{graph: g, batch: ratio * batch}, before: map[int][]Node{}}
	f.file.run()
	f.more.visit = f.node
	f.more.run()
	var nodes []Node
	for i := range g.Nodes {
		nodes = append(append(nodes, f.before[i]...), g.Nodes[i])
	}
	g.Nodes = nodes
}

// freeing is a graph on its way to any number of pictures, node by node in their order.
type freeing struct {
	b      builder
	batch  int64          // that the file was exported for
	file   shaper         // with that many pictures
	more   shaper         // with ratio times as many
	before map[int][]Node // what comes in front of a node
}

// node frees one node whose inputs are free.
func (f *freeing) node(i int, n *Node) {
	switch n.OpType {
	case "Reshape":
		f.reshape(n)
	case "Expand":
		f.expand(n)
	case "Resize":
		f.resize(n)
	case "Concat":
		f.concat(i, n)
	}
}

// grown is the one dimension of an input that grows with the pictures, -1 where there is none.
func (f *freeing) grown(t string) int {
	few, many := f.file.shapes[t], f.more.shapes[t]
	if len(few) == 0 || len(few) != len(many) {
		return -1
	}
	at := -1
	for i := range few {
		switch {
		case few[i] == many[i]:
		case at >= 0 || many[i] != ratio*few[i]:
			return -1
		default:
			at = i
		}
	}
	return at
}

// constant is an argument that does not depend on the number of pictures, nil where it does or is
// not known.
func (f *freeing) constant(n *Node, name string, input int) []int64 {
	to := f.file.ints(n, name, input)
	if slices.Equal(to, f.more.ints(n, name, input)) {
		return to
	}
	return nil
}

// reshape leaves the dimension with the pictures open: it begins where as much lies in front of it
// as in front of theirs in what comes.
func (f *freeing) reshape(n *Node) {
	if len(n.Inputs) == 0 {
		return
	}
	few, many, axis := f.file.in(n, 0), f.more.in(n, 0), f.grown(n.Inputs[0])
	to, zeros := f.constant(n, "shape", 1), integer(n, "allowzero", 0) != 0 // they are dimensions of no length
	if zeros && slices.Contains(to, 0) {
		return
	}
	whole := reshape(few, to)
	if axis < 0 || len(whole) < 2 || product(whole) != product(few) {
		return
	}
	at, front := 0, product(few[:axis])
	for at < len(whole) && (product(whole[:at]) != front || whole[at]%f.batch != 0) {
		at++
	}
	if at == len(whole) {
		return
	}
	wanted := slices.Clone(whole)
	wanted[at] *= ratio
	if slices.Equal(reshape(many, to), wanted) {
		return
	}
	free := slices.Clone(to)
	if at == axis && few[at] == whole[at] && !zeros {
		free[at] = 0 // as the tensor has it
	} else {
		free = whole
		free[at] = -1
	}
	f.argument(n, "shape", 1, free)
}

// expand leaves the pictures to what it is made larger for: 1 goes with any number.
func (f *freeing) expand(n *Node) {
	to := f.constant(n, "shape", 1)
	if f.batch > 1 && len(to) > 1 && to[0] == f.batch {
		f.argument(n, "shape", 1, append([]int64{1}, to[1:]...))
	}
}

// resize says the lengths of the dimensions that it changes only.
func (f *freeing) resize(n *Node) {
	few, sizes := f.file.in(n, 0), f.constant(n, "sizes", 3)
	if len(n.Inputs) < 4 || n.Inputs[1] != "" || f.b.m.Opset("") < 18 || n.Attribute("axes") != nil ||
		len(sizes) != len(few) || f.grown(n.Inputs[0]) != 0 || sizes[0] != few[0] {
		return
	}
	if a := n.Attribute("keep_aspect_ratio_policy"); a != nil && a.String != "stretch" {
		return
	}
	var axes, to []int64
	for i := 1; i < len(few); i++ {
		if sizes[i] != few[i] {
			axes, to = append(axes, int64(i)), append(to, sizes[i])
		}
	}
	if axes == nil {
		return
	}
	n.Attributes = append(slices.Clone(n.Attributes), Ints("axes", axes...))
	f.argument(n, "sizes", 3, to)
}

// concat repeats what is there once, as the token for the class of a transformer, for every picture.
func (f *freeing) concat(i int, n *Node) {
	at := slices.IndexFunc(n.Inputs, func(t string) bool { return f.grown(t) >= 0 })
	if at < 0 || f.b.m.Opset("") < 8 {
		return
	}
	pictures, axis := n.Inputs[at], f.grown(n.Inputs[at])
	if along := int(integer(n, "axis", 0)); along == axis || along+len(f.file.shapes[pictures]) == axis {
		return
	}
	n.Inputs = slices.Clone(n.Inputs)
	for k, t := range n.Inputs {
		shape := f.more.shapes[t]
		if len(shape) != len(f.more.shapes[pictures]) || f.grown(t) >= 0 || shape[axis] != 1 {
			continue
		}
		n.Inputs[k] = f.repeated(i, t, pictures, axis)
	}
}

// repeated puts in front of node i what repeats the tensor t along an axis, as often as another
// tensor is long there.
func (f *freeing) repeated(i int, t, like string, axis int) string {
	add := func(n Node, word string) string {
		n = f.b.named(n, word)
		f.before[i] = append(f.before[i], n)
		return n.Outputs[0]
	}
	to := add(Node{OpType: "Shape", Inputs: []string{like}}, "shape")
	to = add(f.b.gathered(to, 0, int64(axis)), "pictures")
	parts, ones := []string{to}, func(n int) string {
		return f.b.constant(NewInt64("ones", slices.Repeat([]int64{1}, n), int64(n)))
	}
	if axis > 0 {
		parts = append([]string{ones(axis)}, parts...)
	}
	if behind := len(f.more.shapes[t]) - axis - 1; behind > 0 {
		parts = append(parts, ones(behind))
	}
	to = add(Node{OpType: "Concat", Inputs: parts, Attributes: []Attribute{Int("axis", 0)}}, "shape")
	made := add(Node{OpType: "Expand", Inputs: []string{t, to}}, "repeated")
	f.more.shapes[made] = slices.Clone(f.more.shapes[t])
	f.more.shapes[made][axis] = f.more.shapes[like][axis]
	return made
}

// argument gives a node another constant argument.
func (f *freeing) argument(n *Node, name string, input int, v []int64) {
	if a := n.Attribute(name); a != nil {
		n.Attributes = slices.Clone(n.Attributes)
		n.Attribute(name).Ints = v
		return
	}
	n.Inputs = slices.Clone(n.Inputs)
	made := f.b.constant(NewInt64(name, v, int64(len(v))))
	n.Inputs[input], f.more.values[made], f.more.shapes[made] = made, v, []int64{int64(len(v))}
}
