package quant

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"regexp"
	"slices"
	"strings"

	"github.com/vggse/vggse-agent/bundle"
	"github.com/vggse/vggse-agent/dataset"
	"github.com/vggse/vggse-agent/infer"
	"github.com/vggse/vggse-agent/internal/atomicfile"
	"github.com/vggse/vggse-agent/onnx"
)

// oldestOpset is the first whose Q and DQ have a scale for each channel.
const oldestOpset = 13

// checkGraph says what keeps a graph from being quantized at all.
func checkGraph(m *onnx.Model, n *Graph) error {
	if v := m.Opset(""); v < oldestOpset {
		return fmt.Errorf("the network has opset %d, %d or later is needed for 8 bits: export it anew, or convert it "+
			"(onnx.version_converter) and import it again", v, oldestOpset)
	}
	if len(n.Tensors()) == 0 {
		return errors.New("nothing in the network can be stored in 8 bits: no convolution or Gemm with constant " +
			"float32 " +
			"weights that is fed by the picture has a Relu behind it; it stays in FP32")
	}
	return nil
}

// rehearse makes every file with made-up ranges and lets ONNX Runtime load it, before any picture
// is worked on: a file that cannot be made is left out, with a finding. Without the CPU's there is
// nothing to go on for.
func (c *calibration) rehearse(ctx context.Context) error {
	plans := map[int]*Plan{}
	for _, levels := range levelsOf {
		p := &Plan{Method: MinMax, Levels: levels, Bits: Bits8, Picture: PictureRange(&c.bundle.Spec.Preprocess)}
		for _, s := range c.source.network.Sites[1:] {
			p.Choices = append(p.Choices, Choice{Site: s.Name, Layer: s.Layer, Threshold: 1})
		}
		plans[levels] = p
	}
	c.left = map[string]bool{}
	for _, f := range []struct {
		key, name string
		make      func() (*onnx.Model, error)
	}{
		{bundle.FileINT8CPU, "int8.cpu.onnx", func() (*onnx.Model, error) {
			return EmitCPU(c.source.model, c.source.network, plans[LevelsU8])
		}},
		{bundle.FileINT8TRT, "int8.trt.onnx", func() (*onnx.Model, error) {
			m, err := c.trtModel(&c.source, plans[LevelsS8])
			if err == nil {
				m = Folded(m)
			}
			return m, err
		}},
		{bundle.FileINT8TRT11, "int8.trt11.onnx", func() (*onnx.Model, error) {
			m, err := c.trtModel(&c.source, plans[LevelsS8])
			if err == nil {
				m, err = EmitFP16(m)
			}
			if err == nil {
				m = HalfTwin(m)
			}
			return m, err
		}},
		{bundle.FileFP16, "fp16.onnx", func() (*onnx.Model, error) { return EmitFP16(c.source.model) }},
	} {
		if f.key == bundle.FileINT8TRT11 && c.left[bundle.FileINT8TRT] {
			c.left[f.key] = true
			continue
		}
		err := c.loads(ctx, f.name, f.make)
		switch {
		case err == nil:
		case ctx.Err() != nil:
			return ctx.Err()
		case f.key == bundle.FileINT8CPU:
			return fmt.Errorf("%s cannot be made of this network: %s", f.name, cause(err))
		default:
			c.leave(f.key, f.name, cause(err))
		}
	}
	return c.proveRehearsal(ctx, plans[LevelsU8])
}

// leave notes that a file is not made.
func (c *calibration) leave(key, name, why string) {
	c.left[key] = true
	c.found(dataset.Finding{Check: name, Severity: "warn", Evidence: "it cannot be made of this network: " + why,
		Cure: "the other files are made without it"})
}

// trtModel is the file for TensorRT of a plan, seen to be in its rules.
func (c *calibration) trtModel(s *subject, p *Plan) (*onnx.Model, error) {
	m, err := EmitTRT(s.model, s.network, p)
	if err == nil {
		if err = Lint(m); err != nil {
			err = fmt.Errorf("it breaks TensorRT's rules: %w", err)
		}
	}
	return m, err
}

// rehearsal is where a file lies while it is tried.
const rehearsal = "trial.onnx"

func (c *calibration) loads(ctx context.Context, name string, make func() (*onnx.Model, error)) error {
	defer os.Remove(c.path(rehearsal))
	m, err := make()
	if err != nil {
		return err
	}
	if err := atomicfile.WriteFile(c.path(rehearsal), func(w io.Writer) error { return onnx.Write(w, m) }); err != nil {
		return err
	}
	s, err := c.prober.Open(ctx, c.path(rehearsal), infer.ProbeOptions{Outputs: []string{c.bundle.Spec.Output.Name},
		Plain: name != "int8.cpu.onnx"})
	if err != nil {
		return err
	}
	return s.Close()
}

// proveRehearsal sees that what is planned runs on integers, and says how much of the network that
// is. Weights and ranges do not change it.
func (c *calibration) proveRehearsal(ctx context.Context, p *Plan) error {
	m, err := EmitCPU(c.source.model, c.source.network, p)
	if err != nil {
		return err
	}
	defer os.Remove(c.path(rehearsal))
	if err := atomicfile.WriteFile(c.path(rehearsal), func(w io.Writer) error { return onnx.Write(w, m) }); err != nil {
		return err
	}
	proof, err := Prove(ctx, c.prober, c.path(rehearsal), c.source.network, p)
	if err != nil {
		return err
	}
	conv, dense := 0, 0
	for _, v := range c.source.model.Graph.Nodes {
		switch v.OpType {
		case "Conv", "ConvTranspose":
			conv++
		case "Gemm", "MatMul":
			dense++
		}
	}
	if !proof.Fused() {
		return fmt.Errorf("in 8 bits only %d of the network's %d convolutions and %d of %d fully connected layers "+
			"would "+
			"run on integers: this calibrator does not know how it is built; it stays in FP32",
			proof.Convolutions, conv, proof.Dense, dense)
	}
	if proof.Convolutions < conv {
		c.progress.Say("in 8 bits: %d of %d convolutions, %d of %d fully connected layers; the others stay in float",
			proof.Convolutions, conv, proof.Dense, dense)
	}
	return nil
}

var (
	failedPath = regexp.MustCompile(`(?s)^.*(?:failed: ?|Error creating C session from file: )`)
	madePath   = regexp.MustCompile(`\S*/trial\.onnx\S* ?`)
)

// cause is the part of an error of the runtime that speaks of the network.
func cause(err error) string {
	text := strings.TrimSpace(madePath.ReplaceAllString(failedPath.ReplaceAllString(err.Error(), ""), ""))
	return strings.TrimPrefix(text, "quant: ")
}

// levels are the kinds of codes that files are made for.
func (c *calibration) levels() []int {
	return slices.DeleteFunc(slices.Clone(levelsOf),
		func(l int) bool { return l == LevelsS8 && c.left[bundle.FileINT8TRT] })
}
