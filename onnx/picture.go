package onnx

import (
	"fmt"
	"slices"
)

// Picture is the input of an image classifier as its file has it.
type Picture struct {
	Name                    string
	Type                    DataType
	Height, Width, Channels int
	ChannelsLast            bool // height, width, channels; else channels, height, width
	NoBatch                 bool // it has three dimensions, and takes one picture
	Batch                   int  // that the file was exported for, 0 where it takes any
}

// dims are the dimensions of the input for a batch of n, of 0 without one.
func (p *Picture) dims(n int) []int64 {
	h, w, c := int64(p.Height), int64(p.Width), int64(p.Channels)
	d := []int64{c, h, w}
	if p.ChannelsLast {
		d = []int64{h, w, c}
	}
	if n > 0 {
		d = append([]int64{int64(n)}, d...)
	}
	return d
}

// Shape are the dimensions of the input for the batch that the file wants, 1 where it takes any.
func (p *Picture) Shape() []int64 {
	if p.NoBatch {
		return p.dims(0)
	}
	return p.dims(max(p.Batch, 1))
}

// String describes the input: "3×224×224 float32", "224×224×3 uint8".
func (p *Picture) String() string {
	d := p.dims(0)
	return fmt.Sprintf("%d×%d×%d %v", d[0], d[1], d[2], p.Type)
}

var pictureTypes = map[DataType]bool{Float32: true, Float16: true, Float64: true, BFloat16: true, Uint8: true,
	Int8: true, Int32: true, Int64: true, Uint16: true, Int16: true}

// picture reads from the declared shape, and where that leaves it open from what reads the input,
// where the channels are and how many.
func (m *Model) picture(in ValueInfo, w *Wanted) (*Picture, error) {
	p := &Picture{Name: in.Name, Type: in.Type}
	shape := in.Shape
	if len(shape) == 3 {
		p.NoBatch, p.Batch = true, 1
		shape = append([]Dim{{Size: 1}}, shape...)
	}
	switch {
	case !pictureTypes[in.Type]:
		return nil, fmt.Errorf("onnx: the input must be a picture in numbers, this model has %v: export it with a "+
			"float32 input", in)
	case in.Shape == nil:
		shape = make([]Dim, 4)
	case len(shape) != 4:
		return nil, fmt.Errorf("onnx: the input must be float32[N 3 S S] or the like, this model has %v: export it "+
			"with pictures N×3×S×S as its input", in)
	}
	p.Batch = max(p.Batch, int(shape[0].Size))
	axis, err := m.channels(p, in, shape)
	if err != nil {
		return nil, err
	}
	p.ChannelsLast = axis == 3
	at := [2]int{2, 3}
	if p.ChannelsLast {
		at = [2]int{1, 2}
	}
	for i, side := range []*int{&p.Height, &p.Width} {
		given := []int{w.Height, w.Width}[i]
		switch size := int(shape[at[i]].Size); {
		case size > 0:
			*side = size
		case given > 0:
			*side = given
		default:
			return nil, fmt.Errorf("onnx: the graph takes pictures of any size (%v): say with --input which one the "+
				"network was trained for", in)
		}
	}
	return p, nil
}

// channels finds the axis of the channels, 1 or 3, and notes how many there are.
func (m *Model) channels(p *Picture, in ValueInfo, shape []Dim) (int, error) {
	possible := func(axis int) bool { n := shape[axis].Size; return n == 1 || n == 3 || n == 4 }
	axis, count := m.Graph.convolved(in.Name)
	switch first, last := possible(1), possible(3); {
	case first && !last:
		axis = 1
	case last && !first:
		axis = 3
	case axis == 0 && first && last && shape[2].Size == shape[3].Size: // 3×4×4
		axis = 1
	}
	if axis == 0 {
		return 0,
			fmt.Errorf("onnx: the input must be float32[N 3 S S] or the like, this model has %v, which does not "+
				"say where the channels are: fix that dimension to 3 (onnxruntime.tools.make_dynamic_shape_fixed)", in)
	}
	if n := shape[axis].Size; n > 0 {
		count = n
	}
	if count != 1 && count != 3 && count != 4 {
		return 0,
			fmt.Errorf("onnx: the input must be float32[N 3 S S] or the like, this model has %v with %d channels: "+
				"pictures have 1, 3 or 4", in, count)
	}
	p.Channels = int(count)
	return axis, nil
}

// convolved follows the input to its first convolution, through what works number by number, and
// returns the axis that is its channels and how many it takes; 0 where there is none.
func (g *Graph) convolved(input string) (axis int, channels int64) {
	shapes := g.Shapes()
	axes := map[string][]int64{input: {0, 1, 2, 3}} // which axis of the input stands where
	for range g.Nodes {                             // the nodes of a file need not be sorted
		more := false
		for i := range g.Nodes {
			n := &g.Nodes[i]
			at := slices.IndexFunc(n.Inputs, func(t string) bool { return axes[t] != nil })
			if at < 0 || len(n.Outputs) == 0 || axes[n.Outputs[0]] != nil {
				continue
			}
			from := axes[n.Inputs[at]]
			switch weight := shapes[convWeight(n)]; {
			case (n.OpType == "Conv" || n.OpType == "ConvInteger" || n.OpType == "QLinearConv") && len(weight) == 4:
				return int(from[1]), weight[1] * integer(n, "group", 1)
			case n.OpType == "Transpose":
				perm := n.Attribute("perm")
				if perm == nil || len(perm.Ints) != 4 {
					continue
				}
				to := make([]int64, 4)
				for k, p := range perm.Ints {
					to[k] = from[min(max(p, 0), 3)]
				}
				from = to
			case n.OpType == "Shape" || n.OpType == "Reshape" || n.OpType == "Flatten":
				continue
			}
			axes[n.Outputs[0]], more = from, true
		}
		if !more {
			break
		}
	}
	return 0, 0
}

func convWeight(n *Node) string {
	i := 1
	if n.OpType == "QLinearConv" {
		i = 3
	}
	if i < len(n.Inputs) {
		return n.Inputs[i]
	}
	return ""
}
