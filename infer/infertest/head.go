// Package infertest makes bundles for tests.
package infertest

import (
	"maps"
	"os"
	"path/filepath"
	"slices"
	"testing"

	"github.com/vggse/vggse-agent/bundle"
	"github.com/vggse/vggse-agent/infer"
	"github.com/vggse/vggse-agent/onnx"
	"github.com/vggse/vggse-agent/vision"
)

// LastLayer is the last dense layer of a bundle's FP32 file.
func LastLayer(t testing.TB, b *bundle.Bundle) *vision.Head {
	t.Helper()
	path, err := b.Path(bundle.FileFP32)
	fatal(t, err)
	m, err := onnx.Open(path)
	fatal(t, err)
	defer m.Close()
	l, err := m.LastLayer(b.Spec.Output.Name)
	fatal(t, err)
	weight, bias, err := l.Values()
	fatal(t, err)
	h, err := vision.NewHead(nil, weight, bias)
	fatal(t, err)
	return h
}

// WithHead is a bundle in a new folder that shares its FP32 file with the one in the folder from,
// byte for byte, and has a head of its own: its logits are so many times the other's, its labels the
// other's behind a prefix, and there is one more, "new", whose logit is always −100.
func WithHead(t testing.TB, from string, times float32, prefix string) string {
	t.Helper()
	b, err := bundle.Open(from)
	fatal(t, err)
	dir, old := t.TempDir(), LastLayer(t, b)
	path, err := b.Path(bundle.FileFP32)
	fatal(t, err)
	text, err := os.ReadFile(path)
	fatal(t, err)
	fatal(t, os.WriteFile(filepath.Join(dir, filepath.Base(path)), text, 0o644))
	weight, bias := slices.Clone(old.Weight), slices.Clone(old.Bias)
	for _, v := range [][]float32{weight, bias} {
		for i := range v {
			v[i] *= times
		}
	}
	head, err := vision.NewHead(nil, append(weight, make([]float32, old.Width())...), append(bias, -100))
	fatal(t, err)
	spec := b.Spec
	spec.Files, spec.Labels = maps.Clone(spec.Files), nil
	for key := range spec.Files {
		if key != bundle.FileFP32 {
			delete(spec.Files, key)
		}
	}
	spec.Files[bundle.FileHead], err = infer.WriteHead(t.Context(), dir, head)
	fatal(t, err)
	for _, l := range b.Spec.Labels {
		spec.Labels = append(spec.Labels, prefix+l)
	}
	spec.Labels = append(spec.Labels, "new")
	spec.Architecture.Classes, spec.Output.Name = len(spec.Labels), onnx.FeaturesOutput
	fatal(t, bundle.WriteSpec(dir, &spec))
	return dir
}

func fatal(t testing.TB, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}
