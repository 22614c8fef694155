package infer_test

import (
	"context"
	"os"
	"path/filepath"
	"slices"
	"testing"

	"github.com/vggse/vggse-agent/bundle"
	"github.com/vggse/vggse-agent/infer"
	"github.com/vggse/vggse-agent/infer/infertest"
	"github.com/vggse/vggse-agent/onnx"
	"github.com/vggse/vggse-agent/vision"
)

// altered is a copy of a model file with a change.
func altered(t testing.TB, from string, change func(*onnx.Model)) string {
	t.Helper()
	m, err := onnx.Open(from)
	if err != nil {
		t.Fatal(err)
	}
	defer m.Close()
	change(m)
	path := filepath.Join(t.TempDir(), "altered.onnx")
	f, err := os.Create(path)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	if err := onnx.Write(f, m); err != nil {
		t.Fatal(err)
	}
	return path
}

// demo is the demo's network, with its signals or without.
func demo(t testing.TB, change func(*onnx.Model)) infer.ModelFile {
	return infer.ModelFile{Path: altered(t, "../demo/bundle/fp32.onnx", change), Input: "input", Output: "logits",
		Size: 64, Classes: 13, Precision: "fp32"}
}

func expose(m *onnx.Model) { m.Expose("logits", onnx.AllSignals) }

func conceal(m *onnx.Model) { m.Conceal("logits") }

// made are n pictures that differ.
func made(n, size int) *vision.Tensor {
	x := vision.NewTensor(n, 3, size, size)
	for i := range x.Data {
		x.Data[i] = float32(i*2654435761%1000)/500 - 1
	}
	return x
}

// TestRunSignals: each picture of a batch has the signals that it has alone, the last layer on its
// features gives its logits, the answers are those of the file without signals, and nothing is
// allocated.
func TestRunSignals(t *testing.T) {
	c := cpu
	c.MaxBatch = 2
	e, bare := open(t, c, demo(t, expose)), open(t, cpu, demo(t, conceal))
	z := e.SignalSizes()
	if z.Features != 256 || !slices.Equal(z.Channels, []int{16, 32, 64, 128, 128}) || e.NoChannels() != "" {
		t.Fatalf("sizes %+v, %q", z, e.NoChannels())
	}
	if z := bare.SignalSizes(); z.New() != nil || bare.NoChannels() == "" {
		t.Errorf("a file without signals has %+v", z)
	}
	x, both := made(2, 64), []*vision.Signals{z.New(), z.New()}
	out, want := make(vision.Logits, 2*13), make(vision.Logits, 13)
	if err := e.RunSignals(t.Context(), x, out, both); err != nil {
		t.Fatal(err)
	}
	b, err := bundle.Open("../demo/bundle")
	if err != nil {
		t.Fatal(err)
	}
	head := infertest.LastLayer(t, b)
	for i := range 2 {
		one := &vision.Tensor{Shape: [4]int64{1, 3, 64, 64}, Data: x.Data[i*len(x.Data)/2:][:len(x.Data)/2]}
		if err := bare.Run(t.Context(), one, want); err != nil {
			t.Fatal(err)
		}
		near(t, "logits", out[i*13:][:13], want, 1e-4)
		head.Apply(both[i].Features, want)
		near(t, "the head on the features", out[i*13:][:13], want, 1e-4)
		alone := z.New()
		if err := e.RunSignals(t.Context(), one, want, []*vision.Signals{alone}); err != nil {
			t.Fatal(err)
		}
		for b := range z.Channels {
			near(t, "squeeze", both[i].Squeeze[b], alone.Squeeze[b], 1e-4)
			near(t, "gates", both[i].Gates[b], alone.Gates[b], 1e-4)
			if low, high := slices.Min(alone.Gates[b]), slices.Max(alone.Gates[b]); low < 0 || high > 1 || high == 0 {
				t.Errorf("gates of block %d from %g to %g", b+1, low, high)
			}
		}
	}
	if slices.Equal(both[0].Features, both[1].Features) {
		t.Error("two pictures have the same features")
	}
	one := &vision.Tensor{Shape: [4]int64{1, 3, 64, 64}, Data: x.Data[:len(x.Data)/2]}
	single := open(t, cpu, demo(t, expose))
	ctx := t.Context()
	if n := testing.AllocsPerRun(20, func() {
		if err := single.RunSignals(ctx, one, want, both); err != nil {
			t.Error(err)
		}
	}); n != 0 {
		t.Errorf("%v allocations a run", n)
	}
}

func near(t testing.TB, what string, got, want []float32, tolerance float32) {
	t.Helper()
	for i := range want {
		if d := got[i] - want[i]; len(got) != len(want) || !(max(d, -d) <= tolerance) {
			t.Errorf("%s: %v, want %v", what, got, want)
			return
		}
	}
}

// TestOutputThatIsNotWhatItSays: a file that names another output with a shape that it does not have
// answers all the same, without signals.
func TestOutputThatIsNotWhatItSays(t *testing.T) {
	net := demo(t, func(m *onnx.Model) {
		conceal(m)
		g := &m.Graph
		g.Initializers = append(g.Initializers, onnx.NewInt64("zero", []int64{0}, 1),
			onnx.NewInt64("axis", []int64{1}, 1))
		g.Nodes = append(g.Nodes,
			onnx.Node{OpType: "Sub", Inputs: []string{"logits", "logits"}, Outputs: []string{"nothing"}},
			onnx.Node{OpType: "ReduceMax", Inputs: []string{"nothing"}, Outputs: []string{"most"},
				Attributes: []onnx.Attribute{onnx.Int("keepdims", 0)}},
			onnx.Node{OpType: "Cast", Inputs: []string{"most"}, Outputs: []string{"whole"},
				Attributes: []onnx.Attribute{onnx.Int("to", int64(onnx.Int64))}},
			onnx.Node{OpType: "Reshape", Inputs: []string{"whole", "axis"}, Outputs: []string{"ends"}},
			onnx.Node{OpType: "Slice", Inputs: []string{"logits", "zero", "ends", "axis"},
				Outputs: []string{"features"}})
		g.Outputs = append(g.Outputs, onnx.ValueInfo{Name: "features", Type: onnx.Float32,
			Shape: []onnx.Dim{{Name: "N"}, {Size: 3}}})
	})
	e, bare := open(t, cpu, net), open(t, cpu, demo(t, conceal))
	if z := e.SignalSizes(); z.New() != nil {
		t.Errorf("signals %+v of a file that lies", z)
	}
	x, got, want := made(1, 64), make(vision.Logits, 13), make(vision.Logits, 13)
	if err := e.RunSignals(context.Background(), x, got, nil); err != nil {
		t.Fatal(err)
	}
	if err := bare.Run(context.Background(), x, want); err != nil {
		t.Fatal(err)
	}
	if !slices.Equal(got, want) {
		t.Errorf("logits %v, want %v", got, want)
	}
}
