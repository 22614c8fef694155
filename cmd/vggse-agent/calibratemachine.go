package main

import (
	"os"
	"runtime"
	"strings"

	"golang.org/x/sys/cpu"

	"github.com/vggse/vggse-agent/infer"
	"github.com/vggse/vggse-agent/quant"
)

// vnni tells whether the processor has a dot product of 8-bit numbers that sums in 32 bits.
func vnni() bool {
	return cpu.X86.HasAVX512VNNI || cpu.X86.HasAVXVNNI || cpu.ARM64.HasASIMDDP
}

// saturates tells whether ONNX Runtime's products u8·s8 may saturate here: it then adds pairs of them in
// 16 bits (VPMADDUBSW), as on every x86 without VNNI. ARM never does.
func saturates() bool { return runtime.GOARCH == "amd64" && !vnni() }

func thisMachine() (quant.Machine, error) {
	version, err := infer.Version(infer.Config{})
	m := quant.Machine{CPU: runtime.GOARCH, VNNI: vnni(), Runtime: version}
	text, _ := os.ReadFile("/proc/cpuinfo")
	for line := range strings.Lines(string(text)) {
		if name, ok := strings.CutPrefix(line, "model name"); ok {
			m.CPU = strings.TrimLeft(strings.TrimSpace(name), ": \t")
			break
		}
	}
	return m, err
}
