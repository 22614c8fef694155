package quant

import (
	"fmt"
	"slices"

	"github.com/vggse/vggse-agent/onnx"
)

// emitter rewrites a graph node by node.
type emitter struct {
	n      *Graph
	plan   *Plan
	codes  []code
	out    onnx.Graph
	layers map[string]*Layer // by node name
	read   map[string]string // tensor → what its readers read instead
	raw    map[string]bool   // tensors that are there in float, too: no operator on integers made them
	asked  map[string]bool   // what wanted has said
	rows   map[string]string // maps of one place → what holds them as rows: see dense
	mapped map[string]bool   // of rows: those that are there as maps, too
	made   map[string]bool   // initializers that are new
	taken  map[string]string // constant → the first layer that has it in integers
}

func newEmitter(m *onnx.Model, n *Graph, p *Plan) (*emitter, error) {
	codes, err := p.codes(n)
	if err != nil {
		return nil, err
	}
	e := &emitter{n: n, plan: p, codes: codes, layers: map[string]*Layer{}, read: map[string]string{},
		rows: map[string]string{}, mapped: map[string]bool{}, raw: map[string]bool{}, asked: map[string]bool{},
		made: map[string]bool{}, taken: map[string]string{}}
	for _, name := range p.Float {
		if !slices.ContainsFunc(n.Layers, func(l Layer) bool { return l.Name == name }) {
			return nil, fmt.Errorf("quant: the plan keeps %s in float, the network has no such layer", name)
		}
	}
	for i := range n.Layers {
		e.layers[n.Layers[i].Name] = &n.Layers[i]
	}
	e.out = m.Graph
	e.out.Nodes, e.out.Initializers, e.out.Values = nil, nil, nil
	return e, nil
}

// finish is the model of what was emitted: the constants that are still read and the new ones.
func (e *emitter) finish(m *onnx.Model) *onnx.Model {
	used := map[string]bool{}
	for _, v := range e.out.Nodes {
		for _, t := range v.Reads() {
			used[t] = true
		}
	}
	for _, t := range m.Graph.Initializers {
		if used[t.Name] && !e.made[t.Name] {
			e.out.Initializers = append(e.out.Initializers, t)
		}
	}
	out := *m
	out.Graph = e.out
	out.Metadata = slices.Clone(m.Metadata)
	out.Producer, out.ProducerVersion = "vggse-agent calibrate", ""
	return &out
}

func (e *emitter) node(op, name string, in, out []string, attributes ...onnx.Attribute) {
	e.out.Nodes = append(e.out.Nodes, onnx.Node{OpType: op, Name: name, Inputs: in, Outputs: out,
		Attributes: attributes})
}

func (e *emitter) constant(t onnx.Tensor) string {
	if !e.made[t.Name] {
		e.made[t.Name] = true
		e.out.Initializers = append(e.out.Initializers, t)
	}
	return t.Name
}

// copyNode emits a node that reads what stands for its inputs now: on integers what was rounded,
// in float what there is without rounding.
func (e *emitter) copyNode(v *onnx.Node, integers bool) *onnx.Node {
	c := *v
	c.Inputs = e.reads(v, integers)
	e.out.Nodes = append(e.out.Nodes, c)
	return &e.out.Nodes[len(e.out.Nodes)-1]
}

// reads are the inputs of a node: see copyNode.
func (e *emitter) reads(v *onnx.Node, integers bool) []string {
	e.asMaps(v.Reads())
	in := make([]string, len(v.Inputs))
	for i, t := range v.Inputs {
		in[i] = t
		if r, ok := e.read[t]; ok && (integers || !e.raw[t]) {
			in[i] = r
		}
	}
	return in
}

func (e *emitter) now(t string) string {
	if r, ok := e.read[t]; ok {
		return r
	}
	return t
}

// round puts a Q and a DQ behind a tensor; whoever reads it reads the DQ from now on.
func (e *emitter) round(tensor string) { e.roundFrom(tensor, tensor, e.n.site[tensor]) }

// roundFrom is round, where what is rounded is another tensor, with the scale of a site.
func (e *emitter) roundFrom(from, tensor string, site int) {
	e.roundAs(from, tensor, site, e.codes[site])
}

