package prune

import (
	"strings"

	"gonum.org/v1/gonum/blas"
	"gonum.org/v1/gonum/blas/blas32"
	"gonum.org/v1/gonum/mat"

	"github.com/vggse/vggse-agent/onnx"
	"github.com/vggse/vggse-agent/vgg16se"
)

// group is a set of channels that only go together: what a layer puts out, and its reader takes in.
type group struct {
	maker, reader vgg16se.Layer
	gate          *vgg16se.Layer // the attention block between them
	index         int            // of the convolution, 13 and 14 for the hidden layers
	width         int            // channels
	taps          int            // weights of the reader for a channel and an output
	side          int            // height and width of the map that the reader sees
	before        string         // tensor that the gate reads
	in, out       string         // tensors that the reader reads and puts out
}

// dense tells whether the reader is fully connected: then a picture is one sample, with all of its
// taps.
func (g *group) dense() bool { return g.reader.Op == vgg16se.OpLinear }

// groups lists those of a network in the order of the forward pass.
func groups(a vgg16se.Architecture, graph *onnx.Graph) []group {
	var all []group
	var open *group // its reader has not come yet
	var last string // what the layer before puts out
	for _, l := range a.Layers() {
		node := nodeOf(graph, l.Name)
		switch {
		case l.Op == vgg16se.OpConv || l.Op == vgg16se.OpLinear:
			if open != nil {
				open.reader, open.in, open.out = l, node.Inputs[0], node.Outputs[0]
				open.taps = int(l.Params[0].Elements()) / l.Params[0].Shape[0] / open.width
				if open.side = l.Shape[len(l.Shape)-1]; open.dense() {
					open.side = 1
				}
				all = append(all, *open)
			}
			open = &group{maker: l, width: l.Shape[0], index: len(all)}
		case l.Gate:
			gate := l
			open.gate, open.before = &gate, last
		}
		if node != nil {
			last = node.Outputs[0]
		}
	}
	return all
}

func nodeOf(g *onnx.Graph, name string) *onnx.Node {
	for i := range g.Nodes {
		if g.Nodes[i].Name == name {
			return &g.Nodes[i]
		}
	}
	return nil
}

// Parameters of a gate by what their channels are: rows have one for each, columns take one from
// each.
var (
	gateRows    = []string{"fc.2.weight", "fc.2.bias", "mlp.2.weight", "channel.2.weight", "channel.2.bias"}
	gateColumns = []string{"fc.0.weight", "mlp.0.weight", "channel.0.weight", "conv.weight", "spatial.0.weight"}
)

func endsWith(name string, parts []string) bool {
	for _, p := range parts {
		if strings.HasSuffix(name, "."+p) {
			return true
		}
	}
	return false
}

// cut leaves the kept channels of g. The reader takes the others' part from the kept ones: mix is
// width × kept, shift what is added to every channel; nil drops them.
func (n *VGG) cut(g *group, keep []int, mix *mat.Dense, shift []float64) {
	for _, p := range g.maker.Params {
		n.own[p.Name] = rows(n.values(p.Name), keep, g.width)
	}
	if g.gate != nil {
		for _, p := range g.gate.Params {
			switch v := n.values(p.Name); {
			case endsWith(p.Name, gateRows):
				n.own[p.Name] = rows(v, keep, g.width)
			case endsWith(p.Name, gateColumns):
				n.own[p.Name] = columnsOf(v, p.Shape[0], 1, g.width, keep)
			case g.gate.Op == vgg16se.OpCBAM: // its mean over the channels is over fewer now
				n.own[p.Name] = lessened(v, float32(len(keep))/float32(g.width))
			}
		}
	}
	if weight := g.reader.Params[0]; mix == nil {
		n.own[weight.Name] = columnsOf(n.values(weight.Name), weight.Shape[0], g.taps, g.width, keep)
	} else {
		n.reread(g, n.values(weight.Name), n.values(g.reader.Params[1].Name), mix, shift)
	}
	switch {
	case g.index < n.Arch.Convolutions():
		n.Arch.Channels[g.index] = len(keep)
	case g.index == n.Arch.Convolutions():
		n.Arch.Hidden = len(keep)
	default:
		n.Arch.Hidden2 = len(keep)
	}
	n.shape = shapes(n.Arch)
}

// reread gives the reader of g the given weights, seen through mix, which is channels before ×
// channels now.
func (n *VGG) reread(g *group, weight, bias []float32, mix *mat.Dense, shift []float64) {
	w, b := g.reader.Params[0], g.reader.Params[1]
	if shift != nil {
		moved := append([]float32(nil), bias...)
		each := len(weight) / len(bias)
		for o := range moved {
			sum := 0.0
			for i, v := range weight[o*each:][:each] {
				sum += float64(v) * shift[i/g.taps]
			}
			moved[o] += float32(sum)
		}
		n.own[b.Name] = moved
	}
	n.own[w.Name] = fold(weight, len(bias), g.taps, mix)
}

// rows keeps some of count rows.
func rows(v []float32, keep []int, count int) []float32 {
	return columnsOf(v, 1, len(v)/count, count, keep)
}

// columnsOf keeps some of the channels of weights out × channels × taps.
func columnsOf(v []float32, out, taps, channels int, keep []int) []float32 {
	kept := make([]float32, 0, out*len(keep)*taps)
	for o := range out {
		for _, k := range keep {
			kept = append(kept, v[(o*channels+k)*taps:][:taps]...)
		}
	}
	return kept
}

// selection is the matrix that leaves the kept of width channels as they are and drops the others.
func selection(keep []int, width int) *mat.Dense {
	m := mat.NewDense(width, len(keep), nil)
	for i, k := range keep {
		m.Set(k, i, 1)
	}
	return m
}

// fold multiplies weights out × channels × taps with mix along the channels.
func fold(v []float32, out, taps int, mix *mat.Dense) []float32 {
	from, to := mix.Dims()
	// transposed: the product is much faster so
	m := blas32.General{Rows: to, Cols: from, Stride: from, Data: make([]float32, from*to)}
	for i := range from {
		for j := range to {
			m.Data[j*from+i] = float32(mix.At(i, j))
		}
	}
	y := make([]float32, out*to*taps)
	for o := range out {
		w := blas32.General{Rows: from, Cols: taps, Stride: taps, Data: v[o*from*taps:][:from*taps]}
		r := blas32.General{Rows: to, Cols: taps, Stride: taps, Data: y[o*to*taps:][:to*taps]}
		blas32.Gemm(blas.NoTrans, blas.NoTrans, 1, m, w, 0, r)
	}
	return y
}

// lessened multiplies the first of two planes, that of CBAM's mean.
func lessened(v []float32, by float32) []float32 {
	w := append([]float32(nil), v...)
	for i := range w[:len(w)/2] {
		w[i] *= by
	}
	return w
}
