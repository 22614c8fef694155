package quant_test

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"regexp"
	"runtime"
	"slices"
	"strings"
	"testing"

	"golang.org/x/sync/errgroup"

	"github.com/vggse/vggse-agent/bundle"
	"github.com/vggse/vggse-agent/dataset"
	"github.com/vggse/vggse-agent/demo"
	"github.com/vggse/vggse-agent/infer"
	"github.com/vggse/vggse-agent/internal/progress"
	"github.com/vggse/vggse-agent/onnx"
	"github.com/vggse/vggse-agent/quant"
	"github.com/vggse/vggse-agent/vgg16se"
	"github.com/vggse/vggse-agent/vision"
)

func needRuntime(t *testing.T) {
	t.Helper()
	if _, err := infer.Version(infer.Config{}); errors.Is(err, infer.ErrNoLibrary) {
		t.Skip("ONNX Runtime not found (make deps)")
	}
}

// demoPictures draws n labelled pictures of the demo.
func demoPictures(t *testing.T, n int, seed uint64, width, height int) string {
	t.Helper()
	dir := filepath.Join(t.TempDir(), "pictures")
	group, ctx := errgroup.WithContext(t.Context())
	parts := runtime.NumCPU()
	for part := range parts {
		group.Go(func() error {
			return demo.WriteDataset(ctx, dir, demo.Dataset{Images: n, Seed: seed, Width: width, Height: height,
				Part: part, Parts: parts}, nil)
		})
	}
	if err := group.Wait(); err != nil {
		t.Fatal(err)
	}
	return dir
}

// seeded is a bundle of a network with random weights.
func seeded(t *testing.T, a vgg16se.Architecture) string {
	t.Helper()
	needRuntime(t)
	dir := filepath.Join(t.TempDir(), "bundle")
	if err := os.Mkdir(dir, 0o755); err != nil {
		t.Fatal(err)
	}
	graph, err := a.Graph(vgg16se.Seeded(1))
	if err != nil {
		t.Fatal(err)
	}
	labels := make([]string, a.Classes)
	for i := range labels {
		labels[i] = fmt.Sprint("class", i)
	}
	spec := vgg16se.NewSpec(a, labels)
	spec.Name, spec.Version, spec.Preprocess = "seeded", "0", vision.Torchvision(a.InputSize)
	spec.Provenance.Tool = "a test"
	f, err := bundle.WriteFile(t.Context(), dir, "fp32.onnx", io.Discard,
		func(w io.Writer) error { return onnx.Write(w, graph) })
	if err != nil {
		t.Fatal(err)
	}
	spec.Files = map[string]bundle.File{bundle.FileFP32: f}
	if err := bundle.WriteSpec(dir, &spec); err != nil {
		t.Fatal(err)
	}
	return dir
}

