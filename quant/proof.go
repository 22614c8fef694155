package quant

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"

	"github.com/vggse/vggse-agent/infer"
	"github.com/vggse/vggse-agent/onnx"
)

// Proof is what a runtime made of an integer file: its own graph, read back.
type Proof struct {
	Convolutions int            `json:"convolutions"` // that run on integers
	Dense        int            `json:"dense"`        // fully connected layers that do
	WantConv     int            `json:"want_convolutions"`
	WantDense    int            `json:"want_dense"`
	Operators    map[string]int `json:"operators"` // of the optimized graph

	float []string // layers of the plan that are operators in float there
}

// Fused tells whether every layer that the plan keeps in integers is an integer operator. There may
// be more of them: those that were in the network.
func (p *Proof) Fused() bool { return p.Convolutions >= p.WantConv && p.Dense >= p.WantDense }

// fusedConv and fusedDense are ONNX Runtime's integer operators for a whole layer.
var (
	fusedConv  = map[string]bool{"QLinearConv": true, "ConvInteger": true}
	fusedDense = map[string]bool{"QGemm": true, "QLinearMatMul": true, "MatMulIntegerToFloat": true,
		"DynamicQuantizeMatMul": true}
)

// inFloats are its operators in float for a layer.
var inFloats = map[string]bool{"Conv": true, "FusedConv": true, "NhwcFusedConv": true, "Gemm": true,
	"FusedGemm": true, "MatMul": true, "FusedMatMul": true}

// Prove loads the integer file at path, lets the runtime write down the graph that it really runs,
// and counts the integer operators in it: what a file promises and what it gets are two things (a
// float operator between dequantize and quantize is the usual reason for an INT8 model that is
// slower).
func Prove(ctx context.Context, rt infer.Prober, path string, n *Graph, p *Plan) (proof Proof, err error) {
	dir, err := os.MkdirTemp(filepath.Dir(path), ".proof.*")
	if err != nil {
		return proof, fmt.Errorf("quant: prove: %w", err)
	}
	defer os.RemoveAll(dir)
	optimized := filepath.Join(dir, "optimized.onnx")
	s, err := rt.Open(ctx, path, infer.ProbeOptions{Outputs: []string{n.graph.Outputs[0].Name}, Optimized: optimized})
	if err != nil {
		return proof, fmt.Errorf("quant: prove: %w", err)
	}
	if err := s.Close(); err != nil {
		return proof, fmt.Errorf("quant: prove: %w", err)
	}
	m, err := onnx.Open(optimized)
	if err != nil {
		return proof, fmt.Errorf("quant: prove: %w", err)
	}
	defer m.Close()
	proof.Operators = map[string]int{}
	inFloat := map[string]bool{}
	for _, v := range m.Graph.Nodes {
		proof.Operators[v.OpType]++
		if inFloats[v.OpType] {
			inFloat[strings.TrimSuffix(v.Name, "_nchwc")] = true
		}
		if fusedConv[v.OpType] {
			proof.Convolutions++
		}
		if fusedDense[v.OpType] {
			proof.Dense++
		}
	}
	for i := range n.Layers {
		l := &n.Layers[i]
		if p.integer(l) && inFloat[l.Name] {
			proof.float = append(proof.float, l.Name)
		}
		switch {
		case !p.integer(l):
		case l.Op == "Conv":
			proof.WantConv++
		default:
			proof.WantDense++
		}
	}
	return proof, nil
}

// Lint returns what TensorRT's parser would refuse or run slowly in an INT8 file: rules of
// onnx-tensorrt's importers and of the guide to explicit quantization.
func Lint(m *onnx.Model) error {
	var errs []error
	complain := func(v *onnx.Node, format string, args ...any) {
		errs = append(errs, fmt.Errorf("%s %s: "+format, append([]any{v.OpType, v.Name}, args...)...))
	}
	if m.Opset("") < 13 {
		errs = append(errs, fmt.Errorf("opset %d has no scale per channel, 13 or later is needed", m.Opset("")))
	}
	for i := range m.Graph.Nodes {
		v := &m.Graph.Nodes[i]
		switch v.OpType {
		case "QuantizeLinear", "DequantizeLinear":
			if len(v.Inputs) != 3 {
				complain(v, "the zero point must be given")
				continue
			}
			lintScale(m, v, complain)
		case "QLinearConv", "QLinearMatMul", "ConvInteger", "MatMulInteger", "DynamicQuantizeLinear", "QGemm":
			complain(v, "the parser has no such operator")
		}
	}
	return errors.Join(errs...)
}

func lintScale(m *onnx.Model, v *onnx.Node, complain func(*onnx.Node, string, ...any)) {
	scale, zero := m.Graph.Initializer(v.Inputs[1]), m.Graph.Initializer(v.Inputs[2])
	if scale == nil || zero == nil {
		complain(v, "scale and zero point must be constants")
		return
	}
	if zero.Type != onnx.Int8 {
		complain(v, "the zero point must be int8, not %v", zero.Type)
	}
	if scale.Elements() != zero.Elements() {
		complain(v, "%d scales, %d zero points", scale.Elements(), zero.Elements())
	}
	for _, b := range zero.Data {
		if b != 0 {
			complain(v, "zero points must be 0")
			break
		}
	}
	width := int(scale.Type.Width())
	for i := 0; i+width <= len(scale.Data); i += width {
		positive := scale.Data[i+width-1]&0x80 == 0 && strings.Trim(string(scale.Data[i:i+width]), "\x00") != ""
		if !positive {
			complain(v, "scale %d is not > 0", i/width)
			break
		}
	}
}
