package vgg16se

import (
	"bytes"
	"io"
	"runtime"
	"slices"
	"strings"
	"testing"

	"github.com/vggse/vggse-agent/onnx"
)

func TestParametersOfTheArticle(t *testing.T) {
	all, se := Architecture{}.Parameters()
	if all != 138_433_832 || se != 76_288 {
		t.Errorf("got %d parameters, %d in SE", all, se)
	}
	var blocks []int64
	for _, l := range (Architecture{}).Layers() {
		if l.Op == OpSE {
			blocks = append(blocks, l.Parameters)
		}
	}
	if want := []int64{512, 2_048, 8_192, 32_768, 32_768}; !slices.Equal(blocks, want) {
		t.Errorf("SE blocks have %v parameters, want %v", blocks, want)
	}
	if all, se := (Architecture{Attention: None}).Parameters(); all != 138_357_544 || se != 0 {
		t.Errorf("without SE: got %d parameters, %d in SE", all, se)
	}
	if all, _ := (Architecture{Attention: None}).MACs(); all != 15_470_264_320 {
		t.Errorf("without SE: got %d multiply-adds", all)
	}
}

// The names are torchvision's (torchvision.models.vgg16().state_dict()) and, with SE, the
// article's.
func TestNames(t *testing.T) {
	for _, c := range []struct {
		a    Architecture
		want string
	}{
		{Architecture{Attention: None}, "0 2 5 7 10 12 14 17 19 21 24 26 28"},
		{Architecture{}, "0 2 4 6 8 10 12 14 16 18 20 22 24 26 28 30 32 34"},
	} {
		var got, classifier []string
		for _, p := range c.a.Params() {
			parts := strings.Split(p.Name, ".")
			if parts[0] == "features" && !slices.Contains(got, parts[1]) {
				got = append(got, parts[1])
			}
			if parts[0] == "classifier" {
				classifier = append(classifier, p.Name)
			}
		}
		if s := strings.Join(got, " "); s != c.want {
			t.Errorf("%v: features.{%s}, want {%s}", c.a, s, c.want)
		}
		if s := strings.Join(classifier,
			" "); s != "classifier.0.weight classifier.0.bias classifier.3.weight classifier.3.bias "+
			"classifier.6.weight classifier.6.bias" {
			t.Errorf("%v: %s", c.a, s)
		}
	}
}

func TestValidate(t *testing.T) {
	for _, c := range []struct {
		a    Architecture
		want string
	}{
		{Architecture{}, ""},
		{Architecture{InputSize: 32}, ""},
		{Architecture{InputSize: 31}, "smallest that works is 32"},
		{Architecture{InputSize: -1}, "input size must be"},
		{Architecture{Width: -1}, "width"},
		{Architecture{Classes: -1}, "classes"},
		{Architecture{Hidden: 1 << 30}, "hidden"},
	} {
		switch err := c.a.Validate(); {
		case err == nil && c.want != "", err != nil && (c.want == "" || !strings.Contains(err.Error(), c.want)):
			t.Errorf("%+v: got %v, want …%s…", c.a, err, c.want)
		}
	}
}

// small is an architecture that a test can afford.
var small = Architecture{InputSize: 64, Width: 1.0 / 16, Reduction: 4, Hidden: 24, Hidden2: 12, PoolSize: 3, Classes: 5}

func seeded(t testing.TB, a Architecture, seed uint64) *onnx.Model {
	t.Helper()
	m, err := a.Graph(Seeded(seed))
	if err != nil {
		t.Fatal(err)
	}
	var b bytes.Buffer
	if err := onnx.Write(&b, m); err != nil {
		t.Fatal(err)
	}
	if m, err = onnx.Parse(b.Bytes()); err != nil {
		t.Fatal(err)
	}
	return m
}

func TestSeededWeights(t *testing.T) {
	a, b, other := seeded(t, small, 1), seeded(t, small, 1), seeded(t, small, 2)
	const name = "features.0.weight"
	w := a.Graph.Initializer(name).Float32s()
	if !slices.Equal(w, b.Graph.Initializer(name).Float32s()) {
		t.Error("the same seed gave other weights")
	}
	if slices.Equal(w, other.Graph.Initializer(name).Float32s()) {
		t.Error("another seed gave the same weights")
	}
	fc := a.Graph.Initializer("classifier.0.weight").Float32s() // 24 neurons of 288 inputs: variance 2/288
	sum, squares := 0.0, 0.0
	for _, v := range fc {
		sum += float64(v)
		squares += float64(v) * float64(v)
	}
	n := float64(len(fc))
	if mean, ratio := sum/n, squares/n*288/2; mean*mean > 1e-5 || ratio < 0.9 || ratio > 1.1 {
		t.Errorf("mean %g, variance %g × He's", mean, ratio)
	}
	for _, v := range a.Graph.Initializer("features.0.bias").Float32s() {
		if v != 0 {
			t.Fatalf("bias %g", v)
		}
	}
}

// Writing the network of 554 MB must not take its size of memory.
func TestGraphStreams(t *testing.T) {
	m, err := Architecture{}.Graph(func(p Param) (onnx.Source, error) {
		return func(w io.Writer) error {
			zeros := make([]byte, 1<<16)
			for left := 4 * p.Elements(); left > 0; {
				n, err := w.Write(zeros[:min(left, int64(len(zeros)))])
				if left -= int64(n); err != nil {
					return err
				}
			}
			return nil
		}, nil
	})
	if err != nil {
		t.Fatal(err)
	}
	var before, after runtime.MemStats
	runtime.ReadMemStats(&before)
	if err := onnx.Write(io.Discard, m); err != nil {
		t.Fatal(err)
	}
	runtime.ReadMemStats(&after)
	if took := after.TotalAlloc - before.TotalAlloc; took > 16<<20 {
		t.Errorf("writing took %d MB of heap", took>>20)
	}
	if size := onnx.Size(m); size < 4*138_433_832 || size > 4*138_433_832+20_000 {
		t.Errorf("size %d", size)
	}
}

func BenchmarkSeededFull(b *testing.B) {
	for b.Loop() {
		m, err := Architecture{}.Graph(Seeded(1))
		if err != nil {
			b.Fatal(err)
		}
		if err := onnx.Write(io.Discard, m); err != nil {
			b.Fatal(err)
		}
	}
}
