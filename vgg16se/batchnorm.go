package vgg16se

import (
	"encoding/binary"
	"fmt"
	"io"
	"math"

	"github.com/vggse/vggse-agent/onnx"
	"github.com/vggse/vggse-agent/vgg16se/checkpoint"
)

// part is where one parameter comes from.
type part struct {
	tensor *checkpoint.Tensor // nil for a convolution without bias before batch normalization
	norm   *norm              // nil where there is none
}

// source converts the tensor while it is written, through the batch normalization if there is one.
func (p part) source(param Param) (onnx.Source, error) {
	if p.norm == nil {
		return p.tensor.WriteFloat32, nil
	}
	scale, shift, err := p.norm.factors()
	if err != nil {
		return nil, err
	}
	if len(param.Shape) > 1 {
		return func(w io.Writer) error { return writeScaled(w, p.tensor, scale) }, nil
	}
	if p.tensor != nil {
		bias, err := values(p.tensor)
		if err != nil {
			return nil, err
		}
		for i, b := range bias {
			shift[i] += b * scale[i]
		}
	}
	return func(w io.Writer) error { return writeFloats(w, shift) }, nil
}

// norm is a batch normalization in inference: y = (x − mean)/√(variance + ε)·weight + bias.
type norm struct{ weight, bias, mean, variance *checkpoint.Tensor }

// epsilon is PyTorch's default, which no checkpoint stores.
const epsilon = 1e-5

func normOf(names map[string]*checkpoint.Tensor, name string) *norm {
	if name == "" {
		return nil
	}
	return &norm{names[name+".weight"], names[name+".bias"], names[name+".running_mean"], names[name+".running_var"]}
}

// factors writes the normalization as y = scale·x + shift.
func (n *norm) factors() (scale, shift []float64, err error) {
	var all [4][]float64
	for i, t := range []*checkpoint.Tensor{n.weight, n.bias, n.mean, n.variance} {
		if all[i], err = values(t); err != nil {
			return nil, nil, err
		}
	}
	weight, bias, mean, variance := all[0], all[1], all[2], all[3]
	for i := range weight {
		if variance[i] < 0 {
			return nil, nil, fmt.Errorf("%s: variance %g is negative", n.variance.Name, variance[i])
		}
		s := weight[i] / math.Sqrt(variance[i]+epsilon)
		scale, shift = append(scale, s), append(shift, bias[i]-mean[i]*s)
	}
	return scale, shift, nil
}

func values(t *checkpoint.Tensor) ([]float64, error) {
	var all []float64
	err := t.Values(func(v []float64) error {
		all = append(all, v...)
		return nil
	})
	return all, err
}

// writeScaled writes t with row i multiplied by scale[i].
func writeScaled(w io.Writer, t *checkpoint.Tensor, scale []float64) error {
	row := t.Elements() / int64(len(scale))
	at := int64(0)
	return t.Values(func(v []float64) error {
		for i := range v {
			v[i] *= scale[at/row]
			at++
		}
		return writeFloats(w, v)
	})
}

func writeFloats(w io.Writer, v []float64) error {
	b := make([]byte, 0, 4*len(v))
	for _, x := range v {
		b = binary.LittleEndian.AppendUint32(b, math.Float32bits(float32(x)))
	}
	_, err := w.Write(b)
	return err
}
