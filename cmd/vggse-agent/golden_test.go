package main

import (
	"crypto/sha256"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/vggse/vggse-agent/bundle"
	"github.com/vggse/vggse-agent/infer"
)

// TestGoldensHold: an open network is held against the goldens of its bundle, where it has any.
func TestGoldensHold(t *testing.T) {
	if _, err := infer.Version(infer.Config{}); errors.Is(err, infer.ErrNoLibrary) {
		t.Skip("no ONNX Runtime here")
	}
	for what, want := range map[string]string{"as it is": "", "other goldens": "off", "no goldens": ""} {
		dir := filepath.Join(t.TempDir(), "parts")
		if err := os.CopyFS(dir, os.DirFS("../../demo/bundle")); err != nil {
			t.Fatal(err)
		}
		b, err := bundle.Open(dir)
		if err != nil {
			t.Fatal(err)
		}
		switch what {
		case "other goldens":
			path := filepath.Join(dir, "golden.safetensors")
			text, err := os.ReadFile(path)
			if err != nil {
				t.Fatal(err)
			}
			copy(text[len(text)-4:], []byte{0, 0, 0xc8, 0x42}) // the last number becomes 100
			f := b.Spec.Files[bundle.FileGolden]
			f.SHA256 = fmt.Sprintf("%x", sha256.Sum256(text))
			b.Spec.Files[bundle.FileGolden] = f
			if err := errors.Join(os.WriteFile(path, text, 0o644), bundle.WriteSpec(dir, &b.Spec)); err != nil {
				t.Fatal(err)
			}
		case "no goldens":
			delete(b.Spec.Files, bundle.FileGolden)
			if err := bundle.WriteSpec(dir, &b.Spec); err != nil {
				t.Fatal(err)
			}
		}
		n, err := infer.OpenBundle(t.Context(), dir, "fp32", infer.Config{Providers: []string{infer.CPU}})
		if err != nil {
			t.Fatal(err)
		}
		err = goldensHold(t.Context(), n)
		if want == "" && err != nil || want != "" && (err == nil || !strings.Contains(err.Error(), want)) {
			t.Errorf("%s: %v, want %q", what, err, want)
		}
		if err := n.Close(); err != nil {
			t.Error(err)
		}
	}
}
