package verify

import (
	"os"
	"path/filepath"
	"testing"

	"github.com/vggse/vggse-agent/bundle"
	"github.com/vggse/vggse-agent/vision"
)

// TestPictures: what this program made up shows nothing; everything else counts as pictures.
func TestPictures(t *testing.T) {
	b, err := bundle.Open("../demo/bundle")
	if err != nil {
		t.Fatal(err)
	}
	size := b.Spec.Architecture.InputSize
	write := func(x *vision.Tensor) string {
		t.Helper()
		g := &Goldens{Input: x, Logits: make(vision.Logits, int(x.Shape[0])*len(b.Spec.Labels))}
		dir := t.TempDir()
		if _, err := g.Write(t.Context(), dir); err != nil {
			t.Fatal(err)
		}
		return filepath.Join(dir, FileName)
	}
	joined := func(bytes bool) *vision.Tensor {
		all := vision.NewTensor(Pairs, 3, size, size)
		for i, x := range MadeUp(&b.Spec, bytes) {
			copy(picture(all, i).Data, x.Data)
		}
		return all
	}
	changed := seededPictures(Pairs, size)
	changed.Data[7]++
	for _, c := range []struct {
		name string
		path string
		want bool
	}{
		{"noise", write(seededPictures(Pairs, size)), false},
		{"noise, many", write(seededPictures(Pairs+2, size)), false},
		{"noise and waves", write(joined(false)), false},
		{"waves", write(joined(true)), false},
		{"another", write(changed), true},
		{"the demo's", "../demo/bundle/golden.safetensors", true},
		{"nothing that can be read", os.DevNull, true},
	} {
		if got := Pictures(c.path, &b.Spec); got != c.want {
			t.Errorf("%s: pictures %t, want %t", c.name, got, c.want)
		}
	}
}
