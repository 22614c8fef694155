//go:build amd64 || arm64

// Pillow's resize in its own integers (pillow.go). Each of the two directions has a plain form here and
// one in vectors beside the processor's other kernels.

#include "kernel.h"

static inline uint8_t clip(int32_t sum)
{
	sum >>= RESAMPLE_PILLOW_BITS;
	return sum < 0 ? 0 : sum > 255 ? 255 : sum;
}

void resample_pillow_across_plain(uint8_t *out, const uint8_t *row, int from, const resample_pillow_axis *x)
{
	out += 3 * (ptrdiff_t)from;
	for (int i = from; i < x->outputs; i++, out += 3) {
		const uint8_t *p = row + 3 * (ptrdiff_t)x->first[i];
		const int32_t *w = x->weight + (ptrdiff_t)i * x->taps;
		int32_t s0 = RESAMPLE_PILLOW_HALF, s1 = s0, s2 = s0;
		for (int k = 0; k < x->count[i]; k++, p += 3) {
			s0 += w[k] * p[0];
			s1 += w[k] * p[1];
			s2 += w[k] * p[2];
		}
		out[0] = clip(s0);
		out[1] = clip(s1);
		out[2] = clip(s2);
	}
}

void resample_pillow_down_plain(uint8_t *out, const uint8_t *src, ptrdiff_t stride, int from, int bytes,
				const resample_pillow_axis *y, int i)
{
	const int32_t *w = y->weight + (ptrdiff_t)i * y->taps;
	for (int j = from; j < bytes; j++) {
		int32_t sum = RESAMPLE_PILLOW_HALF;
		for (int k = 0; k < y->count[i]; k++)
			sum += w[k] * src[k * stride + j];
		out[j] = clip(sum);
	}
}

// put writes row i of the window from bytes.
static void put(const resample_target *dst, int i, const uint8_t *bytes, int outputs)
{
	for (int c = 0; c < 3; c++) {
		float *out = dst->plane[c] + i * dst->stride;
		const float *table = dst->table[c];
		for (int j = 0; j < outputs; j++)
			out[j] = table[bytes[3 * j + c]];
	}
}

void resample_pillow(int level, resample_target dst, const uint8_t *src, ptrdiff_t stride, int columns, int height,
		     int columns_first, uint8_t *rows, uint8_t *line, resample_pillow_axis x, resample_pillow_axis y)
{
	int n;
	const resample_kernel *k = resample_kernels(&n) + level;
	const int bytes = 3 * x.outputs;
	if (columns_first) {
		for (int i = 0; i < y.outputs; i++) {
			k->pillow_down(rows, src + y.first[i] * stride, stride, 3 * columns, &y, i);
			k->pillow_across(line, rows, 3 * columns, &x);
			put(&dst, i, line, x.outputs);
		}
		return;
	}
	for (int i = 0; i < height; i++)
		k->pillow_across(rows + (ptrdiff_t)i * bytes, src + i * stride, 3 * columns, &x);
	for (int i = 0; i < y.outputs; i++) {
		k->pillow_down(line, rows + (ptrdiff_t)y.first[i] * bytes, bytes, bytes, &y, i);
		put(&dst, i, line, x.outputs);
	}
}
