package quant

import "github.com/vggse/vggse-agent/onnx"

// gateNodes finds what works out the gates of attention blocks: everything between a map and what
// it is multiplied with. It stays in float: it is a small part of the work, and what it gets wrong
// hits a whole channel or place.
func (n *Graph) gateNodes() map[int]bool {
	marked := map[int]bool{}
	var mark func(t, stop string)
	mark = func(t, stop string) {
		i, made := n.by[t]
		if t == stop || !made || marked[i] {
			return
		}
		marked[i] = true
		for _, in := range n.graph.Nodes[i].Inputs {
			mark(in, stop)
		}
	}
	for i := range n.graph.Nodes {
		v := &n.graph.Nodes[i]
		if v.OpType != "Mul" || len(v.Inputs) != 2 {
			continue
		}
		for k, t := range v.Inputs {
			if other := v.Inputs[1-k]; n.fromSigmoid(t) && !n.fromSigmoid(other) && n.reaches(t, other) &&
				!n.sigmoidOf(t, other) {
				mark(t, other)
			}
		}
	}
	return marked
}

// reaches tells whether tensor t is worked out from tensor from, within a block's few nodes.
func (n *Graph) reaches(t, from string) bool {
	next := []string{t}
	for range 40 {
		if len(next) == 0 {
			return false
		}
		if next[0] == from {
			return true
		}
		if i, made := n.by[next[0]]; made {
			next = append(next, n.graph.Nodes[i].Inputs...)
		}
		next = next[1:]
	}
	return false
}

// fromSigmoid follows a tensor up through operators that only move values.
func (n *Graph) fromSigmoid(t string) bool {
	for {
		i, made := n.by[t]
		if !made {
			return false
		}
		switch v := &n.graph.Nodes[i]; v.OpType {
		case "Sigmoid", "HardSigmoid":
			return true
		case "Unsqueeze", "Reshape", "Expand", "Identity":
			t = v.Inputs[0]
		case "Add": // the gates of scSE and BAM: a sum with a sigmoid or a constant, never negative
			return n.fromSigmoid(v.Inputs[0]) || n.fromSigmoid(v.Inputs[1])
		default:
			return false
		}
	}
}

// onlyPooled tells whether v is the product of values with a gate that is one number a channel, and
// a MaxPool all that reads it.
func (n *Graph) onlyPooled(v *onnx.Node) bool {
	out := first(v.Outputs)
	if site, known := n.site[out]; !known || n.Sites[site].Name != out || n.Sites[site].Kind != Product ||
		n.output(out) {
		return false
	}
	users := n.users[out]
	if len(users) != 1 || n.graph.Nodes[users[0]].OpType != "MaxPool" || len(n.graph.Nodes[users[0]].Outputs) != 1 {
		return false
	}
	return n.ofWholeChannels(v.Inputs[0], v.Inputs[1]) || n.ofWholeChannels(v.Inputs[1], v.Inputs[0])
}

// ofWholeChannels tells whether t is a sigmoid of what a global average of from says, channel by
// channel.
func (n *Graph) ofWholeChannels(t, from string) bool {
	for sigmoids := 0; ; {
		i, made := n.by[t]
		if !made {
			return false
		}
		v := &n.graph.Nodes[i]
		switch v.OpType {
		case "GlobalAveragePool":
			return sigmoids == 1 && v.Inputs[0] == from
		case "Sigmoid", "HardSigmoid":
			sigmoids++
		case "Unsqueeze", "Squeeze", "Reshape", "Flatten", "Identity", "Relu":
		case "Gemm", "MatMul", "Conv":
			if n.graph.Initializer(v.Inputs[1]) == nil {
				return false
			}
		default:
			return false
		}
		t = v.Inputs[0]
	}
}
