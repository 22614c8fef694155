//go:build amd64 || arm64

// Pillow's resize in its own order and its own integers (pillow.go); the compiler makes vectors of the
// inner loops.

#include "kernel.h"

#define BITS (32 - 8 - 2)
#define HALF (1 << (BITS - 1))

#if defined(__GNUC__) && !defined(__clang__)
#define FAST __attribute__((optimize("O3")))
#else
#define FAST
#endif

static inline uint8_t clip(int32_t sum)
{
	sum >>= BITS;
	return sum < 0 ? 0 : sum > 255 ? 255 : sum;
}

// across makes the outputs of one source row.
static void across(uint8_t *out, const uint8_t *row, const resample_pillow_axis *x)
{
	for (int i = 0; i < x->outputs; i++, out += 3) {
		const uint8_t *p = row + 3 * (ptrdiff_t)x->first[i];
		const int32_t *w = x->weight + (ptrdiff_t)i * x->taps;
		int32_t s0 = HALF, s1 = HALF, s2 = HALF;
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

// add adds weight times a row of bytes to the sums.
FAST static void add(int32_t *restrict sums, const uint8_t *restrict row, int32_t weight, int bytes)
{
	for (int j = 0; j < bytes; j++)
		sums[j] += weight * row[j];
}

FAST void resample_pillow(resample_target dst, const uint8_t *src, ptrdiff_t stride, int height, int top,
			  uint8_t *rows, int32_t *sums, resample_pillow_axis x, resample_pillow_axis y)
{
	const int bytes = 3 * x.outputs;
	for (int i = 0; i < height; i++)
		across(rows + (ptrdiff_t)i * bytes, src + i * stride, &x);
	for (int i = 0; i < y.outputs; i++) {
		for (int j = 0; j < bytes; j++)
			sums[j] = HALF;
		for (int k = 0; k < y.count[i]; k++)
			add(sums, rows + (ptrdiff_t)(y.first[i] - top + k) * bytes,
			    y.weight[(ptrdiff_t)i * y.taps + k], bytes);
		for (int c = 0; c < 3; c++) {
			float *out = dst.plane[c] + i * dst.stride;
			for (int j = 0; j < x.outputs; j++)
				out[j] = dst.table[c][clip(sums[3 * j + c])];
		}
	}
}
