package device

import (
	"runtime"

	"golang.org/x/sys/cpu"
)

// HasVNNI tells whether the processor has a dot product of 8-bit numbers that sums in 32 bits.
func HasVNNI() bool {
	return cpu.X86.HasAVX512VNNI || cpu.X86.HasAVXVNNI || cpu.ARM64.HasASIMDDP
}

// Saturates8Bit tells whether ONNX Runtime's products u8·s8 may saturate here: it then adds pairs
// of them in 16 bits (VPMADDUBSW), as on every x86 without VNNI. ARM never does.
func Saturates8Bit() bool { return runtime.GOARCH == "amd64" && !HasVNNI() }
