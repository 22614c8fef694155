package quant

import (
	"fmt"
	"math"

	"github.com/vggse/vggse-agent/onnx"
)

// EmitCPU makes the file that ONNX Runtime's CPU provider runs on integers throughout: unsigned
// activations, with zero point 0 behind a ReLU, signed weights per output channel, 32-bit biases, Q
// and DQ around everything but the two small matrices of a gate and what no integer operator does.
// A ReLU or Clip between a layer and a Q from 0 on is left out: the Q clamps just so, and some
// layers would not run on integers with it.
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
		e.raw[n.Sites[Input].Name] = true
	}
	done := map[int]bool{}              // ReLUs that are left out
	products := map[string]*onnx.Node{} // that their pools emit, by output
	for i := range n.graph.Nodes {
		v := &n.graph.Nodes[i]
		out := first(v.Outputs)
		switch {
		case done[i]:
		case e.n.onlyPooled(v):
			products[out] = v
		case products[first(v.Inputs)] != nil:
			integers := e.poolFirst(v, products[v.Inputs[0]])
			e.roundOutputs(v.Outputs, integers, false)
		default:
			if e.dense(i, v) {
				e.roundOutputs(v.Outputs, false, false)
			} else if act, folded := e.operator(v); folded {
				done[act] = true
			}
		}
	}
	return e.finish(m), nil
}

// operator emits one node and rounds what it puts out. Where it does the work of the ReLU behind it
// that is act.
func (e *emitter) operator(v *onnx.Node) (act int, folded bool) {
	out := first(v.Outputs)
	outs := v.Outputs
	act, folded = e.n.acts[out]
	if folded {
		outs = e.n.graph.Nodes[act].Outputs[:1]
	}
	switch l := e.layers[v.Name]; {
	case l != nil && e.plan.integer(l):
		if l.Relu == "" || !folded {
			folded, outs = false, v.Outputs
		}
		e.integerLayer(v, l, outs[0])
		// even for a reader in float, or the layer itself would stay in float
		e.roundOutputs(outs, true, true)
	case l != nil:
		e.floatLayer(v)
		folded = false
		e.roundOutputs(v.Outputs, false, false)
	case e.hardGate(v):
	case e.onIntegers(v):
		e.copyNode(v, true).Outputs = outs
		e.roundOutputs(outs, true, true)
	default:
		e.takeBias(v, e.copyNode(v, false))
		folded = false
		e.roundOutputs(v.Outputs, false, false)
	}
	return act, folded
}

// takeBias subtracts the negative of a bias behind a product of matrices on integers: of a product
// and an Add ONNX Runtime would make a Gemm, which it has in float (MatMulAddFusion).
func (e *emitter) takeBias(v, emitted *onnx.Node) {
	if v.OpType != "Add" || len(v.Inputs) != 2 {
		return
	}
	for i, t := range v.Inputs {
		bias := e.n.graph.Initializer(t)
		k, made := e.n.by[v.Inputs[1-i]]
		if !made || bias == nil || bias.Type != onnx.Float32 || int64(len(bias.Data)) != bias.Bytes() {
			continue
		}
		if l := e.layers[e.n.graph.Nodes[k].Name]; l == nil || l.Op != "MatMul" || !e.plan.integer(l) {
			continue
		}
		values := bias.Float32s()
		for j := range values {
			values[j] = -values[j]
		}
		emitted.OpType = "Sub"
		emitted.Inputs = []string{emitted.Inputs[1-i], e.constant(onnx.NewFloat32(t+"/negative", values, bias.Dims...))}
		return
	}
}

// roundOutputs rounds what a node has put out where that is wanted, or must be for the node itself
// to run on integers. What an operator in float made stays to be read by others of that kind.
func (e *emitter) roundOutputs(outs []string, integers, must bool) {
	for _, t := range outs {
		site, known := e.n.site[t]
		if !known || e.rounded(t) || !must && !e.wanted(t) {
			continue
		}
		e.asMaps([]string{t})
		e.roundFrom(t, t, site)
		e.raw[t] = !integers
	}
}

// onIntegers tells whether an operator that is no layer runs on integers: all that it reads is
// rounded, and what it puts out is to be.
func (e *emitter) onIntegers(v *onnx.Node) bool {
	switch {
	case !e.sited(v):
		return false
	case v.OpType == "GlobalAveragePool":
		return !e.plan.SqueezeFloat && e.rounded(v.Inputs[0]) && !e.raw[v.Inputs[0]]
	case v.OpType == "Add" && e.plan.SumsFloat:
		return false
	case !e.n.combines(v):
		return moves[v.OpType] && e.rounded(v.Inputs[0]) && e.wantedAny(v.Outputs)
	}
	for _, t := range v.Inputs {
		if !e.rounded(t) {
			return false
		}
	}
	return e.wanted(e.n.target(v))
}

