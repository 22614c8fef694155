package quant

import (
	"context"
	"errors"
	"io"
	"math"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"testing"

	"github.com/vggse/vggse-agent/device"
	"github.com/vggse/vggse-agent/eval"
	"github.com/vggse/vggse-agent/infer"
	"github.com/vggse/vggse-agent/onnx"
	"github.com/vggse/vggse-agent/vision"
)

// builder makes a network node by node; every tensor has the name of its node.
type builder struct {
	onnx.Model
	r    *rand.Rand
	last string
}

func build(opset int64) *builder {
	b := &builder{r: rand.New(rand.NewPCG(3, 4)), last: "x"}
	b.IRVersion, b.Opsets = 8, []onnx.Opset{{Version: opset}}
	b.Graph.Inputs = []onnx.ValueInfo{{Name: "x", Type: onnx.Float32,
		Shape: []onnx.Dim{{Name: "N"}, {Size: 3}, {Size: 16}, {Size: 16}}}}
	return b
}

// drawn makes a constant of numbers around 0.
func (b *builder) drawn(name string, spread float64, dims ...int64) string {
	v := make([]float32, elements(dims))
	for i := range v {
		v[i] = float32(b.r.NormFloat64() * spread)
	}
	return b.put(onnx.NewFloat32(name, v, dims...))
}

func (b *builder) put(t onnx.Tensor) string {
	b.Graph.Initializers = append(b.Graph.Initializers, t)
	return t.Name
}

// op appends a node that reads in, or what the last one made.
func (b *builder) op(op, name string, in []string, a ...onnx.Attribute) string {
	if in == nil {
		in = []string{b.last}
	}
	b.Graph.Nodes = append(b.Graph.Nodes, onnx.Node{OpType: op, Name: name, Inputs: in, Outputs: []string{name},
		Attributes: a})
	b.last = name
	return name
}

// conv appends a convolution of 3×3 from in to out channels, in groups.
func (b *builder) conv(name string, in, out, groups int64) string {
	w := b.drawn(name+".w", 1/math.Sqrt(float64(9*in/groups)), out, in/groups, 3, 3)
	return b.op("Conv", name, []string{b.last, w, b.drawn(name+".b", 0.2, out)}, onnx.Ints("pads", 1, 1, 1, 1),
		onnx.Ints("kernel_shape", 3, 3), onnx.Int("group", groups))
}

// end appends the classifier: a mean, and a Gemm to five scores.
func (b *builder) end(channels int64) *onnx.Model {
	b.op("GlobalAveragePool", "mean", nil)
	b.op("Flatten", "flat", nil, onnx.Int("axis", 1))
	b.op("Gemm", "y", []string{"flat", b.drawn("fc.w", 1, 5, channels), b.drawn("fc.b", 0.1, 5)}, onnx.Int("transB", 1))
	b.Graph.Outputs = []onnx.ValueInfo{{Name: "y", Type: onnx.Float32}}
	return &b.Model
}

