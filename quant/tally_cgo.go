//go:build cgo

package quant

// #cgo CFLAGS: -O3
// #include "tally.h"
import "C"

import "unsafe"

// measure looks at the channels of a map, as many as m has.
func measure(values []float32, m []moments) {
	if len(values) == 0 {
		clear(m)
		return
	}
	C.vggse_measure((*C.float)(&values[0]), C.size_t(len(values)/len(m)), C.size_t(len(m)), (*C.struct_moments)(unsafe.Pointer(&m[0])))
}

// scatter counts values that lie in the range that scale belongs to.
func scatter(cells *tally, values []float32, scale float32) {
	if len(values) > 0 {
		C.vggse_scatter((*C.uint32_t)(&cells[0]), (*C.float)(&values[0]), C.size_t(len(values)), C.float(scale))
	}
}
