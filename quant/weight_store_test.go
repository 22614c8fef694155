package quant

import (
	"bytes"
	"errors"
	"io"
	"os"
	"testing"

	"github.com/vggse/vggse-agent/onnx"
)

// Weights that were made once are not made again, unless their scales or their network are others; a
// file that could not be written keeps nothing.
func TestWeightStore(t *testing.T) {
	made := 0
	model := func(fill byte, scale float32) *onnx.Model {
		return &onnx.Model{Graph: onnx.Graph{
			Nodes: []onnx.Node{{OpType: "DequantizeLinear", Inputs: []string{"w/int8", "w/scale"},
				Outputs: []string{"w"}}},
			Initializers: []onnx.Tensor{
				{Name: "w/int8", Type: onnx.Int8, Dims: []int64{storedFrom}, Source: func(w io.Writer) error {
					made++
					_, err := w.Write(bytes.Repeat([]byte{fill}, storedFrom))
					return err
				}},
				onnx.NewFloat32("w/scale", []float32{scale}, 1),
			}}}
	}
	first, second := &onnx.Model{}, &onnx.Model{}
	var s weightStore
	dir := t.TempDir()
	for i, tt := range []struct {
		of    *onnx.Model
		fill  byte
		scale float32
		made  int
	}{
		{first, 1, 0.5, 1}, {first, 1, 0.5, 1}, {first, 2, 0.25, 2}, {first, 1, 0.5, 2}, {first, 2, 0.25, 2},
		{second, 3, 0.5, 3}, {second, 3, 0.5, 3},
	} {
		m := model(tt.fill, tt.scale)
		if err := s.keep(dir, tt.of, m); err != nil {
			t.Fatal(err)
		}
		if i == 2 {
			full := errors.New("no space left")
			if err := m.Graph.Initializers[0].Source(failing{full}); !errors.Is(err, full) {
				t.Errorf("%v, want %v", err, full)
			}
			made--
		}
		var got bytes.Buffer
		if err := m.Graph.Initializers[0].Source(&got); err != nil || made != tt.made ||
			!bytes.Equal(got.Bytes(), bytes.Repeat([]byte{tt.fill}, storedFrom)) {
			t.Errorf("%d: made %d times, want %d; %d bytes, %v", i, made, tt.made, got.Len(), err)
		}
	}
	if left, err := os.ReadDir(dir); err != nil || len(left) != 0 {
		t.Errorf("%v is to be seen, %v", left, err)
	}
	if err := errors.Join(s.Close(), s.Close()); err != nil || s.file != nil {
		t.Errorf("closed twice: %v", err)
	}
}

type failing struct{ err error }

func (f failing) Write([]byte) (int, error) { return 0, f.err }
