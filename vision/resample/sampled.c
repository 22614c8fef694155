//go:build amd64 || arm64

// The filters with a fixed number of taps (taps.go): the same operations on the same numbers, each rounded, in
// planes instead of pixels, so that the compiler makes vectors of the inner loops.

#include "kernel.h"

// Products and sums are rounded one by one, as in Go: a fused multiply-add would give other bits.
#if defined(__GNUC__) && !defined(__clang__)
#define EXACT __attribute__((optimize("O3", "fp-contract=off")))
#else
#define EXACT
#pragma STDC FP_CONTRACT OFF
#endif

// across makes the outputs of one source row, each channel for itself.
EXACT static void across(float *restrict out, const uint8_t *row, const resample_sampled *s)
{
	const int n = s->width;
	const int32_t *from = s->x_from;
	const float *w = s->x_weight;
	for (int x = 0; x < n; x++, from += s->taps, w += s->taps) {
		for (int c = 0; c < 3; c++) {
			const float a = row[3 * from[0] + c], b = row[3 * from[1] + c];
			float *o = out + c * (ptrdiff_t)n + x;
			if (s->kind == RESAMPLE_TF)
				*o = a + (b - a) * w[1];
			else if (s->kind == RESAMPLE_CV)
				*o = a * w[0] + b * w[1]; // whole numbers
			else
				*o = a * w[0] + b * w[1] + (float)row[3 * from[2] + c] * w[2] +
				     (float)row[3 * from[3] + c] * w[3];
		}
	}
}

// cubic sums four rows and rounds to a byte, ties to even: so does a sum with 1.5·2^23.
EXACT static void cubic(float *restrict out, const float *a, const float *b, const float *d, const float *e,
			const float *w, const float *table, int n)
{
	const float whole = 12582912;
	for (int x = 0; x < n; x++) {
		float v = a[x] * w[0] + b[x] * w[1] + d[x] * w[2] + e[x] * w[3];
		v = v < 0 ? 0 : v > 255 ? 255 : v;
		out[x] = table[(int)((v + whole) - whole)];
	}
}

// mix is VResizeLinear of OpenCV for bytes.
EXACT static void mix(float *restrict out, const float *a, const float *b, int wa, int wb, const float *table, int n)
{
	for (int x = 0; x < n; x++) {
		int v = ((((int)a[x] >> 4) * wa >> 16) + (((int)b[x] >> 4) * wb >> 16) + 2) >> 2;
		out[x] = table[v < 0 ? 0 : v > 255 ? 255 : v];
	}
}

// blend lies between two rows, and the table is a straight line.
EXACT static void blend(float *restrict out, const float *a, const float *b, float part, double low, double slope,
			int n)
{
	for (int x = 0; x < n; x++) {
		float v = a[x] + (b[x] - a[x]) * part;
		out[x] = (float)(low + slope * (double)v);
	}
}

EXACT void resample_sample(resample_target dst, const uint8_t *src, ptrdiff_t stride, resample_sampled s)
{
	const ptrdiff_t n = s.width;
	for (int i = 0; i < s.needed; i++)
		across(s.rows + 3 * n * i, src + s.need[i] * stride, &s);
	for (int y = 0; y < s.height; y++) {
		const int32_t *from = s.y_from + (ptrdiff_t)y * s.taps;
		const float *w = s.y_weight + (ptrdiff_t)y * s.taps;
		for (int c = 0; c < 3; c++) {
			float *out = dst.plane[c] + y * dst.stride;
			const float *table = dst.table[c];
			const float *r[4];
			for (int k = 0; k < s.taps; k++)
				r[k] = s.rows + 3 * n * s.slot[from[k]] + c * n;
			if (s.kind == RESAMPLE_TF)
				blend(out, r[0], r[1], w[1], table[0], ((double)table[255] - (double)table[0]) / 255, n);
			else if (s.kind == RESAMPLE_CV)
				mix(out, r[0], r[1], (int)w[0], (int)w[1], table, n);
			else
				cubic(out, r[0], r[1], r[2], r[3], w, table, n);
		}
	}
}
