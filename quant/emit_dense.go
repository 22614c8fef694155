package quant

import (
	"github.com/vggse/vggse-agent/onnx"
)

// The two small matrices of a squeeze-excitation block often come as convolutions of maps of one
// place. In the CPU's file they are Gemm: ONNX Runtime would turn the few numbers of each into its
// blocked layout and back, which takes longer than to multiply them (measured 2026-11-29, a third of
// MobileNetV3's time at 96 pixels).

// pointwise are operators that do the same to each number.
var pointwise = map[string]bool{"Relu": true, "Clip": true, "Sigmoid": true, "HardSigmoid": true, "HardSwish": true,
	"Tanh": true, "LeakyRelu": true, "Elu": true, "Gelu": true}

// dense emits a node of a gate that reads and writes maps of one place as one of rows, and tells
// whether it is such a node.
func (e *emitter) dense(i int, v *onnx.Node) bool {
	if !e.n.gate[i] || len(v.Outputs) != 1 || !onePlace(e.n.shapes[v.Outputs[0]]) {
		return false
	}
	out := v.Outputs[0]
	switch {
	case v.OpType == "Conv" && e.n.quantizable(v) && onePlace(e.n.shapes[v.Inputs[0]]) && e.n.plainRow(v):
		w := *e.n.graph.Initializer(v.Inputs[1])
		w.Name, w.Dims = w.Name+"/matrix", w.Dims[:2]
		in := append([]string{e.row(v.Inputs[0]), e.constant(w)}, v.Inputs[2:]...)
		e.node("Gemm", v.Name, in, []string{out + "/row"}, onnx.Int("transB", 1))
	case pointwise[v.OpType] && e.rows[v.Inputs[0]] != "":
		c := *v
		c.Inputs, c.Outputs = append([]string{e.rows[v.Inputs[0]]}, v.Inputs[1:]...), []string{out + "/row"}
		e.out.Nodes = append(e.out.Nodes, c)
	case v.OpType == "Mul" && e.rows[v.Inputs[0]] != "" && e.rows[v.Inputs[1]] != "":
		e.node("Mul", v.Name, []string{e.rows[v.Inputs[0]], e.rows[v.Inputs[1]]}, []string{out + "/row"})
	default:
		return false
	}
	e.rows[out] = out + "/row"
	return true
}

// onePlace tells whether a shape is that of a map of one place.
func onePlace(shape []int64) bool { return len(shape) == 4 && shape[2] == 1 && shape[3] == 1 }

// plainRow tells whether a convolution multiplies the channels of a place with a matrix.
func (n *Graph) plainRow(v *onnx.Node) bool {
	w, group := n.graph.Initializer(v.Inputs[1]), v.Attribute("group")
	return onePlace(w.Dims) && (group == nil || group.Int == 1)
}

// row is the tensor of one place as a row.
func (e *emitter) row(t string) string {
	if e.rows[t] == "" {
		name := t + "/row"
		e.node("Flatten", name, []string{e.now(t)}, []string{name}, onnx.Int("axis", 1))
		e.rows[t], e.mapped[t] = name, true
	}
	return e.rows[t]
}

// asMaps turns the rows among the tensors into maps again, for whoever reads them as such.
func (e *emitter) asMaps(tensors []string) {
	for _, t := range tensors {
		if e.rows[t] == "" || e.mapped[t] {
			continue
		}
		e.mapped[t] = true
		axes := e.constant(onnx.NewInt64("axes/2.3", []int64{2, 3}, 2))
		e.node("Unsqueeze", t+"/map", []string{e.rows[t], axes}, []string{t})
	}
}
