package main

import (
	"encoding/json"
	"math"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/vggse/vggse-agent/eval"
)

// asPyTorch imports a checkpoint and classifies picture.png: the ranking must be PyTorch's, the
// logits within tolerance of the largest. Pixels may differ from Pillow's by 1/255.
func asPyTorch(t *testing.T, file, labels, input string, want []float64, tolerance float64, more ...string) {
	t.Helper()
	dir := filepath.Join(t.TempDir(), "bundle")
	args := []string{"import", file, "--labels", labels, "--preprocess", "torchvision", "--input", input, "--out", dir}
	if code, _, stderr := agentCmd(t, append(args, more...)...); code != exitDone {
		t.Fatalf("%s: exit %d: %s", file, code, stderr)
	}
	code, stdout, stderr := agentCmd(t, "classify", "--bundle", dir, "--json", "--logits", "--provider", "cpu",
		checkpoints+"picture.png")
	if code != exitDone {
		t.Fatalf("%s: classify: exit %d: %s", file, code, stderr)
	}
	var got eval.ImageAnswer
	if err := json.Unmarshal([]byte(stdout), &got); err != nil || len(got.Logits) != len(want) {
		t.Fatalf("%s: %v, %d logits: %s", file, err, len(got.Logits), stdout)
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
	for i, s := range got.Top {
		if s.Index != ranking[i] {
			t.Errorf("%s: place %d is class %d, in PyTorch %v", file, i+1, s.Index, ranking[:5])
		}
	}
	if !(worst <= tolerance*largest) {
		t.Errorf("%s: logits differ by %g of %g", file, worst, largest)
	}
	t.Logf("%s: logits differ by at most %.2g of %.4g", filepath.Base(file), worst, largest)
	if len(more) > 0 {
		if v := verified(t, exitDone, dir); !v.OK || v.MaxDiff > 1e-4*v.MaxLogit {
			t.Errorf("%s: %+v", file, v)
		}
	}
}

// A picture becomes the same ranking as behind torchvision's own preset (goldens.py).
func TestClassifiesAsPyTorch(t *testing.T) {
	needRuntime(t)
	for file, want := range pictureAnswers(t, checkpoints+"picture.json") {
		asPyTorch(t, checkpoints+file, "a,b,c,d,e", "64", want, 1e-2)
	}
}

// The same at full size, 554 MB each, against a PyTorch that is here:
//
//	PYTHON_WITH_TORCH=/path/to/python go test -run FullSize -v ./cmd/vggse-agent
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
	labels := filepath.Join(dir, "labels.txt")
	if err := os.WriteFile(labels, numbered(1000), 0o600); err != nil {
		t.Fatal(err)
	}
	for name, want := range pictureAnswers(t, filepath.Join(dir, "picture.json")) {
		file := filepath.Join(dir, name)
		asPyTorch(t, file+".pth", labels, "224", want, 1e-2, "--golden", file+".safetensors")
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

// The daemon says of picture.png what PyTorch ranks first, for a checkpoint of the article's class
// and one of torchvision's.
func TestImportedRunsInTheDaemon(t *testing.T) {
	needRuntime(t)
	broker := startMosquitto(t)
	lines := broker.subscribe(t, "vggse/edge/+/classification")
	names := []string{"a", "b", "c", "d", "e"}
	for file, want := range pictureAnswers(t, checkpoints+"picture.json") {
		dir := filepath.Join(t.TempDir(), "bundle")
		if code, _, stderr := agentCmd(t, "import", checkpoints+file, "--labels", strings.Join(names, ","),
			"--preprocess", "torchvision", "--input", "64", "--out", dir); code != exitDone {
			t.Fatalf("%s: exit %d: %s", file, code, stderr)
		}
		camera, _, _ := strings.Cut(file, ".")
		agent := startAgent(t, "run", "--bundle", dir, "--broker", "tcp://"+broker.addr(), "--log-level", "error",
			"--set", "device.id=edge",
			"--set", "cameras.0.name="+camera, "--set", "cameras.0.source=file://"+
				absolute(t, checkpoints+"picture.png")+"?loop=true", "--set", "decide.threshold=0.1", "--set",
			"http.listen=")
		await(t, lines, "vggse/edge/"+camera+"/classification "+names[slices.Index(want, slices.Max(want))])
		if err := agent.Process.Kill(); err != nil {
			t.Error(err)
		}
	}
}

func absolute(t *testing.T, path string) string {
	t.Helper()
	path, err := filepath.Abs(path)
	if err != nil {
		t.Fatal(err)
	}
	return path
}
