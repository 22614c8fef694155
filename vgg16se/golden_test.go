package vgg16se

import (
	"bytes"
	"encoding/json"
	"math"
	"os"
	"path/filepath"
	"testing"

	"github.com/vggse/vggse-agent/onnx"
	"github.com/vggse/vggse-agent/vgg16se/checkpoint"
	"github.com/vggse/vggse-agent/vision"
)

// golden is what PyTorch answers with a checkpoint (testdata/goldens.py).
type golden struct {
	File         string
	Input        int
	Logits       [][]float64
	Architecture Architecture
}

func goldens(t *testing.T) []golden {
	t.Helper()
	text, err := os.ReadFile("testdata/goldens.json")
	if err != nil {
		t.Fatal(err)
	}
	var all []golden
	if err := json.Unmarshal(text, &all); err != nil {
		t.Fatal(err)
	}
	if len(all) < 20 {
		t.Fatalf("only %d goldens", len(all))
	}
	return all
}

// pictures repeats the formula of goldens.py: element k is k·2654435761 mod 2³², scaled to −1..1.
func pictures(n, size int) *vision.Tensor {
	x := vision.NewTensor(n, 3, size, size)
	for k := range x.Data {
		x.Data[k] = float32(float64(uint32(k*2654435761))/(1<<31) - 1)
	}
	return x
}

// imported goes the whole way: checkpoint, architecture, graph, file, graph.
func imported(t *testing.T, path string, input int) (Architecture, *onnx.Model) {
	t.Helper()
	f, err := checkpoint.Open(path, "")
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	a, weights, err := Recognize(f.Tensors, input)
	if err != nil {
		t.Fatal(err)
	}
	m, err := a.Graph(weights)
	if err != nil {
		t.Fatal(err)
	}
	var b bytes.Buffer
	if err := onnx.Write(&b, m); err != nil {
		t.Fatal(err)
	}
	if m, err = onnx.Parse(b.Bytes()); err != nil {
		t.Fatal(err)
	}
	return a, m
}

// Every checkpoint is recognized as what it is, and the reference answers as PyTorch did in
// float64. What is left is the rounding of folded weights to float32.
func TestGoldensOfPyTorch(t *testing.T) {
	for _, g := range goldens(t) {
		t.Run(filepath.Base(g.File), func(t *testing.T) {
			a, m := imported(t, filepath.Join("testdata", g.File), g.Input)
			want := g.Architecture.Full()
			if want.Attention == None || want.Attention == SSE {
				want.Reduction = 16
			}
			if a.Full() != want {
				t.Errorf("recognized %v, is %v", a, want)
			}
			got, err := a.Reference(t.Context(), &m.Graph, pictures(len(g.Logits), g.Input))
			if err != nil {
				t.Fatal(err)
			}
			worst, largest := 0.0, 0.0
			for n, row := range g.Logits {
				for i, v := range row {
					worst = max(worst, math.Abs(got[n*len(row)+i]-v))
					largest = max(largest, math.Abs(v))
				}
			}
			if !(worst <= 1e-6*largest) {
				t.Errorf("input %d: differs by %g of %g", g.Input, worst, largest)
			}
		})
	}
}
