package infer

// #include <signal.h>
// static __thread stack_t own;
// static void keep_signal_stack(void) { sigaltstack(NULL, &own); }
// static void restore_signal_stack(void) { sigaltstack(&own, NULL); }
import "C"

import "runtime"

// ownSignalStack runs what may load OpenVINO's plugin for processors, and gives the thread the stack back that it
// had for signals. The plugin puts one of its own there and unmaps it when it is unloaded, on whichever thread that
// happens (SigAltStackSetup in src/plugins/intel_cpu/src/plugin.cpp, OpenVINO 2025.4). The next signal to the first
// thread would end the process without a word, and Go sends them to its threads all the time.
func ownSignalStack(load func() error) error {
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	C.keep_signal_stack()
	defer C.restore_signal_stack()
	return load()
}
