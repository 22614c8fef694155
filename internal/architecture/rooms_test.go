package architecture

// rooms says what each folder with Go imports of the others: exactly that, tests aside.
var rooms = map[string]string{
	"agent": "api bundle bundle/store camera device infer internal/atomicfile " +
		"internal/backoff mqtt samples vision",
	"api": "vision",
	"bench": "agent bundle camera demo infer internal/atomicfile mqtt mqtt/spool onnx " +
		"quant vision",
	"bench/gpucheck":    "bundle internal/atomicfile",
	"bundle":            "internal/atomicfile vision",
	"bundle/store":      "bundle internal/atomicfile internal/filelock",
	"camera":            "demo vision",
	"camera/cameratest": "vision",
	"camera/rtsptest":   "",
	"cmd/vggse-agent": "agent bundle bundle/store camera configs demo device infer " +
		"infer/roofline internal/atomicfile internal/logging internal/progress " +
		"internal/round internal/selfexec mqtt mqtt/spool onnx prune quant " +
		"systemd vgg16se vgg16se/checkpoint vision",
	"configs":             "agent bundle/store",
	"demo":                "vision",
	"device":              "",
	"infer":               "bundle internal/atomicfile internal/filelock vision",
	"infer/roofline":      "infer internal/round onnx vision",
	"internal/atomicfile": "",
	"internal/backoff":    "",
	"internal/filelock":   "",
	"internal/logging":    "",
	"internal/progress":   "",
	"internal/round":      "",
	"internal/selfexec":   "",
	"mqtt":                "internal/atomicfile mqtt/spool vision",
	"mqtt/contract":       "",
	"mqtt/spool":          "",
	"onnx":                "",
	"prune":               "onnx vgg16se vision",
	"quant":               "internal/atomicfile onnx vision",
	"samples":             "internal/atomicfile vision",
	"systemd":             "",
	"vgg16se":             "bundle onnx vgg16se/checkpoint vision",
	"vgg16se/checkpoint":  "onnx",
	"vision":              "vision/resample",
	"vision/resample":     "",
}
