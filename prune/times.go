package prune

import (
	"context"
	"io"
	"math"
	"path/filepath"
	"time"

	"github.com/vggse/vggse-agent/infer"
	"github.com/vggse/vggse-agent/onnx"
	"github.com/vggse/vggse-agent/vgg16se"
	"github.com/vggse/vggse-agent/vision"
)

// layerTime says how long a layer takes on this machine for one picture, in seconds, by the
// channels that it takes in and puts out. Multiply-adds do not say that: a runtime's kernels take
// channels in blocks, and 24 may cost as much as 32.
type layerTime struct {
	full    float64
	step    int
	in, out []float64 // shares of full with that many steps of channels there; nil: as many as it has, always
}

// of is the time with other widths. What fewer inputs and what fewer outputs save is measured apart
// and multiplied.
func (t *layerTime) of(in, out int) float64 {
	return t.full * share(t.in, in, t.step) * share(t.out, out, t.step)
}

func share(of []float64, width, step int) float64 {
	if of == nil {
		return 1
	}
	return of[min(len(of), (width+step-1)/step)-1]
}

// Limits on the work of Measure.
const (
	timedRounds = 3                    // through all widths of a layer: a machine is seldom busy in each
	timedFor    = 4 * time.Millisecond // each width in each round, at least
	timedRuns   = 2                    // at least
	timedWidths = 16                   // of a layer: between them it is as slow as with the next that was timed
	// inputs and outputs of a fully connected layer: beyond, its time grows with its weights
	largestTimed = 1024
)

// Measure times every layer on the bench's runtime at widths that are multiples of step, one
// thread, for Plan to save time in the place of multiply-adds.
func (s *Analysis) Measure(ctx context.Context, step int) error {
	layers := make([]vgg16se.Layer, 0, len(s.groups)+1)
	for _, g := range s.groups {
		layers = append(layers, g.maker)
	}
	layers = append(layers, s.groups[len(s.groups)-1].reader)
	s.times = make([]layerTime, len(layers))
	for k, l := range layers {
		var before *group // makes what l takes in
		if k > 0 {
			before = &s.groups[k-1]
		}
		var err error
		if l.Op == vgg16se.OpConv {
			s.times[k], err = s.convTime(ctx, l, before, step)
		} else {
			s.times[k], err = s.denseTime(ctx, l, before, step, k == len(layers)-1)
		}
		if err != nil {
			return err
		}
		s.bench.progress("timing layers", k+1, len(layers))
	}
	return nil
}

// convTime times a convolution with fewer inputs and with fewer outputs; the first one, before
// which there is nothing, always has the picture's.
func (s *Analysis) convTime(ctx context.Context, l vgg16se.Layer, before *group, step int) (t layerTime, err error) {
	out, in, side := l.Params[0].Shape[0], l.Params[0].Shape[1], l.Shape[1]
	t.step = step
	if before != nil {
		if t.in, err = curve(in, step,
			func(w int) (float64, error) { return s.bench.timed(ctx, s.model, w, out, side) }); err != nil {
			return t, err
		}
		shares(t.in)
	}
	if t.out, err = curve(out, step,
		func(w int) (float64, error) { return s.bench.timed(ctx, s.model, in, w, side) }); err != nil {
		return t, err
	}
	t.full = t.out[len(t.out)-1]
	shares(t.out)
	return t, nil
}

// denseTime times a fully connected layer. Reading its weights takes the time, which goes with
// their number; the last one keeps its outputs.
func (s *Analysis) denseTime(ctx context.Context, l vgg16se.Layer, before *group, step int, last bool) (t layerTime,
	err error) {
	out, in := l.Params[0].Shape[0], l.Params[0].Shape[1]
	t.step = step
	i, o := min(in, largestTimed), min(out, largestTimed)
	if t.full, err = s.bench.timed(ctx, s.model, i, o, 0); err != nil {
		return t, err
	}
	t.full *= float64(in) / float64(i) * float64(out) / float64(o)
	t.in = proportional(in/before.taps, step)
	if !last {
		t.out = proportional(out, step)
	}
	return t, nil
}

