package importer_test

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"

	"github.com/vggse/vggse-agent/bundle"
	"github.com/vggse/vggse-agent/importer"
	"github.com/vggse/vggse-agent/infer"
	"github.com/vggse/vggse-agent/internal/progress"
	"github.com/vggse/vggse-agent/verify"
	"github.com/vggse/vggse-agent/vgg16se"
	"github.com/vggse/vggse-agent/vgg16se/checkpoint"
)

const (
	checkpoints = "../vgg16se/testdata/"
	foreign     = "testdata/foreign/"
)

// onCPU is the runtime of the tests.
var onCPU = infer.Config{Providers: []string{infer.CPU}, MaxBatch: 1}

func needRuntime(t *testing.T) {
	t.Helper()
	if _, err := infer.Version(infer.Config{}); errors.Is(err, infer.ErrNoLibrary) {
		t.Skip("ONNX Runtime not found (make deps)")
	}
}

// imports imports with o, whose gaps are filled as the command line does it.
func imports(t *testing.T, o importer.Options) (*importer.Result, error) {
	t.Helper()
	if o.Preprocess == "" {
		o.Preprocess = "torchvision"
	}
	if o.InputGiven = o.Input != 0; !o.InputGiven {
		o.Input = 224
	}
	o.Runtime = func() (infer.Config, error) { return onCPU, nil }
	return importer.Import(t.Context(), o, nil)
}

// saying imports with o and returns what the import said.
func saying(t *testing.T, o importer.Options) (string, error) {
	t.Helper()
	var text strings.Builder
	o.Runtime = func() (infer.Config, error) { return onCPU, nil }
	_, err := importer.Import(t.Context(), o, progress.To(&text))
	return text.String(), err
}

// opened opens the FP32 file of a bundle on the CPU.
func opened(t *testing.T, dir string) *infer.Network {
	t.Helper()
	n, err := infer.OpenBundle(t.Context(), dir, "fp32", onCPU)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { n.Close() })
	return n
}

// verified compares a bundle with its goldens, or others; it returns whether that was a miss.
func verified(t *testing.T, dir string, o verify.Options) (v verify.Verdict, missed bool) {
	t.Helper()
	if o.CacheDir == "" {
		o.CacheDir = t.TempDir()
	}
	got, err := verify.Run(t.Context(), opened(t, dir), o, nil)
	if miss := (*verify.MissedError)(nil); errors.As(err, &miss) && got != nil {
		return *got, true
	}
	if err != nil {
		t.Fatalf("%s: %v", dir, err)
	}
	return *got, false
}

// From a checkpoint to answers of ONNX Runtime that agree with plain Go in float64.
func TestImportAndVerify(t *testing.T) {
	needRuntime(t)
	for file, inputs := range map[string][]int{"article.pth": {32, 64, 224, 256}, "legacy.pt": {96}, "nested.pth": {32},
		"article.safetensors": {96}, "half.pth": {64}, "torchvision.pth": {96}, "torchvision-bn.pth": {64},
		"sse.pth": {64}, "scse.pth": {96}, "bam.pth": {96, 224}, "cbam.pth": {64}, "irregular.pth": {64}} {
		for _, input := range inputs {
			dir, cache := filepath.Join(t.TempDir(), "b"), t.TempDir()
			r, err := imports(t, importer.Options{File: checkpoints + file, Labels: "a,b,c,d,e", Out: dir,
				Input: input})
			if err != nil {
				t.Fatalf("%s: %v", file, err)
			}
			if !strings.Contains(r.Architecture, fmt.Sprintf("%d×%[1]d", input)) || len(r.SHA256) != 64 ||
				r.Bundle != dir {
				t.Errorf("%s: %+v", file, r)
			}
			v, missed := verified(t, dir, verify.Options{CacheDir: cache})
			if missed || !v.OK || v.Pairs != verify.Pairs || v.Golden != verify.OriginReference || v.MaxDiff == 0 ||
				v.MaxDiff > 1e-5*v.MaxLogit || v.Agreement < 0.999 {
				t.Errorf("%s at %d: %+v", file, input, v)
			}
			if v, missed := verified(t, dir, verify.Options{CacheDir: cache, Tolerance: 1e-12}); !missed || v.OK {
				t.Errorf("%s at %d: %+v", file, input, v)
			}
		}
	}
}

// The networks of the article's section 8.1, as PyTorch's legacy and new exporter write them
// (testdata/foreign.py), answer as PyTorch did.
func TestImportForeign(t *testing.T) {
	needRuntime(t)
	for _, network := range []string{"se-resnet", "se-inception", "mobilenetv3"} {
		for _, exporter := range []string{"legacy", "new"} {
			dir, golden := filepath.Join(t.TempDir(), "b"), foreign+network+".safetensors"
			o := importer.Options{File: foreign + network + "." + exporter + ".onnx", Labels: "a,b,c,d", Out: dir,
				Golden: golden}
			if _, err := imports(t, o); err != nil {
				t.Fatalf("%s: %v", o.File, err)
			}
			if v, missed := verified(t, dir, verify.Options{}); missed || !v.OK || v.Pairs != 2 ||
				v.MaxDiff > 1e-5*v.MaxLogit || v.Golden != network+".safetensors" {
				t.Errorf("%s: %+v", o.File, v)
			}
			summarized(t, dir, golden)
			o.Out, o.Golden = dir+"2", ""
			if _, err := imports(t, o); err != nil {
				t.Fatalf("%s: %v", o.File, err)
			}
			if v, _ := verified(t, o.Out, verify.Options{}); v.Golden != verify.OriginSelfMade {
				t.Errorf("%s: %+v", o.File, v)
			}
			if v, missed := verified(t, o.Out, verify.Options{Golden: golden}); missed || !v.OK || v.Pairs != 2 {
				t.Errorf("%s: %+v", o.File, v)
			}
		}
	}
}

