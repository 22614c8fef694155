package infer_test

import (
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/vggse/vggse-agent/bundle"
	"github.com/vggse/vggse-agent/infer"
	"github.com/vggse/vggse-agent/infer/infertest"
	"github.com/vggse/vggse-agent/vision"
)

// taught is a bundle that shares the demo's model file and has a head of its own, whose logits are so
// many times the demo's, and one label more.
func taught(t testing.TB, times float32) string {
	return infertest.WithHead(t, "../demo/bundle", times, "")
}

func openBeside(t testing.TB, dir string, c infer.Config, running *infer.Network) *infer.Network {
	t.Helper()
	n, err := infer.OpenBeside(t.Context(), dir, "fp32", c, running)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { n.Close() })
	return n
}

// TestHeadBesideANetwork: a bundle with the same model file answers with its own head on the network
// that is loaded, and the first bundle on that of the second; each is closed by itself.
func TestHeadBesideANetwork(t *testing.T) {
	needLibrary(t)
	parent := openBeside(t, "../demo/bundle", cpu, nil)
	x, before := made(1, 64), make(vision.Logits, 13)
	if err := parent.Run(t.Context(), x, before); err != nil {
		t.Fatal(err)
	}
	child := openBeside(t, taught(t, 2), cpu, parent)
	back := openBeside(t, "../demo/bundle", cpu, child)
	if child.Info().Load != parent.Info().Load || back.Info().WarmUp != parent.Info().WarmUp {
		t.Error("a network was loaded anew")
	}
	for _, n := range []*infer.Network{parent, child} {
		if err := n.Close(); err != nil {
			t.Fatal(err)
		}
		if err := n.Run(t.Context(), x, make(vision.Logits, len(n.Bundle.Spec.Labels))); err == nil ||
			!strings.Contains(err.Error(), "closed") {
			t.Errorf("a closed one answers: %v", err)
		}
		if n == parent {
			got := make(vision.Logits, 14)
			if err := child.Run(t.Context(), x, got); err != nil {
				t.Fatal(err)
			}
			want := append(slices.Clone(before), -100)
			for i := range before {
				want[i] *= 2
			}
			near(t, "the child's logits", got, want, 1e-3)
		}
	}
	again := make(vision.Logits, 13)
	if err := back.Run(t.Context(), x, again); err != nil || !slices.Equal(again, before) {
		t.Errorf("the first bundle answers %v, before %v: %v", again, before, err)
	}
}

// TestNotBeside: what is not the same is opened by itself, and a damaged file is refused while the
// network that runs goes on.
func TestNotBeside(t *testing.T) {
	needLibrary(t)
	parent := openBeside(t, "../demo/bundle", cpu, nil)
	child := taught(t, 1)
	two := cpu
	two.Threads = 2
	for name, c := range map[string]struct {
		dir, precision string
		config         infer.Config
		want           bool
	}{
		"the same":       {child, "fp32", cpu, true},
		"by itself":      {child, "auto", cpu, true},
		"other settings": {child, "fp32", two, false},
		"no such file":   {child, "int8", cpu, false},
		"no bundle":      {t.TempDir(), "fp32", cpu, false},
	} {
		if got := parent.Shares(c.dir, c.precision, c.config); got != c.want {
			t.Errorf("%s: shared %v, want %v", name, got, c.want)
		}
	}
	other := taught(t, 1)
	b, err := bundle.Open(other)
	if err != nil {
		t.Fatal(err)
	}
	f := b.Spec.Files[bundle.FileFP32]
	f.SHA256 = strings.Repeat("0", 64)
	b.Spec.Files[bundle.FileFP32] = f
	if err := bundle.WriteSpec(other, &b.Spec); err != nil {
		t.Fatal(err)
	}
	if parent.Shares(other, "fp32", cpu) {
		t.Error("another model file is shared")
	}
	for _, name := range []string{bundle.HeadName, "fp32.onnx"} {
		dir := taught(t, 1)
		text, err := os.ReadFile(filepath.Join(dir, name))
		if err != nil {
			t.Fatal(err)
		}
		text[len(text)-1] ^= 1
		if err := os.WriteFile(filepath.Join(dir, name), text, 0o644); err != nil {
			t.Fatal(err)
		}
		if n, err := infer.OpenBeside(t.Context(), dir, "fp32", cpu, parent); err == nil ||
			!strings.Contains(err.Error(), "SHA-256") {
			t.Errorf("%s damaged: %v %v", name, n, err)
		}
	}
	if err := parent.Run(t.Context(), made(1, 64), make(vision.Logits, 13)); err != nil {
		t.Error(err)
	}
}

// BenchmarkHead is what it takes until another head can answer, with the network loaded.
func BenchmarkHead(b *testing.B) {
	needLibrary(b)
	parent, dir := openBeside(b, "../demo/bundle", cpu, nil), taught(b, 1)
	for b.Loop() {
		n, err := infer.OpenBeside(b.Context(), dir, "fp32", cpu, parent)
		if err != nil {
			b.Fatal(err)
		}
		n.Close()
	}
}
