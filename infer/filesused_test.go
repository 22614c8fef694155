package infer

import (
	"slices"
	"testing"

	"github.com/vggse/vggse-agent/bundle"
)

// TestFilesUsed: a machine gets what its providers run, and no more.
func TestFilesUsed(t *testing.T) {
	all := []string{bundle.FileFP16, bundle.FileFP32, bundle.FileGolden, bundle.FileINT8CPU, bundle.FileINT8TRT,
		bundle.FileINT8TRT11}
	for _, c := range []struct {
		what, precision string
		providers, keys []string
		gpu             bool
		want            []string
	}{
		{"a CPU", auto, []string{auto}, all, false, []string{bundle.FileINT8CPU}},
		{"a CPU, nothing set", auto, nil, all, false, []string{bundle.FileINT8CPU}},
		{"a CPU, not calibrated", auto, []string{auto}, []string{bundle.FileFP32}, false, []string{bundle.FileFP32}},
		{"a CPU, FP32", "fp32", []string{auto}, all, false, []string{bundle.FileFP32}},
		{"a GPU", auto, []string{auto}, all, true, []string{bundle.FileFP16, bundle.FileINT8CPU, bundle.FileINT8TRT,
			bundle.FileINT8TRT11}},
		{"a GPU, FP16", "fp16", []string{auto}, all, true, []string{bundle.FileFP16}},
		{"TensorRT alone", auto, []string{TensorRT}, all, true, []string{bundle.FileINT8TRT, bundle.FileINT8TRT11}},
		{"OpenVINO", auto, []string{OpenVINO, CPU}, all, false, []string{bundle.FileINT8CPU,
			bundle.FileINT8TRT}},
		{"bf16 is FP32", "bf16", []string{OpenVINO}, all, false, []string{bundle.FileFP32}},
		{"nothing fits", "fp16", []string{auto}, []string{bundle.FileFP32}, false, []string{bundle.FileFP32}},
	} {
		cfg := Config{Providers: c.providers}
		if got := cfg.filesUsed(c.precision, c.keys, c.gpu); !slices.Equal(got, c.want) {
			t.Errorf("%s: got %v, want %v", c.what, got, c.want)
		}
	}
}
