package onnx

// AttributeType says which field of an Attribute holds its value (AttributeProto.AttributeType).
type AttributeType int32

// The types that this package understands; others are carried along.
const (
	AttrFloat   AttributeType = 1
	AttrInt     AttributeType = 2
	AttrString  AttributeType = 3
	AttrTensor  AttributeType = 4
	AttrGraph   AttributeType = 5
	AttrFloats  AttributeType = 6
	AttrInts    AttributeType = 7
	AttrStrings AttributeType = 8
)

// Attribute is one parameter of a Node; Type says which value counts.
type Attribute struct {
	Name    string
	Type    AttributeType
	Float   float32
	Int     int64
	String  string
	Tensor  *Tensor
	Graph   *Graph
	Floats  []float32
	Ints    []int64
	Strings []string

	rest rest
}

// Int makes an integer attribute.
func Int(name string, v int64) Attribute { return Attribute{Name: name, Type: AttrInt, Int: v} }

// Ints makes an attribute that is a list of integers.
func Ints(name string, v ...int64) Attribute { return Attribute{Name: name, Type: AttrInts, Ints: v} }

// Float makes a floating-point attribute.
func Float(name string, v float32) Attribute {
	return Attribute{Name: name, Type: AttrFloat, Float: v}
}

// String makes a string attribute.
func String(name, v string) Attribute { return Attribute{Name: name, Type: AttrString, String: v} }
