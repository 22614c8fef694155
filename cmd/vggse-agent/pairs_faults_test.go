package main

import (
	"encoding/json"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// TestEveryBundleIsAcceptedByEveryVerb makes a bundle with each verb that makes one, out of each
// bundle that there is, and hands it to each verb that reads one.
func TestEveryBundleIsAcceptedByEveryVerb(t *testing.T) {
	if testing.Short() {
		t.Skip("calibrates four bundles")
	}
	dir := t.TempDir()
	in := func(name string) string { return filepath.Join(dir, name) }
	must := func(args ...string) {
		t.Helper()
		if code, _, stderr := agentCmd(t, args...); code != exitDone {
			t.Fatalf("%v: exit %d, %s", args, code, stderr)
		}
	}
	must("demo-data", "--out", in("pictures"), "--n", "60", "--seed", "5")
	must("new", "--out", in("new"), "--classes", "3", "--width", "0.0625", "--hidden", "16", "--input", "32", "--pool",
		"1")
	must("import", "../../vgg16se/testdata/article.pth", "--labels", "a,b,c,d,e", "--input", "64", "--out",
		in("checkpoint"), "--preprocess", "torchvision")
	must("import", "../../importer/testdata/foreign/se-resnet.legacy.onnx", "--labels", "a,b,c,d", "--out",
		in("foreign"),
		"--preprocess", "torchvision")
	made := []string{"new", "checkpoint", "foreign"}
	quick := []string{"--images", in("pictures"), "--seconds", "0", "--budget", "none", "--min-agreement", "0",
		"--method",
		"minmax"}
	for _, b := range [][2]string{{"new", "none"}, {"checkpoint", "pictures"}, {"checkpoint", "none"},
		{"foreign", "pictures"}} {
		out := b[0] + "-int8-" + b[1]
		args := append([]string{"calibrate", "--bundle", in(b[0]), "--goldens", b[1], "--out", in(out)}, quick...)
		must(args...)
		made = append(made, out)
		_, err := os.Stat(in(out + "/golden.int8.safetensors"))
		if kept := err == nil; kept != (b[1] == "pictures") {
			t.Errorf("--goldens %s: pictures are in the bundle: %t", b[1], kept)
		}
	}
	must("prune", in("checkpoint"), "--images", in("pictures"), "--target", "1.2x", "--seconds", "0.1",
		"--out", in("pruned"))
	must(append([]string{"calibrate", "--bundle", in("pruned"), "--out", in("pruned-int8")}, quick...)...)
	made = append(made, "pruned", "pruned-int8")
	state := "state_dir=" + in("state")
	pictures, err := filepath.Glob(in("pictures") + "/*/*.png")
	if err != nil || len(pictures) == 0 {
		t.Fatalf("no pictures: %v", err)
	}
	picture := pictures[0]
	for _, name := range made {
		for _, precision := range []string{"fp32", "auto"} {
			must("verify", in(name), "--precision", precision)
			must("classify", "--bundle", in(name), "--precision", precision, picture)
			must("bench", in(name), "--precision", precision, "--provider", "cpu", "--seconds", "0.02")
		}
		must("compare", in(name), picture)
		must("summary", in(name))
		// without TensorRT an engine cannot be built, which is said, and the bundle stays what it was
		if code, _, stderr := agentCmd(t, "build", in(name)); code == exitDone || code == exitUsage ||
			!strings.Contains(stderr, "tensorrt") {
			t.Errorf("build %s: exit %d, %s", name, code, stderr)
		}
		must("bundle", "pack", in(name), "--out", in(name+".vggse"))
		must("--set", state, "model", "install", in(name+".vggse"))
		var installed struct {
			SHA256 string `json:"sha256"`
		}
		_, stdout, _ := agentCmd(t, "--set", state, "model", "install", in(name), "--json")
		if err := json.Unmarshal([]byte(stdout), &installed); err != nil {
			t.Fatal(err)
		}
		must("--set", state, "model", "activate", installed.SHA256)
	}
}
