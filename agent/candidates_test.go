package agent

import (
	"bytes"
	"crypto/sha256"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"math"
	"math/rand/v2"
	"os"
	"path/filepath"
	"sync"
	"testing"

	"github.com/vggse/vggse-agent/bundle"
	"github.com/vggse/vggse-agent/bundle/store"
	"github.com/vggse/vggse-agent/configs"
	parts "github.com/vggse/vggse-agent/demo"
	"github.com/vggse/vggse-agent/infer"
	"github.com/vggse/vggse-agent/onnx"
	"github.com/vggse/vggse-agent/vgg16se"
	"github.com/vggse/vggse-agent/vision"
)

// demoBundle is the model that is active before the candidates come.
const demoBundle = "../demo/bundle"

// lastLayer are the weights, a row for each of the 13 labels, and the bias of the demo's network.
type lastLayer struct{ weight, bias []float32 }

// rows is how many labels the demo has.
const rows = 13

// candidate is the demo's bundle with its last layer changed; version makes it another one, even
// where nothing is. Without goldens, as its own are others.
func candidate(t testing.TB, version string, change func(l *lastLayer)) string {
	t.Helper()
	dir := filepath.Join(t.TempDir(), "candidate")
	b, err := bundle.Open(demoBundle)
	if err != nil {
		t.Fatal(err)
	}
	text, err := os.ReadFile(filepath.Join(demoBundle, "fp32.onnx"))
	if err != nil {
		t.Fatal(err)
	}
	m, err := onnx.Parse(bytes.Clone(text))
	if err != nil {
		t.Fatal(err)
	}
	var l lastLayer
	var at [2]int
	for i := range m.Graph.Initializers {
		w := &m.Graph.Initializers[i]
		switch {
		case len(w.Dims) == 2 && w.Dims[0] == rows:
			l.weight, at[0] = w.Float32s(), bytes.Index(text, w.Data)
		case len(w.Dims) == 1 && w.Dims[0] == rows:
			l.bias, at[1] = w.Float32s(), bytes.Index(text, w.Data)
		}
	}
	if len(l.weight)%rows != 0 || len(l.bias) != rows || at[0] <= 0 || at[1] <= 0 {
		t.Fatalf("the last layer was not found: %d weights, %d of the bias", len(l.weight), len(l.bias))
	}
	if change != nil {
		change(&l)
	}
	for i, values := range [][]float32{l.weight, l.bias} {
		for k, v := range values {
			binary.LittleEndian.PutUint32(text[at[i]+4*k:], math.Float32bits(v))
		}
	}
	b.Spec.Version = version
	delete(b.Spec.Files, bundle.FileGolden)
	return written(t, dir, &b.Spec, text)
}

// written makes a bundle of a manifest and its one file.
func written(t testing.TB, dir string, spec *bundle.Spec, network []byte) string {
	t.Helper()
	if err := os.MkdirAll(dir, 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(dir, "fp32.onnx"), network, 0o644); err != nil {
		t.Fatal(err)
	}
	spec.Files[bundle.FileFP32] = bundle.File{Path: "fp32.onnx", Bytes: int64(len(network)),
		SHA256: fmt.Sprintf("%x", sha256.Sum256(network))}
	if err := bundle.WriteSpec(dir, spec); err != nil {
		t.Fatal(err)
	}
	return dir
}

// seeded is a bundle of the demo's labels and preprocessing with random weights, of another width.
func seeded(t testing.TB, seed uint64, width float64, input int) string {
	t.Helper()
	b, err := bundle.Open(demoBundle)
	if err != nil {
		t.Fatal(err)
	}
	arch := vgg16se.Architecture{InputSize: 64, Width: width, Reduction: 16, Hidden: 256, PoolSize: 2, Classes: rows}
	graph, err := arch.Graph(vgg16se.Seeded(seed))
	if err != nil {
		t.Fatal(err)
	}
	var text bytes.Buffer
	if err := onnx.Write(&text, graph); err != nil {
		t.Fatal(err)
	}
	spec := vgg16se.NewSpec(arch, b.Spec.Labels)
	spec.Preprocess, spec.Name, spec.Version = b.Spec.Preprocess, "parts", fmt.Sprint("seeded ", seed)
	spec.Files = map[string]bundle.File{}
	spec.Architecture.InputSize = input // where it is another one, the manifest is wrong
	return written(t, filepath.Join(t.TempDir(), "seeded"), &spec, text.Bytes())
}

// badKind makes candidates that must not stay active.
type badKind struct {
	name   string
	make   func(t testing.TB, r *rand.Rand) string
	want   string        // of the reason
	late   bool          // the file is written over once it is active
	bounds configs.Trial // that are asked for
}

func changed(change func(l *lastLayer, r *rand.Rand)) func(t testing.TB, r *rand.Rand) string {
	return func(t testing.TB, r *rand.Rand) string {
		return candidate(t, fmt.Sprint(r.Uint64()), func(l *lastLayer) { change(l, r) })
	}
}

