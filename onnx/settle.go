package onnx

import (
	"fmt"
	"slices"
)

// SettleShapes makes constants of what a graph works out of the shapes of its tensors in every run,
// as exporters with an open batch write it: two dozen operators around each channel shuffle, which
// take longer than the layers between them where a network is small. Every dimension that is open is
// taken for the batch. An argument that is the same for any batch becomes a constant, and so does the
// shape of a Reshape of which only what 0 and -1 stand for goes with the batch. The rest stays.
func (g *Graph) SettleShapes() {
	one, other := shaper{graph: g, batch: 3}, shaper{graph: g, batch: 7}
	one.run()
	other.run()
	made := map[string]bool{}
	for i := range g.Nodes {
		for _, t := range g.Nodes[i].Outputs {
			made[t] = g.Nodes[i].OpType != "Constant"
		}
	}
	b, constants := builder{used: g.names()}, map[string]string{}
	g.Nodes, g.Initializers = slices.Clone(g.Nodes), slices.Clone(g.Initializers)
	for i := range g.Nodes {
		n := &g.Nodes[i]
		for k := 1; k < len(n.Inputs); k++ {
			t := n.Inputs[k]
			dims, known := one.shapes[t]
			if !made[t] || one.cast[t] || !known || len(dims) > 1 {
				continue
			}
			v := settled(n, k, &one, &other)
			if v == nil || product(dims) != int64(len(v)) {
				continue
			}
			key := fmt.Sprint(t, v)
			if constants[key] == "" {
				constants[key] = b.name(t + "/settled")
				g.Initializers = append(g.Initializers, NewInt64(constants[key], v, dims...))
			}
			n.Inputs = slices.Clone(n.Inputs)
			n.Inputs[k] = constants[key]
		}
	}
	if len(constants) > 0 {
		g.dropUnread()
	}
}

// settled is what stands for input k of a node whatever the batch, of which a and b are two; nil
// where nothing does.
func settled(n *Node, k int, a, b *shaper) []int64 {
	x, y := a.values[n.Inputs[k]], b.values[n.Inputs[k]]
	if len(x) == 0 || len(x) != len(y) {
		return nil
	}
	if slices.Equal(x, y) {
		return x
	}
	if n.OpType != "Reshape" || k != 1 || integer(n, "allowzero", 0) != 0 {
		return nil
	}
	v, inX, inY := slices.Clone(x), a.in(n, 0), b.in(n, 0)
	open := slices.Contains(x, -1)
	for i := range v {
		switch {
		case x[i] == y[i]:
		case i < len(inX) && i < len(inY) && inX[i] == x[i] && inY[i] == y[i]:
			v[i] = 0 // as the tensor has it
		case open:
			return nil
		default:
			v[i], open = -1, true
		}
	}
	return v
}

// dropUnread drops nodes that nothing reads.
func (g *Graph) dropUnread() {
	for {
		read := map[string]bool{}
		for i := range g.Nodes {
			for _, t := range g.Nodes[i].Reads() {
				read[t] = true
			}
		}
		for _, o := range g.Outputs {
			read[o.Name] = true
		}
		before := len(g.Nodes)
		g.Nodes = slices.DeleteFunc(g.Nodes, func(n Node) bool {
			return !slices.ContainsFunc(n.Outputs, func(t string) bool { return read[t] })
		})
		if len(g.Nodes) == before {
			return
		}
	}
}
