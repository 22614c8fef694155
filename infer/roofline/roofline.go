// Package roofline measures how near a network comes to what its provider can do at most.
package roofline

import (
	"context"
	"errors"
	"math/rand/v2"
	"os"
	"path/filepath"
	"time"

	"github.com/vggse/vggse-agent/infer"
	"github.com/vggse/vggse-agent/internal/round"
	"github.com/vggse/vggse-agent/onnx"
	"github.com/vggse/vggse-agent/vision"
)

// Roofline sets what a network reached against what the provider reaches where nothing but
// arithmetic, or nothing but reading weights, is to be done (Williams, Waterman, Patterson:
// Roofline, CACM 52(4), 2009). Both roofs are measured in FP32 with the same threads: an INT8
// network may well break through the one of arithmetic.
type Roofline struct {
	MACs      float64 `json:"gmacs,omitempty"`               // multiply-adds of one picture, billions
	Bytes     float64 `json:"model_mb"`                      // of the model file, 10⁶ bytes: read once in each run
	Bandwidth float64 `json:"gb_per_s"`                      // of the model file that was reached
	TopMACs   float64 `json:"ceiling_gmacs_per_s,omitempty"` // of a matrix product
	TopBytes  float64 `json:"ceiling_gb_per_s,omitempty"`    // of weights that are used once
	Bound     string  `json:"bound,omitempty"`               // which roof is lower for this network: compute or memory
	Share     float64 `json:"of_ceiling,omitempty"`          // of the lower roof that was reached, 1 is all
}

// Under returns the roofline of a network of macs multiply-adds a picture and a file of bytes,
// which ran images pictures a second in batches.
func Under(macs, bytes int64, batch int, images float64, topMACs, topBytes float64) Roofline {
	r := Roofline{
		MACs: round.Three(float64(macs) / 1e9), Bytes: round.Three(float64(bytes) / 1e6),
		Bandwidth: round.Three(float64(bytes) * images / float64(batch) / 1e9), TopMACs: round.Three(topMACs),
		TopBytes: round.Three(topBytes),
	}
	if macs == 0 || bytes == 0 || topMACs <= 0 || topBytes <= 0 {
		return r
	}
	reached := images * float64(macs) / 1e9
	slope := topBytes * float64(macs) * float64(batch) / float64(bytes)
	r.Bound, r.Share = "compute", round.Three(reached/topMACs)
	if slope < topMACs {
		r.Bound, r.Share = "memory", round.Three(reached/slope)
	}
	return r
}

// Sizes of the two networks that the roofs are measured with: four products of 768×1024 with
// 1024×1024, and one row with 3072×6144 weights, 75 MB, which no cache of a small machine holds.
const (
	productSide, productRows, productInner, products = 512, 768, 1024, 4
	rowSide, rowInner, rowOuter                      = 32, 3072, 6144
)

// Ceilings measures both roofs of a provider: billions of multiply-adds and 10⁹ bytes of weights a
// second. TensorRT, which would build an engine for each, gets those of CUDA.
func Ceilings(ctx context.Context, c infer.Config, length time.Duration) (gmacs, gbs float64, err error) {
	if c.Providers[0] == infer.TensorRT {
		c.Providers = []string{infer.CUDA}
	}
	c.MaxBatch, c.Engines = 1, nil
	dir, err := os.MkdirTemp("", "vggse-roofline")
	if err != nil {
		return 0, 0, err
	}
	defer func() { err = errors.Join(err, os.RemoveAll(dir)) }()
	runs, err := runsPerSecond(ctx, c, filepath.Join(dir, "product.onnx"), productSide, productRows, productInner,
		productInner, products, length)
	if err != nil {
		return 0, 0, err
	}
	gmacs = runs * products * productRows * productInner * productInner / 1e9
	runs, err = runsPerSecond(ctx, c, filepath.Join(dir, "row.onnx"), rowSide, 1, rowInner, rowOuter, 1, length)
	return gmacs, runs * rowInner * rowOuter * 4 / 1e9, err
}

// runsPerSecond writes the network of n products and runs it.
func runsPerSecond(ctx context.Context, c infer.Config, path string, side, rows, inner, outer, n int,
	length time.Duration) (float64, error) {
	f, err := os.Create(path)
	if err != nil {
		return 0, err
	}
	if err := errors.Join(onnx.Write(f, productsOf(side, rows, inner, outer, n)), f.Close()); err != nil {
		return 0, err
	}
	e, err := infer.Open(ctx, c, infer.ModelFile{Path: path, Input: "x", Output: "y", Size: side, Classes: 1,
		Precision: "fp32"})
	if err != nil {
		return 0, err
	}
	defer e.Close()
	in := vision.NewTensor(1, 3, side, side)
	took, err := Measure(ctx, e, in, make(vision.Logits, 1), length)
	if err != nil {
		return 0, err
	}
	best := took[0]
	for _, d := range took {
		best = min(best, d) // a roof is what can be reached at all
	}
	return 1 / best.Seconds(), nil
}

// productsOf is a picture of 3×side×side as rows×inner numbers, times n matrices of inner×outer,
// and their mean.
func productsOf(side, rows, inner, outer, n int) *onnx.Model {
	weights := make([]float32, inner*outer)
	random := rand.New(rand.NewPCG(1, 2))
	for i := range weights {
		weights[i] = (random.Float32() - 0.5) / 16
	}
	g := onnx.Graph{
		Name: "products",
		Inputs: []onnx.ValueInfo{{Name: "x", Type: onnx.Float32,
			Shape: []onnx.Dim{{Size: 1}, {Size: 3}, {Size: int64(side)}, {Size: int64(side)}}}},
		Outputs: []onnx.ValueInfo{{Name: "y", Type: onnx.Float32, Shape: []onnx.Dim{{Size: 1}, {Size: 1}}}},
		Initializers: []onnx.Tensor{onnx.NewInt64("shape", []int64{int64(rows), int64(inner)}, 2),
			onnx.NewFloat32("w", weights, int64(inner), int64(outer))},
		Nodes: []onnx.Node{{Name: "rows", OpType: "Reshape", Inputs: []string{"x", "shape"},
			Outputs: []string{"p0"}}},
	}
	last := "p0"
	for i := range n {
		next := "p" + string(rune('1'+i))
		g.Nodes = append(g.Nodes, onnx.Node{Name: next, OpType: "MatMul", Inputs: []string{last, "w"},
			Outputs: []string{next}})
		last = next
	}
	g.Nodes = append(g.Nodes, onnx.Node{Name: "mean", OpType: "ReduceMean", Inputs: []string{last},
		Outputs:    []string{"y"},
		Attributes: []onnx.Attribute{onnx.Ints("axes", 0, 1), onnx.Int("keepdims", 1)}})
	return &onnx.Model{IRVersion: 8, Producer: "vggse-agent bench", Opsets: []onnx.Opset{{Version: 17}}, Graph: g}
}

// Measure runs the network for the given time and returns how long each run took.
func Measure(ctx context.Context, e *infer.Engine, in *vision.Tensor, out vision.Logits,
	length time.Duration) ([]time.Duration, error) {
	var took []time.Duration
	for start := time.Now(); time.Since(start) < length || len(took) == 0; {
		begin := time.Now()
		if err := e.Run(ctx, in, out); err != nil {
			return nil, err
		}
		took = append(took, time.Since(begin))
	}
	return took, nil
}