// worlds are networks as people have them, with the integer layers that each must have.
func worlds() map[string]struct {
	m           *onnx.Model
	conv, dense int
} {
	all := map[string]struct {
		m           *onnx.Model
		conv, dense int
	}{}
	add := func(name string, m *onnx.Model, conv, dense int) {
		all[name] = struct {
			m           *onnx.Model
			conv, dense int
		}{m, conv, dense}
	}
	b := build(17)
	b.conv("c1", 3, 16, 1)
	b.conv("c2", 16, 16, 1) // nothing behind either
	add("bare", b.end(16), 2, 1)

	b = build(17)
	in := b.conv("c1", 3, 16, 1)
	b.op("Relu", "r1", nil)
	b.conv("c2", 16, 16, 1)
	b.op("Add", "sum", []string{in, b.last})
	b.op("Relu", "r2", nil)
	b.conv("c3", 16, 16, 1)
	add("residual", b.end(16), 3, 1)

	b = build(17)
	for i, name := range []string{"c1", "c2", "c3"} {
		c := b.conv(name, []int64{3, 16, 16}[i], 16, 1)
		b.op("Sigmoid", name+".s", nil)
		b.op("Mul", name+".m", []string{c, b.last})
	}
	add("SiLU", b.end(16), 3, 1)

	b = build(17)
	b.conv("c1", 3, 16, 1)
	b.op("HardSwish", "h1", nil)
	b.conv("c2", 16, 32, 1)
	b.op("HardSwish", "h2", nil)
	b.conv("c3", 32, 16, 1)
	add("hard-swish", b.end(16), 3, 1)

	b = build(17)
	b.conv("c1", 3, 16, 1)
	b.op("Clip", "six1", []string{b.last, b.put(onnx.NewFloat32("zero", []float32{0})),
		b.put(onnx.NewFloat32("six", []float32{1}))})
	b.conv("dw", 16, 16, 16)
	b.op("Clip", "six2", []string{b.last, "zero", "six"})
	b.conv("grouped", 16, 16, 4)
	add("ReLU6, depthwise, grouped", b.end(16), 3, 1)

	b = build(17)
	left := b.conv("c1", 3, 16, 1)
	b.op("Relu", "r1", nil)
	right := b.conv("c2", 16, 16, 1)
	b.op("Concat", "both", []string{left + ".r", right}, onnx.Int("axis", 1))
	b.Graph.Nodes = slices.Insert(b.Graph.Nodes, 1, onnx.Node{OpType: "LeakyRelu", Name: "leaky",
		Inputs: []string{left}, Outputs: []string{left + ".r"}, Attributes: []onnx.Attribute{onnx.Float("alpha", 0.1)}})
	for _, p := range []string{"scale", "shift", "at"} {
		b.drawn("bn."+p, 1, 32)
	}
	b.put(onnx.NewFloat32("bn.var", slices.Repeat([]float32{1.5}, 32), 32))
	b.op("BatchNormalization", "bn", []string{"both", "bn.scale", "bn.shift", "bn.at", "bn.var"})
	b.op("Relu", "r3", nil)
	b.conv("c3", 32, 16, 1)
	add("joint, normalization alone", b.end(16), 4, 1)

	b = build(17)
	b.conv("c1", 3, 32, 1)
	b.op("Flatten", "rows", nil, onnx.Int("axis", 2))
	b.put(onnx.NewInt64("shape", []int64{0, 32, 256}, 3))
	b.op("Reshape", "map", []string{"c1", "shape"})
	b.op("Transpose", "tokens", nil, onnx.Ints("perm", 0, 2, 1))
	b.op("MatMul", "mm1", []string{"tokens", b.drawn("mm1.w", 0.2, 32, 64)})
	b.op("Add", "mm1.sum", []string{b.drawn("mm1.b", 0.2, 64), "mm1"})
	b.op("Tanh", "tanh", nil)
	b.op("MatMul", "mm2", []string{"tanh", b.drawn("mm2.w", 0.2, 64, 32)})
	b.op("Transpose", "back", nil, onnx.Ints("perm", 0, 2, 1))
	b.put(onnx.NewInt64("square", []int64{0, 32, 16, 16}, 4))
	b.op("Reshape", "picture", []string{"back", "square"})
	b.Graph.Nodes = slices.DeleteFunc(b.Graph.Nodes, func(v onnx.Node) bool { return v.Name == "rows" })
	add("products of matrices", b.end(32), 1, 3)

	b = build(17)
	b.conv("c1", 3, 16, 1)
	b.op("GlobalAveragePool", "mean1", nil)
	b.op("Flatten", "rows", nil)
	b.op("MatMul", "mm", []string{"rows", b.drawn("mm.w", 0.5, 16, 32)})
	b.op("Add", "mm.sum", []string{"mm", b.drawn("mm.b", 0.3, 32)})
	b.op("Relu", "mm.r", nil)
	b.op("Gemm", "hidden", []string{"mm.r", b.drawn("hidden.w", 0.3, 32, 16), b.drawn("hidden.b", 0.3, 16)})
	b.put(onnx.NewInt64("square", []int64{0, 16, 1, 1}, 4))
	b.op("Reshape", "map", []string{"hidden", "square"})
	add("matrices with an output a column", b.end(16), 1, 3)

	b = build(17)
	c := b.conv("c1", 3, 16, 1)
	b.op("GlobalAveragePool", "squeeze", nil)
	b.op("Conv", "fc1", []string{"squeeze", b.drawn("fc1.w", 0.5, 4, 16, 1, 1), b.drawn("fc1.b", 0.2, 4)})
	b.op("Relu", "fc1.r", nil)
	b.op("Conv", "fc2", []string{"fc1.r", b.drawn("fc2.w", 0.5, 16, 4, 1, 1), b.drawn("fc2.b", 0.2, 16)})
	b.op("HardSigmoid", "gate", nil)
	b.op("Mul", "product", []string{c, "gate"})
	b.conv("c2", 16, 16, 1)
	add("gate of convolutions", b.end(16), 2, 1)
	return all
}

