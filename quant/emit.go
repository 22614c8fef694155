package quant

import (
	"encoding/binary"
	"fmt"
	"math"
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
	made   map[string]bool   // initializers that are new
	taken  map[string]string // constant → the first layer that has it in integers
}

func newEmitter(m *onnx.Model, n *Graph, p *Plan) (*emitter, error) {
	codes, err := p.codes(n)
	if err != nil {
		return nil, err
	}
	e := &emitter{n: n, plan: p, codes: codes, layers: map[string]*Layer{}, read: map[string]string{},
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
		for _, t := range v.Inputs {
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

// copyNode emits a node that reads what stands for its inputs now.
func (e *emitter) copyNode(v *onnx.Node) *onnx.Node {
	c := *v
	c.Inputs = make([]string, len(v.Inputs))
	for i, t := range v.Inputs {
		c.Inputs[i] = e.now(t)
	}
	e.out.Nodes = append(e.out.Nodes, c)
	return &e.out.Nodes[len(e.out.Nodes)-1]
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
	name, c := e.n.Sites[site].Name, e.codes[site]
	scale := e.constant(onnx.NewFloat32(name+"/scale", []float32{c.scale}))
	zero := e.constant(onnx.Tensor{Name: name + "/zero", Type: c.kind, Data: []byte{byte(c.zero)}})
	q, dq := tensor+"/q", tensor+"/dq"
	e.node("QuantizeLinear", q, []string{from, scale, zero}, []string{q})
	e.node("DequantizeLinear", dq, []string{q, scale, zero}, []string{dq})
	e.read[tensor] = dq
}

// wanted tells whether anything reads the tensor in 8 bits.
func (e *emitter) wanted(tensor string) bool {
	switch site, known := e.n.site[tensor]; {
	case known && e.n.Sites[site].Kind == SEGate && e.plan.SE == SEGateFloat:
		return false
	case known && e.n.Sites[site].Kind == Squeeze:
		return !e.plan.SqueezeFloat && e.rounded(e.n.graph.Nodes[e.n.by[tensor]].Inputs[0])
	}
	for _, u := range e.n.users[tensor] {
		v := &e.n.graph.Nodes[u]
		switch v.OpType {
		case "Conv", "Gemm":
			if l := e.layers[v.Name]; l != nil && e.plan.integer(l) {
				return true
			}
		case "Mul":
			return true
		case "MaxPool", "AveragePool", "Flatten", "Reshape":
			if _, known := e.n.site[v.Outputs[0]]; known && e.wanted(v.Outputs[0]) {
				return true
			}
		}
	}
	return false
}

// integerLayer emits a layer with 8-bit weights and a 32-bit bias, writing the tensor out.
func (e *emitter) integerLayer(v *onnx.Node, l *Layer, out string) {
	w, in := e.n.stored(l), float64(e.codes[l.In].scale)
	weight, offset := e.own(l.Weight, l), e.own(l.Bias, l)
	var bias *onnx.Tensor
	if l.Bias != "" {
		bias = e.n.graph.Initializer(l.Bias)
	}
	bias = e.corrected(l, bias)
	scales := weightScales(w, bias, in, e.plan.Bits)
	rows := int64(len(scales))
	c := e.copyNode(v)
	last := len(e.out.Nodes) - 1
	node := *c
	e.out.Nodes = e.out.Nodes[:last] // its weights come first
	node.Outputs = []string{out}
	node.Inputs[1] = e.dequantize(weight,
		onnx.Tensor{Name: weight + "/int8", Type: onnx.Int8, Dims: w.Dims,
			Source: int8Weights(w, scales, e.plan.Bits)},
		onnx.NewFloat32(weight+"/scale", scales, rows),
		onnx.Tensor{Name: weight + "/zero", Type: onnx.Int8, Dims: []int64{rows}, Data: make([]byte, rows)})
	if bias != nil {
		products := make([]float32, rows)
		for o, s := range scales {
			products[o] = float32(in * float64(s))
		}
		node.Inputs[2] = e.dequantize(offset,
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

func (e *emitter) dequantize(name string, codes, scale, zero onnx.Tensor) string {
	out := name + "/dq"
	e.node("DequantizeLinear", out, []string{e.constant(codes), e.constant(scale), e.constant(zero)},
		[]string{out}, onnx.Int("axis", 0))
	return out
}

// EmitCPU makes the file that ONNX Runtime's CPU provider runs on integers throughout: unsigned
// activations with zero point 0 (which a ReLU in front is absorbed by), signed weights per output
// channel, 32-bit biases, Q and DQ around everything but the two small matrices of a gate. Between
// Gemm and Q a ReLU would keep the two apart, so it is left out: a zero point of 0 clamps just so.
func EmitCPU(m *onnx.Model, n *Graph, p *Plan) (*onnx.Model, error) {
	if p.Levels != LevelsU8 {
		return nil, fmt.Errorf("quant: emit: the CPU file has %d levels, the plan %d", LevelsU8, p.Levels)
	}
	e, err := newEmitter(m, n, p)
	if err != nil {
		return nil, err
	}
	if e.wanted(n.Sites[Input].Name) {
		e.roundPicture()
	}
	skip := map[string]bool{}           // outputs of ReLUs that are left out
	products := map[string]*onnx.Node{} // that their pools emit, by output
	// of integer layers: rounded even for a reader in float, or the layer itself would stay in
	// float
	ends := map[string]bool{}
	for i := range n.Layers {
		if l := &n.Layers[i]; p.integer(l) && l.Relu != "" {
			ends[l.Relu] = true
		}
	}
	for i := range n.graph.Nodes {
		v := &n.graph.Nodes[i]
		out := first(v.Outputs)
		l := e.layers[v.Name]
		switch {
		case skip[out]:
		case e.n.onlyPooled(v):
			products[out] = v
			continue
		case products[first(v.Inputs)] != nil:
			e.poolFirst(v, products[v.Inputs[0]])
		case l == nil:
			e.copyNode(v)
		case !e.plan.integer(l):
			e.floatLayer(v)
		case l.Op == "Gemm" && e.rectifies(l):
			skip[l.Relu] = true
			out = l.Relu
			e.integerLayer(v, l, out)
		default:
			e.integerLayer(v, l, out)
		}
		if _, known := n.site[out]; known && !e.rounded(out) && (e.wanted(out) || ends[out]) {
			e.round(out)
		}
	}
	return e.finish(m), nil
}

// poolFirst emits the pool of a product in front of the product: a gate is the same at every place
// and never below zero, so the largest of the products is the product of the largest, to the bit,
// and a quarter of them is worked out.
func (e *emitter) poolFirst(pool, product *onnx.Node) {
	values, gate := product.Inputs[0], product.Inputs[1]
	if e.n.fromSigmoid(values) {
		values, gate = gate, values
	}
	largest := pool.Outputs[0] + "/values"
	early := e.copyNode(pool)
	early.Inputs, early.Outputs = []string{e.now(values)}, []string{largest}
	if e.rounded(values) {
		e.roundFrom(largest, largest, e.n.site[values])
	}
	e.node("Mul", product.Name, []string{e.now(largest), e.now(gate)}, pool.Outputs)
}

// roundPicture rounds the picture, with the channels that its layers want it to have.
func (e *emitter) roundPicture() {
	picture := e.n.Sites[Input].Name
	pad := int64(0)
	for i := range e.n.Layers {
		pad = max(pad, e.n.Layers[i].Pad)
	}
	if pad == 0 {
		e.round(picture)
		return
	}
	wider := picture + "/padded"
	by := e.constant(onnx.NewInt64(picture+"/pads", []int64{0, 0, 0, 0, 0, pad, 0, 0}, 8))
	e.node("Pad", wider, []string{picture, by}, []string{wider})
	e.roundFrom(wider, picture, Input)
}

// floatLayer emits a layer that stays in float. Between a DQ and a Q ONNX Runtime quantizes its
// weights by itself (WeightBiasQuantization, since 1.22, one scale for all channels). A ReLU behind
// the DQ keeps it from that and changes nothing: only the picture holds negative values, and that
// is read as it came.
func (e *emitter) floatLayer(v *onnx.Node) {
	in := v.Inputs[0]
	c := e.copyNode(v)
	site, known := e.n.site[in]
	if read := c.Inputs[0]; known && e.n.Sites[site].Kind == Picture && e.rounded(in) {
		c.Inputs[0] = in
	} else if known && e.n.Sites[site].Kind != Picture {
		node := *c
		e.out.Nodes = e.out.Nodes[:len(e.out.Nodes)-1]
		node.Inputs[0] = v.Name + "/float"
		e.node("Relu", node.Inputs[0], []string{read}, []string{node.Inputs[0]})
		e.out.Nodes = append(e.out.Nodes, node)
	}
}

// rectifies tells whether a Q behind the layer can do the work of its ReLU.
func (e *emitter) rectifies(l *Layer) bool {
	_, known := e.n.site[l.Relu]
	return known
}

func (e *emitter) rounded(tensor string) bool { return e.read[tensor] != "" }

// EmitTRT makes the file for TensorRT's parser: signed, symmetric, Q and DQ in front of each
// weighted layer only, biases in float, weights in float32 with a Q and DQ of their own (the form
// that every parser version takes). TensorRT moves the Q up through pools by itself. Squeeze,
// excitation and their product stay in higher precision, as does the last layer, whose few weights
// decide.
func EmitTRT(m *onnx.Model, n *Graph, p *Plan) (*onnx.Model, error) {
	if p.Levels != LevelsS8 {
		return nil, fmt.Errorf("quant: emit: the TensorRT file has %d levels, the plan %d", LevelsS8, p.Levels)
	}
	e, err := newEmitter(m, n, p)
	if err != nil {
		return nil, err
	}
	for i := range n.graph.Nodes {
		v := &n.graph.Nodes[i]
		l := e.layers[v.Name]
		if l == nil || !e.plan.integer(l) {
			e.copyFloat(v)
			continue
		}
		if !e.rounded(v.Inputs[0]) {
			e.round(v.Inputs[0])
		}
		w := n.graph.Initializer(l.Weight)
		rows := w.Dims[0]
		scale := e.constant(onnx.NewFloat32(l.Weight+"/scale", weightScales(w, nil, 1, Bits8), rows))
		zero := e.constant(onnx.Tensor{Name: l.Weight + "/zero", Type: onnx.Int8, Dims: []int64{rows},
			Data: make([]byte, rows)})
		q, dq := l.Weight+"/q", l.Weight+"/dq"
		if e.own(l.Weight, l) == l.Weight { // one pair for all layers that share the weight
			e.node("QuantizeLinear", q, []string{l.Weight, scale, zero}, []string{q}, onnx.Int("axis", 0))
			e.node("DequantizeLinear", dq, []string{q, scale, zero}, []string{dq}, onnx.Int("axis", 0))
		}
		c := e.copyNode(v)
		c.Inputs[1] = dq
		if l.Bias != "" && e.plan.Bias[l.Name] != nil {
			c.Inputs[2] = e.constant(*e.corrected(l, n.graph.Initializer(l.Bias)))
		}
	}
	return e.finish(m), nil
}

// Folded is m, a model of EmitTRT, with the weights in 8 bits that it rounds in every run: the same
// numbers, out of a quarter of the bytes. It is for judging; TensorRT wants the other form.
func Folded(m *onnx.Model) *onnx.Model {
	twin := *m
	twin.Graph.Nodes, twin.Graph.Initializers = nil, nil
	done := map[string]bool{}
	for _, v := range m.Graph.Nodes {
		w := m.Graph.Initializer(first(v.Inputs))
		if v.OpType != "QuantizeLinear" || w == nil || w.Type != onnx.Float32 {
			twin.Graph.Nodes = append(twin.Graph.Nodes, v)
			continue
		}
		scales := m.Graph.Initializer(v.Inputs[1]).Float32s()
		twin.Graph.Initializers = append(twin.Graph.Initializers, onnx.Tensor{Name: v.Outputs[0], Type: onnx.Int8,
			Dims: w.Dims, Source: roundedWeights(w, scales)})
		done[w.Name] = true
	}
	for _, t := range m.Graph.Initializers {
		if !done[t.Name] {
			twin.Graph.Initializers = append(twin.Graph.Initializers, t)
		}
	}
	return &twin
}

// copyFloat emits a node that reads its inputs before any rounding.
func (e *emitter) copyFloat(v *onnx.Node) { e.out.Nodes = append(e.out.Nodes, *v) }

// Input is the place of the picture among the sites.
const Input = 0

// half is the nearest binary16 to v, ties to even.
func half(v float32) uint16 {
	b := math.Float32bits(v)
	sign, exp, frac := uint16(b>>16&0x8000), int(b>>23&0xff)-127, b&0x7fffff
	switch {
	case exp == 128 && frac != 0:
		return sign | 0x7e00
	case exp > 15:
		return sign | 0x7c00
	case exp < -25:
		return sign
	case exp < -14: // subnormal: the leading 1 becomes part of the fraction
		frac |= 0x800000
		shift := uint(-exp - 1) // 14 for exp -15
		return sign | roundShift(frac, shift)
	}
	return sign | (uint16(exp+15)<<10 + roundShift(frac, 13)) // a carry runs into the exponent as it should
}

// roundShift is v >> n, rounded to the nearest, ties to even.
func roundShift(v uint32, n uint) uint16 {
	q, rest, tie := v>>n, v&(1<<n-1), uint32(1)<<(n-1)
	if rest > tie || rest == tie && q&1 == 1 {
		q++
	}
	return uint16(q)
}

func appendHalf(b []byte, v float32) []byte { return binary.LittleEndian.AppendUint16(b, half(v)) }
