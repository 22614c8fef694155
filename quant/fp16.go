package quant

import (
	"fmt"
	"io"
	"math"
	"slices"

	"github.com/vggse/vggse-agent/onnx"
)

// Limits of half precision: the largest number, the smallest with all its digits, and the
// activation from which a sum of a few thousand products may leave it (AutoCast's limit).
const (
	halfMax     = 65504
	halfNormal  = 0x1p-14
	halfCareful = 512
)

// halfScales is the opset whose Q and DQ take scales in half precision.
const halfScales = 19

// EmitFP16 makes m a half-precision model: constants, scales and everything in between; its ports
// stay float32, with a Cast at each. Q and DQ with half scales need opset 19, which it is raised
// to. It refuses constants that half precision cannot hold.
func EmitFP16(m *onnx.Model) (*onnx.Model, error) {
	raised := *m
	if slices.ContainsFunc(m.Graph.Nodes, func(v onnx.Node) bool {
		return v.OpType == "QuantizeLinear" || v.OpType == "DequantizeLinear"
	}) {
		if err := raised.Raise(halfScales); err != nil {
			return nil, fmt.Errorf("quant: fp16: %w", err)
		}
	}
	m = &raised
	out := raised
	out.Graph.Nodes, out.Graph.Initializers, out.Graph.Values = nil, nil, nil
	out.Metadata = slices.Clone(m.Metadata)
	out.Producer, out.ProducerVersion = "vggse-agent calibrate", ""
	isScale, wide := scales(m), float32Only(m)
	for i := range m.Graph.Initializers {
		if wide[m.Graph.Initializers[i].Name] {
			out.Graph.Initializers = append(out.Graph.Initializers, m.Graph.Initializers[i])
			continue
		}
		t, err := halfConstant(&m.Graph.Initializers[i], isScale)
		if err != nil {
			return nil, fmt.Errorf("quant: fp16: %w", err)
		}
		out.Graph.Initializers = append(out.Graph.Initializers, t)
	}
	rename, float := map[string]string{}, map[string]bool{}
	for _, in := range m.Graph.FreeInputs() {
		tensors, _ := floatTensors(&m.Graph, in.Name)
		for _, t := range append(tensors, in.Name) {
			float[t] = true
		}
		rename[in.Name] = in.Name + "/half"
		out.Graph.Nodes = append(out.Graph.Nodes, cast(in.Name, in.Name+"/half", onnx.Float16))
	}
	for _, o := range m.Graph.Outputs {
		rename[o.Name] = o.Name + "/half"
	}
	for _, v := range m.Graph.Nodes {
		read := first(v.Inputs)
		v.Inputs, v.Outputs = renamed(v.Inputs, rename), renamed(v.Outputs, rename)
		v.Attributes = halfTypes(&v)
		if to := v.Attribute("to"); v.OpType == "Cast" && float[read] && to != nil && to.Int == int64(onnx.Float16) {
			v.OpType, v.Attributes = "Identity", nil // it was none from float32 to float32, too
		}
		out.Graph.Nodes = append(out.Graph.Nodes, v)
	}
	for _, o := range m.Graph.Outputs {
		out.Graph.Nodes = append(out.Graph.Nodes, cast(o.Name+"/half", o.Name, onnx.Float32))
	}
	return &out, nil
}

// float32Only are the constants that operators want in float32 whatever they work on: the regions
// and scales of Resize, the scales of integers.
func float32Only(m *onnx.Model) map[string]bool {
	found := map[string]bool{}
	for _, v := range m.Graph.Nodes {
		for _, i := range float32Inputs[v.OpType] {
			if i < len(v.Inputs) {
				found[v.Inputs[i]] = true
			}
		}
	}
	return found
}

// float32Inputs are the inputs of operators that are float32 in every version.
var float32Inputs = map[string][]int{"Resize": {1, 2}, "QLinearConv": {1, 4, 6}, "QLinearMatMul": {1, 4, 6}}

