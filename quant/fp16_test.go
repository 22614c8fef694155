package quant

import (
	"bytes"
	"encoding/binary"
	"io"
	"strings"
	"testing"

	"github.com/vggse/vggse-agent/onnx"
)

// halves are the numbers of a constant in half precision, as bits.
func halves(t *testing.T, c *onnx.Tensor) []uint16 {
	t.Helper()
	var b bytes.Buffer
	if c.Type != onnx.Float16 || c.Source == nil {
		t.Fatalf("%s is of type %v", c.Name, c.Type)
	}
	if err := c.Source(&b); err != nil {
		t.Fatal(err)
	}
	all := make([]uint16, b.Len()/2)
	for i := range all {
		all[i] = binary.LittleEndian.Uint16(b.Bytes()[2*i:])
	}
	return all
}

// Inside everything is in half precision, at the ports in float32; the network that it is made of
// stays as it was.
func TestEmitFP16(t *testing.T) {
	m := twoLayers(0.5, 0.25)
	out, err := EmitFP16(m)
	if err != nil {
		t.Fatal(err)
	}
	first, last := out.Graph.Nodes[0], out.Graph.Nodes[len(out.Graph.Nodes)-1]
	if first.OpType != "Cast" || first.Inputs[0] != "x" || last.OpType != "Cast" || last.Outputs[0] != "y" ||
		len(out.Graph.Nodes) != len(m.Graph.Nodes)+2 {
		t.Errorf("from %+v to %+v, %d nodes", first, last, len(out.Graph.Nodes))
	}
	if got := halves(t, out.Graph.Initializer("w1")); len(got) != 9 || got[0] != 0x3800 || got[8] != 0 {
		t.Errorf("weights %#x, want those of 0.5 and 0", got)
	}
	if m.Graph.Initializers[0].Type != onnx.Float32 || m.Graph.Nodes[0].Inputs[0] != "x" || out.Opset("") != 13 {
		t.Errorf("the network was changed, or the opset %d raised for nothing", out.Opset(""))
	}
	for _, v := range out.Graph.Nodes[1 : len(out.Graph.Nodes)-1] {
		for _, name := range append(v.Inputs, v.Outputs...) {
			if name == "x" || name == "y" {
				t.Errorf("%s reads or writes the float32 port %s", v.OpType, name)
			}
		}
	}
}

// Constants beyond half precision are refused by name; scales do not become 0, weights may.
func TestHalfConstant(t *testing.T) {
	for _, tt := range []struct {
		value float32
		scale bool
		want  uint16
		fails bool
	}{
		{1, false, 0x3c00, false},
		{65504, false, 0x7bff, false},
		{-65504, false, 0xfbff, false},
		{65505, false, 0, true},
		{1e-9, false, 0, false},
		{1e-9, true, 0x0400, false}, // the least with all digits
		{0.5, true, 0x3800, false},
	} {
		c := onnx.NewFloat32("c", []float32{tt.value})
		got, err := halfConstant(&c, map[string]bool{"c": tt.scale})
		if (err != nil) != tt.fails || tt.fails && !strings.Contains(err.Error(), "c holds") {
			t.Errorf("%+v: %v", tt, err)
			continue
		}
		if !tt.fails && halves(t, &got)[0] != tt.want {
			t.Errorf("%+v: %#x", tt, halves(t, &got)[0])
		}
	}
	whole := onnx.Tensor{Name: "i", Type: onnx.Int64, Data: make([]byte, 8)}
	if got, err := halfConstant(&whole, nil); err != nil || got.Type != onnx.Int64 {
		t.Errorf("an integer became %v, %v", got.Type, err)
	}
}

// quantized is a Q and a DQ of x with the scale and zero point given.
func quantized(scale, zero onnx.Tensor, opset int64) *onnx.Model {
	scale.Name, zero.Name = "scale", "zero"
	return &onnx.Model{IRVersion: 8, Opsets: []onnx.Opset{{Version: opset}}, Graph: onnx.Graph{
		Nodes: []onnx.Node{
			{OpType: "QuantizeLinear", Name: "q", Inputs: []string{"x", "scale", "zero"}, Outputs: []string{"q"}},
			{OpType: "DequantizeLinear", Name: "dq", Inputs: []string{"q", "scale", "zero"}, Outputs: []string{"y"}}},
		Initializers: []onnx.Tensor{scale, zero},
		Inputs:       []onnx.ValueInfo{{Name: "x", Type: onnx.Float32}},
		Outputs:      []onnx.ValueInfo{{Name: "y", Type: onnx.Float32}}}}
}

