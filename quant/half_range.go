package quant

import (
	"context"
	"errors"
	"fmt"
	"io"
	"math"
	"os"
	"slices"

	"github.com/vggse/vggse-agent/infer"
	"github.com/vggse/vggse-agent/internal/atomicfile"
	"github.com/vggse/vggse-agent/onnx"
	"github.com/vggse/vggse-agent/vision"
)

// leavesHalf says where the network leaves half precision: a site in any picture that was
// collected, or any tensor of floating-point numbers in some of them. ONNX Runtime's CPU provider
// computes half precision in float32, so a file's answers there do not show it. "" means nowhere.
func (c *calibration) leavesHalf(ctx context.Context) (string, error) {
	words := func(layer string, most float64) string {
		return fmt.Sprintf("%s puts out %.4g, half precision ends at %d", layer, most, halfMax)
	}
	for _, s := range c.source.sites() {
		if most := c.source.collected.Stats[s.Name].Histogram.Amax(); most > halfMax {
			return words(s.Layer, most), nil
		}
	}
	tensors, layers := floatTensors(&c.source.model.Graph, c.bundle.Spec.Input.Name)
	if len(tensors) == 0 { // it computes in other types
		return "", nil
	}
	probe := c.path("probe.onnx")
	defer os.Remove(probe)
	if err := atomicfile.WriteScratch(probe,
		func(w io.Writer) error { return WriteProbe(w, c.source.model, tensors) }); err != nil {
		return "", err
	}
	watched, err := c.prober.Open(ctx, probe, infer.ProbeOptions{Outputs: tensors})
	if err != nil { // a tensor in it is of another type: what was collected has to do
		return "", ctx.Err()
	}
	defer watched.Close()
	most, at, t := 0.0, 0, vision.NewTensor(1, 3, c.size(), c.size())
	for pictures := c.fit.Part(c.bySize(explainedSmall, 2)); ; {
		if _, _, err := pictures.Next(ctx, t); errors.Is(err, io.EOF) {
			break
		} else if err != nil {
			return "", err
		}
		err := watched.Run(ctx, t, func(i int, v []float32) {
			for _, x := range v {
				if m := math.Abs(float64(x)); m > most && !math.IsInf(m, 0) {
					most, at = m, i
				}
			}
		})
		if err != nil {
			return "", ctx.Err()
		}
	}
	if most > halfMax {
		return words(layers[at], most), nil
	}
	return "", nil
}

// notFloat are operators whose answers are counts, places, truths or integers, whatever they read.
var notFloat = map[string]bool{"Shape": true, "Size": true, "ArgMax": true, "ArgMin": true, "NonZero": true,
	"Equal": true, "Less": true, "Greater": true, "LessOrEqual": true, "GreaterOrEqual": true, "Not": true, "And": true,
	"Or": true, "IsNaN": true, "IsInf": true, "QuantizeLinear": true, "DynamicQuantizeLinear": true,
	"ConvInteger": true, "MatMulInteger": true, "QLinearConv": true, "QLinearMatMul": true, "If": true, "Loop": true,
	"Scan": true}

// floatTensors are the tensors of a graph that hold float32 numbers worked out of the picture, and
// what makes each.
func floatTensors(g *onnx.Graph, input string) (tensors, layers []string) {
	float, fed := map[string]bool{input: true}, map[string]bool{input: true}
	for i := range g.Nodes {
		n := &g.Nodes[i]
		if !slices.ContainsFunc(n.Reads(), func(t string) bool { return fed[t] }) {
			continue
		}
		for _, t := range n.Outputs {
			fed[t] = true
		}
		reads := slices.ContainsFunc(n.Inputs, func(t string) bool { return float[t] })
		if out := first(n.Outputs); out != "" && !float[out] && makesFloat(n, reads) {
			float[out] = true
			tensors, layers = append(tensors, out), append(layers, n.OpType+" "+n.Name)
		}
	}
	return tensors, layers
}

// makesFloat tells whether the first answer of a node is float32; reads says that it reads such.
func makesFloat(n *onnx.Node, reads bool) bool {
	switch n.OpType {
	case "Cast":
		to := n.Attribute("to")
		return to != nil && to.Int == int64(onnx.Float32)
	case "DequantizeLinear":
		return true
	}
	return reads && !notFloat[n.OpType]
}

// strict is the plan of the file whose scales are in half precision: a layer whose scales half
// precision holds with few digits, or not at all, stays in floating point.
func (p *Plan) strict(n *Graph) (*Plan, error) {
	codes, err := p.codes(n)
	if err != nil {
		return nil, err
	}
	strict := *p
	strict.Float = append([]string{}, p.Float...)
	for i := range n.Layers {
		l := &n.Layers[i]
		if !p.integer(l) {
			continue
		}
		small := codes[l.In].scale < halfNormal
		for _, s := range weightScales(n.channelScales(l, false, Bits8), nil, 1) {
			small = small || s < halfNormal && s > deadScale
		}
		if small {
			strict.Float = append(strict.Float, l.Name)
		}
	}
	return &strict, nil
}

// integers counts the layers that a plan has in integers.
func (p *Plan) integers(n *Graph) int {
	count := 0
	for i := range n.Layers {
		if p.integer(&n.Layers[i]) {
			count++
		}
	}
	return count
}
