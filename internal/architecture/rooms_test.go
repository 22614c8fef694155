package architecture

// rooms says what each folder with Go imports of the others: exactly that, tests aside.
var rooms = map[string]string{
	"agent": "api camera device infer internal/atomicfile internal/backoff model mqtt " +
		"samples store",
	"api": "model",
	"bench": "agent camera demo infer internal/atomicfile model mqtt mqtt/spool onnx " +
		"quant",
	"bench/gpucheck":    "internal/atomicfile model",
	"camera":            "demo model",
	"camera/cameratest": "model",
	"camera/rtsptest":   "",
	"cmd/vggse-agent": "agent camera configs demo device infer internal/atomicfile " +
		"internal/logging internal/progress internal/round internal/selfexec " +
		"model mqtt mqtt/spool onnx prune quant store systemd vgg16se " +
		"vgg16se/checkpoint",
	"configs":             "agent store",
	"demo":                "model",
	"device":              "",
	"infer":               "internal/atomicfile internal/filelock model",
	"internal/atomicfile": "",
	"internal/backoff":    "",
	"internal/filelock":   "",
	"internal/logging":    "",
	"internal/progress":   "",
	"internal/round":      "",
	"internal/selfexec":   "",
	"model":               "internal/atomicfile model/resample",
	"model/resample":      "",
	"mqtt":                "internal/atomicfile model mqtt/spool",
	"mqtt/contract":       "",
	"mqtt/spool":          "",
	"onnx":                "",
	"prune":               "model onnx vgg16se",
	"quant":               "internal/atomicfile model onnx",
	"samples":             "internal/atomicfile model",
	"store":               "internal/atomicfile internal/filelock model",
	"systemd":             "",
	"vgg16se":             "model onnx vgg16se/checkpoint",
	"vgg16se/checkpoint":  "onnx",
}
