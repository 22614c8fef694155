package main

import (
	"encoding/json"
	"errors"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"

	"github.com/vggse/vggse-agent/infer"
	"github.com/vggse/vggse-agent/verify"
	"github.com/vggse/vggse-agent/vgg16se"
	"github.com/vggse/vggse-agent/vgg16se/checkpoint"
)

const checkpoints = "../../vgg16se/testdata/"

func needRuntime(t *testing.T) {
	t.Helper()
	if _, err := infer.Version(infer.Config{}); errors.Is(err, infer.ErrNoLibrary) {
		t.Skip("ONNX Runtime not found (make deps)")
	}
}

// verified runs verify --json and returns its line.
func verified(t *testing.T, code int, args ...string) verify.Verdict {
	t.Helper()
	t.Setenv("XDG_CACHE_HOME", t.TempDir())
	got, stdout, stderr := agentCmd(t, append([]string{"verify", "--json", "--provider", "cpu"}, args...)...)
	if got != code {
		t.Fatalf("verify %v: exit %d, want %d: %s", args, got, code, stderr)
	}
	var v verify.Verdict
	if err := json.Unmarshal([]byte(stdout), &v); err != nil {
		t.Fatalf("verify %v: %v: %s", args, err, stdout)
	}
	return v
}

// From a checkpoint to answers of ONNX Runtime that agree with plain Go in float64.
func TestImportAndVerify(t *testing.T) {
	needRuntime(t)
	for file, inputs := range map[string][]string{"article.pth": {"32", "64", "224", "256"}, "legacy.pt": {"96"},
		"nested.pth":          {"32"},
		"article.safetensors": {"96"}, "half.pth": {"64"}, "torchvision.pth": {"96"}, "torchvision-bn.pth": {"64"},
		"sse.pth": {"64"}, "scse.pth": {"96"}, "bam.pth": {"96", "224"}, "cbam.pth": {"64"}, "irregular.pth": {"64"}} {
		for _, input := range inputs {
			dir := filepath.Join(t.TempDir(), "b")
			code, stdout, stderr := agentCmd(t, "import", "--json", checkpoints+file, "--labels", "a,b,c,d,e",
				"--preprocess", "torchvision", "--out", dir, "--input", input)
			if code != exitDone {
				t.Fatalf("%s: exit %d: %s", file, code, stderr)
			}
			var line struct{ Architecture, SHA256 string }
			if err := json.Unmarshal([]byte(stdout), &line); err != nil || !strings.Contains(line.Architecture,
				input+"×"+input) || len(line.SHA256) != 64 {
				t.Errorf("%s: %v: %s", file, err, stdout)
			}
			v := verified(t, exitDone, dir)
			if !v.OK || v.Pairs != verify.Pairs || v.Golden != verify.OriginReference || v.MaxDiff == 0 ||
				v.MaxDiff > 1e-5*v.MaxLogit || v.Agreement < 0.999 {
				t.Errorf("%s at %s: %+v", file, input, v)
			}
			if v := verified(t, exitGate, dir, "--tolerance", "1e-12"); v.OK {
				t.Errorf("%s at %s: %+v", file, input, v)
			}
		}
	}
}

// The networks of the article's section 8.1, as PyTorch's legacy and new exporter write them
// (importer/testdata/foreign.py), answer as PyTorch did.
func TestImportForeign(t *testing.T) {
	needRuntime(t)
	for _, network := range []string{"se-resnet", "se-inception", "mobilenetv3"} {
		for _, exporter := range []string{"legacy", "new"} {
			golden := "../../importer/testdata/foreign/" + network + ".safetensors"
			file := "../../importer/testdata/foreign/" + network + "." + exporter + ".onnx"
			dir := filepath.Join(t.TempDir(), "b")
			args := []string{"import", file, "--labels", "a,b,c,d", "--preprocess", "torchvision", "--out"}
			if code, _, stderr := agentCmd(t, append(args, dir, "--golden", golden)...); code != exitDone {
				t.Fatalf("%s: exit %d: %s", file, code, stderr)
			}
			if v := verified(t, exitDone, dir); !v.OK || v.Pairs != 2 || v.MaxDiff > 1e-5*v.MaxLogit ||
				v.Golden != network+".safetensors" {
				t.Errorf("%s: %+v", file, v)
			}
			summarized(t, dir, golden)
			if code, _, stderr := agentCmd(t, append(args, dir+"2")...); code != exitDone {
				t.Fatalf("%s: exit %d: %s", file, code, stderr)
			}
			if v := verified(t, exitDone, dir+"2"); v.Golden != verify.OriginSelfMade {
				t.Errorf("%s: %+v", file, v)
			}
			if v := verified(t, exitDone, dir+"2", "--golden", golden); !v.OK || v.Pairs != 2 {
				t.Errorf("%s: %+v", file, v)
			}
		}
	}
}

