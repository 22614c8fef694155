// The vector kernel of package resample: what plain.go does, with the same integers.
#ifndef VGGSE_RESAMPLE_KERNEL_H
#define VGGSE_RESAMPLE_KERNEL_H

#include <stddef.h>
#include <stdint.h>

// resample_axis is an axis of axis.go; shift is what its sums drop.
typedef struct {
	const int32_t *first, *count;
	const int16_t *weight;
	int outputs, taps, shift;
} resample_axis;

// resample_target is a Target of plan.go.
typedef struct {
	float *plane[3];
	ptrdiff_t stride;
	const float *table[3];
} resample_target;

// resample_down sums count rows of bytes, stride apart, into row, and drops shift bits with rounding.
typedef void resample_down(int16_t *row, const uint8_t *src, ptrdiff_t stride, int bytes,
			   const int16_t *weight, int count, int shift);

// resample_left makes output row y of row. It multiplies taps numbers for each output, beyond count by
// zero, and reads up to two more: row must have room behind its end.
typedef void resample_left(const resample_target *dst, int y, const int16_t *row, const resample_axis *x);

// resample_kernel is one way to do both, for one kind of processor.
typedef struct {
	resample_down *down;
	resample_left *left;
} resample_kernel;

// resample_kernels returns the ways that this processor can go, slowest first, and how many there are.
const resample_kernel *resample_kernels(int *n);

// resample_count is the number of those ways.
int resample_count(void);

// resample_apply computes a window by way number level.
void resample_apply(int level, resample_target dst, const uint8_t *src, ptrdiff_t stride, int bytes,
		    int16_t *row, resample_axis y, resample_axis x);

// resample_down_plain is resample_down for any width, where vectors do not fit.
resample_down resample_down_plain;

// resample_pillow_axis is a pillowAxis of pillow.go.
typedef struct {
	const int32_t *first, *count, *weight;
	int outputs, taps;
} resample_pillow_axis;

// resample_pillow does what pillow.go does: src is source row top, of which height are needed; rows
// and sums are room for what stands between the two directions.
void resample_pillow(resample_target dst, const uint8_t *src, ptrdiff_t stride, int height, int top,
		     uint8_t *rows, int32_t *sums, resample_pillow_axis x, resample_pillow_axis y);

#endif
