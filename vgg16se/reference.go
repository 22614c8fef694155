package vgg16se

import (
	"context"
	"encoding/binary"
	"fmt"
	"math"

	"github.com/vggse/vggse-agent/onnx"
	"github.com/vggse/vggse-agent/vision"
)

// Reference computes the logits of every picture in x, N×3×S×S, with the parameters of g in float64
// and plain loops: what a runtime's answer is measured against. It returns N × classes, row by row.
// A full-size picture takes seconds; ctx ends it between layers.
func (a Architecture) Reference(ctx context.Context, g *onnx.Graph, x *vision.Tensor) ([]float64, error) {
	a = a.Full()
	size := a.InputSize
	if want := [4]int64{x.Shape[0], 3, int64(size), int64(size)}; x.Shape != want {
		return nil, fmt.Errorf("vgg16se: reference: pictures are %v, the network wants %v", x.Shape, want)
	}
	var logits []float64
	for n := range int(x.Shape[0]) {
		v := make([]float64, 3*size*size)
		for i := range v {
			v[i] = float64(x.Data[n*len(v)+i])
		}
		in := []int{3, size, size}
		for _, l := range a.Layers() {
			if err := ctx.Err(); err != nil {
				return nil, err
			}
			params, err := parameters(g, l)
			if err != nil {
				return nil, fmt.Errorf("vgg16se: reference: %w", err)
			}
			v = forward(l, in, v, params)
			in = l.Shape
		}
		logits = append(logits, v...)
	}
	return logits, nil
}

// floats reads float32 content in place.
type floats []byte

func (f floats) at(i int) float64 {
	return float64(math.Float32frombits(binary.LittleEndian.Uint32(f[4*i:])))
}

func parameters(g *onnx.Graph, l Layer) ([]floats, error) {
	var found []floats
	for _, p := range l.Params {
		t := g.Initializer(p.Name)
		if t == nil || t.Type != onnx.Float32 || t.Elements() != p.Elements() {
			return nil, fmt.Errorf("the graph has no float32 initializer %s of shape %v", p.Name, p.Shape)
		}
		found = append(found, floats(t.Data))
	}
	return found, nil
}

// forward is one layer: in is the shape of x.
func forward(l Layer, in []int, x []float64, p []floats) []float64 {
	switch l.Op {
	case OpConv:
		return conv3x3(x, in, l.Shape[0], p[0], p[1])
	case OpReLU:
		return rectify(x)
	case OpMaxPool:
		return maxPool(x, in)
	case OpAvgPool:
		return adaptiveAveragePool(x, in, l.Shape[1])
	case OpLinear:
		return linear(x, l.Shape[0], p[0], p[1])
	default:
		return attend(l, in, x, p)
	}
}

// maxPool takes the maximum of 2×2 squares; an odd last row or column falls away.
func maxPool(x []float64, in []int) []float64 {
	c, h, w := in[0], in[1]/2, in[2]/2
	y := make([]float64, 0, c*h*w)
	for ch := range c {
		for i := range h {
			top := x[(ch*in[1]+2*i)*in[2]:]
			for j := range w {
				y = append(y, max(top[2*j], top[2*j+1], top[in[2]+2*j], top[in[2]+2*j+1]))
			}
		}
	}
	return y
}

// adaptiveAveragePool is PyTorch's AdaptiveAvgPool2d.
func adaptiveAveragePool(x []float64, in []int, out int) []float64 {
	c, size := in[0], in[1]
	y := make([]float64, 0, c*out*out)
	for ch := range c {
		for i := range out {
			top, bottom := adaptive(i, size, out)
			for j := range out {
				left, right := adaptive(j, size, out)
				sum := 0.0
				for r := top; r < bottom; r++ {
					for _, v := range x[(ch*size+r)*size:][left:right] {
						sum += v
					}
				}
				y = append(y, sum/float64((bottom-top)*(right-left)))
			}
		}
	}
	return y
}

// linear is y = W·x + b with W out×in; bias may be nil.
func linear(x []float64, out int, weight, bias floats) []float64 {
	y := make([]float64, out)
	for o := range y {
		if bias != nil {
			y[o] = bias.at(o)
		}
		row := weight[4*o*len(x):][:4*len(x)]
		sum := 0.0
		for i, v := range x {
			sum += v * row.at(i)
		}
		y[o] += sum
	}
	return y
}
