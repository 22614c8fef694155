package onnx

import (
	"fmt"
	"math"
	"slices"
)

// Raise makes the nodes of m speak version to of ONNX's own operator set, 13 to 19, where it has an
// older one, from 7 on: what was an attribute and has become an input becomes one, and what a newer
// version says otherwise is said so. Nodes with the same meaning in both stay as they are. It is an
// error, and m is as it was, where a node has no equal.
func (m *Model) Raise(to int64) error {
	from := m.Opset("")
	if from >= to {
		return nil
	}
	if from < oldestRaised {
		return fmt.Errorf("onnx: opset %d cannot be raised to %d: %d is the oldest that can", from, to, oldestRaised)
	}
	for _, v := range m.Graph.Nodes {
		if slices.ContainsFunc(v.Attributes, func(a Attribute) bool { return a.Type == AttrGraph }) {
			return fmt.Errorf("onnx: opset %d cannot be raised to %d: %s %s has a graph inside", from, to, v.OpType,
				v.Name)
		}
	}
	r := raiser{graph: m.Graph, from: from, to: to, shapes: m.Graph.Shapes(), taken: map[string]bool{}}
	r.graph.Nodes, r.graph.Initializers = nil, slices.Clone(m.Graph.Initializers)
	for _, t := range m.Graph.Initializers {
		r.taken[t.Name] = true
	}
	for _, v := range m.Graph.Nodes {
		for _, t := range v.Outputs {
			r.taken[t] = true
		}
	}
	for _, v := range m.Graph.Nodes {
		v.Attributes = slices.Clone(v.Attributes)
		v.Inputs = slices.Clone(v.Inputs)
		if v.Domain == "" || v.Domain == "ai.onnx" {
			if err := r.raise(&v); err != nil {
				return fmt.Errorf("onnx: opset %d cannot be raised to %d: %w", from, to, err)
			}
		}
		r.graph.Nodes = append(r.graph.Nodes, v)
	}
	m.Graph = r.graph
	m.Opsets = slices.Clone(m.Opsets)
	for i := range m.Opsets {
		if m.Opsets[i].Domain == "" || m.Opsets[i].Domain == "ai.onnx" {
			m.Opsets[i].Version = to
		}
	}
	m.IRVersion = max(m.IRVersion, irOf(to))
	return nil
}

// oldestRaised is the oldest opset that Raise reads.
const oldestRaised = 7

// irOf is the version of the format that came with an opset.
func irOf(opset int64) int64 {
	if opset >= 19 {
		return 9
	}
	if opset >= 15 {
		return 8
	}
	return 7
}

// raiser is one Raise under way.
type raiser struct {
	graph    Graph
	from, to int64
	shapes   map[string][]int64
	taken    map[string]bool
}

// crosses tells whether the version in which something changed lies on the way.
func (r *raiser) crosses(version int64) bool { return r.from < version && version <= r.to }

func (r *raiser) raise(v *Node) error {
	switch v.OpType {
	case "Squeeze", "Unsqueeze", "ReduceSum":
		if r.crosses(13) {
			r.intsToInput(v, "axes", 1)
		}
	case "ReduceMean", "ReduceMax", "ReduceMin", "ReduceProd", "ReduceL1", "ReduceL2", "ReduceLogSum",
		"ReduceLogSumExp", "ReduceSumSquare":
		if r.crosses(18) {
			r.intsToInput(v, "axes", 1)
		}
	case "Split":
		return r.split(v)
	case "Clip":
		if r.crosses(11) {
			r.floatsToInputs(v, []string{"min", "max"}, []float32{-math.MaxFloat32, math.MaxFloat32})
		}
	case "Pad":
		if r.crosses(11) {
			r.intsToInput(v, "pads", 1)
			r.floatsToInputs(v, []string{"value"}, []float32{0})
		}
	case "Slice":
		if r.crosses(10) {
			r.slice(v)
		}
	case "Softmax", "LogSoftmax", "Hardmax":
		if r.crosses(13) {
			r.softmax(v)
		}
	case "Dropout":
		if r.crosses(12) {
			v.OpType, v.Attributes, v.Outputs = "Identity", nil, v.Outputs[:1]
		}
	case "BatchNormalization":
		v.drop("spatial")
		if len(v.Outputs) > 1 && r.crosses(14) {
			v.Outputs = v.Outputs[:1]
		}
	case "Upsample", "Resize", "Scan", "Loop", "If", "TopK", "NonMaxSuppression", "RoiAlign":
		return r.unchanged(v)
	}
	return nil
}

