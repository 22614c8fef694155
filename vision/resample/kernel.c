//go:build amd64 || arm64

#include "kernel.h"

int resample_count(void)
{
	int n;
	resample_kernels(&n);
	return n;
}

void resample_apply(int level, resample_target dst, const uint8_t *src, ptrdiff_t stride, int bytes,
		    int16_t *row, resample_axis y, resample_axis x)
{
	int n;
	const resample_kernel *k = resample_kernels(&n) + level;
	for (int i = 0; i < y.outputs; i++) {
		k->down(row, src + y.first[i] * stride, stride, bytes,
			y.weight + (ptrdiff_t)i * y.taps, y.count[i], y.shift);
		k->left(&dst, i, row, &x);
	}
}

void resample_down_plain(int16_t *row, const uint8_t *src, ptrdiff_t stride, int bytes,
			 const int16_t *weight, int count, int shift)
{
	for (int j = 0; j < bytes; j++) {
		int32_t sum = 1 << shift >> 1;
		for (int k = 0; k < count; k++)
			sum += src[k * stride + j] * weight[k];
		row[j] = sum >> shift;
	}
}
