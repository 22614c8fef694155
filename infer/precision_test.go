package infer

import (
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/vggse/vggse-agent/bundle"
)

func TestPickFile(t *testing.T) {
	plain := []string{bundle.FileFP32}
	calibrated := []string{bundle.FileFP32, bundle.FileFP16, bundle.FileINT8CPU, bundle.FileINT8TRT,
		bundle.FileINT8TRT11}
	tests := []struct {
		files            []string
		wanted, provider string
		key, precision   string // "" is refused
	}{
		{plain, "auto", "cpu", bundle.FileFP32, "fp32"},
		{plain, "auto", "tensorrt", bundle.FileFP32, "fp32"},
		{plain, "int8", "cpu", "", ""},
		{plain, "fp16", "cuda", "", ""},
		{calibrated, "auto", "cpu", bundle.FileINT8CPU, "int8"},
		{calibrated, "auto", "tensorrt", bundle.FileINT8TRT, "int8"},
		{calibrated, "auto", tensorRT11, bundle.FileINT8TRT11, "int8"},
		{calibrated, "fp16", tensorRT11, bundle.FileFP16, "fp16"},
		{plain, "auto", tensorRT11, bundle.FileFP32, "fp32"},
		{calibrated, "auto", "cuda", bundle.FileFP16, "fp16"},
		{calibrated, "fp32", "cpu", bundle.FileFP32, "fp32"},
		{calibrated, "fp16", "cpu", bundle.FileFP16, "fp16"},
		{calibrated, "fp16", "tensorrt", bundle.FileFP16, "fp16"},
		{calibrated, "int8", "cpu", bundle.FileINT8CPU, "int8"},
		{calibrated, "int8", "cuda", bundle.FileINT8TRT, "int8"},
		{plain, "int8", "cuda", "", ""},
		{calibrated, "auto", OpenVINO, bundle.FileINT8CPU, "int8"},
		{calibrated, "auto", openVINOAMX, bundle.FileINT8TRT, "int8"},
		{plain, "auto", OpenVINO, bundle.FileFP32, "fp32"},
		{plain, "bf16", OpenVINO, bundle.FileFP32, "bf16"},
		{plain, "bf16", "cpu", "", ""},
	}
	for _, tt := range tests {
		b := &bundle.Bundle{Dir: "b", Spec: bundle.Spec{Files: map[string]bundle.File{}}}
		for _, f := range tt.files {
			b.Spec.Files[f] = bundle.File{}
		}
		got, err := pickFile(b, tt.wanted, tt.provider)
		if got.key != tt.key || got.precision != tt.precision || (err != nil) != (tt.key == "") {
			t.Errorf("%v, %s on %s: got %+v, %v, want %s", tt.files, tt.wanted, tt.provider, got, err, tt.key)
		}
		if err == nil && got.why == "" {
			t.Errorf("%s on %s: no reason given", tt.wanted, tt.provider)
		}
	}
	b := &bundle.Bundle{Dir: "b", Spec: bundle.Spec{Files: map[string]bundle.File{bundle.FileFP32: {}}}}
	if err := hasPrecision(b, "int8"); err == nil || !strings.Contains(err.Error(), "calibrate") {
		t.Errorf("int8 of a bundle that is not calibrated: %v", err)
	}
	if err := hasPrecision(b, "auto"); err != nil {
		t.Error(err)
	}
}

// An ONNX Runtime whose provider is linked with TensorRT 11 gets the file for that; the provider
// here is a library that wants one of its name.
func TestKindOfTensorRT(t *testing.T) {
	dir := t.TempDir()
	library := filepath.Join(dir, "libonnxruntime.so")
	if got := kindOf(TensorRT, library); got != TensorRT {
		t.Errorf("without any provider: %s", got)
	}
	if err := os.WriteFile(filepath.Join(dir, "empty.c"), []byte("int nothing;\n"), 0o644); err != nil {
		t.Fatal(err)
	}
	for _, args := range [][]string{
		{"-shared", "-o", "libonnxruntime.so", "empty.c"},
		{"-shared", "-o", "libnvinfer.so.11", "-Wl,-soname,libnvinfer.so.11", "empty.c"},
		{"-shared", "-o", "libonnxruntime_providers_tensorrt.so", "empty.c", "-Wl,--no-as-needed", "-L.",
			"-l:libnvinfer.so.11"},
	} {
		cmd := exec.Command("cc", args...)
		cmd.Dir = dir
		if out, err := cmd.CombinedOutput(); err != nil {
			t.Fatalf("cc: %v\n%s", err, out)
		}
	}
	if got := kindOf(TensorRT, library); got != tensorRT11 {
		t.Errorf("with TensorRT 11: %s", got)
	}
	if got := kindOf(CUDA, library); got != CUDA {
		t.Errorf("CUDA beside it: %s", got)
	}
}

// Whatever files a bundle has: a provider gets the first of its list that is there, never another
// precision than the one asked for, and hasPrecision says whether any provider could have it.
func TestPickFileOfEveryBundle(t *testing.T) {
	keys := []string{bundle.FileFP32, bundle.FileFP16, bundle.FileINT8CPU, bundle.FileINT8TRT, bundle.FileINT8TRT11}
	for set := range 1 << len(keys) {
		b := &bundle.Bundle{Dir: "b", Spec: bundle.Spec{Files: map[string]bundle.File{}}}
		for i, key := range keys {
			if set>>i&1 == 1 {
				b.Spec.Files[key] = bundle.File{}
			}
		}
		for _, wanted := range []string{"auto", "fp32", "fp16", "int8"} {
			some := false
			for provider, list := range files {
				var want choice
				for _, c := range list {
					if _, there := b.Spec.Files[c.key]; there && want.key == "" &&
						(wanted == "auto" || wanted == c.precision) {
						want = c
					}
				}
				got, err := pickFile(b, wanted, provider)
				if got.key != want.key || got.precision != want.precision || (err == nil) != (want.key != "") {
					t.Errorf("%v, %s on %s: %+v, %v; want %+v", b.Spec.Files, wanted, provider, got, err, want)
				}
				if err != nil && (!strings.Contains(err.Error(), wanted) || !strings.Contains(err.Error(), provider)) {
					t.Errorf("%s on %s: %v does not name what is missing", wanted, provider, err)
				}
				some = some || err == nil
			}
			if err := hasPrecision(b, wanted); (err == nil) != some {
				t.Errorf("%v, %s: %v, and a provider has it: %v", b.Spec.Files, wanted, err, some)
			}
		}
	}
}
