package architecture

// rooms says what each folder with Go imports of the others: exactly that, tests aside.
var rooms = map[string]string{
	"agent": "agent/pipeline agent/shadow agent/trial api api/page bundle " +
		"bundle/store camera camera/worker configs device fleet infer " +
		"internal/account internal/atomicfile internal/filelock internal/mistake internal/redact " +
		"live mqtt mqtt/broker reference release samples vision",
	"agent/pipeline":    "bundle camera internal/backoff mqtt vision",
	"agent/shadow":      "agent/trial bundle internal/selfexec vision",
	"agent/trial":       "bundle configs vision",
	"api":               "api/page internal/atomicfile internal/pemfile vision",
	"api/page":          "live samples vision",
	"api/page/pagetest": "",
	"bench": "agent/pipeline bundle bundle/store camera camera/worker dataset demo " +
		"eval infer internal/atomicfile mqtt mqtt/spool onnx prune quant release teach " +
		"vgg16se/checkpoint vision",
	"bench/gpucheck": "bundle internal/atomicfile",
	"bundle":         "internal/atomicfile internal/mistake vision",
	"bundle/store":   "bundle internal/account internal/atomicfile internal/filelock",
	"camera": "demo internal/atomicfile internal/mistake internal/pemfile internal/reach internal/redact " +
		"internal/round vision",
	"camera/cameratest": "vision",
	"camera/rtsptest":   "",
	"camera/worker":     "camera internal/landlock internal/selfexec vision",
	"cmd/vggse-agent": "agent agent/shadow api/page bundle bundle/store camera camera/worker " +
		"configs dataset demo device doctor eval fleet importer infer " +
		"infer/roofline internal/account internal/atomicfile internal/landlock " +
		"internal/logging internal/mistake internal/progress internal/redact internal/round " +
		"internal/selfexec mqtt mqtt/spool mqtt/watch onnx prune quant release " +
		"systemd teach verify vgg16se vision",
	"configs": "api bundle/store camera fleet infer internal/account " +
		"internal/atomicfile internal/mistake internal/redact mqtt release samples vision",
	"dataset":      "camera camera/worker internal/atomicfile internal/round vision",
	"demo":         "internal/atomicfile internal/progress vision",
	"deploy/image": "",
	"device":       "",
	"doctor": "bundle camera camera/worker configs device infer internal/redact mqtt " +
		"release",
	"eval": "bundle camera dataset device infer internal/atomicfile " +
		"internal/progress internal/round vision",
	"fleet": "bundle mqtt release",
	"importer": "bundle infer internal/atomicfile internal/progress onnx verify vgg16se " +
		"vgg16se/checkpoint vision",
	"infer": "bundle internal/account internal/atomicfile internal/filelock onnx " +
		"vgg16se/checkpoint vision",
	"infer/infertest":     "bundle infer onnx vision",
	"infer/roofline":      "infer internal/round onnx vision",
	"internal/account":    "",
	"internal/atomicfile": "",
	"internal/backoff":    "",
	"internal/filelock":   "",
	"internal/landlock":   "",
	"internal/logging":    "",
	"internal/mistake":    "",
	"internal/pemfile":    "internal/atomicfile",
	"internal/progress":   "internal/round",
	"internal/racetest":   "",
	"internal/reach":      "",
	"internal/redact":     "",
	"internal/round":      "",
	"internal/selfexec":   "",
	"live":                "vision",
	"mqtt": "internal/atomicfile internal/pemfile internal/reach internal/redact mqtt/spool " +
		"vision",
	"mqtt/broker":   "",
	"mqtt/contract": "",
	"mqtt/spool":    "",
	"mqtt/watch":    "mqtt vision",
	"onnx":          "",
	"prune": "bundle dataset eval infer internal/atomicfile internal/progress " +
		"internal/round onnx vgg16se vision",
	"quant": "bundle dataset device eval infer internal/atomicfile internal/progress " +
		"onnx reference verify vision",
	"reference": "bundle onnx vgg16se/checkpoint vision",
	"release": "bundle bundle/store internal/atomicfile internal/backoff " +
		"internal/filelock internal/pemfile onnx",
	"samples": "dataset internal/atomicfile vision",
	"systemd": "",
	"teach": "bundle dataset eval infer internal/atomicfile internal/progress internal/round onnx " +
		"reference verify vgg16se/checkpoint vision",
	"verify":             "bundle infer internal/account internal/progress onnx vgg16se vgg16se/checkpoint vision",
	"vgg16se":            "bundle onnx vgg16se/checkpoint vision",
	"vgg16se/checkpoint": "internal/atomicfile onnx",
	"vision":             "vision/resample",
	"vision/resample":    "",
}
