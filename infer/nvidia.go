package infer

/*
#include <dlfcn.h>
#include <signal.h>
#include <stddef.h>

// What stands in cuda.h and NvInferRuntime.h of the few functions that are asked for; both are stable.
static int vggse_tensorrt_version(void *function) { return ((int (*)(void))function)(); }

static int vggse_cuda(void *init, void *get, void *attribute, void *memory, int *major, int *minor, size_t *bytes) {
	int device = 0;
	if (((int (*)(unsigned))init)(0) || ((int (*)(int *, int))get)(&device, 0)) return 1;
	int (*ask)(int *, int, int) = (int (*)(int *, int, int))attribute;
	if (ask(major, 75, device) || ask(minor, 76, device)) return 1; // CU_DEVICE_ATTRIBUTE_COMPUTE_CAPABILITY_*
	return ((int (*)(size_t *, int))memory)(bytes, device);
}

enum { vggse_signals = 65 };
static struct sigaction vggse_saved[vggse_signals];

static void vggse_save_signals(void) {
	for (int n = 1; n < vggse_signals; n++) sigaction(n, NULL, &vggse_saved[n]);
}

static int vggse_restore_signals(void) {
	int changed = 0;
	for (int n = 1; n < vggse_signals; n++) {
		struct sigaction now;
		if (sigaction(n, NULL, &now)) continue;
		if (now.sa_sigaction == vggse_saved[n].sa_sigaction && now.sa_flags == vggse_saved[n].sa_flags) continue;
		if (!sigaction(n, &vggse_saved[n], NULL)) changed++;
	}
	return changed;
}
*/
import "C"

import (
	"fmt"
	"sync"
)

// tensorRTVersion asks the library of that name; "" where it cannot be loaded.
func tensorRTVersion(name string) string {
	s, err := openShared(name)
	if err != nil {
		return ""
	}
	defer s.close()
	f := s.symbol("getInferLibVersion")
	if f == nil {
		return ""
	}
	return versionOf(int(C.vggse_tensorrt_version(f)))
}

// cudaDevice asks the driver for the architecture and memory of the first GPU; "" and 0 where there
// is none.
func cudaDevice() (arch string, memory uint64) {
	s, err := openShared("libcuda.so.1")
	if err != nil {
		return "", 0
	}
	defer s.close()
	init, get := s.symbol("cuInit"), s.symbol("cuDeviceGet")
	attribute, total := s.symbol("cuDeviceGetAttribute"), s.symbol("cuDeviceTotalMem_v2")
	if init == nil || get == nil || attribute == nil || total == nil {
		return "", 0
	}
	var major, minor C.int
	var bytes C.size_t
	if C.vggse_cuda(init, get, attribute, total, &major, &minor, &bytes) != 0 {
		return "", 0
	}
	return fmt.Sprintf("sm_%d%d", int(major), int(minor)), uint64(bytes)
}

// signals is held while one guard is at work: the saved handlers are one table.
var signals sync.Mutex

// guardSignals calls load and puts back the signal handlers that it found. The libraries of CUDA
// replace those of Go's runtime by ones that run on the small stack of a goroutine, and the next
// Ctrl-C crashes (yalue/onnxruntime_go issue 140). Signals that a program sets while load runs are
// lost.
func guardSignals(load func() error) (restored int, err error) {
	signals.Lock()
	defer signals.Unlock()
	C.vggse_save_signals()
	err = load()
	return int(C.vggse_restore_signals()), err
}