// Every kind of network runs on integers where it should, answers as FP32 does, and so does the
// file for TensorRT.
func TestWorld(t *testing.T) {
	needLibrary(t)
	for name, w := range worlds() {
		t.Run(name, func(t *testing.T) {
			want := scores(t, w.m, false)
			if err := prepare(w.m); err != nil {
				t.Fatal(err)
			}
			if db := ratio(want, scores(t, w.m, false)); db < 100 {
				t.Errorf("prepared, it answers with %.1f dB", db)
			}
			n, err := Analyse(w.m, "x")
			if err != nil {
				t.Fatal(err)
			}
			collected := collectedFrom(t, w.m, n)
			for _, levels := range levelsOf {
				choices, err := Choose(n, collected, MinMax, levels)
				if err != nil {
					t.Fatal(err)
				}
				bits := Bits8
				if device.Saturates8Bit() { // as calibrate chooses
					bits = BitsPair
				}
				p := &Plan{Levels: levels, Bits: bits, Picture: [2]float64{-2, 2}, Choices: choices}
				emit := EmitCPU
				if levels == LevelsS8 {
					emit = EmitTRT
				}
				m, err := emit(w.m, n, p)
				if err != nil {
					t.Fatal(err)
				}
				if db := ratio(want, scores(t, m, levels == LevelsS8)); db < 25 {
					t.Errorf("%d levels: %.1f dB", levels, db)
				}
				if levels == LevelsS8 {
					if err := Lint(m); err != nil {
						t.Error(err)
					}
					continue
				}
				path := filepath.Join(t.TempDir(), "int8.onnx")
				writeTo(t, path, m)
				proof, err := Prove(context.Background(), proberOfX, path, n, p)
				if err != nil || !proof.Fused() || proof.Convolutions != w.conv || proof.Dense != w.dense {
					t.Errorf("%+v, %v; want %d convolutions and %d dense", proof, err, w.conv, w.dense)
				}
				if name == "hard-swish" && (proof.Operators["HardSigmoid"] > 0 || proof.Operators["QLinearAdd"] != 2 ||
					proof.Operators["DequantizeLinear"] > 1) {
					t.Errorf("hard-swish left the integers: %v", proof.Operators)
				}
			}
		})
	}
}

// An old network is raised and answers as before.
func TestPreparedFromOldOpsets(t *testing.T) {
	needLibrary(t)
	for _, opset := range []int64{8, 9, 10, 11, 12} {
		b := build(opset)
		b.conv("c1", 3, 16, 1)
		if opset < 11 {
			b.op("Clip", "clip", nil, onnx.Float("min", 0), onnx.Float("max", 0.5))
			b.op("Pad", "pad", nil, onnx.Ints("pads", 0, 0, 1, 1, 0, 0, 1, 1), onnx.String("mode", "constant"))
		}
		if opset < 10 {
			b.op("Slice", "slice", nil, onnx.Ints("starts", 1), onnx.Ints("ends", 9), onnx.Ints("axes", 2))
		}
		b.op("Dropout", "drop", nil)
		b.op("Softmax", "soft", []string{b.op("ReduceMean", "mean1", nil, onnx.Ints("axes", 2, 3),
			onnx.Int("keepdims", 1))})
		b.op("Mul", "large", []string{"soft", "c1"})
		b.op("Softmax", "all", nil) // over channels and places
		b.op("Mul", "most", []string{b.last, b.put(onnx.NewFloat32("thousand", []float32{1000}))})
		b.op("GlobalMaxPool", "max", nil)
		b.op("Squeeze", "less", nil, onnx.Ints("axes", 2, 3))
		b.op("Unsqueeze", "more", nil, onnx.Ints("axes", 2, 3))
		m := b.end(16)
		want := scores(t, m, false)
		if err := prepare(m); err != nil {
			t.Errorf("opset %d: %v", opset, err)
			continue
		}
		if m.Opset("") != oldestOpset {
			t.Errorf("opset %d became %d", opset, m.Opset(""))
		}
		if db := ratio(want, scores(t, m, false)); db < 100 {
			t.Errorf("opset %d: raised, it answers with %.1f dB", opset, db)
		}
		if err := m.Raise(19); err != nil || m.Opset("") != 19 {
			t.Errorf("opset %d: %v", opset, err)
		} else if db := ratio(want, scores(t, m, false)); db < 100 {
			t.Errorf("opset %d: raised to 19, it answers with %.1f dB", opset, db)
		}
	}
}