// properties are those of a model file.
func properties(t *testing.T, path string) map[string]string {
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

// fileOf is an entry of the manifest of the bundle in dir.
func fileOf(t *testing.T, dir, key string) (bundle.File, bool) {
	t.Helper()
	b, err := bundle.Open(dir)
	if err != nil {
		t.Fatal(err)
	}
	f, ok := b.Spec.Files[key]
	return f, ok
}

// A seeded bundle is calibrated into itself, again without tables, and a gate that is missed then
// leaves it as it is.
func TestCalibrateInPlace(t *testing.T) {
	dir := seeded(t, vgg16se.Architecture{InputSize: 64, Width: 0.125, Reduction: 4, Hidden: 64, PoolSize: 2,
		Classes: 13})
	o := quant.Options{Bundle: dir, Out: dir, Images: demoPictures(t, 26, 1, 96, 64), Method: quant.Auto,
		TensorRT: "10.16", Workers: 2}
	r, err := quant.Calibrate(t.Context(), o, nil)
	if err != nil || len(r.Gate.Missed) > 0 {
		t.Fatalf("%v, missed %v", err, r)
	}
	if p := r.Files[0].Proof; p == nil || !p.Fused() || p.Convolutions != 13 ||
		r.Pictures.Calibration+r.Pictures.Choice+r.Pictures.HeldOut != 26 {
		t.Errorf("%+v, %+v", r.Pictures, p)
	}
	if _, ok := fileOf(t, dir, bundle.FileKnown); ok || !slices.ContainsFunc(r.Findings,
		func(f dataset.Finding) bool {
			return f.Check == "known" && strings.Contains(f.Evidence, "fewer than 40")
		}) {
		t.Errorf("of 26 pictures: known %v, findings %+v", ok, r.Findings)
	}
	if left, _ := filepath.Glob(filepath.Join(filepath.Dir(dir), ".*")); len(left) != 0 {
		t.Errorf("left behind: %v", left)
	}
	b, err := bundle.Open(dir)
	if err != nil {
		t.Fatal(err)
	}
	for _, report := range []string{"report.json", "report.html", "plan.json"} {
		if info, err := os.Stat(filepath.Join(dir, report)); err != nil || info.Size() == 0 {
			t.Errorf("%s: %v", report, err)
		}
	}
	for _, key := range []string{bundle.FileFP32, bundle.FileINT8CPU, bundle.FileINT8TRT, bundle.FileINT8TRT11,
		bundle.FileFP16} {
		if err := b.CheckFile(t.Context(), key); err != nil {
			t.Error(err)
		}
	}
	if _, err := os.Stat(filepath.Join(dir, "calibration.flatbuffers")); err != nil {
		t.Error(err)
	}
	if table, err := os.ReadFile(filepath.Join(dir, "calibration.txt")); err != nil ||
		!strings.HasPrefix(string(table), "TRT-") {
		t.Errorf("%v: %.40s", err, table)
	}
	plan := properties(t, filepath.Join(dir, "int8.cpu.onnx"))["vggse.plan"]
	if !strings.Contains(plan, "levels=255") || !strings.Contains(plan, "squeezes=int8") {
		t.Errorf("the file says of its plan: %q", plan)
	}
	o.TensorRT, o.Weights, o.Method = "11.2", quant.Bits8, quant.MinMax
	leaveOut(t, dir, bundle.FileFP16) // as a release that was pulled without it
	if r, err = quant.Calibrate(t.Context(), o, nil); err != nil {
		t.Fatal(err)
	}
	if b, err = bundle.Open(dir); err != nil || len(b.Absent) > 0 {
		t.Errorf("%v; absent: %v", err, b)
	}
	if statement, _, err := bundle.ReadStatement(dir); statement != nil {
		t.Errorf("the new bundle has the statement of the old one: %s, %v", statement, err)
	}
	_, err = os.Stat(filepath.Join(dir, "calibration.flatbuffers"))
	if said := fmt.Sprint(r.Findings); err == nil ||
		!strings.Contains(said, "TensorRT 11.2 reads no calibration table") {
		t.Errorf("tables for TensorRT 11, or nothing said of it: %v, %s", err, said)
	}
	before, err := os.ReadFile(filepath.Join(dir, bundle.SpecFile))
	if err != nil {
		t.Fatal(err)
	}
	o.Budget, o.Weights = "150dB", quant.Bits7 // out of reach
	r, err = quant.Calibrate(t.Context(), o, nil)
	after, _ := os.ReadFile(filepath.Join(dir, bundle.SpecFile))
	if err != nil || len(r.Gate.Missed) == 0 || !bytes.Equal(before, after) {
		t.Errorf("%v; missed %v, manifest changed: %v", err, r.Gate.Missed, !bytes.Equal(before, after))
	}
}

// leaveOut makes a bundle one that was released without the file of key, and signed.
func leaveOut(t *testing.T, dir, key string) {
	t.Helper()
	b, err := bundle.Open(dir)
	if err != nil {
		t.Fatal(err)
	}
	if err := os.Remove(filepath.Join(dir, b.Spec.Files[key].Path)); err != nil {
		t.Fatal(err)
	}
	for name, text := range map[string]string{bundle.AbsentFile: key, bundle.StatementFile: "{}",
		bundle.SignatureFile: "x"} {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
	}
}

// A collection is taken up where it was left, another device's is added, and neither counts a
// picture twice.
func TestCollections(t *testing.T) {
	tiny := vgg16se.Architecture{InputSize: 32, Width: 0.125, Reduction: 4, Hidden: 16, PoolSize: 1, Classes: 3}
	dir, bundleDir := t.TempDir(), seeded(t, tiny)
	at := func(name string) string { return filepath.Join(dir, name) }
	images := map[string]string{}
	for i, name := range []string{"a", "b", "eval"} {
		images[name] = demoPictures(t, 26, uint64(i+1), 96, 64)
	}
	calibrate := func(set, collection string, merge ...string) (pictures int, digest, said string) {
		t.Helper()
		var out bytes.Buffer
		r, err := quant.Calibrate(t.Context(), quant.Options{Bundle: bundleDir, Images: images[set],
			Eval: images["eval"], Out: at("out"), Method: quant.MinMax, Budget: "none", TensorRT: "10.16",
			Collection: collection, Merge: merge, Workers: 2}, progress.To(&out))
		if err != nil {
			return 0, "", err.Error()
		}
		if err := os.RemoveAll(at("out")); err != nil {
			t.Fatal(err)
		}
		return r.Pictures.Calibration, r.Pictures.SHA256, out.String()
	}
	a, digest, _ := calibrate("a", at("a.json"))
	b, _, _ := calibrate("b", at("b.json"))
	again, same, said := calibrate("a", at("a.json"))
	if !regexp.MustCompile(`(?m)^step \d+ of \d+: judging `).MatchString(said) {
		t.Errorf("its steps have no numbers: %s", said)
	}
	if a < 20 || again != a || same != digest || !strings.Contains(said, "taking up") {
		t.Errorf("taken up: %d pictures, then %d; %s", a, again, said)
	}
	if both, other, said := calibrate("a", at("a.json"), at("b.json")); both != a+b || other == digest {
		t.Errorf("merged: %d of %d pictures: %s", both, a+b, said)
	}
	if err := os.WriteFile(at("damaged.json"), []byte(`{"source":`), 0o644); err != nil {
		t.Fatal(err)
	}
	for want, more := range map[string][2]string{
		"it would count twice": {at("a.json"), at("a.json")},
		"is no collection":     {at("damaged.json"), at("b.json")},
		"no such file":         {"", at("nowhere.json")},
	} {
		if _, _, said := calibrate("a", more[0], more[1]); !strings.Contains(said, want) {
			t.Errorf("%v: %s, want …%s…", more, said, want)
		}
	}
}
