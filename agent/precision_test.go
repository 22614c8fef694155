package agent

import (
	"strings"
	"testing"

	"github.com/vggse/vggse-agent/model"
)

func TestPickFile(t *testing.T) {
	plain := []string{model.FileFP32}
	calibrated := []string{model.FileFP32, model.FileFP16, model.FileINT8CPU, model.FileINT8TRT, model.FileINT8TRT11}
	tests := []struct {
		files            []string
		wanted, provider string
		key, precision   string // "" is refused
	}{
		{plain, "auto", "cpu", model.FileFP32, "fp32"},
		{plain, "auto", "tensorrt", model.FileFP32, "fp32"},
		{plain, "int8", "cpu", "", ""},
		{plain, "fp16", "cuda", "", ""},
		{calibrated, "auto", "cpu", model.FileINT8CPU, "int8"},
		{calibrated, "auto", "tensorrt", model.FileINT8TRT, "int8"},
		{calibrated, "auto", "cuda", model.FileFP16, "fp16"},
		{calibrated, "fp32", "cpu", model.FileFP32, "fp32"},
		{calibrated, "fp16", "cpu", model.FileFP16, "fp16"},
		{calibrated, "fp16", "tensorrt", model.FileFP16, "fp16"},
		{calibrated, "int8", "cpu", model.FileINT8CPU, "int8"},
		{calibrated, "int8", "cuda", model.FileINT8TRT, "int8"},
		{plain, "int8", "cuda", "", ""},
	}
	for _, tt := range tests {
		b := &model.Bundle{Dir: "b", Spec: model.Spec{Files: map[string]model.File{}}}
		for _, f := range tt.files {
			b.Spec.Files[f] = model.File{}
		}
		got, err := pickFile(b, tt.wanted, tt.provider)
		if got.key != tt.key || got.precision != tt.precision || (err != nil) != (tt.key == "") {
			t.Errorf("%v, %s on %s: got %+v, %v, want %s", tt.files, tt.wanted, tt.provider, got, err, tt.key)
		}
		if err == nil && got.why == "" {
			t.Errorf("%s on %s: no reason given", tt.wanted, tt.provider)
		}
	}
	b := &model.Bundle{Dir: "b", Spec: model.Spec{Files: map[string]model.File{model.FileFP32: {}}}}
	if err := hasPrecision(b, "int8"); err == nil || !strings.Contains(err.Error(), "calibrate") {
		t.Errorf("int8 of a bundle that is not calibrated: %v", err)
	}
	if err := hasPrecision(b, "auto"); err != nil {
		t.Error(err)
	}
}
