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

// Weights of Pillow's filters are integers of 2^-22 (pillow.go).
#define RESAMPLE_PILLOW_BITS (32 - 8 - 2)
#define RESAMPLE_PILLOW_HALF (1 << (RESAMPLE_PILLOW_BITS - 1))

// A weight is high · 2^11 + low, two numbers of 16 bits, for multipliers of that width.
#define RESAMPLE_PILLOW_LOW 11

// resample_pillow_axis is a pillowAxis of pillow.go: taps, a multiple of 4, weights for each output, zero
// beyond its count.
typedef struct {
	const int32_t *first, *count, *weight;
	const int16_t *high, *low;
	int outputs, taps;
} resample_pillow_axis;

// resample_pillow_across makes the outputs of one row, of which room bytes may be read. It may write one
// byte behind the last.
typedef void resample_pillow_across(uint8_t *out, const uint8_t *row, int room, const resample_pillow_axis *x);

// resample_pillow_down makes output row i of y, bytes long, of the rows from src on, stride apart.
typedef void resample_pillow_down(uint8_t *out, const uint8_t *src, ptrdiff_t stride, int bytes,
				  const resample_pillow_axis *y, int i);

// The plain forms of both, for all processors, from an output or a byte on.
void resample_pillow_across_plain(uint8_t *out, const uint8_t *row, int from, const resample_pillow_axis *x);
void resample_pillow_down_plain(uint8_t *out, const uint8_t *src, ptrdiff_t stride, int from, int bytes,
				const resample_pillow_axis *y, int i);

// resample_kernel is one way to do all that, for one kind of processor.
typedef struct {
	resample_down *down;
	resample_left *left;
	resample_pillow_across *pillow_across;
	resample_pillow_down *pillow_down;
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

// resample_pillow does what pillow.go does by way number level: src is the first source row and column that
// is needed, of columns and height; rows and line are room for what stands between the two directions and for
// one row of bytes, each with a byte to spare.
void resample_pillow(int level, resample_target dst, const uint8_t *src, ptrdiff_t stride, int columns, int height,
		     int columns_first, uint8_t *rows, uint8_t *line, resample_pillow_axis x, resample_pillow_axis y);

// resample_sampled is a sampled of taps.go; rows has room for needed rows of three planes.
enum { RESAMPLE_CV, RESAMPLE_CUBIC, RESAMPLE_TF };
typedef struct {
	int kind, taps, width, height, needed;
	const int32_t *x_from, *y_from, *need, *slot;
	const float *x_weight, *y_weight;
	float *rows;
} resample_sampled;

// resample_sample does what taps.go does.
void resample_sample(resample_target dst, const uint8_t *src, ptrdiff_t stride, resample_sampled s);

#endif
