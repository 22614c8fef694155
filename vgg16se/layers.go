package vgg16se

import "strconv"

// Kinds of Layer.Op.
const (
	OpConv    = "Conv3x3"
	OpReLU    = "ReLU"
	OpSE      = "SE"
	OpSSE     = "sSE"
	OpSCSE    = "scSE"
	OpBAM     = "BAM"
	OpCBAM    = "CBAM"
	OpMaxPool = "MaxPool"
	OpAvgPool = "AdaptiveAvgPool"
	OpLinear  = "Linear"
)

// Layer is one module of the network in the order of the forward pass. Dropout, which does nothing
// in inference, is left out.
type Layer struct {
	Name       string  // of the PyTorch module, such as features.4
	Op         string  // one of the Op constants
	Shape      []int   // of the output for one picture: channels, height, width; or neurons
	Parameters int64   // trained numbers
	MACs       int64   // multiply-adds of one picture, see Architecture.Layers
	Params     []Param // weight and bias; of an attention block as its class has them
	Gate       bool    // an attention block: SE or a relative
}

// Param is one trained tensor: its name in the state_dict and its shape there.
type Param struct {
	Name  string
	Shape []int
}

// Elements is the product of the shape.
func (p Param) Elements() int64 {
	n := int64(1)
	for _, d := range p.Shape {
		n *= int64(d)
	}
	return n
}

// Layers lists the network. Multiply-adds count what convolutions and fully connected layers do
// without their bias, and for attention one addition and one multiplication per element of the map
// (squeeze and scale) beside its small matrices and convolutions, as the SE article's 15.47 → 15.48
// GFLOPs do; ReLU and pools count nothing.
func (a Architecture) Layers() []Layer {
	a = a.Full()
	var l builder
	c, size, k := 3, a.InputSize, 0
	for i, depth := range a.Depths {
		for range depth {
			out := a.conv(k, i)
			l.add("features", OpConv, []int{out, size, size}, int64(out)*int64(9*c)*int64(size)*int64(size),
				Param{"weight", []int{out, c, 3, 3}}, Param{"bias", []int{out}})
			l.add("features", OpReLU, []int{out, size, size}, 0)
			c = out
			k++
		}
		if g, ok := gates[a.Attention]; ok {
			r := a.squeezed(i, c)
			l.add("features", g.op, []int{c, size, size}, g.macs(int64(c), int64(r), int64(size)*int64(size)),
				g.params(c, r)...)
			l.layers[len(l.layers)-1].Gate = true
		}
		size /= 2
		l.add("features", OpMaxPool, []int{c, size, size}, 0)
	}
	l.layers = append(l.layers, Layer{Name: "avgpool", Op: OpAvgPool, Shape: []int{c, a.PoolSize, a.PoolSize}})
	l.index = 0
	in := c * a.PoolSize * a.PoolSize
	for i, out := range []int{a.Hidden, a.Hidden2, a.Classes} {
		l.add("classifier", OpLinear, []int{out}, int64(in)*int64(out), Param{"weight", []int{out, in}},
			Param{"bias", []int{out}})
		if i < 2 {
			l.add("classifier", OpReLU, []int{out}, 0)
			l.index++ // Dropout
		}
		in = out
	}
	return l.layers
}

// builder numbers modules as nn.Sequential does.
type builder struct {
	layers []Layer
	index  int
}

func (b *builder) add(sequence, op string, shape []int, macs int64, params ...Param) {
	l := Layer{Name: sequence + "." + strconv.Itoa(b.index), Op: op, Shape: shape, MACs: macs, Params: params}
	for i := range params {
		params[i].Name = l.Name + "." + params[i].Name
		l.Parameters += params[i].Elements()
	}
	b.layers = append(b.layers, l)
	b.index++
}

// Params lists every trained tensor in the order of the state_dict.
func (a Architecture) Params() []Param {
	var all []Param
	for _, l := range a.Layers() {
		all = append(all, l.Params...)
	}
	return all
}

// Parameters counts the trained numbers of the network, and those of them that are in attention
// blocks.
func (a Architecture) Parameters() (all, se int64) {
	for _, l := range a.Layers() {
		if all += l.Parameters; l.Gate {
			se += l.Parameters
		}
	}
	return all, se
}

// MACs counts the multiply-adds of one picture, and those of them that are in attention blocks.
func (a Architecture) MACs() (all, se int64) {
	for _, l := range a.Layers() {
		if all += l.MACs; l.Gate {
			se += l.MACs
		}
	}
	return all, se
}
