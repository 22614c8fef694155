package infer

import (
	"fmt"

	"golang.org/x/sys/cpu"

	"github.com/vggse/vggse-agent/bundle"
)

// choice is the model file for one provider.
type choice struct{ key, precision, why string }

// tensorRT11 is TensorRT from 11 on: it types strictly, so what is not in 8 bits runs in half
// precision only where the file says so.
const tensorRT11 = "tensorrt11"

// openVINOAMX is OpenVINO on a processor with AMX, which multiplies two signed numbers as fast as
// any; AVX512-VNNI multiplies an unsigned one with a signed one.
const openVINOAMX = "openvino-amx"

// files are the model files that suit a provider, by precision, the best for "auto" first. Half
// precision on the CPU is only slower; on CUDA the INT8 file is right and no faster: what it
// quantized runs in float again.
var files = map[string][]choice{
	TensorRT: {
		{bundle.FileINT8TRT, "int8", "the bundle is calibrated"},
		{bundle.FileFP16, "fp16", "half precision is the best this bundle has for tensorrt"},
		{bundle.FileFP32, "fp32", "the bundle is not calibrated"},
	},
	tensorRT11: {
		{bundle.FileINT8TRT11, "int8", "the bundle is calibrated, and this is TensorRT 11 or later"},
		{bundle.FileINT8TRT, "int8", "the bundle is calibrated, without a file for TensorRT 11"},
		{bundle.FileFP16, "fp16", "half precision is the best this bundle has for tensorrt"},
		{bundle.FileFP32, "fp32", "the bundle is not calibrated"},
	},
	CUDA: {
		{bundle.FileFP16, "fp16", "half precision is the best for cuda"},
		{bundle.FileFP32, "fp32", "the bundle is not calibrated"},
		{bundle.FileINT8TRT, "int8", ""},
	},
	OpenVINO: {
		{bundle.FileINT8CPU, "int8", "the bundle is calibrated"},
		{bundle.FileINT8TRT, "int8", "the bundle is calibrated"},
		{bundle.FileFP32, "fp32", "the bundle is not calibrated"},
		{bundle.FileFP32, "bf16", ""},
	},
	openVINOAMX: {
		{bundle.FileINT8TRT, "int8", "the bundle is calibrated, and AMX multiplies signed codes"},
		{bundle.FileINT8CPU, "int8", "the bundle is calibrated"},
		{bundle.FileFP32, "fp32", "the bundle is not calibrated"},
		{bundle.FileFP32, "bf16", ""},
	},
	CPU: {
		{bundle.FileINT8CPU, "int8", "the bundle is calibrated"},
		{bundle.FileFP32, "fp32", "the bundle is not calibrated"},
		{bundle.FileFP16, "fp16", ""},
	},
}

// pickFile chooses the model file of a bundle for the wanted precision on a provider, never another
// precision silently.
func pickFile(b *bundle.Bundle, wanted, provider string) (choice, error) {
	for _, c := range files[provider] {
		if _, there := b.Spec.Files[c.key]; !there || wanted != "auto" && wanted != c.precision {
			continue
		}
		if wanted != "auto" {
			c.why = "model.precision asks for it"
		}
		return c, nil
	}
	if wanted == "bf16" {
		return choice{}, fmt.Errorf("model.precision: bf16 is how openvino runs FP32, %s does not", provider)
	}
	return choice{}, fmt.Errorf("model.precision: bundle %s has no %s file for %s", b.Dir, wanted, provider)
}

// kindOf is the provider as files knows it; library is the ONNX Runtime that has it.
func kindOf(provider, library string) string {
	switch {
	case provider == TensorRT && TensorRTMajor(library) >= 11:
		return tensorRT11
	case provider == OpenVINO && cpu.X86.HasAMXInt8:
		return openVINOAMX
	}
	return provider
}

// hasPrecision returns an error where no provider could ever have the wanted precision of the
// bundle.
func hasPrecision(b *bundle.Bundle, wanted string) error {
	for provider := range files {
		if _, err := pickFile(b, wanted, provider); err == nil {
			return nil
		}
	}
	return fmt.Errorf("model.precision: bundle %s has no %s file: make one with 'vggse-agent calibrate', or set auto",
		b.Dir, wanted)
}
