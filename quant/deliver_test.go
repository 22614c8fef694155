package quant

import (
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/vggse/vggse-agent/bundle"
	"github.com/vggse/vggse-agent/eval"
	"github.com/vggse/vggse-agent/internal/atomicfile"
	"github.com/vggse/vggse-agent/vgg16se"
	"github.com/vggse/vggse-agent/vision"
)

func put(t *testing.T, path, text string) {
	t.Helper()
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(path, []byte(text), 0o644); err != nil {
		t.Fatal(err)
	}
}

// fileNames are the files under dir, sorted.
func fileNames(t *testing.T, dir string) []string {
	t.Helper()
	var all []string
	err := filepath.Walk(dir, func(path string, info os.FileInfo, err error) error {
		if err == nil && !info.IsDir() {
			path, err = filepath.Rel(dir, path)
			all = append(all, path)
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	slices.Sort(all)
	return all
}

// bundleOf writes a bundle whose files hold their keys; nobody runs them.
func bundleOf(t *testing.T, files map[string]string) *bundle.Bundle {
	t.Helper()
	dir := filepath.Join(t.TempDir(), "b")
	a := vgg16se.Architecture{InputSize: 32, Width: 0.125, Reduction: 4, Hidden: 16, PoolSize: 1, Classes: 2}
	spec := vgg16se.NewSpec(a, []string{"bolt", "nut"})
	spec.Name, spec.Version, spec.Preprocess = "parts", "1", vision.Torchvision(32)
	spec.Provenance.Tool, spec.Files = "a test", map[string]bundle.File{}
	for key, path := range files {
		put(t, filepath.Join(dir, path), key)
		sum, err := atomicfile.HashFile(t.Context(), filepath.Join(dir, path))
		if err != nil {
			t.Fatal(err)
		}
		spec.Files[key] = bundle.File{Path: path, SHA256: sum, Bytes: int64(len(key))}
	}
	if err := bundle.WriteSpec(dir, &spec); err != nil {
		t.Fatal(err)
	}
	b, err := bundle.Open(dir)
	if err != nil {
		t.Fatal(err)
	}
	return b
}

// finished is a calibration of b with out as its goal whose files, of these keys, lie aside.
func finished(t *testing.T, b *bundle.Bundle, out string, keys ...string) *calibration {
	t.Helper()
	dir, err := atomicfile.MakeAside(out)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { os.RemoveAll(dir) })
	c := &calibration{Options: Options{Bundle: b.Dir, Out: out}, bundle: b, dir: dir}
	c.report = Report{Schema: ReportSchema, Plan: &Plan{Bits: Bits8}, Signed: &Plan{}}
	for _, key := range keys {
		name := key + ".onnx"
		put(t, c.path(name), "new "+key)
		sum, err := atomicfile.HashFile(t.Context(), c.path(name))
		if err != nil {
			t.Fatal(err)
		}
		c.report.Files = append(c.report.Files, FileReport{Key: key, Path: name, SHA256: sum,
			Bytes:   int64(len("new " + key)),
			Verdict: &eval.Verdict{}})
	}
	return c
}

// The new bundle has the old one's network and what else lies there, the new files and reports, and
// nothing of an earlier calibration; into the same folder or another.
func TestDeliver(t *testing.T) {
	for _, inPlace := range []bool{true, false} {
		b := bundleOf(t, map[string]string{bundle.FileFP32: "fp32.onnx", bundle.FileINT8CPU: "old/int8.onnx",
			bundle.FileFP16: "fp16.onnx", bundle.FileGoldens8: "golden.int8.safetensors"})
		put(t, filepath.Join(b.Dir, "NOTES.md"), "mine")
		put(t, filepath.Join(b.Dir, "report.json"), "old")
		put(t, filepath.Join(b.Dir, "calibration.txt"), "old table")
		out := b.Dir
		if !inPlace {
			out = filepath.Join(t.TempDir(), "out")
		}
		c := finished(t, b, out, bundle.FileINT8CPU, bundle.FileINT8TRT)
		put(t, c.path("frames/000000.png"), "a picture of the camera")
		if err := c.deliver(t.Context()); err != nil {
			t.Fatal(err)
		}
		want := []string{"NOTES.md", "fp32.onnx", "int8.cpu.onnx", "int8.trt.onnx", bundle.SpecFile, "plan.json",
			"report.html", "report.json"}
		slices.Sort(want)
		if got := fileNames(t, out); !slices.Equal(got, want) {
			t.Errorf("in place: %v: %v, want %v", inPlace, got, want)
		}
		made, err := bundle.Open(out)
		if err != nil {
			t.Fatal(err)
		}
		if len(made.Spec.Files) != 3 {
			t.Errorf("in place: %v: the manifest has %v", inPlace, made.Spec.Files)
		}
		for key := range made.Spec.Files {
			if err := made.CheckFile(t.Context(), key); err != nil {
				t.Error(err)
			}
		}
		if text, _ := os.ReadFile(filepath.Join(out, "report.json")); !strings.Contains(string(text), ReportSchema) {
			t.Errorf("the old report stayed: %s", text)
		}
	}
}

// Where the gate is missed the bundle stays as it is, and gets the reports; a folder that is not
// there yet gets them alone.
func TestDeliverMissed(t *testing.T) {
	for _, inPlace := range []bool{true, false} {
		b := bundleOf(t, map[string]string{bundle.FileFP32: "fp32.onnx", bundle.FileINT8CPU: "int8.cpu.onnx"})
		before, err := os.ReadFile(filepath.Join(b.Dir, bundle.SpecFile))
		if err != nil {
			t.Fatal(err)
		}
		out, want := b.Dir, []string{"fp32.onnx", "int8.cpu.onnx", bundle.SpecFile, "plan.json", "report.html",
			"report.json"}
		if !inPlace {
			out, want = filepath.Join(t.TempDir(), "out"), want[3:]
		}
		c := finished(t, b, out, bundle.FileINT8CPU)
		c.report.Gate.Missed = []string{"too far off"}
		if err := c.deliver(t.Context()); err != nil {
			t.Fatal(err)
		}
		if got := fileNames(t, out); !slices.Equal(got, want) {
			t.Errorf("in place: %v: %v, want %v", inPlace, got, want)
		}
		after, _ := os.ReadFile(filepath.Join(b.Dir, bundle.SpecFile))
		old, _ := os.ReadFile(filepath.Join(b.Dir, "int8.cpu.onnx"))
		if string(after) != string(before) || string(old) != bundle.FileINT8CPU {
			t.Errorf("in place: %v: the bundle was changed", inPlace)
		}
	}
}
