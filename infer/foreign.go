package infer

import (
	"context"
	"errors"
	"fmt"
	"math"
	"slices"

	ort "github.com/yalue/onnxruntime_go"

	"github.com/vggse/vggse-agent/onnx"
)

// Foreign is a model file as it came, on the CPU provider: one input of any type and shape, one
// float32 output. It is what a rewritten file is held against.
type Foreign struct {
	session *ort.DynamicAdvancedSession
	kind    onnx.DataType
	shape   []int64
}

// ForeignPorts say how a file is fed and where it answers.
type ForeignPorts struct {
	Input, Output string
	Type          onnx.DataType // of the input
	Shape         []int64       // of the input
	// AsWritten: every node is run as it stands. What ONNX Runtime makes of quantized ones on its way to integers
	// may answer otherwise: on a processor without VNNI sums of 8-bit products are cut off.
	AsWritten bool
}

var elementTypes = map[onnx.DataType]ort.TensorElementDataType{
	onnx.Float32: ort.TensorElementDataTypeFloat, onnx.Float16: ort.TensorElementDataTypeFloat16,
	onnx.Float64: ort.TensorElementDataTypeDouble, onnx.BFloat16: ort.TensorElementDataTypeBFloat16,
	onnx.Uint8: ort.TensorElementDataTypeUint8, onnx.Int8: ort.TensorElementDataTypeInt8,
	onnx.Uint16: ort.TensorElementDataTypeUint16, onnx.Int16: ort.TensorElementDataTypeInt16,
	onnx.Int32: ort.TensorElementDataTypeInt32, onnx.Int64: ort.TensorElementDataTypeInt64,
}

// OpenForeign loads the file at path. The caller closes it.
func OpenForeign(ctx context.Context, c Config, path string, p ForeignPorts) (*Foreign, error) {
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	if _, ok := elementTypes[p.Type]; !ok {
		return nil, fmt.Errorf("infer: an input of %v cannot be fed", p.Type)
	}
	if _, err := acquire(&c); err != nil {
		return nil, fmt.Errorf("infer: %w", err)
	}
	s, err := p.open(&c, path)
	if err != nil {
		return nil, errors.Join(oneLine(err), release())
	}
	return &Foreign{s, p.Type, p.Shape}, nil
}

func (p *ForeignPorts) open(c *Config, path string) (*ort.DynamicAdvancedSession, error) {
	so, err := sessionOptions(CPU, c, nil)
	if err != nil {
		return nil, err
	}
	defer so.Destroy()
	if p.AsWritten {
		if err := so.SetGraphOptimizationLevel(ort.GraphOptimizationLevelDisableAll); err != nil {
			return nil, err
		}
	}
	return ort.NewDynamicAdvancedSession(path, []string{p.Input}, []string{p.Output}, so)
}

// Run feeds the numbers, as many as the shape has or that many times more pictures, each turned into
// the input's type, and returns a copy of what comes out.
func (f *Foreign) Run(ctx context.Context, numbers []float32) (_ []float32, err error) {
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	shape := ort.NewShape(slices.Clone(f.shape)...)
	if each := shape.FlattenedSize(); each > 0 && len(shape) > 0 {
		shape[0] *= int64(len(numbers)) / each
	}
	in, err := ort.NewCustomDataTensor(shape, onnx.Encode(f.kind, numbers), elementTypes[f.kind])
	if err != nil {
		return nil, fmt.Errorf("infer: %w", oneLine(err))
	}
	defer func() { err = errors.Join(err, in.Destroy()) }()
	out := []ort.Value{nil}
	if err := f.session.Run([]ort.Value{in}, out); err != nil {
		return nil, fmt.Errorf("infer: %w", oneLine(err))
	}
	defer func() { err = errors.Join(err, out[0].Destroy()) }()
	values, ok := out[0].(*ort.Tensor[float32])
	if !ok {
		return nil, errors.New("infer: the output is not float32")
	}
	answer := append([]float32(nil), values.GetData()...)
	for _, v := range answer {
		if math.IsNaN(float64(v)) || math.IsInf(float64(v), 0) {
			return nil, errors.New("the network answers with NaN or infinity: its weights are damaged")
		}
	}
	return answer, nil
}

// Close frees the network.
func (f *Foreign) Close() error { return errors.Join(f.session.Destroy(), release()) }
