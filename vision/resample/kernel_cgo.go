//go:build cgo && (amd64 || arm64)

package resample

// #cgo noescape resample_apply
// #cgo nocallback resample_apply
// #cgo noescape resample_pillow
// #cgo nocallback resample_pillow
// #include "kernel.h"
import "C"

// kernels is how many ways through the kernel this processor can go, the last being the fastest.
func kernels() int { return int(C.resample_count()) }

// applyKernel is Apply by the vector kernel, by way number level of kernels: one call into C a
// picture.
func (p *Plan) applyKernel(level int, dst *Target, src []byte, stride int) {
	C.resample_apply(C.int(level), dst.c(), (*C.uint8_t)(&src[p.offset]), C.ptrdiff_t(stride), C.int(3*p.columns),
		(*C.int16_t)(&p.row[0]), p.y.c(p.y.shift-fraction), p.x.c(p.x.shift+fraction))
}

// applyKernel is apply by way number level.
func (p *pillow) applyKernel(level int, dst *Target, src []byte, stride int) {
	first := C.int(0)
	if p.columnsFirst {
		first = 1
	}
	C.resample_pillow(C.int(level), dst.c(), (*C.uint8_t)(&src[p.top*stride+3*p.left]), C.ptrdiff_t(stride),
		C.int(p.columns), C.int(p.height), first, (*C.uint8_t)(&p.rows[0]), (*C.uint8_t)(&p.line[0]), p.x.c(), p.y.c())
}

func (a *pillowAxis) c() C.resample_pillow_axis {
	return C.resample_pillow_axis{
		first: (*C.int32_t)(&a.first[0]), count: (*C.int32_t)(&a.count[0]), weight: (*C.int32_t)(&a.weight[0]),
		high: (*C.int16_t)(&a.high[0]), low: (*C.int16_t)(&a.low[0]), outputs: C.int(len(a.first)), taps: C.int(a.taps),
	}
}

// c is the axis for C, whose sums drop shift bits.
func (a *axis) c(shift int) C.resample_axis {
	return C.resample_axis{
		first: (*C.int32_t)(&a.first[0]), count: (*C.int32_t)(&a.count[0]), weight: (*C.int16_t)(&a.weight[0]),
		outputs: C.int(len(a.first)), taps: C.int(a.taps), shift: C.int(shift),
	}
}

func (t *Target) c() (c C.resample_target) {
	c.stride = C.ptrdiff_t(t.Stride)
	for i := range t.Planes {
		c.plane[i] = (*C.float)(&t.Planes[i][0])
		c.table[i] = (*C.float)(&t.Tables[i][0])
	}
	return c
}
