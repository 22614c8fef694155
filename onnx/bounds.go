package onnx

import (
	"math"
	"slices"
)

// extent is the range that all numbers of a tensor lie in.
type extent struct{ low, high float64 }

var (
	boundless = extent{math.Inf(-1), math.Inf(1)}
	unit      = extent{0, 1}
)

// Operators by what they make of the bounds of what they read.
var (
	// layerOps have weights, and their answers no bounds.
	layerOps = map[string]bool{"Conv": true, "Gemm": true, "MatMul": true, "QLinearConv": true, "QLinearMatMul": true,
		"ConvInteger": true, "MatMulInteger": true, "QGemm": true, "FusedConv": true, "FusedGemm": true,
		"FusedMatMul": true, "MatMulNBits": true, "Einsum": true, "BatchNormalization": true}
	unitOps = map[string]bool{"Sigmoid": true, "HardSigmoid": true, "Softmax": true, "Greater": true, "Less": true,
		"GreaterOrEqual": true, "LessOrEqual": true, "Equal": true, "And": true, "Or": true, "Not": true}
	// hullOps answer with numbers that they read, or with means of them.
	hullOps = map[string]bool{"Concat": true, "Gather": true, "Slice": true, "Split": true, "Mean": true,
		"ReduceMean": true, "ReduceMax": true, "ReduceMin": true, "MaxPool": true, "AveragePool": true,
		"GlobalAveragePool": true, "GlobalMaxPool": true, "Expand": true, "Tile": true, "QuantizeLinear": true,
		"DequantizeLinear": true}
	// risingOps are functions that rise with the number that they read.
	risingOps = map[string]func(float64) float64{"Relu": func(x float64) float64 { return max(x, 0) },
		"Sqrt": func(x float64) float64 { return math.Sqrt(max(x, 0)) }, "Exp": math.Exp, "Erf": math.Erf,
		"Tanh": math.Tanh}
)

// probable tells whether t lies between 0 and 1 by what makes it, whatever the weights: answers of a
// layer with weights, and of Relu or another activation behind one, have no such bounds. Of what
// cannot be looked into, a function, an If or an operator of another domain, it is taken for possible.
func (h *head) probable(t string) bool {
	b := h.bounds(t, map[string]extent{})
	return b.low >= 0 && b.high <= 1+1e-6 // a third in float32, three times
}

// bounds works the range of a tensor out, from known ones on; known says what it found.
func (h *head) bounds(t string, known map[string]extent) extent {
	if b, ok := known[t]; ok {
		return b
	}
	known[t] = boundless // while it is looked at: a loop has none
	b := h.constantBounds(t)
	if n := h.maker(t); n != nil && h.fed[t] {
		b = h.nodeBounds(n, known)
	}
	known[t] = b
	return b
}

func (h *head) constantBounds(t string) extent {
	c := h.constant(t)
	if v, ok := h.number(t); ok {
		return extent{float64(v), float64(v)}
	}
	if h.fed[t] || c == nil || c.Type != Float32 || c.Elements() == 0 {
		return boundless
	}
	values := c.Float32s()
	return extent{float64(slices.Min(values)), float64(slices.Max(values))}
}

func (h *head) nodeBounds(n *Node, known map[string]extent) extent {
	within := slices.ContainsFunc(n.Attributes, func(a Attribute) bool { return a.Graph != nil })
	switch {
	case layerOps[n.OpType]:
		return boundless
	case unitOps[n.OpType], within, n.Domain != "" && n.Domain != "ai.onnx":
		return unit
	}
	read := make([]extent, len(n.Inputs))
	for i, t := range n.Inputs {
		if read[i] = boundless; t != "" {
			read[i] = h.bounds(t, known)
		}
	}
	if len(read) == 0 {
		return boundless
	}
	b, rises := read[0], risingOps[n.OpType]
	switch {
	case rises != nil:
		return extent{rises(b.low), rises(b.high)}
	case keepOps[n.OpType], hullOps[n.OpType] && n.OpType != "Concat" && n.OpType != "Mean":
		return b // what else they read are places and axes
	case n.OpType == "Where" && len(read) == 3:
		return hull(read[1], read[2])
	case n.OpType == "Clip":
		return h.clipBounds(n, read)
	case n.OpType == "Neg":
		return extent{-b.high, -b.low}
	}
	for i, c := range read[1:] {
		switch n.OpType {
		case "Concat", "Mean":
			b = hull(b, c)
		case "Add", "Sum":
			b = extent{b.low + c.low, b.high + c.high}
		case "Sub":
			b = extent{b.low - c.high, b.high - c.low}
		case "Mul":
			b = extentOfProduct(b, c)
		case "Div":
			if c.low <= 0 {
				return boundless
			}
			b = extentOfProduct(b, extent{1 / c.high, 1 / c.low})
		case "Pow":
			if b.low < 0 || b.high > 1 || c.low < 0 || h.fed[n.Inputs[i+1]] {
				return boundless
			}
			b = unit
		case "Max":
			b = extent{max(b.low, c.low), max(b.high, c.high)}
		case "Min":
			b = extent{min(b.low, c.low), min(b.high, c.high)}
		default:
			return boundless
		}
	}
	if mixOps[n.OpType] || n.OpType == "Concat" {
		return b
	}
	return boundless
}

// clipBounds: operator sets before 11 have the bounds as attributes.
func (h *head) clipBounds(n *Node, read []extent) extent {
	b, to := read[0], boundless
	if a := n.Attribute("min"); a != nil {
		to.low = float64(a.Float)
	}
	if a := n.Attribute("max"); a != nil {
		to.high = float64(a.Float)
	}
	if len(read) > 1 {
		to.low = max(to.low, read[1].low)
	}
	if len(read) > 2 {
		to.high = min(to.high, read[2].high)
	}
	return extent{min(max(b.low, to.low), to.high), max(min(b.high, to.high), to.low)}
}

func hull(a, b extent) extent { return extent{min(a.low, b.low), max(a.high, b.high)} }

// extentOfProduct: nothing times what has no end is nothing, no number of it is without end.
func extentOfProduct(a, b extent) extent {
	times := func(x, y float64) float64 {
		if x == 0 || y == 0 {
			return 0
		}
		return x * y
	}
	all := []float64{times(a.low, b.low), times(a.low, b.high), times(a.high, b.low), times(a.high, b.high)}
	return extent{slices.Min(all), slices.Max(all)}
}