// sited tells whether what v puts out is a site.
func (e *emitter) sited(v *onnx.Node) bool {
	_, known := e.n.site[e.n.target(v)]
	return known && v.Domain == ""
}

// combines tells whether v makes one site of several.
func (n *Graph) combines(v *onnx.Node) bool {
	kind := n.Sites[n.site[n.target(v)]].Kind
	return v.OpType == "Add" && kind == Sum || v.OpType == "Concat" && kind == Joined ||
		v.OpType == "Mul" && kind == Product
}

// target is what a node puts out, the ReLU that it does the work of included.
func (n *Graph) target(v *onnx.Node) string {
	if act, folded := n.acts[first(v.Outputs)]; folded {
		return n.graph.Nodes[act].Outputs[0]
	}
	return first(v.Outputs)
}

// wanted tells whether anything reads the tensor in 8 bits.
func (e *emitter) wanted(tensor string) bool {
	said, known := e.asked[tensor]
	if !known {
		said = e.isWanted(tensor)
		e.asked[tensor] = said
	}
	return said
}

func (e *emitter) wantedAny(tensors []string) bool {
	for _, t := range tensors {
		if e.wanted(t) {
			return true
		}
	}
	return false
}

func (e *emitter) isWanted(tensor string) bool {
	site, known := e.n.site[tensor]
	if !known || e.n.Sites[site].Kind == SEGate && e.plan.SE == SEGateFloat {
		return false
	}
	for _, u := range e.n.users[tensor] {
		v := &e.n.graph.Nodes[u]
		l := e.layers[v.Name]
		switch {
		case l != nil:
			if e.plan.integer(l) && l.Reads == tensor {
				return true
			}
		case !e.sited(v) || v.OpType == "Add" && e.plan.SumsFloat:
		case moves[v.OpType]:
			if v.Inputs[0] == tensor && e.wantedAny(v.Outputs) {
				return true
			}
		case e.n.combines(v):
			if e.wanted(e.n.target(v)) {
				return true
			}
		}
	}
	return false
}

// poolFirst emits the pool of a product in front of the product: a gate is the same at every place
// and never below zero, so the largest of the products is the product of the largest, to the bit,
// and a quarter of them is worked out. It tells whether the product is one of integers.
func (e *emitter) poolFirst(pool, product *onnx.Node) bool {
	values, gate := product.Inputs[0], product.Inputs[1]
	if e.n.fromSigmoid(values) {
		values, gate = gate, values
	}
	largest := pool.Outputs[0] + "/values"
	early := e.copyNode(pool, true)
	early.Outputs = []string{largest}
	early.Inputs[0] = e.now(values)
	if e.rounded(values) {
		e.roundFrom(largest, largest, e.n.site[values])
	}
	e.asMaps([]string{gate})
	e.node("Mul", product.Name, []string{e.now(largest), e.now(gate)}, pool.Outputs)
	return e.rounded(values) && e.rounded(gate)
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
// the DQ, or a Clip from end to end where there are values below 0, keeps it from that and changes
// nothing. What an operator in float made is read as it came.
func (e *emitter) floatLayer(v *onnx.Node) {
	in := v.Inputs[0]
	c := *e.copyNode(v, false)
	site, known := e.n.site[in]
	if !known || !e.rounded(in) || e.raw[in] {
		return
	}
	e.out.Nodes = e.out.Nodes[:len(e.out.Nodes)-1]
	read := []string{c.Inputs[0]}
	c.Inputs[0] = v.Name + "/float"
	if e.n.Sites[site].Signed {
		read = append(read, e.constant(onnx.NewFloat32("lowest", []float32{-math.MaxFloat32})),
			e.constant(onnx.NewFloat32("highest", []float32{math.MaxFloat32})))
		e.node("Clip", c.Inputs[0], read, c.Inputs[:1:1])
	} else {
		e.node("Relu", c.Inputs[0], read, c.Inputs[:1:1])
	}
	e.out.Nodes = append(e.out.Nodes, c)
}

func (e *emitter) rounded(tensor string) bool { return e.read[tensor] != "" }