// roundAs is roundFrom with codes that are made by another scale than they are read by.
func (e *emitter) roundAs(from, tensor string, site int, made code) {
	name, c := e.n.Sites[site].Name, e.codes[site]
	scale := e.constant(onnx.NewFloat32(name+"/scale", []float32{c.scale}))
	zero := e.constant(onnx.Tensor{Name: name + "/zero", Type: c.kind, Data: []byte{byte(c.zero)}})
	q, dq, making := tensor+"/q", tensor+"/dq", scale
	if made != c {
		making = e.constant(onnx.NewFloat32(name+"/making", []float32{made.scale}))
	}
	e.node("QuantizeLinear", q, []string{from, making, zero}, []string{q})
	e.node("DequantizeLinear", dq, []string{q, scale, zero}, []string{dq})
	e.read[tensor] = dq
}

// integerLayer emits a layer with 8-bit weights and a 32-bit bias, writing the tensor out.
func (e *emitter) integerLayer(v *onnx.Node, l *Layer, out string) {
	in := float64(e.codes[l.In].scale)
	weight, offset := e.own(l.Weight, l), e.own(l.Bias, l)
	var bias *onnx.Tensor
	if l.Bias != "" {
		bias = e.n.graph.Initializer(l.Bias)
	}
	bias = e.corrected(l, bias)
	w := e.n.graph.Initializer(l.Weight)
	if !l.columns {
		w = e.n.stored(l)
	}
	scales := weightScales(e.n.channelScales(l, true, e.plan.Bits), bias, in)
	rows := int64(len(scales))
	node := *v
	node.Inputs, node.Outputs = e.reads(v, true), []string{out}
	node.Inputs[1] = e.dequantize(weight, l.axis(),
		onnx.Tensor{Name: weight + "/int8", Type: onnx.Int8, Dims: w.Dims,
			Source: l.codes(w, func(w *onnx.Tensor) onnx.Source { return int8Weights(w, scales, e.plan.Bits) })},
		onnx.NewFloat32(weight+"/scale", scales, rows),
		onnx.Tensor{Name: weight + "/zero", Type: onnx.Int8, Dims: []int64{rows}, Data: make([]byte, rows)})
	if bias != nil {
		products := make([]float32, rows)
		for o, s := range scales {
			products[o] = float32(in * float64(s))
		}
		node.Inputs[2] = e.dequantize(offset, 0,
			onnx.Tensor{Name: offset + "/int32", Type: onnx.Int32, Dims: []int64{rows},
				Data: int32Bias(bias, in, scales)},
			onnx.NewFloat32(offset+"/scale", products, rows),
			onnx.Tensor{Name: offset + "/zero", Type: onnx.Int32, Dims: []int64{rows}, Data: make([]byte, 4*rows)})
	}
	e.out.Nodes = append(e.out.Nodes, node)
}

// own is the name under which a layer has a constant in integers: that of the constant, but for
// the second layer that reads it, whose scales are others.
func (e *emitter) own(constant string, l *Layer) string {
	if by, taken := e.taken[constant]; taken && by != l.Name {
		return constant + "/" + l.Name
	}
	e.taken[constant] = l.Name
	return constant
}

// corrected is the layer's bias with the plan's correction.
func (e *emitter) corrected(l *Layer, bias *onnx.Tensor) *onnx.Tensor {
	add := e.plan.Bias[l.Name]
	if bias == nil || int64(len(add)) != bias.Elements() {
		return bias
	}
	sum := make([]float32, len(add))
	for o := range sum {
		sum[o] = float32(weights(bias.Data).at(o)) + add[o]
	}
	t := onnx.NewFloat32(e.own(l.Bias, l)+"/corrected", sum, int64(len(sum)))
	return &t
}

func (e *emitter) dequantize(name string, axis int64, codes, scale, zero onnx.Tensor) string {
	out := name + "/dq"
	e.node("DequantizeLinear", out, []string{e.constant(codes), e.constant(scale), e.constant(zero)},
		[]string{out}, onnx.Int("axis", axis))
	return out
}
