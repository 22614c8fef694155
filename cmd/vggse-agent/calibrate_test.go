package main

import (
	"bytes"
	"context"
	"encoding/json"
	"io"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"

	"github.com/vggse/vggse-agent/bundle"
	"github.com/vggse/vggse-agent/infer"
	"github.com/vggse/vggse-agent/internal/atomicfile"
	"github.com/vggse/vggse-agent/onnx"
	"github.com/vggse/vggse-agent/quant"
)

// agentSays runs one command line.
func agentSays(args ...string) (code int, stdout, stderr string) {
	var out, err bytes.Buffer
	code = execute(context.Background(), args, &out, &err)
	return code, out.String(), err.String()
}

// TestCalibrateInPlace calibrates a seeded bundle into itself and classifies with what came of it;
// a gate that cannot be reached then leaves the bundle as it is.
func TestCalibrateInPlace(t *testing.T) {
	if _, err := infer.Version(infer.Config{}); err != nil {
		t.Skip("ONNX Runtime not found (make deps)")
	}
	dir := t.TempDir()
	bundleDir, pictures := filepath.Join(dir, "bundle"), filepath.Join(dir, "pictures")
	for _, args := range [][]string{
		{"new", "--out", bundleDir, "--width", "0.25", "--input", "96", "--hidden", "64", "--pool", "3", "--classes",
			"13"},
		{"demo-data", "--out", pictures, "--n", "26", "--size", "96x64"},
	} {
		if code, _, stderr := agentSays(args...); code != 0 {
			t.Fatalf("%v: %s", args, stderr)
		}
	}
	common := []string{"calibrate", "--bundle", bundleDir, "--images", pictures, "--seconds", "0.2", "--json"}
	code, stdout, stderr := agentSays(append(common, "--out", bundleDir, "--min-agreement", "0")...)
	var r quant.Report
	if err := json.Unmarshal([]byte(stdout), &r); err != nil {
		t.Fatalf("exit %d, %v, %s", code, err, stderr)
	}
	if p := r.Files[0].Proof; p == nil || !p.Fused() || p.Convolutions != 13 ||
		r.Pictures.Calibration+r.Pictures.Choice+r.Pictures.HeldOut != 26 {
		t.Errorf("%+v, %+v", r.Pictures, p)
	}
	if left, _ := filepath.Glob(filepath.Join(dir, ".*")); len(left) != 0 {
		t.Errorf("left behind: %v", left)
	}
	b, err := bundle.Open(bundleDir)
	if err != nil {
		t.Fatal(err)
	}
	for _, report := range []string{"report.json", "report.html", "plan.json"} {
		if info, err := os.Stat(filepath.Join(bundleDir, report)); err != nil || info.Size() == 0 {
			t.Errorf("%s: %v", report, err)
		}
	}
	if code == exitGate { // so small a network may run no faster on integers: then nothing is activated
		if len(r.Gate.Missed) != 1 || !strings.Contains(r.Gate.Missed[0], "not optimized") || len(b.Spec.Files) != 1 {
			t.Errorf("exit %d: missed %v, files %v", code, r.Gate.Missed, b.Spec.Files)
		}
		return
	}
	for _, key := range []string{bundle.FileFP32, bundle.FileINT8CPU, bundle.FileINT8TRT, bundle.FileINT8TRT11,
		bundle.FileFP16} {
		if err := b.CheckFile(context.Background(), key); err != nil {
			t.Error(err)
		}
	}
	if _, err := os.Stat(filepath.Join(bundleDir, "calibration.flatbuffers")); err != nil {
		t.Error(err)
	}
	if table, err := os.ReadFile(filepath.Join(bundleDir, "calibration.txt")); err != nil ||
		!strings.HasPrefix(string(table), "TRT-") {
		t.Errorf("%v: %.40s", err, table)
	}
	plan := inspected(t, filepath.Join(bundleDir, "int8.cpu.onnx"))["vggse.plan"]
	if !strings.Contains(plan, "levels=255") || !strings.Contains(plan, "squeezes=int8") {
		t.Errorf("the file says of its plan: %q", plan)
	}
	again := append(common, "--out", bundleDir, "--min-agreement", "0", "--tensorrt", "11.2", "--weights", "8",
		"--method", "minmax")
	if code, stdout, _ = agentSays(again...); code == exitDone {
		if _, err := os.Stat(filepath.Join(bundleDir, "calibration.flatbuffers")); err == nil ||
			!strings.Contains(stdout, "TensorRT 11.2 reads no calibration table") {
			t.Errorf("tables for TensorRT 11, or nothing said of it: %v", err)
		}
	}
	before, err := os.ReadFile(filepath.Join(bundleDir, bundle.SpecFile))
	if err != nil {
		t.Fatal(err)
	}
	strict := append(common, "--out", bundleDir, "--min-agreement", "1", "--weights", "7", "--method", "minmax")
	code, stdout, _ = agentSays(strict...)
	after, _ := os.ReadFile(filepath.Join(bundleDir, bundle.SpecFile))
	if err := json.Unmarshal([]byte(stdout), &r); err != nil || code == exitGate != (len(r.Gate.Missed) > 0) {
		t.Errorf("exit %d, %v, missed %v", code, err, r.Gate.Missed)
	}
	if code == exitGate && !bytes.Equal(before, after) {
		t.Error("a missed gate changed the manifest")
	}
}

