package vgg16se

import (
	"bytes"
	"errors"
	"slices"
	"strings"
	"testing"

	"github.com/vggse/vggse-agent/onnx"
	"github.com/vggse/vggse-agent/vgg16se/checkpoint"
)

// A checkpoint that is not quite one of ours is answered with what differs, and from what.
func TestRecognizeTellsWhatDiffers(t *testing.T) {
	for _, c := range []struct {
		name, file string
		change     func(t []checkpoint.Tensor) []checkpoint.Tensor
		want       []string
	}{
		{"a key too few", "article.pth", lacking("features.10.fc.2.weight"),
			[]string{"nearest is VGG16-SE 64×64", "lacks: features.10.fc.2.weight"}},
		{"a key too many", "torchvision.pth", with("aux.weight", onnx.Float32, 2, 2),
			[]string{"nearest is VGG16 64×64", "besides: aux.weight"}},
		{"another shape", "article-bn.pth",
			both(lacking("classifier.3.weight"), with("classifier.3.weight", onnx.Float32, 8, 9)),
			[]string{"with batch normalization", "classifier.3.weight is [8 9], should be [8 8]"}},
		{"integers", "article.pth", both(lacking("features.0.bias"), with("features.0.bias", onnx.Int64, 2)),
			[]string{"features.0.bias holds int64"}},
		{"another family", "article.pth", func([]checkpoint.Tensor) []checkpoint.Tensor {
			return with("layer1.0.conv1.weight", onnx.Float32, 8, 3, 3, 3)(nil)
		}, []string{"lacks: features.0.weight, features.0.bias", "and 12 more", "besides: layer1.0.conv1.weight",
			"comes in as .onnx"}},
	} {
		f, err := checkpoint.Open("testdata/"+c.file, "")
		if err != nil {
			t.Fatal(err)
		}
		_, _, err = Recognize(c.change(f.Tensors), 64)
		var mismatch *MismatchError
		if !errors.As(err, &mismatch) {
			t.Fatalf("%s: got %v", c.name, err)
		}
		for _, want := range c.want {
			if !strings.Contains(err.Error(), want) {
				t.Errorf("%s: got %v, want …%s…", c.name, err, want)
			}
		}
		f.Close()
	}
}

type change = func([]checkpoint.Tensor) []checkpoint.Tensor

func lacking(name string) change {
	return func(t []checkpoint.Tensor) []checkpoint.Tensor {
		return slices.DeleteFunc(slices.Clone(t), func(x checkpoint.Tensor) bool { return x.Name == name })
	}
}

func with(name string, kind onnx.DataType, shape ...int64) change {
	return func(t []checkpoint.Tensor) []checkpoint.Tensor {
		return append(slices.Clone(t), checkpoint.Tensor{Name: name, Type: kind, Shape: shape})
	}
}

func both(a, b change) change {
	return func(t []checkpoint.Tensor) []checkpoint.Tensor { return b(a(t)) }
}

// Of one raw score z two become: 0 and z, for any picture.
func TestTwoClassesOfOneScore(t *testing.T) {
	one := Architecture{InputSize: 32, Width: 1.0 / 32, Hidden: 4, PoolSize: 1, Classes: 1, Attention: None}
	two, weights := one.TwoClasses(Seeded(3))
	x := pictures(1, 32)
	answer := func(a Architecture, w Weights) []float64 {
		m, err := a.Graph(w)
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
		got, err := a.Reference(t.Context(), &m.Graph, x)
		if err != nil {
			t.Fatal(err)
		}
		return got
	}
	z, got := answer(one, Seeded(3)), answer(two, weights)
	if len(got) != 2 || got[0] != 0 || got[1] != z[0] || z[0] == 0 {
		t.Errorf("got %v, want 0 and %v", got, z)
	}
}