func zeroPoints(kind onnx.DataType, codes ...byte) onnx.Tensor {
	return onnx.Tensor{Type: kind, Dims: []int64{int64(len(codes))}, Data: codes}
}

// Q and DQ in half precision raise the opset; the twin that is judged reads float32 with the same
// scale.
func TestHalfPrecisionQ(t *testing.T) {
	m := quantized(onnx.NewFloat32("", []float32{0.5}, 1), zeroPoints(onnx.Int8, 0), 17)
	out, err := EmitFP16(m)
	if err != nil || out.Opset("") != 19 || m.Opset("") != 17 {
		t.Fatalf("opset %d, before %d, %v", out.Opset(""), m.Opset(""), err)
	}
	twin := HalfTwin(out)
	q := twin.Graph.Nodes[3]
	if q.OpType != "QuantizeLinear" || q.Inputs[0] != "x/half/float" || q.Inputs[1] != "scale/float" ||
		q.Inputs[2] != "zero" || len(twin.Graph.Nodes) != len(out.Graph.Nodes)+2 {
		t.Errorf("%+v", twin.Graph.Nodes)
	}
	if err := onnx.Write(io.Discard, twin); err != nil {
		t.Error(err)
	}
}

// TensorRT's rules are told one by one, with the node that breaks them.
func TestLint(t *testing.T) {
	scale := func(v ...float32) onnx.Tensor { return onnx.NewFloat32("", v, int64(len(v))) }
	for _, tt := range []struct {
		name   string
		m      *onnx.Model
		change func(*onnx.Model)
		want   string
	}{
		{"right", quantized(scale(0.5), zeroPoints(onnx.Int8, 0), 17), nil, ""},
		{"by channel", quantized(scale(0.5, 0.25), zeroPoints(onnx.Int8, 0, 0), 13), nil, ""},
		{"an old opset", quantized(scale(0.5), zeroPoints(onnx.Int8, 0), 12), nil, "opset 12"},
		{"unsigned", quantized(scale(0.5), zeroPoints(onnx.Uint8, 0), 17), nil, "zero point must be int8"},
		{"another zero", quantized(scale(0.5), zeroPoints(onnx.Int8, 3), 17), nil, "zero points must be 0"},
		{"more scales than zeros", quantized(scale(0.5, 0.25), zeroPoints(onnx.Int8, 0), 17), nil, "2 scales, 1 zero"},
		{"a scale of zero", quantized(scale(0.5, 0), zeroPoints(onnx.Int8, 0, 0), 17), nil, "scale 1 is not > 0"},
		{"a scale below zero", quantized(scale(-0.5), zeroPoints(onnx.Int8, 0), 17), nil, "scale 0 is not > 0"},
		{"no zero point", quantized(scale(0.5), zeroPoints(onnx.Int8, 0), 17),
			func(m *onnx.Model) { m.Graph.Nodes[0].Inputs = m.Graph.Nodes[0].Inputs[:2] }, "zero point must be given"},
		{"a scale that is worked out", quantized(scale(0.5), zeroPoints(onnx.Int8, 0), 17),
			func(m *onnx.Model) { m.Graph.Nodes[0].Inputs[1] = "x" }, "must be constants"},
		{"an integer operator", quantized(scale(0.5), zeroPoints(onnx.Int8, 0), 17),
			func(m *onnx.Model) { m.Graph.Nodes[1].OpType = "QLinearConv" },
			"QLinearConv dq: the parser has no such operator"},
	} {
		if tt.change != nil {
			tt.change(tt.m)
		}
		if err := Lint(tt.m); (err != nil) != (tt.want != "") || err != nil && !strings.Contains(err.Error(), tt.want) {
			t.Errorf("%s: %v, want %q", tt.name, err, tt.want)
		}
	}
}

// Sites that put out more than half precision sums well are named.
func TestCarefulHalf(t *testing.T) {
	n := network(t)
	c := collected(t, n, "net", map[string]float32{"p1": 512})
	if got := CarefulHalf(n, c); got != nil {
		t.Errorf("512 at most: %v", got)
	}
	c.Stats[n.Sites[2].Name].Histogram.Add([]float32{513})
	if got := CarefulHalf(n, c); len(got) != 1 || got[0] != n.Sites[2].Layer {
		t.Errorf("%v, want %s", got, n.Sites[2].Layer)
	}
}