// spoils is what happens to a candidate once it is active; nil: nothing.
func (k *badKind) spoils(t testing.TB, i store.Installed, r *rand.Rand) func() {
	if !k.late {
		return nil
	}
	return func() { garble(t, i.Dir, r) }
}

// badKinds are those that can be tried within the process of the test.
var badKinds = []badKind{
	{name: "NaN", want: "no number", make: changed(func(l *lastLayer, r *rand.Rand) {
		l.bias[r.IntN(rows)] = float32([]float64{math.NaN(), math.Inf(1), math.Inf(-1)}[r.IntN(3)])
	})},
	{name: "constant answers", want: "to the bit", make: changed(func(l *lastLayer, r *rand.Rand) {
		clear(l.weight)
		clear(l.bias)
		l.bias[r.IntN(rows)] = 10
	})},
	{name: "labels permuted", want: "model.trial.agreement", bounds: configs.Trial{Agreement: 0.6},
		make: changed(func(l *lastLayer, r *rand.Rand) {
			by, width := 1+r.IntN(rows-1), len(l.weight)/rows
			l.weight = append(l.weight[by*width:], l.weight[:by*width]...)
			l.bias = append(l.bias[by:], l.bias[:by]...)
		})},
	{name: "slow", want: "model.trial.latency", bounds: configs.Trial{Latency: 1.5},
		make: func(t testing.TB, r *rand.Rand) string {
			return seeded(t, r.Uint64(), 0.75, 64)
		}},
	{name: "another input size", want: "64", make: func(t testing.TB, r *rand.Rand) string {
		return seeded(t, r.Uint64(), 0.125, []int{32, 48, 56, 72}[r.IntN(4)])
	}},
	{name: "a head of zeros", want: "to the bit", make: changed(func(l *lastLayer, _ *rand.Rand) {
		clear(l.weight)
		clear(l.bias)
	})},
	{name: "garbage after verify", want: "", late: true, make: changed(func(*lastLayer, *rand.Rand) {})},
	{name: "more unknown", want: "model.trial.unknown", bounds: configs.Trial{Unknown: 0.4},
		make: changed(func(l *lastLayer, r *rand.Rand) {
			less := 0.02 + 0.05*r.Float32()
			for i := range l.weight {
				l.weight[i] *= less
			}
			for i := range l.bias {
				l.bias[i] *= less
			}
		})},
}

// good is the demo's model trained a little further, as far as the last layer goes: one that names at
// least as many pictures of parts, held out, as the demo's.
func good(t testing.TB, r *rand.Rand) string {
	for {
		if dir := nearby(t, r); named(t, dir) >= named(t, demoBundle) {
			return dir
		} else if err := os.RemoveAll(dir); err != nil {
			t.Fatal(err)
		}
	}
}

// heldOut are pictures that no candidate has seen, and what they show.
var heldOut = sync.OnceValues(func() (all []vision.Frame, labels []int) {
	scene := parts.NewScene(99, 160, 120)
	for n := range uint64(60) {
		var f vision.Frame
		scene.Render(25*n, &f)
		all, labels = append(all, f), append(labels, scene.Label(25*n))
	}
	return all, labels
})

// named is how many held out pictures a bundle names right.
func named(t testing.TB, dir string) (right int) {
	t.Helper()
	n, err := infer.OpenBundle(t.Context(), dir, "fp32", infer.Config{Providers: []string{infer.CPU}, Threads: 1})
	if err != nil {
		t.Fatal(err)
	}
	defer n.Close()
	prep, err := vision.NewPreprocessor(n.Bundle.Spec.Preprocess, 64)
	if err != nil {
		t.Fatal(err)
	}
	x, out := vision.NewTensor(1, 3, 64, 64), make(vision.Logits, rows)
	pictures, labels := heldOut()
	for i := range pictures {
		if err := errors.Join(prep.Apply(&pictures[i], x, 0), n.Run(t.Context(), x, out)); err != nil {
			t.Fatal(err)
		}
		if vision.TopK(nil, out, 1)[0] == labels[i] {
			right++
		}
	}
	return right
}

func nearby(t testing.TB, r *rand.Rand) string {
	return candidate(t, fmt.Sprint(r.Uint64()), func(l *lastLayer) {
		for i := range l.weight {
			l.weight[i] *= 1 + 0.02*float32(r.NormFloat64())
		}
	})
}

// garble writes garbage over the network of an installed bundle, as long as it was.
func garble(t testing.TB, dir string, r *rand.Rand) {
	t.Helper()
	f, err := os.OpenFile(filepath.Join(dir, "fp32.onnx"), os.O_RDWR, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	info, err := f.Stat()
	if err != nil {
		t.Fatal(err)
	}
	some := make([]byte, 4096)
	for i := range some {
		some[i] = byte(r.Uint32())
	}
	if _, err := f.WriteAt(some, r.Int64N(info.Size()-int64(len(some)))); err != nil && err != io.EOF {
		t.Fatal(err)
	}
}