// summarized sees that the summary counts the multiply-adds that PyTorch's modules did, and finds
// the SE blocks.
func summarized(t *testing.T, dir, golden string) {
	t.Helper()
	f, err := checkpoint.Open(golden, "")
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	b, err := bundle.Open(dir)
	if err != nil {
		t.Fatal(err)
	}
	s, _, err := vgg16se.Summarize(b)
	if err != nil {
		t.Fatal(err)
	}
	macs, gates := int64(0), 0
	for _, l := range s.Layers {
		if l.Op == "Conv" || l.Op == "Gemm" || l.Op == "MatMul" {
			macs += l.MACs
		}
		if l.SE && l.Op == "Mul" {
			gates++
		}
	}
	if want := f.Metadata["macs"]; strconv.FormatInt(macs, 10) != want || gates < 2 || s.SEParameters == 0 {
		t.Errorf("%s: %d multiply-adds, want %s; %d gates with %d parameters", dir, macs, want, gates, s.SEParameters)
	}
}

// verify finds a network that answers wrongly: goldens of another one.
func TestVerifyFindsWrongAnswers(t *testing.T) {
	needRuntime(t)
	dir := filepath.Join(t.TempDir(), "b")
	if _, err := imports(t, importer.Options{File: foreign + "se-resnet.legacy.onnx", Labels: "a,b,c,d", Out: dir,
		Golden: foreign + "mobilenetv3.safetensors"}); err != nil {
		t.Fatal(err)
	}
	if v, missed := verified(t, dir, verify.Options{}); !missed || v.OK || v.MaxDiff < 0.1 {
		t.Errorf("missed: %v: %+v", missed, v)
	}
}

// A mistake costs one clear sentence, and leaves nothing behind; one of an option's value names the
// option.
func TestImportRefuses(t *testing.T) {
	dir := t.TempDir()
	full := filepath.Join(dir, "full")
	if err := os.MkdirAll(filepath.Join(full, "x"), 0o755); err != nil {
		t.Fatal(err)
	}
	squash := "resize=squash,filter=area,channels=rgb,"
	for _, c := range []struct {
		want, option string
		o            importer.Options
	}{
		{"filter is missing", "preprocess", importer.Options{Preprocess: "resize=squash"}},
		{"three numbers", "preprocess", importer.Options{Preprocess: squash + "scale=1/255,mean=0,std=1,1,1"}},
		{"no such key", "preprocess", importer.Options{Preprocess: squash + "scale=1,mean=0,0,0,std=1,1,1,gamma=2"}},
		{"neither torchvision", "preprocess", importer.Options{Preprocess: "imagenet"}},
		{"no file nowhere.txt", "labels", importer.Options{Labels: "nowhere.txt"}},
		{"labels must differ", "labels", importer.Options{Labels: "a,a,b,c,d"}},
		{"--labels has 2 labels, the network 5 scores for each picture: give 5 labels", "",
			importer.Options{Labels: "a,b"}},
		{"smallest that works is 32", "", importer.Options{Input: 31}},
		{"not empty", "", importer.Options{Out: full}},
		{"no such file", "", importer.Options{File: "none.pth"}},
		{"text, perhaps a server", "", importer.Options{File: "importer.go"}},
		{"input and logits", "", importer.Options{Golden: checkpoints + "article.safetensors"}},
		{"takes 64×64, --input says 32", "", importer.Options{File: foreign + "se-resnet.legacy.onnx",
			Labels: "a,b,c,d",
			Input:  32}},
		{"give 4 labels", "", importer.Options{File: foreign + "se-resnet.legacy.onnx", Labels: "a,b,c"}},
	} {
		if c.o.File == "" {
			c.o.File = checkpoints + "article.pth"
		}
		if c.o.Labels == "" {
			c.o.Labels = "a,b,c,d,e"
		}
		if c.o.Out == "" {
			c.o.Out = filepath.Join(dir, "out")
		}
		r, err := imports(t, c.o)
		if err == nil || r != nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%+v: %v; want …%s…", c.o, err, c.want)
			continue
		}
		named := ""
		if option := (*importer.OptionError)(nil); errors.As(err, &option) {
			named = option.Option
		}
		if named != c.option || named != "" && !strings.HasPrefix(err.Error(), "--"+named+": ") {
			t.Errorf("%v: names the option %q, want %q", err, named, c.option)
		}
	}
	if left, err := os.ReadDir(dir); err != nil || len(left) != 1 {
		t.Errorf("left behind: %v, %v", left, err)
	}
}
