package bundle

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"testing"
	"time"

	"github.com/vggse/vggse-agent/vision"
)

const weights = "not a network, but a file with a digest"

// testSpec is a manifest without a mistake.
func testSpec() *Spec {
	sum := sha256.Sum256([]byte(weights))
	return &Spec{
		Schema: SpecSchema, Name: "parts", Version: "3",
		Architecture: Architecture{Family: "vgg16se", InputSize: 96, Width: 0.25, Reduction: 16, Hidden: 256,
			PoolSize: 3, Classes: 3},
		Input: Port{Name: "input"}, Output: Port{Name: "logits"},
		Preprocess: vision.Torchvision(96),
		Labels:     []string{"bolt", "nut: M5", "empty"},
		Files: map[string]File{FileFP32: {
			Path: "fp32.onnx", SHA256: hex.EncodeToString(sum[:]), Bytes: int64(len(weights)),
		}},
		Provenance: Provenance{Tool: "a test", Seed: 1<<63 + 1, Created: time.Date(2026, 11, 23, 12, 0, 0, 0,
			time.UTC)},
	}
}

// testBundle writes a bundle without a mistake and returns its folder.
func testBundle(t *testing.T) string {
	t.Helper()
	dir := t.TempDir()
	if err := os.WriteFile(filepath.Join(dir, "fp32.onnx"), []byte(weights), 0o644); err != nil {
		t.Fatal(err)
	}
	if err := WriteSpec(dir, testSpec()); err != nil {
		t.Fatal(err)
	}
	return dir
}

// rewrite replaces the first old in dir's manifest by new.
func rewrite(t *testing.T, dir, old, new string) {
	t.Helper()
	path := filepath.Join(dir, SpecFile)
	text, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if !strings.Contains(string(text), old) {
		t.Fatalf("the manifest holds no %q:\n%s", old, text)
	}
	if err := os.WriteFile(path, []byte(strings.Replace(string(text), old, new, 1)), 0o644); err != nil {
		t.Fatal(err)
	}
}

// What WriteSpec writes, Open reads.
func TestBundleRoundTrip(t *testing.T) {
	dir := testBundle(t)
	b, err := Open(dir)
	if err != nil {
		t.Fatal(err)
	}
	if want := testSpec(); !reflect.DeepEqual(&b.Spec, want) {
		t.Errorf("got %+v, want %+v", &b.Spec, want)
	}
	if err := b.CheckFile(t.Context(), FileFP32); err != nil {
		t.Errorf("got %v for an intact file", err)
	}
	got, err := b.Path(FileFP32)
	if want := filepath.Join(dir, "fp32.onnx"); got != want || err != nil {
		t.Errorf("got path %q, %v, want %q", got, err, want)
	}
}

// A path that is no folder is told as what it is.
func TestOpenNoFolder(t *testing.T) {
	t.Chdir(t.TempDir())
	for _, name := range []string{"a.vggse", "b.pth"} {
		put(t, ".", name, "PK")
	}
	for path, want := range map[string]string{
		"nowhere": "there is no folder nowhere", "nowhere.vggse": "there is no folder nowhere.vggse",
		"a.vggse": "a.vggse is a packed bundle: 'vggse-agent model install a.vggse'",
		"b.pth":   "b.pth is a file, not the folder of a bundle: 'vggse-agent import'",
	} {
		if _, err := Open(path); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: got %v, want …%s…", path, err, want)
		}
	}
	for _, path := range []string{"nowhere.vggse", "http://h/x.vggse", "registry/x:1"} {
		if _, err := OpenSource(path); err == nil ||
			!strings.Contains(err.Error(), "there is no file or folder "+path+": 'vggse-agent release pull'") {
			t.Errorf("source %s: %v", path, err)
		}
	}
}

