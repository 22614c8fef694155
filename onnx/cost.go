package onnx

// Cost is what one node adds to a network, for one picture.
type Cost struct {
	Name, Op   string
	Shape      []int64 // of the output, nil where it is not known
	Parameters int64   // numbers in the constants that it takes, each counted at its first use
	// multiply-adds of Conv, Gemm and MatMul, and of SE its squeeze and scale; 0 where the shapes
	// are not known
	MACs int64
	SE   bool // part of a squeeze-and-excitation block
}

// Costs lists the nodes in order.
func (g *Graph) Costs() []Cost {
	shapes, se := g.Shapes(), g.seNodes()
	weights := map[string]int64{} // numbers in constants that no node has taken yet
	for _, t := range g.Initializers {
		if t.Type == Float32 || t.Type == Float16 {
			weights[t.Name] = max(0, t.Elements())
		}
	}
	costs := make([]Cost, 0, len(g.Nodes))
	for i := range g.Nodes {
		n := &g.Nodes[i]
		c := Cost{Name: n.Name, Op: n.OpType, SE: se[i]}
		if len(n.Outputs) > 0 {
			c.Shape = shapes[n.Outputs[0]]
		}
		for _, in := range n.Inputs {
			c.Parameters += weights[in]
			delete(weights, in)
		}
		if c.Shape != nil {
			c.MACs = macs(n, c.Shape, shapes, c.SE)
		}
		costs = append(costs, c)
	}
	return costs
}

// macs counts one multiply-add for each product of an input with a weight, and in an SE block for
// each number that is averaged or scaled.
func macs(n *Node, out []int64, shapes map[string][]int64, se bool) int64 {
	var x, w []int64
	if len(n.Inputs) > 1 {
		x, w = shapes[n.Inputs[0]], shapes[n.Inputs[1]]
	}
	switch {
	case n.OpType == "Conv" && len(w) > 1:
		return product(out) * product(w[1:])
	case n.OpType == "Gemm" && len(x) == 2:
		return product(out) * x[1-integer(n, "transA", 0)&1]
	case n.OpType == "MatMul" && len(x) > 0:
		return product(out) * x[len(x)-1]
	case se && n.OpType == "Mul":
		return product(out)
	case se && (n.OpType == "GlobalAveragePool" || n.OpType == "ReduceMean"):
		return product(shapes[n.Inputs[0]])
	}
	return 0
}

// seNodes marks squeeze-and-excitation blocks by their pattern: a mean over the map of x, then a
// few nodes with one way through them, then the product with x again.
func (g *Graph) seNodes() map[int]bool {
	made := map[string]int{}
	for i := range g.Nodes {
		for _, o := range g.Nodes[i].Outputs {
			made[o] = i
		}
	}
	marked := map[int]bool{}
	for i := range g.Nodes {
		n := &g.Nodes[i]
		if n.OpType != "Mul" || len(n.Inputs) != 2 {
			continue
		}
		for side := range 2 {
			for _, j := range g.gate(made, n.Inputs[side], n.Inputs[1-side]) {
				marked[j], marked[i] = true, true
			}
		}
	}
	return marked
}

// gate walks back from a gate to the mean of x; nil where it does not come from there.
func (g *Graph) gate(made map[string]int, from, x string) []int {
	var path []int
	for range 12 {
		i, ok := made[from]
		if !ok || len(g.Nodes[i].Inputs) == 0 {
			return nil
		}
		path = append(path, i)
		n := &g.Nodes[i]
		if from = n.Inputs[0]; from == x {
			if n.OpType == "GlobalAveragePool" || n.OpType == "ReduceMean" {
				return path
			}
			return nil
		}
	}
	return nil
}
