// NEON, which every arm64 has: a source row, or a source pixel, at a time, widened as it is multiplied.

#include "kernel.h"

#include <arm_neon.h>

static void down_neon(int16_t *row, const uint8_t *src, ptrdiff_t stride, int bytes,
		      const int16_t *weight, int count, int shift)
{
	if (bytes < 16) {
		resample_down_plain(row, src, stride, bytes, weight, count, shift);
		return;
	}
	const int32x4_t by = vdupq_n_s32(-shift);
	for (int j = 0; j < bytes; j += 16) {
		int at = j + 16 <= bytes ? j : bytes - 16; // the last block overlaps the one before
		const uint8_t *p = src + at;
		int32x4_t s0 = vdupq_n_s32(1 << shift >> 1), s1 = s0, s2 = s0, s3 = s0;
		for (int k = 0; k < count; k++, p += stride) {
			uint8x16_t a = vld1q_u8(p);
			int16x8_t lo = vreinterpretq_s16_u16(vmovl_u8(vget_low_u8(a)));
			int16x8_t hi = vreinterpretq_s16_u16(vmovl_u8(vget_high_u8(a)));
			int16_t w = weight[k];
			s0 = vmlal_n_s16(s0, vget_low_s16(lo), w);
			s1 = vmlal_n_s16(s1, vget_high_s16(lo), w);
			s2 = vmlal_n_s16(s2, vget_low_s16(hi), w);
			s3 = vmlal_n_s16(s3, vget_high_s16(hi), w);
		}
		vst1q_s16(row + at, vcombine_s16(vmovn_s32(vshlq_s32(s0, by)), vmovn_s32(vshlq_s32(s1, by))));
		vst1q_s16(row + at + 8, vcombine_s16(vmovn_s32(vshlq_s32(s2, by)), vmovn_s32(vshlq_s32(s3, by))));
	}
}

// left_neon keeps blue, green and red of one output pixel in one vector; its fourth number is the next
// source pixel's blue, and idle. Two sums run side by side, for the multiplier's latency.
static void left_neon(const resample_target *dst, int y, const int16_t *row, const resample_axis *x)
{
	const ptrdiff_t line = y * dst->stride;
	const int32x4_t half = vdupq_n_s32(1 << (x->shift - 1)), by = vdupq_n_s32(-x->shift);
	for (int i = 0; i < x->outputs; i++) {
		const int16_t *p = row + 3 * x->first[i], *w = x->weight + (ptrdiff_t)i * x->taps;
		int32x4_t s = half, t = vdupq_n_s32(0);
		for (int k = 0; k < x->taps; k += 2, p += 6) {
			s = vmlal_n_s16(s, vld1_s16(p), w[k]);
			t = vmlal_n_s16(t, vld1_s16(p + 3), w[k + 1]);
		}
		s = vshlq_s32(vaddq_s32(s, t), by);
		dst->plane[0][line + i] = dst->table[0][vgetq_lane_s32(s, 0)];
		dst->plane[1][line + i] = dst->table[1][vgetq_lane_s32(s, 1)];
		dst->plane[2][line + i] = dst->table[2][vgetq_lane_s32(s, 2)];
	}
}

// pillow_across_neon keeps blue, green and red of one output in one vector. Where 8 bytes would reach beyond
// the row, the plain form goes on.
static void pillow_across_neon(uint8_t *out, const uint8_t *row, int room, const resample_pillow_axis *x)
{
	for (int i = 0; i < x->outputs; i++) {
		const uint8_t *p = row + 3 * (ptrdiff_t)x->first[i];
		const int32_t *w = x->weight + (ptrdiff_t)i * x->taps;
		const int taps = (x->count[i] + 1) & ~1; // the weight beyond an odd count is zero
		if (3 * (x->first[i] + taps - 1) + 8 > room) {
			resample_pillow_axis one = *x;
			one.outputs = i + 1;
			resample_pillow_across_plain(out, row, i, &one);
			continue;
		}
		int32x4_t s = vdupq_n_s32(RESAMPLE_PILLOW_HALF), t = vdupq_n_s32(0);
		for (int k = 0; k < taps; k += 2, p += 6) {
			uint16x4_t a = vget_low_u16(vmovl_u8(vld1_u8(p)));
			uint16x4_t b = vget_low_u16(vmovl_u8(vld1_u8(p + 3)));
			s = vmlaq_n_s32(s, vreinterpretq_s32_u32(vmovl_u16(a)), w[k]);
			t = vmlaq_n_s32(t, vreinterpretq_s32_u32(vmovl_u16(b)), w[k + 1]);
		}
		uint16x4_t v = vqmovun_s32(vshrq_n_s32(vaddq_s32(s, t), RESAMPLE_PILLOW_BITS));
		uint8x8_t bytes = vqmovn_u16(vcombine_u16(v, v));
		out[3 * i] = vget_lane_u8(bytes, 0);
		out[3 * i + 1] = vget_lane_u8(bytes, 1);
		out[3 * i + 2] = vget_lane_u8(bytes, 2);
	}
}

static void pillow_down_neon(uint8_t *out, const uint8_t *src, ptrdiff_t stride, int bytes,
			     const resample_pillow_axis *y, int i)
{
	const int32_t *w = y->weight + (ptrdiff_t)i * y->taps;
	if (bytes < 16) {
		resample_pillow_down_plain(out, src, stride, 0, bytes, y, i);
		return;
	}
	for (int j = 0; j < bytes; j += 16) {
		const int at = j + 16 <= bytes ? j : bytes - 16; // the last block overlaps the one before
		const uint8_t *p = src + at;
		int32x4_t s0 = vdupq_n_s32(RESAMPLE_PILLOW_HALF), s1 = s0, s2 = s0, s3 = s0;
		for (int k = 0; k < y->count[i]; k++, p += stride) {
			const uint8x16_t a = vld1q_u8(p);
			const uint16x8_t lo = vmovl_u8(vget_low_u8(a)), hi = vmovl_u8(vget_high_u8(a));
			s0 = vmlaq_n_s32(s0, vreinterpretq_s32_u32(vmovl_u16(vget_low_u16(lo))), w[k]);
			s1 = vmlaq_n_s32(s1, vreinterpretq_s32_u32(vmovl_u16(vget_high_u16(lo))), w[k]);
			s2 = vmlaq_n_s32(s2, vreinterpretq_s32_u32(vmovl_u16(vget_low_u16(hi))), w[k]);
			s3 = vmlaq_n_s32(s3, vreinterpretq_s32_u32(vmovl_u16(vget_high_u16(hi))), w[k]);
		}
		const uint16x8_t a = vcombine_u16(vqmovun_s32(vshrq_n_s32(s0, RESAMPLE_PILLOW_BITS)),
						  vqmovun_s32(vshrq_n_s32(s1, RESAMPLE_PILLOW_BITS)));
		const uint16x8_t b = vcombine_u16(vqmovun_s32(vshrq_n_s32(s2, RESAMPLE_PILLOW_BITS)),
						  vqmovun_s32(vshrq_n_s32(s3, RESAMPLE_PILLOW_BITS)));
		vst1q_u8(out + at, vcombine_u8(vqmovn_u16(a), vqmovn_u16(b)));
	}
}

const resample_kernel *resample_kernels(int *n)
{
	static const resample_kernel kernels[] = {{down_neon, left_neon, pillow_across_neon, pillow_down_neon}};
	*n = 1;
	return kernels;
}
