package worker

// #include <malloc.h>
import "C"

import "runtime/debug"

// giveBack returns to the system what opening the source has taken for a while: a first look by
// another decoder, a first frame.
func giveBack() {
	debug.FreeOSMemory()
	C.malloc_trim(0)
}