// summarized sees that summary counts the multiply-adds that PyTorch's modules did, and finds the
// SE blocks.
func summarized(t *testing.T, dir, golden string) {
	t.Helper()
	f, err := checkpoint.Open(golden, "")
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	code, stdout, stderr := agentCmd(t, "summary", "--json", dir)
	var s vgg16se.Summary
	if err := json.Unmarshal([]byte(stdout), &s); code != exitDone || err != nil {
		t.Fatalf("summary: exit %d: %v: %s", code, err, stderr)
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
	code, _, stderr := agentCmd(t, "import", "../../importer/testdata/foreign/se-resnet.legacy.onnx", "--labels",
		"a,b,c,d",
		"--preprocess", "torchvision",
		"--out", dir, "--golden", "../../importer/testdata/foreign/mobilenetv3.safetensors")
	if code != exitDone {
		t.Fatal(stderr)
	}
	if v := verified(t, exitGate, dir); v.OK || v.MaxDiff < 0.1 {
		t.Errorf("%+v", v)
	}
}

// A mistake costs one clear sentence, and leaves nothing behind.
func TestImportRefuses(t *testing.T) {
	dir := t.TempDir()
	out := filepath.Join(dir, "out")
	full := filepath.Join(dir, "full")
	if err := os.MkdirAll(filepath.Join(full, "x"), 0o755); err != nil {
		t.Fatal(err)
	}
	ckpt, labels, tv := checkpoints+"article.pth", "a,b,c,d,e", "torchvision"
	for _, c := range []struct {
		code int
		want string
		args []string
	}{
		{exitUsage, "--labels", []string{ckpt, "--preprocess", tv, "--out", out}},
		{exitUsage, "--preprocess", []string{ckpt, "--labels", labels, "--out", out}},
		{exitUsage, "--out", []string{ckpt, "--labels", labels, "--preprocess", tv}},
		{exitUsage, "filter is missing", []string{ckpt, "--labels", labels, "--preprocess", "resize=squash", "--out",
			out}},
		{exitUsage, "three numbers", []string{ckpt, "--labels", labels, "--preprocess",
			"resize=squash,filter=area,channels=rgb,scale=1/255,mean=0,std=1,1,1", "--out", out}},
		{exitUsage, "no such key", []string{ckpt, "--labels", labels, "--preprocess",
			"resize=squash,filter=area,channels=rgb,scale=1,mean=0,0,0,std=1,1,1,gamma=2", "--out", out}},
		{exitUsage, "neither torchvision", []string{ckpt, "--labels", labels, "--preprocess", "imagenet", "--out",
			out}},
		{exitUsage, "no file nowhere.txt", []string{ckpt, "--labels", "nowhere.txt", "--preprocess", tv, "--out", out}},
		{exitFailed, "2 labels, the network 5 classes", []string{ckpt, "--labels", "a,b", "--preprocess", tv, "--out",
			out}},
		{exitUsage, "labels must differ", []string{ckpt, "--labels", "a,a,b,c,d", "--preprocess", tv, "--out", out}},
		{exitFailed, "smallest that works is 32", []string{ckpt, "--labels", labels, "--preprocess", tv, "--input",
			"31", "--out", out}},
		{exitFailed, "not empty", []string{ckpt, "--labels", labels, "--preprocess", tv, "--out", full}},
		{exitFailed, "no such file", []string{"none.pth", "--labels", labels, "--preprocess", tv, "--out", out}},
		{exitFailed, "neither safetensors nor a PyTorch", []string{"import.go", "--labels", labels, "--preprocess",
			tv, "--out", out}},
		{exitFailed, "input and logits", []string{ckpt, "--labels", labels, "--preprocess", tv, "--golden",
			checkpoints + "article.safetensors", "--out", out}},
		{exitFailed, "takes 64×64, --input says 32", []string{"../../importer/testdata/foreign/se-resnet.legacy.onnx",
			"--labels",
			"a,b,c,d", "--preprocess", tv, "--input", "32", "--out", out}},
		{exitFailed, "one score for each label", []string{"../../importer/testdata/foreign/se-resnet.legacy.onnx",
			"--labels",
			"a,b,c", "--preprocess", tv, "--out", out}},
	} {
		code, _, stderr := agentCmd(t, append([]string{"import"}, c.args...)...)
		if code != c.code || !strings.Contains(stderr, c.want) {
			t.Errorf("%v: exit %d, %s; want %d, …%s…", c.args, code, stderr, c.code, c.want)
		}
	}
	if left, err := os.ReadDir(dir); err != nil || len(left) != 1 {
		t.Errorf("left behind: %v, %v", left, err)
	}
}

func TestInspect(t *testing.T) {
	for file, want := range map[string]string{
		checkpoints + "nested.pth": `"format":"pytorch zip","key":"state_dict"`,
		checkpoints + "legacy.pt": `{"name":"features.0.weight","shape":[2,3,3,3],` +
			`"dtype":"float32"}`,
		checkpoints + "bfloat16.safetensors":                    `"dtype":"bfloat16"`,
		"../../importer/testdata/foreign/mobilenetv3.new.onnx":  `"opsets":{"ai.onnx":`,
		"../../importer/testdata/foreign/se-resnet.legacy.onnx": `"inputs":["image float32[1 3 64 64]"]`,
	} {
		code, stdout, stderr := agentCmd(t, "inspect", "--json", file)
		if code != exitDone || !strings.Contains(stdout, want) || strings.Count(stdout, "\n") != 1 {
			t.Errorf("%s: exit %d: %s%s", file, code, stdout, stderr)
		}
		if code, stdout, _ := agentCmd(t, "inspect", file); code != exitDone || !strings.Contains(stdout, "tensors: ") {
			t.Errorf("%s: exit %d: %s", file, code, stdout)
		}
	}
}
