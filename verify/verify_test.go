package verify

import (
	"math"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/vggse/vggse-agent/bundle"
	"github.com/vggse/vggse-agent/vision"
)

var (
	nan = float32(math.NaN())
	inf = float32(math.Inf(1))
)

// goldens are n pictures of 2×2 with logits of three classes.
func goldens(logits ...float32) *Goldens {
	n := len(logits) / 3
	g := &Goldens{Input: vision.NewTensor(n, 3, 2, 2), Logits: logits, Origin: "a test"}
	for i := range g.Input.Data {
		g.Input.Data[i] = float32(i) / 8
	}
	return g
}

// The largest and the mean difference, and the share of equal best classes; what is no number is
// infinitely far off and no class.
func TestCompare(t *testing.T) {
	for _, tt := range []struct {
		name       string
		want, got  []float32
		diff, mean float64
		largest    float64
		agreement  float64
	}{
		{"the same", []float32{1, 5, -9}, []float32{1, 5, -9}, 0, 0, 9, 1},
		{"off, the same class", []float32{1, 5, 2}, []float32{1, 4, 2}, 1, 1.0 / 3, 5, 1},
		{"another class", []float32{1, 5, 2}, []float32{6, 5, 2}, 5, 5.0 / 3, 5, 0},
		{"one of two", []float32{1, 5, 2, 3, 0, 0}, []float32{1, 5, 2, 0, 3, 0}, 3, 1, 5, 0.5},
		{"three of four", []float32{1, 0, 0, 1, 0, 0, 1, 0, 0, 1, 0, 0}, []float32{1, 0, 0, 1, 0, 0, 1, 0, 0, 0, 1, 0},
			1,
			2.0 / 12, 1, 0.75},
		{"no number", []float32{1, 5, 2}, []float32{nan, nan, nan}, math.Inf(1), math.NaN(), 5, 0},
		{"one that is none", []float32{1, 5, 2}, []float32{1, 5, inf}, math.Inf(1), math.Inf(1), 5, 0},
	} {
		v := compare(goldens(tt.want...), tt.got)
		sameMean := math.Abs(v.MeanDiff-tt.mean) < 1e-6 || math.IsNaN(tt.mean) && math.IsNaN(v.MeanDiff) ||
			v.MeanDiff == tt.mean
		if v.Pairs != len(tt.want)/3 || v.MaxDiff != tt.diff || !sameMean || v.MaxLogit != tt.largest ||
			math.Abs(v.Agreement-tt.agreement) > 1e-9 {
			t.Errorf("%s: %+v", tt.name, v)
		}
	}
}

// specOf is a manifest for pictures of size×size and so many classes.
func specOf(size, classes int) *bundle.Spec {
	s := &bundle.Spec{Labels: make([]string, classes)}
	s.Architecture.InputSize = size
	return s
}

// Goldens come back from their file as they were written, origin and tolerance with them.
func TestWriteAndRead(t *testing.T) {
	for _, name := range []string{FileName, FileName8} {
		g, dir := goldens(1, 2, 3, 4, 5, 6), t.TempDir()
		if name == FileName8 {
			g.Tolerance = 0.125
		}
		f, err := g.WriteAs(t.Context(), dir, name)
		if err != nil || f.Path != name || len(f.SHA256) != 64 {
			t.Fatalf("%+v, %v", f, err)
		}
		back, err := Read(filepath.Join(dir, name), specOf(2, 3))
		if err != nil {
			t.Fatal(err)
		}
		if back.Origin != g.Origin || back.Tolerance != g.Tolerance || back.Input.Shape != g.Input.Shape ||
			!slices.Equal(back.Input.Data, g.Input.Data) || !slices.Equal(back.Logits, g.Logits) {
			t.Errorf("%s: %+v, was %+v", name, back, g)
		}
		if one := picture(back.Input, 1); one.Shape != [4]int64{1, 3, 2, 2} || one.Data[0] != 12.0/8 {
			t.Errorf("%s: the second picture is %v", name, one)
		}
	}
}

