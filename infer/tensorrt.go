package infer

import (
	"errors"
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"

	ort "github.com/yalue/onnxruntime_go"
)

// gpuFacts are what the options of a GPU provider, and the key of its engines, depend on.
type gpuFacts struct {
	TensorRT string // version, 10.3.0; "": unknown, as where its library cannot be loaded
	Major    int    // of TensorRT, as the provider's library wants it; 0: unknown
	Arch     string // sm_87; "": unknown
	Memory   uint64 // of the GPU, bytes; on a Jetson the machine's; 0: unknown
}

// small is the GPU memory below which the build is held to 256 MiB of workspace: the 4 and 8 GB
// modules, on which builds with 1 GiB were killed (jkjung-avt/tensorrt_demos issue 293).
const small = 9 << 30

// tensorRTOptions is the map for the TensorRT provider, whole: each Update resets what it does not
// name. Up to TensorRT 10 flags allow the precisions of the file; 11 is always strongly typed, the
// file alone decides. Unproven on hardware; 'make gpu-check' on a machine with TensorRT would prove
// it.
//
// The batch is symbolic in the file: without a profile the provider builds again for each size that
// comes, and rewrites its files (microsoft/onnxruntime issue 18272).
func tensorRTOptions(f gpuFacts, net *ModelFile, batch int, cache string) map[string]string {
	workspace := uint64(1 << 30)
	if f.Memory != 0 && f.Memory < small {
		workspace = 256 << 20
	}
	o := map[string]string{
		"device_id":              "0",
		"trt_max_workspace_size": strconv.FormatUint(workspace, 10),
		"trt_dla_enable":         "0",
		// The level that TensorRT 8.6 to 11 take for theirs, said openly: the key of the cache
		// holds it.
		"trt_builder_optimization_level": "3",
		"trt_auxiliary_streams":          "0", // least memory; one picture has nothing to run beside
		"trt_profile_min_shapes":         shapeOf(net, 1),
		"trt_profile_opt_shapes":         shapeOf(net, batch),
		"trt_profile_max_shapes":         shapeOf(net, batch),
	}
	if f.Major > 0 && f.Major < 11 {
		o["trt_int8_enable"], o["trt_fp16_enable"] = "0", "0"
		switch net.Precision {
		case "int8":
			o["trt_int8_enable"], o["trt_fp16_enable"] = "1", "1" // what is not quantized runs in half precision
		case "fp16":
			o["trt_fp16_enable"] = "1"
		}
	}
	if cache != "" {
		o["trt_engine_cache_enable"] = "1"
		o["trt_engine_cache_path"] = cache
		o["trt_engine_cache_prefix"] = "network"
	}
	return o
}

func shapeOf(net *ModelFile, batch int) string {
	return fmt.Sprintf("%s:%dx3x%dx%[3]d", net.Input, batch, net.Size)
}

// optional are the options that not every ONNX Runtime from 1.16 on knows, or whose default does as
// well.
var optional = []string{"trt_builder_optimization_level", "trt_auxiliary_streams", "trt_engine_cache_prefix"}

// digestible is what of the options belongs into the key of an engine: all but where files lie.
func digestible(options map[string]string) string {
	var lines []string
	for _, key := range slices.Sorted(maps.Keys(options)) {
		if !strings.HasSuffix(key, "_path") {
			lines = append(lines, key+"="+options[key])
		}
	}
	return strings.Join(lines, "\n")
}

func appendTensorRT(so *ort.SessionOptions, options map[string]string) error {
	o, err := ort.NewTensorRTProviderOptions()
	if err != nil {
		return err
	}
	defer o.Destroy()
	if err = o.Update(options); err != nil && strings.Contains(err.Error(), "nknown provider option") {
		fewer := maps.Clone(options)
		for _, key := range optional {
			delete(fewer, key)
		}
		err = o.Update(fewer)
	}
	if err != nil {
		return err
	}
	// TensorRT optimizes by itself, and ONNX Runtime's rewriting of quantized graphs breaks its
	// parser (microsoft/onnxruntime issues 14229 and 11535).
	if err := so.SetGraphOptimizationLevel(ort.GraphOptimizationLevelDisableAll); err != nil {
		return err
	}
	return so.AppendExecutionProviderTensorRT(o)
}

func appendCUDA(so *ort.SessionOptions) error {
	o, err := ort.NewCUDAProviderOptions()
	if err != nil {
		return err
	}
	defer o.Destroy()
	if err := o.Update(map[string]string{"device_id": "0"}); err != nil { // loads the provider
		return err
	}
	// ONNX Runtime would quantize the float biases of an INT8 file to 32 bits, and CUDA has no
	// operator that takes these back: the nodes would stay on the CPU.
	if err := so.AddSessionConfigEntry("optimization.disable_specified_optimizers",
		"WeightBiasQuantization"); err != nil {
		return err
	}
	return so.AppendExecutionProviderCUDA(o)
}

// refused is how a provider that was not compiled in says so itself, before anything is built; nil:
// it was.
func refused(provider string, net *ModelFile) error {
	switch provider {
	case TensorRT:
		o, err := ort.NewTensorRTProviderOptions()
		if err != nil {
			return err
		}
		return o.Destroy()
	case CUDA:
		o, err := ort.NewCUDAProviderOptions()
		if err != nil {
			return err
		}
		return o.Destroy()
	case OpenVINO:
		if net.Precision == "bf16" && !hasBFloat16() {
			return errors.New("this processor has no bfloat16 units (AVX512-BF16 or AMX): set model.precision to " +
				"another")
		}
		return loads(OpenVINO)
	}
	return nil
}

// lookAtGPU finds out what the machine has for the ONNX Runtime at library. It makes no CUDA
// context.
func lookAtGPU(library string) gpuFacts {
	f := gpuFacts{Major: TensorRTMajor(library)}
	if f.Major > 0 {
		f.TensorRT = tensorRTVersion(fmt.Sprint("libnvinfer.so.", f.Major))
	}
	f.Arch, f.Memory = cudaDevice()
	return f
}

// TensorRTMajor is the major version of TensorRT that the provider of the ONNX Runtime at library
// (Runtime.Path) is linked with; 0 where there is no such provider.
func TensorRTMajor(library string) int {
	for _, name := range wants(library, TensorRT) {
		if n, ok := strings.CutPrefix(name, "libnvinfer.so."); ok {
			major, _ := strconv.Atoi(n)
			return major
		}
	}
	return 0
}

// versionOf splits the number that TensorRT gives as its version: 8502 is 8.5.2, 100300 is 10.3.0.
func versionOf(n int) string {
	switch {
	case n <= 0:
		return ""
	case n < 10000:
		return fmt.Sprintf("%d.%d.%d", n/1000, n/100%10, n%100)
	}
	return fmt.Sprintf("%d.%d.%d", n/10000, n/100%100, n%100)
}