// curve is the time at each multiple of step up to width, and at width. A layer can be no slower
// than a wider one, into which it fits; and what saves less than half of what its multiply-adds
// promise is taken for noise.
func curve(width, step int, measure func(width int) (float64, error)) ([]float64, error) {
	c := make([]float64, (width+step-1)/step)
	stride := (len(c) + timedWidths - 1) / timedWidths
	for i := range c {
		c[i] = math.Inf(1)
	}
	for range timedRounds {
		for i := (len(c) - 1) % stride; i < len(c); i += stride {
			v, err := measure(min(width, (i+1)*step))
			if err != nil {
				return nil, err
			}
			c[i] = min(c[i], v)
		}
	}
	some := c[len(c)-1] * float64(stride*step) / float64(width) / 2
	for i := len(c) - 2; i >= 0; i-- {
		if c[i] > c[i+1]-some {
			c[i] = c[i+1]
		}
	}
	return c, nil
}

// shares makes times of widths shares of the last.
func shares(c []float64) {
	for i := range c {
		c[i] /= c[len(c)-1]
	}
}

func proportional(width, step int) []float64 {
	c := make([]float64, (width+step-1)/step)
	for i := range c {
		c[i] = min(1, float64((i+1)*step)/float64(width))
	}
	return c
}

// timed is the shortest run of one layer with its ReLU: a 3×3 convolution of a map with that side,
// whose means are all that comes out, or for side 0 a fully connected layer.
func (b *Bench) timed(ctx context.Context, like *onnx.Model, in, out, side int) (float64, error) {
	m := *like // its opset
	m.Graph = layerGraph(in, out, side)
	path := filepath.Join(b.Dir, "prune.layer.onnx")
	if err := writeNow(path, &m); err != nil {
		return 0, err
	}
	session, err := b.Runtime.Open(ctx, path, infer.ProbeOptions{Outputs: []string{m.Graph.Outputs[0].Name}})
	if err != nil {
		return 0, err
	}
	defer session.Close() // only read from
	x := vision.NewTensor(1, in, max(1, side), max(1, side))
	for i := range x.Data {
		x.Data[i] = 1
	}
	least := math.Inf(1)
	for begin, n := time.Now(), 0; n < timedRuns || time.Since(begin) < timedFor; n++ {
		start := time.Now()
		if err := session.Run(ctx, x, func(int, []float32) {}); err != nil {
			return 0, err
		}
		least = min(least, time.Since(start).Seconds())
	}
	return least, nil
}

// layerGraph is the layer that timed runs. What its weights are does not matter.
func layerGraph(in, out, side int) onnx.Graph {
	i, o, s := int64(in), int64(out), int64(max(1, side))
	fixed := func(n ...int64) (dims []onnx.Dim) {
		for _, d := range n {
			dims = append(dims, onnx.Dim{Size: d})
		}
		return dims
	}
	weight := onnx.Tensor{Name: "weight", Type: onnx.Float32, Dims: []int64{o, i, 3, 3}}
	nodes := []onnx.Node{
		{OpType: "Conv", Inputs: []string{vgg16se.Input, "weight", "bias"}, Outputs: []string{"y"},
			Attributes: []onnx.Attribute{onnx.Ints("kernel_shape", 3, 3), onnx.Ints("pads", 1, 1, 1, 1)}},
		{OpType: "Relu", Inputs: []string{"y"}, Outputs: []string{"z"}},
		{OpType: "GlobalAveragePool", Inputs: []string{"z"}, Outputs: []string{"answer"}},
	}
	answer := fixed(1, o, 1, 1)
	if side == 0 {
		weight.Dims = []int64{o, i}
		nodes = []onnx.Node{
			{OpType: "Flatten", Inputs: []string{vgg16se.Input}, Outputs: []string{"x"}},
			{OpType: "Gemm", Inputs: []string{"x", "weight", "bias"}, Outputs: []string{"y"},
				Attributes: []onnx.Attribute{onnx.Int("transB", 1)}},
			{OpType: "Relu", Inputs: []string{"y"}, Outputs: []string{"answer"}},
		}
		answer = fixed(1, o)
	}
	weight.Source = func(w io.Writer) error { return writeFloats(w, ones(int(weight.Elements()))) }
	return onnx.Graph{Name: "layer", Nodes: nodes,
		Initializers: []onnx.Tensor{weight, onnx.NewFloat32("bias", ones(out), o)},
		Inputs:       []onnx.ValueInfo{{Name: vgg16se.Input, Type: onnx.Float32, Shape: fixed(1, i, s, s)}},
		Outputs:      []onnx.ValueInfo{{Name: "answer", Type: onnx.Float32, Shape: answer}}}
}

func ones(n int) []float32 {
	v := make([]float32, n)
	for i := range v {
		v[i] = 1
	}
	return v
}
