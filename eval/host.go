package eval

import (
	"os"
	"runtime"
	"strings"

	"github.com/vggse/vggse-agent/device"
	"github.com/vggse/vggse-agent/infer"
)

// Host says where latencies were measured.
type Host struct {
	CPU     string `json:"cpu"`
	VNNI    bool   `json:"vnni"` // 8-bit dot products in hardware (dotprod on ARM)
	Runtime string `json:"onnxruntime"`
}

// ThisHost is the machine that this runs on, with the ONNX Runtime that c names.
func ThisHost(c infer.Config) (Host, error) {
	version, err := infer.Version(c)
	m := Host{CPU: runtime.GOARCH, VNNI: device.HasVNNI(), Runtime: version}
	text, _ := os.ReadFile("/proc/cpuinfo")
	for line := range strings.Lines(string(text)) {
		if name, ok := strings.CutPrefix(line, "model name"); ok {
			m.CPU = strings.TrimLeft(strings.TrimSpace(name), ": \t")
			break
		}
	}
	return m, err
}