var proberOfX = infer.Prober{Config: infer.Config{Threads: 1}, Input: "x"}

func needLibrary(t *testing.T) {
	if _, err := infer.Version(infer.Config{}); errors.Is(err, infer.ErrNoLibrary) {
		t.Skip("ONNX Runtime not found (make deps)")
	} else if err != nil {
		t.Fatal(err)
	}
}

func writeTo(t *testing.T, path string, m *onnx.Model) {
	t.Helper()
	f, err := os.Create(path)
	if err == nil {
		err = errors.Join(onnx.Write(f, m), f.Close())
	}
	if err != nil {
		t.Fatal(err)
	}
}

// noise is a picture of 16 pixels a side between -2 and 2.
func noise(x *vision.Tensor, seed uint64) {
	r := rand.New(rand.NewPCG(seed, 9))
	for i := range x.Data {
		x.Data[i] = float32(4*r.Float64() - 2)
	}
}

// scores are the answers of m to eight pictures.
func scores(t *testing.T, m *onnx.Model, plain bool) (all []float32) {
	t.Helper()
	path := filepath.Join(t.TempDir(), "m.onnx")
	writeTo(t, path, m)
	s, err := proberOfX.Open(context.Background(), path, infer.ProbeOptions{Outputs: []string{"y"}, Plain: plain})
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	x := vision.NewTensor(1, 3, 16, 16)
	for i := range uint64(8) {
		noise(x, i)
		if err := s.Run(context.Background(), x, func(_ int, v []float32) { all = append(all, v...) }); err != nil {
			t.Fatal(err)
		}
	}
	return all
}

func ratio(want, got []float32) float64 {
	power, off := differences(want, got, 0)
	return eval.SQNR(power, off)
}

// collectedFrom is what the layers put out for sixteen pictures.
func collectedFrom(t *testing.T, m *onnx.Model, n *Graph) *Collection {
	t.Helper()
	path := filepath.Join(t.TempDir(), "probe.onnx")
	probe := *m
	probe.Graph.Outputs = nil
	for _, name := range n.Tensors() {
		probe.Graph.Outputs = append(probe.Graph.Outputs, onnx.ValueInfo{Name: name, Type: onnx.Float32})
	}
	writeTo(t, path, &probe)
	s, err := proberOfX.Open(context.Background(), path, infer.ProbeOptions{Outputs: n.Tensors()})
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	c, seed := NewCollection(n, "test"), uint64(100)
	err = Collect(context.Background(), c, n, s, 1, 16, func(_ context.Context, x *vision.Tensor) error {
		if seed++; seed > 116 {
			return io.EOF
		}
		noise(x, seed)
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	return c
}

// Half precision reaches through casts to float32, and leaves alone what Resize wants in float32.
func TestHalfOfOddOperators(t *testing.T) {
	needLibrary(t)
	b := build(13)
	b.conv("c1", 3, 16, 1)
	b.put(onnx.NewFloat32("scales", []float32{1, 1, 2, 2}, 4))
	b.op("Resize", "larger", []string{"c1", "", "scales"}, onnx.String("mode", "nearest"))
	b.op("Cast", "cast", nil, onnx.Int("to", int64(onnx.Float32)))
	m := b.end(16)
	half, err := EmitFP16(m)
	if err != nil {
		t.Fatal(err)
	}
	if db := ratio(scores(t, m, false), scores(t, half, true)); db < 50 || db > 120 {
		t.Errorf("%.1f dB", db)
	}
}

// Where a network has more integer layers than the plan wants, all are there.
func TestFused(t *testing.T) {
	for _, c := range []struct {
		conv, want, dense, wantDense int
		fused                        bool
	}{{3, 3, 1, 1, true}, {4, 3, 1, 1, true}, {2, 3, 1, 1, false}, {3, 3, 0, 1, false}} {
		p := Proof{Convolutions: c.conv, WantConv: c.want, Dense: c.dense, WantDense: c.wantDense}
		if p.Fused() != c.fused {
			t.Errorf("%+v: %v", c, p.Fused())
		}
	}
}
