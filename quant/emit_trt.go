package quant

import (
	"fmt"

	"github.com/vggse/vggse-agent/onnx"
)

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
		scales := weightScales(n.channelScales(l, false, Bits8), nil, 1)
		rows := int64(len(scales))
		scale := e.constant(onnx.NewFloat32(l.Weight+"/scale", scales, rows))
		zero := e.constant(onnx.Tensor{Name: l.Weight + "/zero", Type: onnx.Int8, Dims: []int64{rows},
			Data: make([]byte, rows)})
		q, dq := l.Weight+"/q", l.Weight+"/dq"
		if e.own(l.Weight, l) == l.Weight { // one pair for all layers that share the weight
			e.node("QuantizeLinear", q, []string{l.Weight, scale, zero}, []string{q}, onnx.Int("axis", l.axis()))
			e.node("DequantizeLinear", dq, []string{q, scale, zero}, []string{dq}, onnx.Int("axis", l.axis()))
		}
		c := e.copyNode(v, true)
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
		scales, axis := m.Graph.Initializer(v.Inputs[1]).Float32s(), v.Attribute("axis")
		l := Layer{columns: axis != nil && axis.Int == 1}
		twin.Graph.Initializers = append(twin.Graph.Initializers, onnx.Tensor{Name: v.Outputs[0], Type: onnx.Int8,
			Dims: w.Dims, Source: l.codes(w,
				func(w *onnx.Tensor) onnx.Source { return roundedWeights(w, scales) })})
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