// One sentence for everything that may have happened to a bundle, with the key and the cure.
func TestOpenRefuses(t *testing.T) {
	edit := func(old, new string) func(*testing.T, string) {
		return func(t *testing.T, dir string) { rewrite(t, dir, old, new) }
	}
	for _, c := range []struct {
		name  string
		spoil func(t *testing.T, dir string)
		want  string
	}{
		{"no manifest", func(t *testing.T, dir string) { remove(t, dir, SpecFile) },
			"is not a bundle: it has no model.yaml (make one with"},
		{"manifest is a folder", func(t *testing.T, dir string) {
			remove(t, dir, SpecFile)
			if err := os.Mkdir(filepath.Join(dir, SpecFile), 0o755); err != nil {
				t.Fatal(err)
			}
		}, "is not a file"},
		{"empty manifest", func(t *testing.T, dir string) { put(t, dir, SpecFile, "") },
			"model.yaml: is empty: copy the bundle again"},
		{"two documents", edit("schema:", "name: x\n---\nschema:"), "more than one document"},
		{"not YAML", func(t *testing.T, dir string) { put(t, dir, SpecFile, "schema: [") }, "yaml:"},
		{"many unknown keys", func(t *testing.T, dir string) {
			var text strings.Builder
			for i := range 3000 {
				fmt.Fprintf(&text, "key%d: 1\n", i)
			}
			put(t, dir, SpecFile, text.String())
		}, "line 5: key4: unknown key; and 2995 more"},
		{"unknown key", edit("  std:", "  stdev: 1\n  std:"), "line 24: stdev: unknown key, did you mean std?"},
		{"another schema", edit(SpecSchema, "vggse.bundle/9"), `schema: "vggse.bundle/9" is not "vggse.bundle/1"`},
		{"label too few", edit("  - empty\n", ""), "labels: 2 labels, but architecture.classes is 3"},
		{"mean left out", edit("  mean: [0.485, 0.456, 0.406]\n", ""),
			"preprocess.mean: missing (write [0, 0, 0] for none)"},
		{"mean of two", edit("[0.485, 0.456, 0.406]", "[0.485, 0.456]"), "want 3 elements but got 2"},
		{"file missing", func(t *testing.T, dir string) { remove(t, dir, "fp32.onnx") },
			"files.fp32: fp32.onnx is missing: copy the whole bundle again"},
		{"file cut off", func(t *testing.T, dir string) { put(t, dir, "fp32.onnx", weights[:9]) },
			"files.fp32: fp32.onnx has 9 bytes, the manifest says 39: copy the bundle again"},
		{"file is a folder", edit("path: fp32.onnx", "path: ."), "files.fp32: . is not a file"},
		{"path escapes", edit("path: fp32.onnx", "path: ../fp32.onnx"),
			`files.fp32.path: "../fp32.onnx" must be a path inside the bundle`},
		{"path escapes later", edit("path: fp32.onnx", "path: a/../../fp32.onnx"), "must be a path inside the bundle"},
		{"absolute path", edit("path: fp32.onnx", "path: /etc/hostname"), "must be a path inside the bundle"},
		{"no path", edit("path: fp32.onnx", `path: ""`), `files.fp32.path: "" must be a path inside the bundle`},
	} {
		t.Run(c.name, func(t *testing.T) {
			dir := testBundle(t)
			c.spoil(t, dir)
			_, err := Open(dir)
			if err == nil || !strings.HasPrefix(err.Error(), "bundle: ") || !strings.Contains(err.Error(), c.want) {
				t.Errorf("got error %v, want one that says %q", err, c.want)
			}
		})
	}
}

func remove(t *testing.T, dir, name string) {
	t.Helper()
	if err := os.Remove(filepath.Join(dir, name)); err != nil {
		t.Fatal(err)
	}
}

func put(t *testing.T, dir, name, content string) {
	t.Helper()
	if err := os.WriteFile(filepath.Join(dir, name), []byte(content), 0o644); err != nil {
		t.Fatal(err)
	}
}

func TestCheckFileRefuses(t *testing.T) {
	dir := testBundle(t)
	b, err := Open(dir)
	if err != nil {
		t.Fatal(err)
	}
	put(t, dir, "fp32.onnx", strings.Replace(weights, "n", "m", 1)) // the same size, another content
	err = b.CheckFile(t.Context(), FileFP32)
	if want := "the file was changed or damaged, copy the bundle again"; err == nil ||
		!strings.Contains(err.Error(), want) {
		t.Errorf("changed file: got error %v, want one that says %q", err, want)
	}
	if err := b.CheckFile(t.Context(), "int8"); err == nil || !strings.Contains(err.Error(), "has no int8 file") {
		t.Errorf("no such key: got error %v", err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if err := b.CheckFile(ctx, FileFP32); !errors.Is(err, context.Canceled) {
		t.Errorf("cancelled: got error %v, want %v", err, context.Canceled)
	}
	remove(t, dir, "fp32.onnx")
	if err := b.CheckFile(t.Context(), FileFP32); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("gone: got error %v, want %v", err, os.ErrNotExist)
	}
}

// No manifest makes Open panic, or pass with a path that leaves the folder or a label twice.
func FuzzOpen(f *testing.F) {
	dir := f.TempDir()
	if err := WriteSpec(dir, testSpec()); err != nil {
		f.Fatal(err)
	}
	text, err := os.ReadFile(filepath.Join(dir, SpecFile))
	if err != nil {
		f.Fatal(err)
	}
	f.Add(text)
	f.Add([]byte("schema: vggse.bundle/1\nlabels: [a, a]\nfiles: {fp32: {path: ../x}}\n"))
	f.Add([]byte("a: &a [*a]\n"))
	f.Fuzz(func(t *testing.T, text []byte) {
		var s Spec
		if err := parseSpec(text, &s); err != nil {
			return
		}
		for key, file := range s.Files {
			if !filepath.IsLocal(file.Path) {
				t.Errorf("files.%s: %q leaves the bundle", key, file.Path)
			}
		}
		if len(s.Labels) != s.Architecture.Classes {
			t.Errorf("%d labels for %d classes", len(s.Labels), s.Architecture.Classes)
		}
		if err := WriteSpec(dir, &s); err != nil {
			t.Errorf("a manifest that was read cannot be written: %v", err)
		}
	})
}
