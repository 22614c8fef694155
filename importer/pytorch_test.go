package importer_test

import (
	"encoding/json"
	"fmt"
	"math"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/vggse/vggse-agent/eval"
	"github.com/vggse/vggse-agent/importer"
	"github.com/vggse/vggse-agent/verify"
)

// asPyTorch imports a checkpoint and classifies picture.png: the ranking must be PyTorch's, the
// logits within tolerance of the largest. Pixels may differ from Pillow's by 1/255. With goldens
// the bundle must agree with those, too.
func asPyTorch(t *testing.T, file, labels string, input int, want []float64, tolerance float64, golden string) {
	t.Helper()
	dir := filepath.Join(t.TempDir(), "bundle")
	if _, err := imports(t, importer.Options{File: file, Labels: labels, Input: input, Out: dir,
		Golden: golden}); err != nil {
		t.Fatalf("%s: %v", file, err)
	}
	c, err := eval.NewClassifier(opened(t, dir), 5)
	if err != nil {
		t.Fatal(err)
	}
	got, err := c.Classify(t.Context(), checkpoints+"picture.png")
	if err != nil || len(got.Logits) != len(want) {
		t.Fatalf("%s: %v: %+v", file, err, got)
	}
	ranking := make([]int, len(want))
	worst, largest := 0.0, 0.0
	for i, v := range want {
		ranking[i] = i
		worst, largest = max(worst, math.Abs(float64(got.Logits[i])-v)), max(largest, math.Abs(v))
	}
	slices.SortFunc(ranking, func(a, b int) int {
		if want[a] > want[b] {
			return -1
		}
		return 1
	})
	if len(got.Top) != min(5, len(want)) {
		t.Errorf("%s: %d places", file, len(got.Top))
	}
	for i, s := range got.Top {
		if s.Index != ranking[i] {
			t.Errorf("%s: place %d is class %d, in PyTorch %v", file, i+1, s.Index, ranking[:5])
		}
	}
	if !(worst <= tolerance*largest) {
		t.Errorf("%s: logits differ by %g of %g", file, worst, largest)
	}
	t.Logf("%s: logits differ by at most %.2g of %.4g", filepath.Base(file), worst, largest)
	if golden != "" {
		if v, missed := verified(t, dir, verify.Options{}); missed || !v.OK || v.MaxDiff > 1e-4*v.MaxLogit {
			t.Errorf("%s: %+v", file, v)
		}
	}
}

// A picture becomes the same ranking as behind torchvision's own preset (goldens.py).
func TestClassifiesAsPyTorch(t *testing.T) {
	needRuntime(t)
	for file, want := range pictureAnswers(t, checkpoints+"picture.json") {
		asPyTorch(t, checkpoints+file, "a,b,c,d,e", 64, want, 1e-2, "")
	}
}

// The same at full size, 554 MB each, against a PyTorch that is here:
//
//	PYTHON_WITH_TORCH=/path/to/python go test -run FullSize -v ./importer
func TestFullSizeAgainstPyTorch(t *testing.T) {
	needRuntime(t)
	python := os.Getenv("PYTHON_WITH_TORCH")
	if python == "" {
		t.Skip("PYTHON_WITH_TORCH names no Python with PyTorch")
	}
	dir := t.TempDir()
	if out, err := exec.CommandContext(t.Context(), python, checkpoints+"goldens.py", "full",
		dir).CombinedOutput(); err != nil {
		t.Fatalf("%v: %s", err, out)
	}
	labels := make([]string, 1000)
	for i := range labels {
		labels[i] = fmt.Sprint("class", i)
	}
	for name, want := range pictureAnswers(t, filepath.Join(dir, "picture.json")) {
		file := filepath.Join(dir, name)
		asPyTorch(t, file+".pth", strings.Join(labels, ","), 224, want, 1e-2, file+".safetensors")
	}
}

func pictureAnswers(t *testing.T, path string) map[string][]float64 {
	t.Helper()
	text, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	var answers map[string][]float64
	if err := json.Unmarshal(text, &answers); err != nil || len(answers) != 2 {
		t.Fatalf("%v: %s", err, text)
	}
	return answers
}
