package quant

import (
	"math"
	"slices"

	"github.com/vggse/vggse-agent/onnx"
)

// prepare rewrites a graph to one with the same answers that is easier to quantize: operators of
// version oldestOpset or newer, constants as initializers, no Identity, batch normalization in the
// convolution before it, means over a map as GlobalAveragePool.
func prepare(m *onnx.Model) error {
	if err := m.Raise(oldestOpset); err != nil {
		return err
	}
	g := &m.Graph
	hoistConstants(g)
	g.SettleShapes()
	skipIdentities(g)
	openHardSwishes(g)
	poolMeans(g)
	foldNormalizations(g)
	joinBiases(g)
	return nil
}

// hoistConstants makes initializers of Constant nodes.
func hoistConstants(g *onnx.Graph) {
	kept := make([]onnx.Node, 0, len(g.Nodes))
	initializers := slices.Clone(g.Initializers)
	for _, v := range g.Nodes {
		value := v.Attribute("value")
		if v.OpType != "Constant" || v.Domain != "" || value == nil || value.Tensor == nil || len(v.Outputs) != 1 {
			kept = append(kept, v)
			continue
		}
		t := *value.Tensor
		t.Name = v.Outputs[0]
		initializers = append(initializers, t)
	}
	g.Nodes, g.Initializers = kept, initializers
}

// skipIdentities lets the readers of an Identity read what it reads.
func skipIdentities(g *onnx.Graph) {
	outputs, same := map[string]bool{}, map[string]string{}
	for _, o := range g.Outputs {
		outputs[o.Name] = true
	}
	kept := make([]onnx.Node, 0, len(g.Nodes))
	for _, v := range g.Nodes {
		v.Inputs = renamed(v.Inputs, same)
		plain := v.OpType == "Identity" || v.OpType == "Dropout" && len(v.Inputs) == 1
		if plain && v.Domain == "" && len(v.Inputs) > 0 && !outputs[v.Outputs[0]] && !branches(g) {
			same[v.Outputs[0]] = v.Inputs[0]
			continue
		}
		kept = append(kept, v)
	}
	g.Nodes = kept
}

// branches tells whether a graph has graphs inside, which read its tensors by name.
func branches(g *onnx.Graph) bool {
	return slices.ContainsFunc(g.Nodes, func(v onnx.Node) bool {
		return slices.ContainsFunc(v.Attributes, func(a onnx.Attribute) bool { return a.Type == onnx.AttrGraph })
	})
}

// openHardSwishes makes a product with a HardSigmoid of each HardSwish, as ONNX defines it.
func openHardSwishes(g *onnx.Graph) {
	nodes := make([]onnx.Node, 0, len(g.Nodes))
	for _, v := range g.Nodes {
		if v.OpType != "HardSwish" || v.Domain != "" {
			nodes = append(nodes, v)
			continue
		}
		gate := v.Outputs[0] + "/gate"
		nodes = append(nodes, onnx.Node{OpType: "HardSigmoid", Name: v.Name + "/gate", Inputs: v.Inputs,
			Outputs: []string{gate}, Attributes: []onnx.Attribute{onnx.Float("alpha", 1.0/6), onnx.Float("beta", 0.5)}},
			onnx.Node{OpType: "Mul", Name: v.Name, Inputs: []string{v.Inputs[0], gate}, Outputs: v.Outputs})
	}
	g.Nodes = nodes
}

