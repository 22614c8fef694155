package quant

import (
	"errors"
	"fmt"
	"slices"

	"github.com/vggse/vggse-agent/onnx"
)

// Site is a tensor between two layers that is stored in 8 bits: the picture, what a convolution or
// the activation behind it puts out, a gate of a squeeze-excitation block and the product with it,
// a sum of two branches, and what an operator in float hands to a layer on integers.
type Site struct {
	Name   string // of the tensor in the FP32 graph
	Layer  string // of the node that makes it; "input" for the picture
	Kind   Kind
	Signed bool // it may hold values below 0
	// Floor is the end below which all values of a signed site mean the same to whoever reads it,
	// so that no codes are spent on them; 0: there is none.
	Floor float64
}

// Kind says where a Site stands.
type Kind string

// The kinds of sites.
const (
	Picture    Kind = "picture"
	Activation Kind = "activation" // behind a layer, its ReLU included
	Squeeze    Kind = "squeeze"    // the mean of a map
	SEGate     Kind = "gate"
	Product    Kind = "product"
	Sum        Kind = "sum"   // of two branches, the ReLU behind it included
	Joined     Kind = "joint" // several tensors side by side (Concat)
	Entry      Kind = "entry" // made in float, read by a layer on integers
)

// Layer is a convolution or a fully connected layer whose inputs and weights are quantized.
type Layer struct {
	Name         string
	Op           string // Conv, Gemm or MatMul
	Weight, Bias string // initializers; Bias may be ""
	In           int    // the site it reads
	Reads        string // the tensor that it reads: the site, or what a pool or flatten made of it
	out          string // what it puts out
	Relu         string // what the ReLU behind it puts out, or a Clip from 0 on; "" where there is none
	clipped      bool   // Relu is a Clip: it has an upper end
	Last         bool   // it puts out the answer of the network
	Pad          int64  // channels of zeros that the CPU file adds to the picture: see padPicture
	Size         int64  // number of weights
	columns      bool   // an output is a column of Weight, not a row
	groups       int64  // of channels that a convolution keeps apart; 1 where it mixes all
}

// errNoLayer says that there is nothing to quantize.
var errNoLayer = errors.New("the network has no convolution and no fully connected layer with constant float32 " +
	"weights: nothing in it can be stored in 8 bits")

// errDone says that there is nothing left to quantize.
var errDone = errors.New("the network is in 8 bits already, or makes its ranges anew for each picture: give the " +
	"one in float32 that it was made of")

// nothing is why no layer was found.
func nothing(g *onnx.Graph) error {
	for i := range g.Nodes {
		switch g.Nodes[i].OpType {
		case "DequantizeLinear", "QLinearConv", "QLinearMatMul", "ConvInteger", "MatMulInteger":
			return errDone
		}
	}
	return errNoLayer
}

// nameNodes gives nodes without a name, or with that of another, one of their own: plans go by it.
func nameNodes(g *onnx.Graph) {
	taken := map[string]bool{}
	for i := range g.Nodes {
		taken[g.Nodes[i].Name] = true
	}
	seen := map[string]bool{"": true}
	for i := range g.Nodes {
		n := &g.Nodes[i]
		for k := 0; seen[n.Name]; k++ {
			if name := fmt.Sprintf("%s/%d.%d", n.OpType, i, k); !taken[name] {
				n.Name = name
			}
		}
		seen[n.Name] = true
	}
}

// convolvedBy is what ONNX Runtime's direct integer convolution on x86 wants the channels to be a
// multiple of (KernelInputChannelAlignment of its MLAS); with any other number it first copies each
// pixel's neighbourhood.
const convolvedBy = 4

// padPicture sees to it that the picture has as many channels as a direct convolution wants, where
// nothing but plain convolutions reads it: the first layer of the full-size network then takes 2 ms
// instead of 7 (measured 2026-11-26, one core of a Xeon with VNNI). The weights of the new channel
// are 0, so the sums are the same.
func (n *Graph) padPicture() {
	var readers []*Layer
	for i := range n.Layers {
		l := &n.Layers[i]
		if l.Op == "Conv" && l.Reads == n.Sites[Input].Name && len(n.graph.Initializer(l.Weight).Dims) == 4 &&
			l.groups == 1 {
			readers = append(readers, l)
		}
	}
	if len(readers) != len(n.users[n.Sites[Input].Name]) {
		return
	}
	for _, l := range readers {
		l.Pad = -n.graph.Initializer(l.Weight).Dims[1] & (convolvedBy - 1)
	}
}

func (n *Graph) add(s Site) {
	n.site[s.Name] = len(n.Sites)
	n.Sites = append(n.Sites, s)
}

// output tells whether a tensor leaves the graph.
func (n *Graph) output(t string) bool {
	return slices.ContainsFunc(n.graph.Outputs, func(v onnx.ValueInfo) bool { return v.Name == t })
}

// Tensors are what a collection looks at: all sites but the picture, whose range the preprocessing
// gives, and behind them what layers read that is no site: of a pooled tensor only the means are
// wanted.
func (n *Graph) Tensors() []string {
	var names []string
	for _, s := range n.Sites[1:] {
		names = append(names, s.Name)
	}
	for _, l := range n.Layers {
		if n.Sites[n.site[l.Reads]].Name != l.Reads && !slices.Contains(names, l.Reads) {
			names = append(names, l.Reads)
		}
	}
	return names
}

func first(s []string) string {
	if len(s) == 0 {
		return ""
	}
	return s[0]
}