// since is the newest version up to 19 in which an operator that Raise cannot rewrite has changed.
var since = map[string]int64{"Upsample": 10, "Resize": 11, "Scan": 9, "Loop": 11, "If": 11, "TopK": 11,
	"NonMaxSuppression": 11, "RoiAlign": 16}

func (r *raiser) unchanged(v *Node) error {
	if r.crosses(since[v.OpType]) {
		return fmt.Errorf("%s %s means something else since opset %d", v.OpType, v.Name, since[v.OpType])
	}
	return nil
}

func (n *Node) drop(name string) {
	n.Attributes = slices.DeleteFunc(n.Attributes, func(a Attribute) bool { return a.Name == name })
}

// constant adds a constant with a name that nothing has.
func (r *raiser) constant(t Tensor) string {
	t.Name = r.name(t.Name)
	r.graph.Initializers = append(r.graph.Initializers, t)
	return t.Name
}

// name is a name that nothing has, like the one given.
func (r *raiser) name(base string) string {
	name := base
	for k := 2; r.taken[name]; k++ {
		name = fmt.Sprintf("%s.%d", base, k)
	}
	r.taken[name] = true
	return name
}

// put makes t input i of v.
func (n *Node) put(i int, t string) {
	for len(n.Inputs) <= i {
		n.Inputs = append(n.Inputs, "")
	}
	n.Inputs[i] = t
}

// intsToInput makes input i of an attribute that is a list; one that is not there stays away.
func (r *raiser) intsToInput(v *Node, name string, i int) {
	a := v.Attribute(name)
	if a == nil {
		return
	}
	v.put(i, r.constant(NewInt64(v.Outputs[0]+"/"+name, a.Ints, int64(len(a.Ints)))))
	v.drop(name)
}

// floatsToInputs makes inputs of attributes that are numbers, with their defaults.
func (r *raiser) floatsToInputs(v *Node, names []string, otherwise []float32) {
	for k, name := range names {
		value := otherwise[k]
		if a := v.Attribute(name); a != nil {
			value = a.Float
		}
		v.drop(name)
		t := NewFloat32(v.Outputs[0]+"/"+name, []float32{value})
		v.put(len(v.Inputs), r.constant(t))
	}
}

func (r *raiser) slice(v *Node) {
	starts := v.Attribute("starts")
	if v.Attribute("axes") == nil && starts != nil {
		axes := make([]int64, len(starts.Ints))
		for i := range axes {
			axes[i] = int64(i)
		}
		v.Attributes = append(v.Attributes, Ints("axes", axes...))
	}
	for i, name := range []string{"starts", "ends", "axes"} {
		r.intsToInput(v, name, i+1)
	}
}

// split has its lengths as an input since 13; since 18 equal parts must be counted.
func (r *raiser) split(v *Node) error {
	if r.crosses(13) {
		r.intsToInput(v, "split", 1)
	}
	if r.crosses(18) && (len(v.Inputs) < 2 || v.Inputs[1] == "") && v.Attribute("num_outputs") == nil {
		v.Attributes = append(v.Attributes, Int("num_outputs", int64(len(v.Outputs))))
	}
	return nil
}

// softmax goes over one axis since 13, before that over all from axis on: the same where only one
// is longer than 1. Elsewhere it goes over the rows of a matrix, which takes its shape again.
func (r *raiser) softmax(v *Node) {
	shape, axis := r.shapes[v.Inputs[0]], integer(v, "axis", 1)
	long := int64(-1)
	if shape != nil && axis < 0 {
		axis += int64(len(shape))
	}
	if shape != nil && axis >= 0 && axis < int64(len(shape)) {
		long = int64(len(shape)) - 1
		for i := axis; i < int64(len(shape)); i++ {
			if shape[i] > 1 {
				long = i
				break
			}
		}
		if product(shape[axis:]) != shape[long] {
			long = -1
		}
	}
	v.drop("axis")
	if long >= 0 {
		v.Attributes = append(v.Attributes, Int("axis", long))
		return
	}
	rows, soft, was := r.name(v.Outputs[0]+"/rows"), r.name(v.Outputs[0]+"/soft"), r.name(v.Outputs[0]+"/shape")
	r.graph.Nodes = append(r.graph.Nodes,
		Node{OpType: "Flatten", Name: rows, Inputs: v.Inputs, Outputs: []string{rows},
			Attributes: []Attribute{Int("axis", axis)}},
		Node{OpType: v.OpType, Name: soft, Inputs: []string{rows}, Outputs: []string{soft},
			Attributes: []Attribute{Int("axis", 1)}},
		Node{OpType: "Shape", Name: was, Inputs: v.Inputs, Outputs: []string{was}})
	v.OpType, v.Inputs, v.Attributes = "Reshape", []string{soft, was}, nil
}
