//go:build cgo && (amd64 || arm64)

package resample

// #cgo noescape resample_apply
// #cgo nocallback resample_apply
// #cgo noescape resample_pillow
// #cgo nocallback resample_pillow
// #cgo noescape resample_sample
// #cgo nocallback resample_sample
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

// applyKernel is apply in C.
func (s *sampled) applyKernel(dst *Target, src []byte, stride int) {
	kind := C.int(C.RESAMPLE_CV)
	switch s.filter {
	case Cubic:
		kind = C.RESAMPLE_CUBIC
	case TFBilinear:
		kind = C.RESAMPLE_TF
	}
	C.resample_sample(dst.c(), (*C.uint8_t)(&src[0]), C.ptrdiff_t(stride), C.resample_sampled{
		kind: kind, taps: C.int(s.x.taps), needed: C.int(len(s.need)),
		width: C.int(len(s.x.from) / s.x.taps), height: C.int(len(s.y.from) / s.y.taps),
		x_from: (*C.int32_t)(&s.x.from[0]), y_from: (*C.int32_t)(&s.y.from[0]), need: (*C.int32_t)(&s.need[0]),
		slot: (*C.int32_t)(&s.slot[0]), x_weight: (*C.float)(&s.x.weight[0]), y_weight: (*C.float)(&s.y.weight[0]),
		rows: (*C.float)(&s.rows[0])})
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
