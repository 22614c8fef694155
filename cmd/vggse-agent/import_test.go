package main

import (
	"encoding/binary"
	"encoding/json"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/vggse/vggse-agent/importer"
	"github.com/vggse/vggse-agent/infer"
	"github.com/vggse/vggse-agent/verify"
)

const (
	checkpoints = "../../vgg16se/testdata/"
	foreign     = "../../importer/testdata/foreign/"
)

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

// A checkpoint and an .onnx file become bundles: one line of JSON, and verify says with its exit
// code whether they answer right.
func TestImportAndVerify(t *testing.T) {
	needRuntime(t)
	for file, labels := range map[string]string{checkpoints + "article.pth": "a,b,c,d,e",
		foreign + "se-resnet.legacy.onnx": "a,b,c,d"} {
		dir := filepath.Join(t.TempDir(), "b")
		code, stdout, stderr := agentCmd(t, "import", "--json", file, "--labels", labels, "--preprocess", "torchvision",
			"--out", dir, "--input", "64")
		var line importer.Result
		if err := json.Unmarshal([]byte(stdout), &line); err != nil || code != exitDone || line.Bundle != dir ||
			len(line.SHA256) != 64 {
			t.Fatalf("%s: exit %d, %v: %s%s", file, code, err, stdout, stderr)
		}
		if v := verified(t, exitDone, dir); !v.OK || v.Pairs != verify.Pairs || v.Provider != "cpu" {
			t.Errorf("%s: %+v", file, v)
		}
		if file == checkpoints+"article.pth" {
			if v := verified(t, exitGate, dir, "--tolerance", "1e-12"); v.OK {
				t.Errorf("%s: %+v", file, v)
			}
		}
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
		{exitUsage, "labels must differ", []string{ckpt, "--labels", "a,a,b,c,d", "--preprocess", tv, "--out", out}},
		{exitFailed, "not empty", []string{ckpt, "--labels", labels, "--preprocess", tv, "--out", full}},
		{exitFailed, "no such file", []string{"none.pth", "--labels", labels, "--preprocess", tv, "--out", out}},
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

// Names in a file write no lines of their own, and nothing that a terminal would obey.
func TestInspectShowsNamesAsTheyAre(t *testing.T) {
	header := `{"__metadata__":{"a":"b\u001b[31m"},` +
		`"w\u001b[2J\n* trusted\tx":{"dtype":"F32","shape":[1],"data_offsets":[0,4]}}`
	file := filepath.Join(t.TempDir(), "a.safetensors")
	text := binary.LittleEndian.AppendUint64(nil, uint64(len(header)))
	if err := os.WriteFile(file, append(append(text, header...), 0, 0, 0, 0), 0o600); err != nil {
		t.Fatal(err)
	}
	code, stdout, stderr := agentCmd(t, "inspect", file)
	if code != exitDone || strings.Contains(stdout, "\x1b") || strings.Contains(stdout, "\n* ") ||
		!strings.Contains(stdout, `w\x1b[2J\n* trusted\tx`) {
		t.Errorf("exit %d: %q%s", code, stdout, stderr)
	}
}

func TestInspect(t *testing.T) {
	for file, want := range map[string]string{
		checkpoints + "nested.pth": `"format":"pytorch zip","key":"state_dict"`,
		checkpoints + "legacy.pt": `{"name":"features.0.weight","shape":[2,3,3,3],` +
			`"dtype":"float32"}`,
		checkpoints + "bfloat16.safetensors": `"dtype":"bfloat16"`,
		foreign + "mobilenetv3.new.onnx":     `"opsets":{"ai.onnx":`,
		foreign + "se-resnet.legacy.onnx":    `"inputs":["image float32[1 3 64 64]"]`,
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
