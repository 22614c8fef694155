package prune

import (
	"io"
	"path/filepath"
	"slices"
	"sync"
	"testing"

	"github.com/vggse/vggse-agent/internal/atomicfile"
	"github.com/vggse/vggse-agent/onnx"
	"github.com/vggse/vggse-agent/vgg16se"
	"github.com/vggse/vggse-agent/vision"
)

// What comes after a tensor is the same from the pictures and from what that tensor holds.
func TestEachFromAStage(t *testing.T) {
	b := testBench(t)
	b.Pictures, b.Workers = ramps(11), 2
	a := explicit(vgg16se.Architecture{InputSize: 32, Width: 0.125, Reduction: 4, Hidden: 16, PoolSize: 1, Classes: 5,
		Attention: vgg16se.SCSE})
	m, err := a.Graph(vgg16se.Seeded(2))
	if err != nil {
		t.Fatal(err)
	}
	path := filepath.Join(t.TempDir(), "n.onnx")
	if err := atomicfile.WriteFile(path, func(w io.Writer) error { return onnx.Write(w, m) }); err != nil {
		t.Fatal(err)
	}
	g := groups(a, &m.Graph)[3] // the reader's input comes out of the second pool
	from := &stage{g.in, [4]int64{1, int64(g.width), int64(g.side), int64(g.side)}, make([][]float32, 11)}
	want := make([][]float32, 11)
	var mu sync.Mutex
	err = b.each(t.Context(), 11, []look{{m, []string{vgg16se.Output, g.in}, nil}},
		func(_, i int, out [][]float32) error {
			mu.Lock()
			defer mu.Unlock()
			want[i], from.values[i] = slices.Clone(out[0]), slices.Clone(out[1])
			return nil
		})
	if err != nil {
		t.Fatal(err)
	}
	err = b.each(t.Context(), 11, []look{{m, []string{vgg16se.Output}, from}}, func(_, i int, out [][]float32) error {
		if !slices.Equal(out[0], want[i]) {
			t.Errorf("picture %d: %v from the stage, %v from the picture", i, out[0], want[i])
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
}

// ramps are pictures whose points say where they are.
type ramps int

func (r ramps) Len() int { return int(r) }

func (ramps) Load(i int, t *vision.Tensor) error {
	for k := range t.Data {
		t.Data[k] = float32(i+k%97) / 100
	}
	return nil
}
