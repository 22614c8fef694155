package onnx

import (
	"encoding/binary"
	"fmt"
	"math"
)

// DataType is the element type of a tensor (TensorProto.DataType).
type DataType int32

// The element types of ONNX that have a fixed width, and String.
const (
	Float32  DataType = 1
	Uint8    DataType = 2
	Int8     DataType = 3
	Uint16   DataType = 4
	Int16    DataType = 5
	Int32    DataType = 6
	Int64    DataType = 7
	Text     DataType = 8
	Bool     DataType = 9
	Float16  DataType = 10
	Float64  DataType = 11
	Uint32   DataType = 12
	Uint64   DataType = 13
	BFloat16 DataType = 16
)

var typeNames = map[DataType]string{
	Float32: "float32", Uint8: "uint8", Int8: "int8", Uint16: "uint16", Int16: "int16", Int32: "int32",
	Int64: "int64", Text: "string", Bool: "bool", Float16: "float16", Float64: "float64",
	Uint32: "uint32", Uint64: "uint64", BFloat16: "bfloat16",
}

// String is the name of the type as NumPy spells it.
func (t DataType) String() string {
	if s, ok := typeNames[t]; ok {
		return s
	}
	return fmt.Sprintf("type %d", int32(t))
}

// Width is the number of bytes of one element, 0 for types that this package does not unpack.
func (t DataType) Width() int64 {
	switch t {
	case Uint8, Int8, Bool:
		return 1
	case Uint16, Int16, Float16, BFloat16:
		return 2
	case Float32, Int32, Uint32:
		return 4
	case Int64, Float64, Uint64:
		return 8
	}
	return 0
}

// Tensor is a constant. Its content is little-endian and row-major, either Data or, for writing
// only, what Source writes. Data of an opened model points into the mapped file: do not change it,
// and do not use it after Close. For types of Width 0 the content is carried along unread. Where
// Beside is set a model is written without the content, which lies in that file already.
type Tensor struct {
	Name   string
	Type   DataType
	Dims   []int64
	Data   []byte
	Source Source
	Beside *Place // of a model that is written; nil in one that was opened

	rest rest
}

// Place is where in another file the content of a tensor begins.
type Place struct {
	File   string // its name in the folder of the model's file
	Offset int64
}

// Elements is the product of Dims, 1 for a scalar. It is −1 where that overflows or a dimension is
// negative.
func (t *Tensor) Elements() int64 {
	n := int64(1)
	for _, d := range t.Dims {
		if d < 0 || d > 0 && n > math.MaxInt64/d {
			return -1
		}
		n *= d
	}
	return n
}

// Bytes is the length of the content, −1 where that overflows.
func (t *Tensor) Bytes() int64 {
	n, w := t.Elements(), t.Type.Width()
	if n < 0 || w > 0 && n > math.MaxInt64/w {
		return -1
	}
	return n * w
}

// Float32s copies the content of a Float32 tensor out of the file.
func (t *Tensor) Float32s() []float32 {
	v := make([]float32, len(t.Data)/4)
	for i := range v {
		v[i] = math.Float32frombits(binary.LittleEndian.Uint32(t.Data[4*i:]))
	}
	return v
}

// Int64s copies the content of an Int64 tensor out of the file.
func (t *Tensor) Int64s() []int64 {
	v := make([]int64, len(t.Data)/8)
	for i := range v {
		v[i] = int64(binary.LittleEndian.Uint64(t.Data[8*i:]))
	}
	return v
}

// NewFloat32 makes a tensor with a copy of v as its content.
func NewFloat32(name string, v []float32, dims ...int64) Tensor {
	data := make([]byte, 0, 4*len(v))
	for _, x := range v {
		data = binary.LittleEndian.AppendUint32(data, math.Float32bits(x))
	}
	return Tensor{Name: name, Type: Float32, Dims: dims, Data: data}
}

// NewInt64 makes a tensor with a copy of v as its content.
func NewInt64(name string, v []int64, dims ...int64) Tensor {
	data := make([]byte, 0, 8*len(v))
	for _, x := range v {
		data = binary.LittleEndian.AppendUint64(data, uint64(x))
	}
	return Tensor{Name: name, Type: Int64, Dims: dims, Data: data}
}

// Encode turns numbers into elements of another type, little-endian: integers lose what stands
// behind the point and what lies beyond their range, as ONNX's Cast of such numbers in range does.
func Encode(kind DataType, v []float32) []byte {
	b := make([]byte, 0, int64(len(v))*kind.Width())
	for _, x := range v {
		switch kind {
		case Float32:
			b = binary.LittleEndian.AppendUint32(b, math.Float32bits(x))
		case Float64:
			b = binary.LittleEndian.AppendUint64(b, math.Float64bits(float64(x)))
		case Float16:
			b = binary.LittleEndian.AppendUint16(b, toHalf(x))
		case BFloat16:
			bits := math.Float32bits(x)
			b = binary.LittleEndian.AppendUint16(b, uint16((bits+0x7fff+bits>>16&1)>>16))
		case Uint8, Int8, Bool:
			b = append(b, byte(int64(x)))
		case Uint16, Int16:
			b = binary.LittleEndian.AppendUint16(b, uint16(int64(x)))
		case Uint32, Int32:
			b = binary.LittleEndian.AppendUint32(b, uint32(int64(x)))
		default:
			b = binary.LittleEndian.AppendUint64(b, uint64(int64(x)))
		}
	}
	return b
}

// toHalf rounds to IEEE 754 binary16, ties to even.
func toHalf(x float32) uint16 {
	bits := math.Float32bits(x)
	sign := uint16(bits >> 16 & 0x8000)
	switch a := math.Abs(float64(x)); {
	case a != a:
		return sign | 0x7e00
	case a >= 65520:
		return sign | 0x7c00
	case a < 1.0/16384: // subnormal
		return sign | uint16(math.RoundToEven(a*(1<<24)))
	}
	bits &= 0x7fffffff
	bits += 0xfff + bits>>13&1
	return sign | uint16(bits>>13-112<<10)
}