// poolMeans makes a GlobalAveragePool of a ReduceMean of float32 numbers over height and width, for
// which there is an operator on integers.
func poolMeans(g *onnx.Graph) {
	shapes, float := g.Shapes(), map[string]bool{}
	for _, in := range g.FreeInputs() {
		tensors, _ := floatTensors(g, in.Name)
		for _, t := range append(tensors, in.Name) {
			float[t] = true
		}
	}
	nodes := make([]onnx.Node, 0, len(g.Nodes))
	for _, v := range g.Nodes {
		if v.OpType != "ReduceMean" || v.Domain != "" || len(shapes[v.Inputs[0]]) != 4 || !overMap(g, &v) ||
			!float[v.Inputs[0]] {
			nodes = append(nodes, v)
			continue
		}
		pool := onnx.Node{OpType: "GlobalAveragePool", Name: v.Name, Inputs: v.Inputs[:1:1], Outputs: v.Outputs}
		if k := v.Attribute("keepdims"); k != nil && k.Int == 0 {
			pool.Outputs = []string{v.Outputs[0] + "/pooled"}
			nodes = append(nodes, pool, onnx.Node{OpType: "Flatten", Name: v.Name + "/flat", Inputs: pool.Outputs,
				Outputs: v.Outputs, Attributes: []onnx.Attribute{onnx.Int("axis", 1)}})
			continue
		}
		nodes = append(nodes, pool)
	}
	g.Nodes = nodes
}

// overMap tells whether a ReduceMean goes over height and width, and nothing else.
func overMap(g *onnx.Graph, v *onnx.Node) bool {
	var axes []int64
	if a := v.Attribute("axes"); a != nil {
		axes = a.Ints
	} else if len(v.Inputs) > 1 {
		if t := g.Initializer(v.Inputs[1]); t != nil && t.Type == onnx.Int64 {
			axes = t.Int64s()
		}
	}
	at := map[int64]bool{}
	for _, a := range axes {
		at[(a+4)%4] = true
	}
	return len(axes) == 2 && at[2] && at[3]
}

// foldNormalizations takes batch normalization into the convolution whose answer only it reads.
// Where there is none, it becomes a convolution of one number a channel.
func foldNormalizations(g *onnx.Graph) {
	constants := map[string]*onnx.Tensor{}
	for i := range g.Initializers {
		constants[g.Initializers[i].Name] = &g.Initializers[i]
	}
	readers, by := wires(g)
	shapes, gone := g.Shapes(), map[int]bool{}
	var made []onnx.Tensor
	for i := range g.Nodes {
		v := &g.Nodes[i]
		if v.OpType != "BatchNormalization" || v.Domain != "" || len(v.Outputs) != 1 || branches(g) {
			continue
		}
		scale, shift, ok := normalization(v, constants)
		if !ok {
			continue
		}
		if k, before := by[v.Inputs[0]]; before && readers[v.Inputs[0]] == 1 && g.Nodes[k].OpType == "Conv" {
			c := &g.Nodes[k]
			if w, b, ok := folded(c, constants, scale, shift, v.Outputs[0]); ok {
				made = append(made, w, b)
				c.Inputs, c.Outputs = []string{c.Inputs[0], w.Name, b.Name}, v.Outputs
				gone[i], by[v.Outputs[0]] = true, k
				continue
			}
		}
		if len(shapes[v.Inputs[0]]) == 4 {
			made = append(made, asConvolution(v, scale, shift)...)
		}
	}
	kept := make([]onnx.Node, 0, len(g.Nodes))
	for i, v := range g.Nodes {
		if !gone[i] {
			kept = append(kept, v)
		}
	}
	g.Nodes, g.Initializers = kept, append(g.Initializers, made...)
}

// normalization is what a batch normalization multiplies each channel with and adds to it.
func normalization(v *onnx.Node, constants map[string]*onnx.Tensor) (scale, shift []float64, ok bool) {
	if a := v.Attribute("training_mode"); a != nil && a.Int != 0 || len(v.Inputs) != 5 {
		return nil, nil, false
	}
	var p [4]weights
	for i, t := range v.Inputs[1:] {
		c := constants[t]
		if c == nil || c.Type != onnx.Float32 || int64(len(c.Data)) != c.Bytes() || len(c.Dims) != 1 ||
			i > 0 && len(c.Data) != len(p[0]) {
			return nil, nil, false
		}
		p[i] = weights(c.Data)
	}
	epsilon := 1e-5
	if a := v.Attribute("epsilon"); a != nil {
		epsilon = float64(a.Float)
	}
	for i := range len(p[0]) / 4 {
		s := p[0].at(i) / math.Sqrt(p[3].at(i)+epsilon)
		scale, shift = append(scale, s), append(shift, p[1].at(i)-p[2].at(i)*s)
	}
	return scale, shift, true
}

