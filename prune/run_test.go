package prune_test

import (
	"encoding/json"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/vggse/vggse-agent/bundle"
	"github.com/vggse/vggse-agent/demo"
	"github.com/vggse/vggse-agent/infer"
	"github.com/vggse/vggse-agent/onnx"
	"github.com/vggse/vggse-agent/prune"
	"github.com/vggse/vggse-agent/verify"
	"github.com/vggse/vggse-agent/vgg16se"
	"github.com/vggse/vggse-agent/vision"
)

// seededBundle is a bundle of a network with random weights, whose labels are the demo's.
func seededBundle(t *testing.T, a vgg16se.Architecture) string {
	t.Helper()
	a.Classes = len(demo.Classes())
	graph, err := a.Graph(vgg16se.Seeded(1))
	if err != nil {
		t.Fatal(err)
	}
	dir := t.TempDir()
	f, err := bundle.WriteFile(t.Context(), dir, "fp32.onnx", io.Discard,
		func(w io.Writer) error { return onnx.Write(w, graph) })
	if err != nil {
		t.Fatal(err)
	}
	spec := vgg16se.NewSpec(a, demo.Classes())
	spec.Name, spec.Version, spec.Preprocess = "parts", "3", vision.Torchvision(a.InputSize)
	spec.Provenance.Tool, spec.Files = "a test", map[string]bundle.File{bundle.FileFP32: f}
	if err := bundle.WriteSpec(dir, &spec); err != nil {
		t.Fatal(err)
	}
	return dir
}

func demoPictures(t *testing.T, n int) string {
	t.Helper()
	dir := filepath.Join(t.TempDir(), "pictures")
	if err := demo.WriteDataset(t.Context(), dir, demo.Dataset{Images: n, Seed: 1, Width: 80, Height: 64},
		nil); err != nil {
		t.Fatal(err)
	}
	return dir
}

// A bundle gets smaller, and what comes out is a bundle like any other: its graph is what the
// report counts, verify finds it right.
func TestRun(t *testing.T) {
	needRuntime(t)
	out := filepath.Join(t.TempDir(), "small")
	o := prune.Options{Images: demoPictures(t, 52), Out: out, Factor: 1.5, Asked: "1.5x", Step: 16, Workers: 2,
		Tool: "a test",
		Bundle: seededBundle(t, vgg16se.Architecture{InputSize: 32, Width: 0.125, Reduction: 4,
			Hidden: 24, PoolSize: 2, Attention: vgg16se.SCSE})}
	r, err := prune.Run(t.Context(), o, nil)
	if err != nil {
		t.Fatal(err)
	}
	if r.Fitted < 32 || r.HeldOut != 10 || len(r.Ways) != 5 || r.After.MACs*3 > r.Before.MACs*2 ||
		r.After.Bytes >= r.Before.Bytes || r.Latency.Before <= 0 || !r.Labelled || r.Missed != nil {
		t.Errorf("report: %+v", r)
	}
	if first := r.Ways[0]; first.Agreement != 1 || first.Lost != 0 {
		t.Errorf("the network that was, against itself: %+v", first)
	}
	for _, l := range r.Layers {
		if l.BeforeMS <= 0 || l.AfterMS <= 0 || l.AfterMS > l.BeforeMS {
			t.Errorf("%s: %d of %d channels in %g of %g ms", l.Layer, l.After, l.Before, l.AfterMS, l.BeforeMS)
		}
	}
	b, err := bundle.Open(out)
	if err != nil {
		t.Fatal(err)
	}
	if s, what, err := vgg16se.Summarize(b); err != nil || s.MACs != r.After.MACs ||
		s.Parameters != r.After.Parameters || what != r.After.Architecture {
		t.Errorf("summary: %v, %s: %+v; want %+v", err, what, s, r.After)
	}
	if b.Spec.Version != "3 pruned 1.5x" || b.Spec.Provenance.Source != "parts 3" || len(b.Spec.Files) != 1 {
		t.Errorf("manifest: %+v", b.Spec)
	}
	n, err := infer.OpenBundle(t.Context(), out, "fp32", infer.Config{Providers: []string{infer.CPU}, MaxBatch: 1})
	if err != nil {
		t.Fatal(err)
	}
	defer n.Close()
	v, err := verify.Run(t.Context(), n, verify.Options{CacheDir: t.TempDir()}, nil)
	if err != nil || !v.OK || v.Golden != verify.OriginReference {
		t.Errorf("verify: %+v, %v", v, err)
	}
	if page, err := os.ReadFile(filepath.Join(out, "report.html")); err != nil || !strings.Contains(string(page),
		r.After.Architecture) {
		t.Errorf("report.html: %v", err)
	}
}

