package infer

import (
	"crypto/sha256"
	"encoding/hex"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/vggse/vggse-agent/bundle"
)

// TestWeightsInAnotherFile: they belong to what is hashed, and where no manifest lists them the
// network is refused.
func TestWeightsInAnotherFile(t *testing.T) {
	const foreign = "../importer/testdata/foreign/"
	for _, name := range []string{"mobilenetv3.new", "se-inception.new", "se-resnet.new"} {
		dir := t.TempDir()
		for _, file := range []string{name + ".onnx", name + ".onnx.data"} {
			text, err := os.ReadFile(foreign + file)
			if err != nil {
				t.Fatal(err)
			}
			if err := os.WriteFile(filepath.Join(dir, file), text, 0o644); err != nil {
				t.Fatal(err)
			}
		}
		b := &bundle.Bundle{Dir: dir}
		b.Spec.Files = map[string]bundle.File{bundle.FileFP32: {Path: name + ".onnx"}}
		if _, err := filesOf(b, bundle.FileFP32); err == nil || !strings.Contains(err.Error(), "does not list") {
			t.Errorf("%s: weights that nobody lists: %v", name, err)
		}
		b.Spec.Files["weights"] = bundle.File{Path: "./" + name + ".onnx.data", SHA256: strings.Repeat("0", 64)}
		keys, err := filesOf(b, bundle.FileFP32)
		if err != nil || !slices.Equal(keys, []string{bundle.FileFP32, "weights"}) {
			t.Errorf("%s: %v, %v", name, keys, err)
		}
		var h hashing
		if err := h.of(b, []string{"weights"}); err != nil {
			t.Fatal(err)
		}
		h.start(t.Context())
		if err := h.wait(); err == nil || !strings.Contains(err.Error(), "the file was changed") {
			t.Errorf("%s: changed weights: %v", name, err)
		}
	}
}

// TestExchangedWhileLoaded: a file that was another one for a moment is refused, whatever it is
// now.
func TestExchangedWhileLoaded(t *testing.T) {
	for name, exchange := range map[string]func(path string) error{
		"renamed there and back": func(path string) error {
			if err := os.Rename(path, path+".x"); err != nil {
				return err
			}
			return os.Rename(path+".x", path)
		},
		"written again": func(path string) error { return os.WriteFile(path, []byte("weights"), 0o644) },
		"its folder exchanged": func(path string) error {
			dir := filepath.Dir(path)
			if err := os.Rename(dir, dir+".x"); err != nil {
				return err
			}
			return os.Rename(dir+".x", dir)
		},
		"removed": os.Remove,
		"nothing": func(string) error { return nil },
	} {
		dir := filepath.Join(t.TempDir(), strings.Repeat("a", 64))
		path := filepath.Join(dir, "fp32.onnx")
		if err := os.Mkdir(dir, 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, []byte("weights"), 0o644); err != nil {
			t.Fatal(err)
		}
		b := &bundle.Bundle{Dir: dir}
		b.Spec.Files = map[string]bundle.File{bundle.FileFP32: {Path: "fp32.onnx"}}
		u, err := remember(b, []string{bundle.FileFP32})
		if err != nil {
			t.Fatal(err)
		}
		time.Sleep(20 * time.Millisecond) // beyond the resolution of the kernel's time of change
		if err := exchange(path); err != nil {
			t.Fatal(err)
		}
		if err := u.check(); (err == nil) != (name == "nothing") {
			t.Errorf("%s: %v", name, err)
		}
	}
}

// TestHashedOnceItLoads: a file that was only thought of is not read; of several the last is, and a
// damaged one among the others does not matter.
func TestHashedOnceItLoads(t *testing.T) {
	b := &bundle.Bundle{Dir: t.TempDir()}
	b.Spec.Files = map[string]bundle.File{}
	for key, text := range map[string]string{"damaged": "x", "whole": "weights"} {
		if err := os.WriteFile(filepath.Join(b.Dir, key), []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
		sum := sha256.Sum256([]byte("weights"))
		b.Spec.Files[key] = bundle.File{Path: key, SHA256: hex.EncodeToString(sum[:]), Bytes: int64(len(text))}
	}
	var h hashing
	for _, key := range []string{"damaged", "whole"} {
		if err := h.of(b, []string{key}); err != nil {
			t.Fatal(err)
		}
	}
	if h.cancel != nil {
		t.Error("it hashes before anything is loaded")
	}
	h.start(t.Context())
	if err := h.wait(); err != nil {
		t.Errorf("the file that was picked last is whole: %v", err)
	}
	if err := h.of(b, []string{"damaged"}); err != nil {
		t.Fatal(err)
	}
	h.start(t.Context())
	if err := h.wait(); err == nil {
		t.Error("a damaged file that is loaded is not found")
	}
}
