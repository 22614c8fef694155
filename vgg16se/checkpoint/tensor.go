package checkpoint

import (
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"math"

	"github.com/vggse/vggse-agent/onnx"
)

// Tensor is one named tensor of a checkpoint.
type Tensor struct {
	Name  string
	Type  onnx.DataType
	Shape []int64

	strides []int64 // in elements; nil where the elements stand row-major without gaps
	data    []byte  // from the first element on
	negated bool    // the elements are the data times −1
}

// check sees that every element lies inside the data.
func (t *Tensor) check() error {
	n := (&onnx.Tensor{Dims: t.Shape}).Elements()
	width := t.Type.Width()
	have := int64(len(t.data))
	switch {
	case width == 0:
		return fmt.Errorf("tensor %q: elements of %v are not supported", t.Name, t.Type)
	case n < 0 || t.strides == nil && n > have/width:
		return fmt.Errorf("tensor %q: shape %v of %v does not fit into the %d bytes that the file has for it", t.Name,
			t.Shape, t.Type, have)
	case t.strides == nil || n == 0:
		return nil
	case len(t.strides) != len(t.Shape):
		return fmt.Errorf("tensor %q: %d strides for %d dimensions", t.Name, len(t.strides), len(t.Shape))
	}
	last := int64(0)
	for i, d := range t.Shape {
		s := t.strides[i]
		if s < 0 || s > 0 && d-1 > (math.MaxInt64/8-last)/s {
			return fmt.Errorf("tensor %q: stride %d is impossible", t.Name, s)
		}
		last += (d - 1) * s
	}
	if last >= have/width {
		return fmt.Errorf("tensor %q: its last element is number %d of a storage that has %d", t.Name, last, have/width)
	}
	if t.contiguous() {
		t.strides = nil
	}
	return nil
}

// contiguous says whether the strides are those of a row-major tensor; of a dimension of 1 the
// stride does not matter.
func (t *Tensor) contiguous() bool {
	next := int64(1)
	for i := len(t.Shape) - 1; i >= 0; i-- {
		if t.Shape[i] != 1 && t.strides[i] != next {
			return false
		}
		next *= t.Shape[i]
	}
	return true
}

// Elements is the product of the shape.
func (t *Tensor) Elements() int64 { return (&onnx.Tensor{Dims: t.Shape}).Elements() }

// block is the number of elements that are converted at a time.
const block = 1 << 14

// Values calls each with the elements in row-major order, a block at a time; the slice is valid
// during the call.
func (t *Tensor) Values(each func(v []float64) error) error {
	read, err := reader(t.Type)
	if err != nil {
		return fmt.Errorf("checkpoint: tensor %q: %w", t.Name, err)
	}
	width := int(t.Type.Width())
	buf := make([]float64, 0, block)
	index := make([]int64, len(t.Shape))
	at := int64(0)
	for left := t.Elements(); left > 0; {
		buf = buf[:min(left, block)]
		for i := range buf {
			buf[i] = read(t.data[int(at)*width:])
			if t.negated {
				buf[i] = -buf[i]
			}
			at = t.next(index, at)
		}
		if err := each(buf); err != nil {
			return err
		}
		left -= int64(len(buf))
	}
	return nil
}

// next is the place of the element after the one at index, which it moves on.
func (t *Tensor) next(index []int64, at int64) int64 {
	if t.strides == nil {
		return at + 1
	}
	for i := len(index) - 1; i >= 0; i-- {
		index[i]++
		at += t.strides[i]
		if index[i] < t.Shape[i] {
			break
		}
		at -= t.strides[i] * index[i]
		index[i] = 0
	}
	return at
}

// WriteFloat32 writes the elements row-major as little-endian float32. What is float32 without gaps
// already goes straight from the file.
func (t *Tensor) WriteFloat32(w io.Writer) error {
	if t.Type == onnx.Float32 && t.strides == nil && !t.negated {
		const chunk = 1 << 20
		for b := t.data[:4*t.Elements()]; len(b) > 0; {
			n, err := w.Write(b[:min(len(b), chunk)])
			if err != nil {
				return err
			}
			b = b[n:]
		}
		return nil
	}
	out := make([]byte, 0, 4*block)
	return t.Values(func(v []float64) error {
		out = out[:0]
		for _, x := range v {
			out = binary.LittleEndian.AppendUint32(out, math.Float32bits(float32(x)))
		}
		_, err := w.Write(out)
		return err
	})
}

var errNoFloat = errors.New("not floating-point numbers")

// reader returns the function that reads one element.
func reader(t onnx.DataType) (func([]byte) float64, error) {
	switch t {
	case onnx.Float32:
		return func(b []byte) float64 { return float64(math.Float32frombits(binary.LittleEndian.Uint32(b))) }, nil
	case onnx.Float64:
		return func(b []byte) float64 { return math.Float64frombits(binary.LittleEndian.Uint64(b)) }, nil
	case onnx.BFloat16:
		return func(b []byte) float64 {
			return float64(math.Float32frombits(uint32(binary.LittleEndian.Uint16(b)) << 16))
		}, nil
	case onnx.Float16:
		return func(b []byte) float64 { return half(binary.LittleEndian.Uint16(b)) }, nil
	}
	return nil, fmt.Errorf("%v: %w", t, errNoFloat)
}

// half is the value of an IEEE 754 binary16.
func half(h uint16) float64 {
	sign, exponent, fraction := 1.0, int(h>>10&31), float64(h&1023)
	if h>>15 == 1 {
		sign = -1
	}
	switch exponent {
	case 0:
		return sign * math.Ldexp(fraction, -24)
	case 31:
		if fraction != 0 {
			return math.NaN()
		}
		return math.Inf(int(sign))
	}
	return sign * math.Ldexp(1024+fraction, exponent-25)
}

// Float32s are the elements in row-major order.
func (t *Tensor) Float32s() ([]float32, error) {
	v := make([]float32, 0, t.Elements())
	err := t.Values(func(part []float64) error {
		for _, x := range part {
			v = append(v, float32(x))
		}
		return nil
	})
	return v, err
}

// Halves writes v, rounded to the nearest float16, as the content of a tensor of that type.
func Halves(v []float32) onnx.Source {
	return func(w io.Writer) error {
		_, err := w.Write(onnx.Encode(onnx.Float16, v))
		return err
	}
}

// Float32s writes v as the content of a tensor.
func Float32s(v []float32) onnx.Source {
	return func(w io.Writer) error {
		b := make([]byte, 0, 4*len(v))
		for _, x := range v {
			b = binary.LittleEndian.AppendUint32(b, math.Float32bits(x))
		}
		_, err := w.Write(b)
		return err
	}
}