// halfTypes are the attributes of a node, where they name float32 as what it makes half precision.
func halfTypes(v *onnx.Node) []onnx.Attribute {
	a := slices.Clone(v.Attributes)
	for i := range a {
		switch {
		case v.OpType == "Cast" && a[i].Name == "to" && a[i].Int == int64(onnx.Float32):
			a[i].Int = int64(onnx.Float16)
		case v.OpType == "ConstantOfShape" && a[i].Name == "value" && a[i].Tensor != nil &&
			a[i].Tensor.Type == onnx.Float32 && len(a[i].Tensor.Data) == 4:
			t := *a[i].Tensor
			t.Type, t.Data = onnx.Float16, appendHalf(nil, t.Float32s()[0])
			a[i].Tensor = &t
		}
	}
	return a
}

func cast(from, to string, kind onnx.DataType) onnx.Node {
	return onnx.Node{OpType: "Cast", Name: to + "/cast", Inputs: []string{from}, Outputs: []string{to},
		Attributes: []onnx.Attribute{onnx.Int("to", int64(kind))}}
}

func renamed(names []string, to map[string]string) []string {
	names = slices.Clone(names)
	for i, n := range names {
		if r, ok := to[n]; ok {
			names[i] = r
		}
	}
	return names
}

// scales are the constants that a Q or DQ takes as its scale: they must not become 0.
func scales(m *onnx.Model) map[string]bool {
	found := map[string]bool{}
	for _, v := range m.Graph.Nodes {
		if v.OpType == "QuantizeLinear" || v.OpType == "DequantizeLinear" {
			found[v.Inputs[1]] = true
		}
	}
	return found
}

// halfConstant is t in half precision; other types stay as they are.
func halfConstant(t *onnx.Tensor, isScale map[string]bool) (onnx.Tensor, error) {
	if t.Type != onnx.Float32 {
		return *t, nil
	}
	data, floor := weights(t.Data), math.Inf(-1)
	if isScale[t.Name] {
		floor = halfNormal
	}
	for i := range len(data) / 4 {
		if v := math.Abs(data.at(i)); !(v <= halfMax) {
			return onnx.Tensor{},
				fmt.Errorf("%s holds %g, half precision ends at %d: this network must stay in float32", t.Name,
					data.at(i), halfMax)
		}
	}
	return onnx.Tensor{Name: t.Name, Type: onnx.Float16, Dims: t.Dims, Source: func(w io.Writer) error {
		buf := make([]byte, 0, 1<<16)
		for i := range len(data) / 4 {
			if buf = appendHalf(buf, float32(max(data.at(i), floor))); len(buf) == cap(buf) {
				if _, err := w.Write(buf); err != nil {
					return err
				}
				buf = buf[:0]
			}
		}
		_, err := w.Write(buf)
		return err
	}}, nil
}

// CarefulHalf names the sites whose values are so large that sums of them may leave half precision.
func CarefulHalf(n *Graph, c *Collection) []string {
	var names []string
	for _, s := range n.Sites[1:] {
		if c.Stats[s.Name].Histogram.Amax() > halfCareful {
			names = append(names, s.Layer)
		}
	}
	return names
}

// HalfTwin is a half-precision INT8 model m whose Q nodes read float32: the same numbers as m gives
// where Q rounds to nearest, as ONNX asks. It is for judging on ONNX Runtime's CPU provider, whose
// Q of half-precision values rounds towards zero (1.27: −3.875 at scale 0.5 becomes −7, in float32
// −8).
func HalfTwin(m *onnx.Model) *onnx.Model {
	twin := *m
	twin.Graph.Nodes = nil
	widened := map[string]bool{}
	widen := func(t string) string {
		if name := t + "/float"; !widened[t] {
			widened[t] = true
			twin.Graph.Nodes = append(twin.Graph.Nodes, cast(t, name, onnx.Float32))
		}
		return t + "/float"
	}
	for _, v := range m.Graph.Nodes {
		if v.OpType == "QuantizeLinear" {
			v.Inputs = []string{widen(v.Inputs[0]), widen(v.Inputs[1]), v.Inputs[2]}
		}
		twin.Graph.Nodes = append(twin.Graph.Nodes, v)
	}
	return &twin
}