// What another program chose stays, and the layers that it does not name keep all.
func TestRunWithAChoice(t *testing.T) {
	needRuntime(t)
	dir := t.TempDir()
	choice, out := filepath.Join(dir, "choice.json"), filepath.Join(dir, "small")
	o := prune.Options{
		Bundle: seededBundle(t, vgg16se.Architecture{
			InputSize: 32, Width: 0.125, Reduction: 4, Hidden: 16, PoolSize: 1}),
		Images: demoPictures(t, 26), Out: out, Chosen: choice, Asked: "as a test says", Step: 8, Workers: 2,
	}
	for _, c := range []struct{ text, want string }{
		{`{"features.2": [0, 1, 2, 9]}`, "choice.json: features.2 has the channels 0 to 7, not 9"},
		{`{"features.2": 3}`, `wanted are layers with the channels to keep`},
		{`{"features.2": [0, 4, 7]}`, ""},
	} {
		if err := os.WriteFile(choice, []byte(c.text), 0o644); err != nil {
			t.Fatal(err)
		}
		r, err := prune.Run(t.Context(), o, nil)
		if c.want != "" {
			if err == nil || !strings.Contains(err.Error(), c.want) {
				t.Errorf("%s: %v, want %q", c.text, err, c.want)
			}
			continue
		}
		if err != nil {
			t.Fatal(err)
		}
		for _, l := range r.Layers {
			want := l.Before
			if l.Layer == "features.2" {
				want = 3
			}
			if l.After != want {
				t.Errorf("%s has %d channels of %d, want %d", l.Layer, l.After, l.Before, want)
			}
		}
	}
}

// Points are a limit: a network that loses no more comes out where there is one, on pictures that
// it was not chosen by; where the held-out pictures then say otherwise, only the reports do.
func TestRunWithPoints(t *testing.T) {
	needRuntime(t)
	images := demoPictures(t, 26)
	source := seededBundle(t, vgg16se.Architecture{InputSize: 32, Width: 0.0625, Reduction: 4, Hidden: 16, PoolSize: 1})
	for _, points := range []float64{100, 1e-9} {
		out := filepath.Join(t.TempDir(), "small")
		o := prune.Options{Bundle: source, Images: images, Out: out, Points: points, Asked: fmt.Sprint(points, "pt"),
			Step: 8, Workers: 2}
		r, err := prune.Run(t.Context(), o, nil)
		if err != nil { // nothing is small enough
			if points == 100 || !strings.Contains(err.Error(), "no smaller network loses at most") {
				t.Errorf("%g points: %v", points, err)
			}
			if _, err := os.Stat(out); err == nil {
				t.Errorf("%g points: something was left behind", points)
			}
			continue
		}
		if lost := 100 * r.Ways[1].Lost; (lost > points) != (len(r.Missed) == 1) {
			t.Errorf("%g points: %g lost, missed %v", points, lost, r.Missed)
		}
		if points == 100 && r.After.MACs*2 > r.Before.MACs {
			t.Errorf("everything may be lost, and %d of %d multiply-adds are left", r.After.MACs, r.Before.MACs)
		}
		_, err = bundle.Open(out)
		if (err == nil) != (len(r.Missed) == 0) {
			t.Errorf("%g points: missed %v, and the bundle: %v", points, r.Missed, err)
		}
		var back prune.Report
		text, err := os.ReadFile(filepath.Join(out, "report.json"))
		if err == nil {
			err = json.Unmarshal(text, &back)
		}
		if err != nil || back.After != r.After || back.Fitted != r.Fitted {
			t.Errorf("%g points: report.json: %v: %s", points, err, text)
		}
	}
}

// What cannot be pruned costs one clear sentence and leaves nothing behind.
func TestRunRefuses(t *testing.T) {
	needRuntime(t)
	dir, full := t.TempDir(), t.TempDir()
	if err := os.WriteFile(filepath.Join(full, "mine"), nil, 0o644); err != nil {
		t.Fatal(err)
	}
	out, tiny := filepath.Join(dir, "out"), vgg16se.Architecture{InputSize: 32, Width: 0.125, Reduction: 4, Hidden: 16,
		PoolSize: 1}
	whole, damaged := seededBundle(t, tiny), seededBundle(t, tiny)
	weights, err := os.ReadFile(filepath.Join(damaged, "fp32.onnx"))
	if err != nil {
		t.Fatal(err)
	}
	weights[len(weights)/2] ^= 1
	if err := os.WriteFile(filepath.Join(damaged, "fp32.onnx"), weights, 0o644); err != nil {
		t.Fatal(err)
	}
	images := demoPictures(t, 13)
	for want, o := range map[string]prune.Options{
		"not a bundle": {Bundle: dir, Images: images, Out: out},
		"no picture":   {Bundle: whole, Images: dir, Out: out},
		"not empty":    {Bundle: whole, Images: images, Out: full},
		"has SHA-256":  {Bundle: damaged, Images: images, Out: out},
	} {
		o.Factor, o.Step, o.Workers = 2, 8, 1
		if r, err := prune.Run(t.Context(), o, nil); err == nil || r != nil || !strings.Contains(err.Error(), want) {
			t.Errorf("got %v, %v; want …%s…", r, err, want)
		}
	}
	if left, err := os.ReadDir(dir); err != nil || len(left) != 0 {
		t.Errorf("left behind: %v, %v", left, err)
	}
}
