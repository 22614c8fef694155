package quant_test

import (
	"context"
	"errors"
	"io"
	"math/rand/v2"
	"path/filepath"
	"sync"
	"testing"

	"github.com/vggse/vggse-agent/eval"
	"github.com/vggse/vggse-agent/infer"
	"github.com/vggse/vggse-agent/internal/atomicfile"
	"github.com/vggse/vggse-agent/onnx"
	"github.com/vggse/vggse-agent/quant"
	"github.com/vggse/vggse-agent/vgg16se"
	"github.com/vggse/vggse-agent/vision"
)

// prober runs models on the real ONNX Runtime.
var prober = infer.Prober{Config: infer.Config{Threads: 1}, Input: vgg16se.Input}

// small is the network of the tests: all parts of the full one, a hundredth of its weights.
var small = vgg16se.Architecture{InputSize: 64, Width: 0.125, Hidden: 64, PoolSize: 2, Classes: 7}

// fixture writes a seeded network and opens it.
func fixture(t testing.TB, a vgg16se.Architecture) (path string, m *onnx.Model, n *quant.Graph) {
	t.Helper()
	if _, err := infer.Version(infer.Config{}); errors.Is(err, infer.ErrNoLibrary) {
		t.Skip("ONNX Runtime not found (make deps)")
	} else if err != nil {
		t.Fatal(err)
	}
	graph, err := a.Graph(vgg16se.Seeded(7))
	if err != nil {
		t.Fatal(err)
	}
	path = filepath.Join(t.TempDir(), "fp32.onnx")
	write(t, path, graph)
	if m, err = onnx.Open(path); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { m.Close() })
	if n, err = quant.Analyse(m, vgg16se.Input); err != nil {
		t.Fatal(err)
	}
	return path, m, n
}

func write(t testing.TB, path string, m *onnx.Model) {
	t.Helper()
	if err := atomicfile.WriteFile(path, func(w io.Writer) error { return onnx.Write(w, m) }); err != nil {
		t.Fatal(err)
	}
}

func open(t testing.TB, r infer.Prober, path string, o infer.ProbeOptions) *infer.Probe {
	t.Helper()
	s, err := r.Open(context.Background(), path, o)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := s.Close(); err != nil {
			t.Error(err)
		}
	})
	return s
}

// pictures gives n tensors of smooth noise in the order that order says, from any goroutine.
func pictures(order []int) quant.Next {
	var mu sync.Mutex
	i := 0
	return func(_ context.Context, t *vision.Tensor) error {
		mu.Lock()
		defer mu.Unlock()
		if i == len(order) {
			return io.EOF
		}
		draw(t, uint64(order[i]))
		i++
		return nil
	}
}

// labelled gives the pictures of order to a judge, all with one label.
func labelled(order []int, label int) eval.Labelled {
	var mu sync.Mutex
	i := 0
	return func(_ context.Context, t *vision.Tensor) (picture, of int, err error) {
		mu.Lock()
		defer mu.Unlock()
		if i == len(order) {
			return 0, 0, io.EOF
		}
		draw(t, uint64(order[i]))
		i++
		return order[i-1], label, nil
	}
}

// draw fills t with blocks of random colour, between -2 and 2.
func draw(t *vision.Tensor, seed uint64) {
	r := rand.New(rand.NewPCG(seed, 1))
	side := int(t.Shape[3])
	for c := range 3 {
		var grid [64]float32
		for i := range grid {
			grid[i] = float32(r.Float64()*4 - 2)
		}
		for y := range side {
			for x := range side {
				t.Data[(c*side+y)*side+x] = grid[y*8/side*8+x*8/side]
			}
		}
	}
}

func sequence(from, to int) []int {
	var s []int
	for i := from; i < to; i++ {
		s = append(s, i)
	}
	return s
}

func collect(t testing.TB, m *onnx.Model, n *quant.Graph, order []int, workers, size int) *quant.Collection {
	t.Helper()
	path := filepath.Join(t.TempDir(), "probe.onnx")
	err := atomicfile.WriteFile(path, func(w io.Writer) error { return quant.WriteProbe(w, m, n.Tensors()) })
	if err != nil {
		t.Fatal(err)
	}
	s := open(t, prober, path, infer.ProbeOptions{Outputs: n.Tensors()})
	c := quant.NewCollection(n, "test")
	if err := quant.Collect(context.Background(), c, n, s, workers, size, pictures(order)); err != nil {
		t.Fatal(err)
	}
	return c
}

func plan(t testing.TB, n *quant.Graph, c *quant.Collection, method quant.Method, levels int,
	bits quant.WeightBits) *quant.Plan {
	t.Helper()
	choices, err := quant.Choose(n, c, method, levels)
	if err != nil {
		t.Fatal(err)
	}
	return &quant.Plan{Method: method, Levels: levels, Bits: bits, Picture: [2]float64{-2, 2}, Choices: choices}
}

func TestCPUFileRunsOnIntegers(t *testing.T) {
	path, m, n := fixture(t, small)
	if got := len(n.Sites); got != 1+13+3*5+2 {
		t.Errorf("%d sites, want the picture, 13 convolutions, 5 squeezes, gates and products, 2 hidden layers", got)
	}
	c := collect(t, m, n, sequence(0, 16), 1, small.InputSize)
	for _, bits := range []quant.WeightBits{quant.Bits8, quant.Bits7, quant.BitsPair} {
		p := plan(t, n, c, quant.Auto, quant.LevelsU8, bits)
		out, err := quant.EmitCPU(m, n, p)
		if err != nil {
			t.Fatal(err)
		}
		file := filepath.Join(t.TempDir(), "int8.onnx")
		write(t, file, out)
		proof, err := quant.Prove(context.Background(), prober, file, n, p)
		if err != nil {
			t.Fatal(err)
		}
		if !proof.Fused() || proof.Convolutions != 13 || proof.Dense != 3 {
			t.Errorf("%s bits: %+v", bits, proof)
		}
		db := map[bool]float64{}
		for _, exact := range []bool{false, true} {
			logits := infer.ProbeOptions{Outputs: []string{vgg16se.Output}}
			j := eval.NewEvaluator(small.Classes)
			if err := j.Ask(context.Background(), open(t, prober, path, logits), 1, small.InputSize,
				labelled(sequence(100, 108), -1)); err != nil {
				t.Fatal(err)
			}
			v, err := j.Run(context.Background(),
				open(t, infer.Prober{Config: prober.Config, Input: prober.Input, Exact: exact}, file, logits), 1,
				small.InputSize, labelled(sequence(100, 108), -1))
			if err != nil {
				t.Fatal(err)
			}
			if db[exact] = v.SQNR; v.SQNR < 20 || v.NaN != 0 || v.Top1 != nil {
				t.Errorf("%s bits: %+v", bits, v)
			}
		}
		// Multiplied exactly or in 16 bits that saturate: no difference where no pair of weights is
		// too large.
		if bits != quant.Bits8 && db[true] != db[false] {
			t.Errorf("%s bits: %.3f dB, multiplied exactly %.3f dB: the products saturate", bits, db[false], db[true])
		}
		t.Logf("%s bits: %.2f dB, multiplied exactly %.2f dB", bits, db[false], db[true])
	}
}
