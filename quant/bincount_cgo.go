//go:build cgo

package quant

// #cgo CFLAGS: -O3
// #include "bincount.h"
import "C"

import "unsafe"

// count looks at the channels of a map, as many as m has, and where all values of one are below
// limit counts them in cells, which may be nil.
func count(cells *bins, values []float32, scale float32, limit uint32, m []moments) {
	if len(values) == 0 {
		clear(m)
		return
	}
	C.vggse_count((*C.uint32_t)(unsafe.Pointer(cells)), (*C.float)(&values[0]), C.size_t(len(values)/len(m)),
		C.size_t(len(m)),
		C.float(scale), C.uint32_t(limit), (*C.struct_moments)(unsafe.Pointer(&m[0])))
}
