package vgg16se

import "github.com/vggse/vggse-agent/onnx"

// attend appends the block of a layer: a gate, and its product with what came in. Gates that are
// sums are added before they multiply, so that the map itself is read and written once.
func (g *grapher) attend(l Layer) {
	x, p := g.last, g.params(l)
	switch l.Op {
	case OpSE:
		g.excite(l.Name+".fc", l.Name, "GlobalAveragePool", x, p)
		g.channelGate(l.Name+".fc.3", l.Name+".gate")
	case OpSSE:
		g.conv(l.Name+".conv", 1, 1, p)
		g.node("Sigmoid", l.Name+".gate", nil)
	case OpSCSE:
		g.conv(l.Name+".conv", 1, 1, p[2:])
		g.node("Sigmoid", l.Name+".conv.gate", nil)
		places := g.last
		g.excite(l.Name+".fc", l.Name, "GlobalAveragePool", x, p[:2])
		g.channelGate(l.Name+".fc.3", l.Name+".fc.gate")
		g.node("Add", l.Name+".gate", []string{places})
	case OpBAM:
		g.bam(l.Name, x, p)
	case OpCBAM:
		g.excite(l.Name+".mlp", l.Name+".mean", "GlobalAveragePool", x, p[:2])
		mean := g.last
		g.excite(l.Name+".mlp.max", l.Name+".max", "GlobalMaxPool", x, p[:2])
		g.node("Add", l.Name+".mlp.sum", []string{mean})
		g.channelGate(l.Name+".mlp.3", l.Name+".channels.gate")
		g.node("Mul", l.Name+".channels", []string{x})
		x = g.last
		if g.graph.Initializer("axes.c") == nil {
			g.graph.Initializers = append(g.graph.Initializers, onnx.NewInt64("axes.c", []int64{1}, 1))
		}
		g.node("ReduceMean", l.Name+".spatial.mean", []string{"axes.c"})
		mean = g.last
		g.last = x
		g.node("ReduceMax", l.Name+".spatial.max", []string{"axes.c"})
		highest := g.last
		g.last = mean
		g.node("Concat", l.Name+".spatial.both", []string{highest}, onnx.Int("axis", 1))
		g.conv(l.Name+".spatial", 7, 1, p[2:])
		g.node("Sigmoid", l.Name+".gate", nil)
	}
	g.node("Mul", l.Name, []string{x})
}

// bam appends 1 + σ(channels + places), so that its product with x is x + x·σ.
func (g *grapher) bam(name, x string, p []string) {
	for i := range 4 {
		kernel := []int{1, 3, 3, 1}[i]
		g.conv(name+".spatial."+[]string{"0", "2", "4", "6"}[i], kernel, dilation, p[4+2*i:][:2])
		if i < 3 {
			g.node("Relu", name+".spatial."+[]string{"1", "3", "5"}[i], nil)
		}
	}
	places := g.last
	g.excite(name+".channel", name, "GlobalAveragePool", x, p[:4])
	g.unsqueeze(name + ".channel.map")
	g.node("Add", name+".sum", []string{places})
	g.node("Sigmoid", name+".sigmoid", nil)
	if g.graph.Initializer("one") == nil {
		g.graph.Initializers = append(g.graph.Initializers, onnx.NewFloat32("one", []float32{1}, 1))
	}
	g.node("Add", name+".gate", []string{"one"})
}

// excite appends W2·relu(W1·pool(x)), N×C; p holds two weights, or two weights with a bias each.
func (g *grapher) excite(name, before, pool, x string, p []string) {
	g.last = x
	half := len(p) / 2
	g.node(pool, before+".squeeze", nil)
	g.node("Flatten", before+".flatten", nil, onnx.Int("axis", 1))
	g.node("Gemm", name+".0", p[:half], onnx.Int("transB", 1))
	g.node("Relu", name+".1", nil)
	g.node("Gemm", name+".2", p[half:], onnx.Int("transB", 1))
}

// channelGate appends a sigmoid of N×C and makes a map of it.
func (g *grapher) channelGate(sigmoid, name string) {
	g.node("Sigmoid", sigmoid, nil)
	g.unsqueeze(name)
}

// unsqueeze makes N×C×1×1 of N×C.
func (g *grapher) unsqueeze(name string) {
	if g.graph.Initializer("axes.hw") == nil {
		g.graph.Initializers = append(g.graph.Initializers, onnx.NewInt64("axes.hw", []int64{2, 3}, 2))
	}
	g.node("Unsqueeze", name, []string{"axes.hw"})
}

// conv appends a square convolution that keeps the size of the map; kernels of 1 have no dilation.
func (g *grapher) conv(name string, kernel, dilation int, p []string) {
	k := int64(kernel)
	attributes := []onnx.Attribute{onnx.Ints("kernel_shape", k, k)}
	if kernel > 1 {
		pad := (k - 1) / 2 * int64(dilation)
		attributes = append(attributes, onnx.Ints("pads", pad, pad, pad, pad))
		if dilation > 1 {
			attributes = append(attributes, onnx.Ints("dilations", int64(dilation), int64(dilation)))
		}
	}
	g.node("Conv", name, p, attributes...)
}
