package quant

import "github.com/vggse/vggse-agent/onnx"

// Hard-swish, x times a HardSigmoid of x, on integers. ONNX Runtime has no such operator, but a sum
// on integers ends at both ends of its codes: with s the slope of the HardSigmoid and 3, the usual
// half of its width, the gate is s·min(max(x + 3, 0), 1/s). Rounded to codes from 0 to 1/s that is
// one QLinearAdd, whose codes are read with a scale s times as large, and a QLinearMul: as fast as
// HardSigmoid and Mul in float (measured 2026-11-29, 1,024 to 147,456 numbers), and nothing around
// it has to leave the integers.

// line is how a HardSigmoid rises, alpha·x + beta.
type line struct{ alpha, beta float64 }

// slope is that of a HardSigmoid that is a gate of what it reads.
func slope(v *onnx.Node) line {
	l := line{0.2, 0.5} // the operator's defaults
	if a := v.Attribute("alpha"); a != nil {
		l.alpha = float64(a.Float)
	}
	if b := v.Attribute("beta"); b != nil {
		l.beta = float64(b.Float)
	}
	return l
}

// hardGate tells whether v is a HardSigmoid that nothing reads but the product with what it reads.
func (n *Graph) hardGate(v *onnx.Node) bool {
	if v.OpType != "HardSigmoid" || len(n.users[v.Outputs[0]]) != 1 {
		return false
	}
	l := slope(v)
	product := &n.graph.Nodes[n.users[v.Outputs[0]][0]]
	return product.OpType == "Mul" && len(product.Inputs) == 2 && l.alpha > 0 && l.beta > 0 &&
		(product.Inputs[0] == v.Inputs[0] || product.Inputs[1] == v.Inputs[0])
}

// floor notes the end of the codes of what only a hard-swish reads: below it the gate is 0.
func (n *Graph) floor(t, gate string) {
	i, made := n.by[gate]
	if !made || len(n.users[t]) != 2 || n.output(t) {
		return
	}
	v, site := &n.graph.Nodes[i], n.site[t]
	if v.Inputs[0] == t && n.hardGate(v) && n.Sites[site].Name == t {
		l := slope(v)
		n.Sites[site].Floor = -l.beta / l.alpha
	}
}

// hardGate emits v on integers, where it is such a gate and both ends are: see above.
func (e *emitter) hardGate(v *onnx.Node) bool {
	if !e.n.hardGate(v) || !e.sited(v) || !e.rounded(v.Inputs[0]) || !e.wanted(v.Outputs[0]) {
		return false
	}
	l, c := slope(v), e.codes[e.n.site[v.Outputs[0]]]
	half := v.Name + "/half"
	e.node("DequantizeLinear", half, []string{
		e.constant(onnx.Tensor{Name: half + "/code", Type: onnx.Uint8, Data: []byte{LevelsU8}}),
		e.constant(onnx.NewFloat32(half+"/scale", []float32{float32(l.beta / l.alpha / LevelsU8)})),
		e.constant(onnx.Tensor{Name: half + "/zero", Type: onnx.Uint8, Data: []byte{0}})}, []string{half})
	sum := v.Name + "/sum"
	e.node("Add", v.Name, []string{e.now(v.Inputs[0]), half}, []string{sum})
	e.roundAs(sum, v.Outputs[0], e.n.site[v.Outputs[0]], code{float32(float64(c.scale) / l.alpha), c.zero, c.kind})
	return true
}