// A collection is taken up where it was left, another device's is added, and neither counts a
// picture twice.
func TestCollections(t *testing.T) {
	needRuntime(t)
	dir := t.TempDir()
	at := func(name string) string { return filepath.Join(dir, name) }
	for i, name := range []string{"a", "b", "eval"} {
		if code, _, stderr := agentSays("demo-data", "--out", at(name), "--n", "26", "--size", "96x64", "--seed",
			strconv.Itoa(i+1)); code != exitDone {
			t.Fatal(stderr)
		}
	}
	bundleDir := seededBundle(t)
	calibrate := func(images string, more ...string) (pictures int, digest, stderr string) {
		t.Helper()
		code, stdout, stderr := agentSays(append([]string{"calibrate", "--json", "--bundle", bundleDir, "--images",
			at(images), "--eval", at("eval"), "--out", at("out." + images),
			"--method", "minmax", "--budget", "none", "--min-agreement", "0", "--seconds", "0"}, more...)...)
		if code != exitDone && code != exitGate { // so small a network may be no faster in INT8
			return 0, "", stderr
		}
		var r quant.Report
		if err := json.Unmarshal([]byte(stdout), &r); err != nil {
			t.Fatal(err)
		}
		os.RemoveAll(at("out." + images))
		return r.Pictures.Calibration, r.Pictures.SHA256, stderr
	}
	a, digest, _ := calibrate("a", "--collection", at("a.json"))
	b, _, _ := calibrate("b", "--collection", at("b.json"))
	again, same, said := calibrate("a", "--collection", at("a.json"))
	if a < 20 || again != a || same != digest || !strings.Contains(said, "taking up") {
		t.Errorf("taken up: %d pictures, then %d; %s", a, again, said)
	}
	if both, other, said := calibrate("a", "--collection", at("a.json"), "--merge", at("b.json")); both != a+b ||
		other == digest {
		t.Errorf("merged: %d of %d pictures: %s", both, a+b, said)
	}
	if err := os.WriteFile(at("damaged.json"), []byte(`{"source":`), 0o644); err != nil {
		t.Fatal(err)
	}
	for want, more := range map[string][]string{
		"it would count twice": {"--collection", at("a.json"), "--merge", at("a.json")},
		"is no collection":     {"--collection", at("damaged.json")},
		"no such file":         {"--merge", at("nowhere.json")},
	} {
		if _, _, said := calibrate("a", more...); !strings.Contains(said, want) {
			t.Errorf("%v: %s, want …%s…", more, said, want)
		}
	}
}

// inspected are the properties of a model file.
func inspected(t *testing.T, path string) map[string]string {
	t.Helper()
	m, err := onnx.Open(path)
	if err != nil {
		t.Fatal(err)
	}
	defer m.Close()
	all := map[string]string{}
	for _, p := range m.Metadata {
		all[p.Key] = p.Value
	}
	return all
}

func TestCalibrateRefuses(t *testing.T) {
	dir := t.TempDir()
	other := filepath.Join(dir, "other")
	if err := os.MkdirAll(other, 0o755); err != nil {
		t.Fatal(err)
	}
	if err := atomicfile.WriteFile(filepath.Join(other, "x"), func(w io.Writer) error { return nil }); err != nil {
		t.Fatal(err)
	}
	for _, tt := range []struct {
		args []string
		code int
		want string
	}{
		{[]string{"--bundle", "b"}, exitUsage, "--out DIR"},
		{[]string{"--bundle", "b", "--out", "o"}, exitUsage, "--images DIR or --camera URI"},
		{[]string{"--bundle", "b", "--out", "o", "--images", "i", "--camera", "c"}, exitUsage, "one of them"},
		{[]string{"--bundle", "b", "--out", "o", "--images", "i", "--tensorrt", "new"}, exitUsage, "--tensorrt"},
		{[]string{"--bundle", "b", "--out", "o", "--images", "i", "--method", "kl"}, exitUsage, "--method"},
		{[]string{"--bundle", "b", "--out", "o", "--images", "i", "--min-agreement", "99"}, exitUsage, "0 to 1"},
		{[]string{"--bundle", other, "--out", "o", "--images", "i"}, exitFailed, "is not a bundle"},
	} {
		code, stdout, stderr := agentSays(append([]string{"calibrate"}, tt.args...)...)
		if code != tt.code || stdout != "" || !strings.Contains(stderr, tt.want) || strings.Count(stderr, "\n") != 1 {
			t.Errorf("%v: exit %d, %q, want %d and %q", tt.args, code, stderr, tt.code, tt.want)
		}
	}
}