// folded are weight and bias of a convolution with the normalization behind it.
func folded(c *onnx.Node, constants map[string]*onnx.Tensor, scale, shift []float64, name string) (w, b onnx.Tensor,
	ok bool) {
	old := constants[c.Inputs[1]]
	if old == nil || old.Type != onnx.Float32 || int64(len(old.Data)) != old.Bytes() ||
		old.Dims[0] != int64(len(scale)) {
		return w, b, false
	}
	offset := func(int) float64 { return 0 }
	if len(c.Inputs) > 2 && c.Inputs[2] != "" {
		t := constants[c.Inputs[2]]
		if t == nil || t.Type != onnx.Float32 || int64(len(t.Data)) != t.Bytes() ||
			t.Elements() != int64(len(scale)) {
			return w, b, false
		}
		offset = weights(t.Data).at
	}
	values, bias := make([]float32, old.Elements()), make([]float32, len(scale))
	row := len(values) / len(scale)
	for i := range values {
		values[i] = float32(weights(old.Data).at(i) * scale[i/row])
	}
	for o := range bias {
		bias[o] = float32(offset(o)*scale[o] + shift[o])
	}
	return onnx.NewFloat32(name+"/weight", values, old.Dims...), onnx.NewFloat32(name+"/bias", bias, int64(len(bias))),
		true
}

// asConvolution makes a batch normalization a depthwise convolution with kernels of one number.
func asConvolution(v *onnx.Node, scale, shift []float64) []onnx.Tensor {
	channels := int64(len(scale))
	values, bias := make([]float32, channels), make([]float32, channels)
	for i := range values {
		values[i], bias[i] = float32(scale[i]), float32(shift[i])
	}
	w := onnx.NewFloat32(v.Outputs[0]+"/weight", values, channels, 1, 1, 1)
	b := onnx.NewFloat32(v.Outputs[0]+"/bias", bias, channels)
	v.OpType, v.Inputs = "Conv", []string{v.Inputs[0], w.Name, b.Name}
	v.Attributes = []onnx.Attribute{onnx.Int("group", channels), onnx.Ints("kernel_shape", 1, 1)}
	return []onnx.Tensor{w, b}
}

// wires are how often each tensor is read, by nodes and as an output, and the node that makes it.
func wires(g *onnx.Graph) (readers, by map[string]int) {
	readers, by = map[string]int{}, map[string]int{}
	for i, v := range g.Nodes {
		for _, t := range v.Reads() {
			readers[t]++
		}
		by[first(v.Outputs)] = i
	}
	for _, o := range g.Outputs {
		readers[o.Name]++
	}
	return readers, by
}

// joinBiases makes one Gemm of a matrix times a constant and the Add of a bias behind it.
func joinBiases(g *onnx.Graph) {
	shapes := g.Shapes()
	readers, by := wires(g)
	gone := map[int]bool{}
	for i := range g.Nodes {
		v := &g.Nodes[i]
		if v.OpType != "Add" || len(v.Inputs) != 2 || v.Domain != "" || branches(g) {
			continue
		}
		for side, t := range v.Inputs {
			k, made := by[v.Inputs[1-side]]
			bias := g.Initializer(t)
			if bias == nil || !made || g.Nodes[k].OpType != "MatMul" || readers[v.Inputs[1-side]] != 1 {
				continue
			}
			w := g.Initializer(g.Nodes[k].Inputs[1])
			if w == nil || w.Type != onnx.Float32 || len(w.Dims) != 2 ||
				len(shapes[g.Nodes[k].Inputs[0]]) != 2 || len(bias.Dims) != 1 ||
				bias.Dims[0] != w.Dims[1] {
				continue
			}
			v.OpType, v.Name = "Gemm", g.Nodes[k].Name
			v.Inputs = []string{g.Nodes[k].Inputs[0], w.Name, t}
			gone[k] = true
			break
		}
	}
	kept := make([]onnx.Node, 0, len(g.Nodes))
	for i, v := range g.Nodes {
		if !gone[i] {
			kept = append(kept, v)
		}
	}
	g.Nodes = kept
}
