package prune

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"sync/atomic"

	"gonum.org/v1/gonum/mat"

	"github.com/vggse/vggse-agent/infer"
	"github.com/vggse/vggse-agent/onnx"
	"github.com/vggse/vggse-agent/vgg16se"
	"github.com/vggse/vggse-agent/vision"
)

// product multiplies matrices in the bench's runtime, whose kernels are several times as fast as
// gonum's: a graph of few operators that reads samples, n rows of m numbers. Several goroutines may
// run it.
type product struct {
	probe *infer.Probe
	m     int
}

// products numbers their files: several are open at a time.
var products atomic.Int64

// product opens a graph that reads the tensor vgg16se.Input, 1×1×n×m. The caller closes it.
func (b *Bench) product(ctx context.Context, m int, g onnx.Graph, outputs ...string) (*product, error) {
	g.Name = "product"
	g.Inputs = []onnx.ValueInfo{{Name: vgg16se.Input, Type: onnx.Float32,
		Shape: []onnx.Dim{{Size: 1}, {Size: 1}, {Name: "n"}, {Size: int64(m)}}}}
	for _, o := range outputs {
		g.Outputs = append(g.Outputs, onnx.ValueInfo{Name: o, Type: onnx.Float32})
	}
	model := &onnx.Model{IRVersion: 8, Opsets: []onnx.Opset{{Version: 17}}, Graph: g}
	path := filepath.Join(b.Dir, fmt.Sprintf("prune.product%d.onnx", products.Add(1)))
	if err := writeNow(path, model); err != nil {
		return nil, err
	}
	probe, err := b.Runtime.Open(ctx, path, infer.ProbeOptions{Outputs: outputs})
	if err := errors.Join(err, os.Remove(path)); err != nil {
		return nil, err
	}
	return &product{probe, m}, nil
}

func (p *product) Close() error { return p.probe.Close() }

// run gives rows to the graph and its outputs to visit, valid during that call.
func (p *product) run(ctx context.Context, rows []float32, visit func(output int, v []float32)) error {
	t := vision.Tensor{Shape: [4]int64{1, 1, int64(len(rows) / p.m), int64(p.m)}, Data: rows}
	return p.probe.Run(ctx, &t, visit)
}

// node is one operator with one output.
func node(op, out string, in ...string) onnx.Node {
	return onnx.Node{OpType: op, Name: out, Inputs: in, Outputs: []string{out}}
}

// columnsFrom takes the columns from first up to end out of the samples.
func columnsFrom(g *onnx.Graph, out string, first, end int) {
	at := func(name string, v int) string {
		g.Initializers = append(g.Initializers, onnx.NewInt64(out+name, []int64{int64(v)}, 1))
		return out + name
	}
	g.Nodes = append(g.Nodes, node("Slice", out, vgg16se.Input, at(".first", first), at(".end", end), at(".axis", 3)))
}

// transposed swaps rows and columns.
func transposed(out, in string) onnx.Node {
	n := node("Transpose", out, in)
	n.Attributes = []onnx.Attribute{onnx.Ints("perm", 0, 1, 3, 2)}
	return n
}

// sumsGraph works out xᵀ·[x y], p × (p+q), as "sums".
func sumsGraph(p, q int) (g onnx.Graph) {
	columnsFrom(&g, "x", 0, p)
	g.Nodes = append(g.Nodes, transposed("xt", "x"), node("MatMul", "sums", "xt", vgg16se.Input))
	return g
}

// rectifiedGraph works out what rectified wants to know of y = x·w behind a ReLU: "step",
// xᵀ·(y − x·w) without what the ReLU hides, p × q, and "loss", the squared error behind the ReLU
// for each number of y, 1.
func rectifiedGraph(w *mat.Dense) (g onnx.Graph) {
	p, q := w.Dims()
	columnsFrom(&g, "x", 0, p)
	columnsFrom(&g, "y", p, p+q)
	g.Initializers = append(g.Initializers, onnx.NewFloat32("w", appended(nil, w.RawMatrix().Data), int64(p), int64(q)),
		onnx.NewFloat32("zero", []float32{0}, 1))
	g.Nodes = append(g.Nodes,
		node("MatMul", "z", "x", "w"),
		node("Sub", "error", "y", "z"),
		node("Neg", "below", "z"),
		node("Min", "seen", "below", "zero"),
		node("Greater", "shows", "y", "zero"),
		node("Where", "counts", "shows", "error", "seen"),
		transposed("xt", "x"),
		node("MatMul", "step", "xt", "counts"),
		node("Relu", "ry", "y"),
		node("Relu", "rz", "z"),
		node("Sub", "apart", "ry", "rz"),
		node("Mul", "square", "apart", "apart"),
		node("GlobalAveragePool", "loss", "square"))
	return g
}