// Goldens of another network are refused, with what is wrong about them.
func TestReadRefuses(t *testing.T) {
	dir := t.TempDir()
	path := filepath.Join(dir, FileName)
	write := func(g *Goldens) {
		t.Helper()
		if _, err := g.Write(t.Context(), dir); err != nil {
			t.Fatal(err)
		}
	}
	for _, tt := range []struct {
		name string
		g    *Goldens
		spec *bundle.Spec
		want string
	}{
		{"another size", goldens(1, 2, 3), specOf(4, 3), "must be n×3×4×4"},
		{"other classes", goldens(1, 2, 3), specOf(2, 5), "must be 1×5"},
		{"NaN among the logits", goldens(1, nan, 3), specOf(2, 3), "logits[1] is NaN"},
		{"infinity among the logits", goldens(1, 2, inf), specOf(2, 3), "goldens must be numbers"},
		{"a tolerance of more than all", &Goldens{Input: goldens(1, 2, 3).Input, Logits: []float32{1, 2, 3},
			Origin:    "x",
			Tolerance: 7}, specOf(2, 3), "must be 0 to 1"},
	} {
		write(tt.g)
		if g, err := Read(path, tt.spec); err == nil || !strings.Contains(err.Error(), tt.want) {
			t.Errorf("%s: %+v, %v; want …%s…", tt.name, g, err, tt.want)
		}
	}
	if _, err := Read("../vgg16se/testdata/article.safetensors", specOf(2, 3)); err == nil ||
		!strings.Contains(err.Error(), "must hold the tensors input and logits") {
		t.Errorf("a checkpoint: %v", err)
	}
	if err := os.WriteFile(path, []byte("not a file of tensors"), 0o644); err != nil {
		t.Fatal(err)
	}
	if _, err := Read(path, specOf(2, 3)); err == nil {
		t.Error("text was taken for goldens")
	}
}

// Made-up pictures are the same every time, in the range that preprocessing gives, and smooth ones
// differ little from pixel to pixel.
func TestMadeUpPictures(t *testing.T) {
	p := vision.Torchvision(32)
	smooth, again := smoothPictures(2, 32, &p), smoothPictures(2, 32, &p)
	noise := seededPictures(2, 32)
	if !slices.Equal(smooth.Data, again.Data) || !slices.Equal(noise.Data, seededPictures(2, 32).Data) {
		t.Error("another time, other pictures")
	}
	if slices.Equal(smooth.Data[:len(smooth.Data)/2], smooth.Data[len(smooth.Data)/2:]) {
		t.Error("both pictures are the same")
	}
	for i, v := range smooth.Data {
		c := i / (32 * 32) % 3
		if b := (float64(v)*p.Std[c] + p.Mean[c]) * 255; b < -1e-3 || b > 255+1e-3 || math.Abs(b-math.Round(b)) > 1e-3 {
			t.Fatalf("number %d is no byte: %g", i, b)
		}
	}
	rough := func(x *vision.Tensor) (steps float64) {
		for i := 1; i < 32; i++ {
			steps += math.Abs(float64(x.Data[i] - x.Data[i-1]))
		}
		return steps
	}
	if a, b := rough(smooth), rough(noise); a > b/2 {
		t.Errorf("steps of %g in a smooth picture, of %g in noise", a, b)
	}
}

// The line for a terminal names where and against what.
func TestVerdictString(t *testing.T) {
	v := Verdict{Provider: "cpu", Precision: "int8", Pairs: 3, MaxDiff: 0.25, Agreement: 2.0 / 3, Golden: "judged"}
	for _, want := range []string{"3 pairs", "(judged)", "on cpu, int8", "max |Δ| 0.25", "same top-1 67 %"} {
		if got := v.String(); !strings.Contains(got, want) {
			t.Errorf("%q does not say %q", got, want)
		}
	}
}
