package onnx

import (
	"fmt"
	"slices"
)

// atLeastOne are attributes whose numbers a runtime divides by or counts with: ONNX Runtime divides
// by a stride of 0 while it loads a file, which ends the process.
var atLeastOne = map[string]bool{"strides": true, "dilations": true, "kernel_shape": true, "group": true,
	"blocksize": true, "num_groups": true}

// Sound looks for what a runtime takes for granted and does not check: strides and their like of 0,
// and a convolution whose bias does not have one number for each of its outputs, of which ONNX
// Runtime reads what lies behind it in memory.
func (g *Graph) Sound() error {
	shapes := g.Shapes()
	for i := range g.Nodes {
		n := &g.Nodes[i]
		for _, a := range n.Attributes {
			if !atLeastOne[a.Name] {
				continue
			}
			all := a.Ints
			if len(all) == 0 {
				all = []int64{a.Int}
			}
			if slices.Min(all) < 1 {
				return fmt.Errorf("onnx: %s %s has %s of %d: the file is damaged, export it again", n.OpType, n.Name,
					a.Name, slices.Min(all))
			}
		}
		if err := g.soundBias(n, shapes); err != nil {
			return err
		}
	}
	return nil
}

func (g *Graph) soundBias(n *Node, shapes map[string][]int64) error {
	if n.OpType != "Conv" && n.OpType != "ConvTranspose" && n.OpType != "FusedConv" ||
		len(n.Inputs) < 3 || n.Inputs[2] == "" {
		return nil
	}
	w, bias := shapes[n.Inputs[1]], shapes[n.Inputs[2]]
	if len(w) < 2 || bias == nil {
		return nil
	}
	outputs := w[0]
	if n.OpType == "ConvTranspose" {
		outputs = w[1] * integer(n, "group", 1)
	}
	if len(bias) != 1 || bias[0] != outputs {
		return fmt.Errorf("onnx: the bias of %s %s has the shape %v, its outputs are %d: the file is damaged, export "+
			"it again", n.OpType, n.Name, bias, outputs)
	}
	return nil
}
