package quant

import (
	"bytes"
	"errors"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"testing"

	"github.com/vggse/vggse-agent/onnx"
)

// Weights that were made once are not made again, unless their scales or their network are others; a
// source that fails keeps nothing. The file that is written has them beside it, and reads as before.
func TestWeightStore(t *testing.T) {
	made, full := 0, errors.New("no space left")
	float := make([]float32, storedFrom)
	model := func(fill byte, scale float32, fails bool) *onnx.Model {
		return &onnx.Model{IRVersion: 8, Opsets: []onnx.Opset{{Version: 13}}, Graph: onnx.Graph{
			Nodes: []onnx.Node{{OpType: "DequantizeLinear", Inputs: []string{"w/int8", "w/scale"},
				Outputs: []string{"w"}}},
			Initializers: []onnx.Tensor{
				{Name: "w/int8", Type: onnx.Int8, Dims: []int64{storedFrom + 1}, Source: func(w io.Writer) error {
					if fails {
						return full
					}
					made++
					_, err := w.Write(bytes.Repeat([]byte{fill}, storedFrom+1))
					return err
				}},
				onnx.NewFloat32("w/scale", []float32{scale}, 1),
				onnx.NewFloat32("other", float, int64(len(float))),
			}}}
	}
	first, second := model(0, 1, false), model(0, 1, false)
	float[5] = 1
	var s weightStore
	dir := t.TempDir()
	path := filepath.Join(dir, "trial.onnx")
	for i, tt := range []struct {
		of    *onnx.Model
		fill  byte
		scale float32
		made  int
	}{
		{first, 1, 0.5, 1}, {first, 1, 0.5, 1}, {first, 2, 0.25, 2}, {first, 1, 0.5, 2}, {first, 2, 0.25, 2},
		{second, 3, 0.5, 3}, {second, 3, 0.5, 3},
	} {
		if err := s.keep(dir, tt.of, model(0, 0.125, true)); !errors.Is(err, full) {
			t.Errorf("%v, want %v", err, full)
		}
		m := model(tt.fill, tt.scale, false)
		m.Graph.Initializers = append(m.Graph.Initializers, tt.of.Graph.Initializers[2]) // the network's own
		m.Graph.Initializers[3].Name = "own"
		tt.of.Graph.Initializers[2].Name = "own"
		if err := s.keep(dir, tt.of, m); err != nil || made != tt.made {
			t.Fatalf("%d: made %d times, want %d, %v", i, made, tt.made, err)
		}
		var file bytes.Buffer
		if err := onnx.Write(&file, m); err != nil || file.Len() < 4*storedFrom || file.Len() > 5*storedFrom {
			t.Errorf("%d: %d bytes, %v: want one weight inside, two beside it", i, file.Len(), err)
		}
		if err := os.WriteFile(path, file.Bytes(), 0o600); err != nil {
			t.Fatal(err)
		}
		got, err := onnx.Open(path)
		if err != nil {
			t.Fatal(err)
		}
		if w := got.Graph.Initializers; !bytes.Equal(w[0].Data, bytes.Repeat([]byte{tt.fill}, storedFrom+1)) ||
			w[2].Float32s()[5] != 1 || w[3].Float32s()[5] != 0 || len(w[3].Data) != 4*storedFrom {
			t.Errorf("%d: other weights than were written", i)
		}
		if err := got.Close(); err != nil {
			t.Error(err)
		}
	}
	if err := errors.Join(s.Close(), s.Close()); err != nil {
		t.Errorf("closed twice: %v", err)
	}
	if _, err := os.Stat(filepath.Join(dir, weightsFile)); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("the weights are left: %v", err)
	}
}
