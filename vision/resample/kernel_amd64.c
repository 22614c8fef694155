// SSE2, which every amd64 has, and AVX2 where the processor has it. Both multiply and add pairs of
// 16-bit numbers (pmaddwd): two source rows, or two source pixels, at a time.

#include "kernel.h"

#include <immintrin.h>

#define AVX2 __attribute__((target("avx2")))

// pair loads two neighbouring weights.
static inline int pair(const int16_t *w)
{
	int p;
	__builtin_memcpy(&p, w, sizeof p);
	return p;
}

static void down_sse2(int16_t *row, const uint8_t *src, ptrdiff_t stride, int bytes,
		      const int16_t *weight, int count, int shift)
{
	if (bytes < 16) {
		resample_down_plain(row, src, stride, bytes, weight, count, shift);
		return;
	}
	const __m128i zero = _mm_setzero_si128(), by = _mm_cvtsi32_si128(shift);
	for (int j = 0; j < bytes; j += 16) {
		int at = j + 16 <= bytes ? j : bytes - 16; // the last block overlaps the one before
		const uint8_t *p = src + at;
		__m128i s0 = _mm_set1_epi32(1 << shift >> 1), s1 = s0, s2 = s0, s3 = s0;
		for (int k = 0; k < count; k += 2, p += 2 * stride) {
			__m128i a = _mm_loadu_si128((const __m128i *)p);
			__m128i b = k + 1 < count ? _mm_loadu_si128((const __m128i *)(p + stride)) : zero;
			__m128i w = _mm_set1_epi32(pair(weight + k));
			__m128i lo = _mm_unpacklo_epi8(a, b), hi = _mm_unpackhi_epi8(a, b);
			s0 = _mm_add_epi32(s0, _mm_madd_epi16(_mm_unpacklo_epi8(lo, zero), w));
			s1 = _mm_add_epi32(s1, _mm_madd_epi16(_mm_unpackhi_epi8(lo, zero), w));
			s2 = _mm_add_epi32(s2, _mm_madd_epi16(_mm_unpacklo_epi8(hi, zero), w));
			s3 = _mm_add_epi32(s3, _mm_madd_epi16(_mm_unpackhi_epi8(hi, zero), w));
		}
		_mm_storeu_si128((__m128i *)(row + at),
				 _mm_packs_epi32(_mm_sra_epi32(s0, by), _mm_sra_epi32(s1, by)));
		_mm_storeu_si128((__m128i *)(row + at + 8),
				 _mm_packs_epi32(_mm_sra_epi32(s2, by), _mm_sra_epi32(s3, by)));
	}
}

AVX2 static void down_avx2(int16_t *row, const uint8_t *src, ptrdiff_t stride, int bytes,
			   const int16_t *weight, int count, int shift)
{
	if (bytes < 32) {
		down_sse2(row, src, stride, bytes, weight, count, shift);
		return;
	}
	const __m256i zero = _mm256_setzero_si256();
	const __m128i by = _mm_cvtsi32_si128(shift);
	for (int j = 0; j < bytes; j += 32) {
		int at = j + 32 <= bytes ? j : bytes - 32;
		const uint8_t *p = src + at;
		__m256i s0 = _mm256_set1_epi32(1 << shift >> 1), s1 = s0, s2 = s0, s3 = s0;
		for (int k = 0; k < count; k += 2, p += 2 * stride) {
			__m256i a = _mm256_loadu_si256((const __m256i *)p);
			__m256i b = k + 1 < count ? _mm256_loadu_si256((const __m256i *)(p + stride)) : zero;
			__m256i w = _mm256_set1_epi32(pair(weight + k));
			__m256i lo = _mm256_unpacklo_epi8(a, b), hi = _mm256_unpackhi_epi8(a, b);
			s0 = _mm256_add_epi32(s0, _mm256_madd_epi16(_mm256_unpacklo_epi8(lo, zero), w));
			s1 = _mm256_add_epi32(s1, _mm256_madd_epi16(_mm256_unpackhi_epi8(lo, zero), w));
			s2 = _mm256_add_epi32(s2, _mm256_madd_epi16(_mm256_unpacklo_epi8(hi, zero), w));
			s3 = _mm256_add_epi32(s3, _mm256_madd_epi16(_mm256_unpackhi_epi8(hi, zero), w));
		}
		// Unpack and pack stay within the halves: a holds bytes 0–7 and 16–23, b the others.
		__m256i a = _mm256_packs_epi32(_mm256_sra_epi32(s0, by), _mm256_sra_epi32(s1, by));
		__m256i b = _mm256_packs_epi32(_mm256_sra_epi32(s2, by), _mm256_sra_epi32(s3, by));
		_mm256_storeu_si256((__m256i *)(row + at), _mm256_permute2x128_si256(a, b, 0x20));
		_mm256_storeu_si256((__m256i *)(row + at + 16), _mm256_permute2x128_si256(a, b, 0x31));
	}
}

// left_sse2 keeps blue, green and red of one output pixel in one vector; its fourth number is the next
// source pixel's blue, and idle.
static void left_sse2(const resample_target *dst, int y, const int16_t *row, const resample_axis *x)
{
	const ptrdiff_t line = y * dst->stride;
	const __m128i half = _mm_set1_epi32(1 << (x->shift - 1)), by = _mm_cvtsi32_si128(x->shift);
	for (int i = 0; i < x->outputs; i++) {
		const int16_t *p = row + 3 * x->first[i], *w = x->weight + (ptrdiff_t)i * x->taps;
		__m128i s = half;
		for (int k = 0; k < x->taps; k += 2, p += 6, w += 2) {
			__m128i a = _mm_loadl_epi64((const __m128i *)p);
			__m128i b = _mm_loadl_epi64((const __m128i *)(p + 3));
			s = _mm_add_epi32(s, _mm_madd_epi16(_mm_unpacklo_epi16(a, b), _mm_set1_epi32(pair(w))));
		}
		s = _mm_sra_epi32(s, by);
		dst->plane[0][line + i] = dst->table[0][_mm_cvtsi128_si32(s)];
		dst->plane[1][line + i] = dst->table[1][_mm_extract_epi16(s, 2)];
		dst->plane[2][line + i] = dst->table[2][_mm_extract_epi16(s, 4)];
	}
}

// left_avx2 does four taps at a time, two in each half.
AVX2 static void left_avx2(const resample_target *dst, int y, const int16_t *row, const resample_axis *x)
{
	const ptrdiff_t line = y * dst->stride;
	const __m128i half = _mm_set1_epi32(1 << (x->shift - 1)), by = _mm_cvtsi32_si128(x->shift);
	// B0 G0 R0 B1 G1 R1 B2 G2 → B0 B1 G0 G1 R0 R1 and a pair that is idle, in both halves
	const __m256i pixels = _mm256_broadcastsi128_si256(
		_mm_setr_epi8(0, 1, 6, 7, 2, 3, 8, 9, 4, 5, 10, 11, 12, 13, 14, 15));
	const __m256i spread = _mm256_setr_epi32(0, 0, 0, 0, 1, 1, 1, 1);
	for (int i = 0; i < x->outputs; i++) {
		const int16_t *p = row + 3 * x->first[i], *w = x->weight + (ptrdiff_t)i * x->taps;
		__m256i s = _mm256_inserti128_si256(_mm256_setzero_si256(), half, 0);
		for (int k = 0; k < x->taps; k += 4, p += 12, w += 4) {
			__m256i a = _mm256_loadu2_m128i((const __m128i *)(p + 6), (const __m128i *)p);
			__m256i v = _mm256_permutevar8x32_epi32(
				_mm256_castsi128_si256(_mm_loadl_epi64((const __m128i *)w)), spread);
			s = _mm256_add_epi32(s, _mm256_madd_epi16(_mm256_shuffle_epi8(a, pixels), v));
		}
		__m128i t = _mm_add_epi32(_mm256_castsi256_si128(s), _mm256_extracti128_si256(s, 1));
		t = _mm_sra_epi32(t, by);
		dst->plane[0][line + i] = dst->table[0][_mm_cvtsi128_si32(t)];
		dst->plane[1][line + i] = dst->table[1][_mm_extract_epi16(t, 2)];
		dst->plane[2][line + i] = dst->table[2][_mm_extract_epi16(t, 4)];
	}
}

// pillow_sums joins the sums of the two halves of the weights, and rounds: four bytes in 32 bits each.
static inline __m128i pillow_sums(__m128i high, __m128i low)
{
	__m128i s = _mm_add_epi32(_mm_slli_epi32(high, RESAMPLE_PILLOW_LOW), low);
	return _mm_srai_epi32(_mm_add_epi32(s, _mm_set1_epi32(RESAMPLE_PILLOW_HALF)), RESAMPLE_PILLOW_BITS);
}

AVX2 static inline __m256i pillow_sums_avx2(__m256i high, __m256i low)
{
	__m256i s = _mm256_add_epi32(_mm256_slli_epi32(high, RESAMPLE_PILLOW_LOW), low);
	return _mm256_srai_epi32(_mm256_add_epi32(s, _mm256_set1_epi32(RESAMPLE_PILLOW_HALF)), RESAMPLE_PILLOW_BITS);
}

static void pillow_across_plain(uint8_t *out, const uint8_t *row, int room, const resample_pillow_axis *x)
{
	(void)room;
	resample_pillow_across_plain(out, row, 0, x);
}

// pillow_across_avx2 does four taps at a time, two in each half, as left_avx2. Where 16 bytes would reach
// beyond the row, the plain form goes on.
AVX2 static void pillow_across_avx2(uint8_t *out, const uint8_t *row, int room, const resample_pillow_axis *x)
{
	// B0 G0 R0 B1 G1 R1 B2 … → B0 B1 G0 G1 R0 R1 in 16 bits each, and the next two pixels in the upper half
	const __m256i pixels = _mm256_setr_epi8(
		0, -1, 3, -1, 1, -1, 4, -1, 2, -1, 5, -1, -1, -1, -1, -1,
		6, -1, 9, -1, 7, -1, 10, -1, 8, -1, 11, -1, -1, -1, -1, -1);
	const __m256i spread = _mm256_setr_epi32(0, 0, 0, 0, 1, 1, 1, 1);
	for (int i = 0; i < x->outputs; i++) {
		const uint8_t *p = row + 3 * (ptrdiff_t)x->first[i];
		const int16_t *h = x->high + (ptrdiff_t)i * x->taps, *l = x->low + (ptrdiff_t)i * x->taps;
		const int taps = (x->count[i] + 3) & ~3;
		if (3 * (x->first[i] + taps - 4) + 16 > room) {
			resample_pillow_axis one = *x;
			one.outputs = i + 1;
			resample_pillow_across_plain(out, row, i, &one);
			continue;
		}
		__m256i high = _mm256_setzero_si256(), low = high;
		for (int k = 0; k < taps; k += 4, p += 12) {
			__m256i a = _mm256_broadcastsi128_si256(_mm_loadu_si128((const __m128i *)p));
			a = _mm256_shuffle_epi8(a, pixels);
			__m256i wh = _mm256_permutevar8x32_epi32(
				_mm256_castsi128_si256(_mm_loadl_epi64((const __m128i *)(h + k))), spread);
			__m256i wl = _mm256_permutevar8x32_epi32(
				_mm256_castsi128_si256(_mm_loadl_epi64((const __m128i *)(l + k))), spread);
			high = _mm256_add_epi32(high, _mm256_madd_epi16(a, wh));
			low = _mm256_add_epi32(low, _mm256_madd_epi16(a, wl));
		}
		__m128i s = pillow_sums(
			_mm_add_epi32(_mm256_castsi256_si128(high), _mm256_extracti128_si256(high, 1)),
			_mm_add_epi32(_mm256_castsi256_si128(low), _mm256_extracti128_si256(low, 1)));
		s = _mm_packus_epi16(_mm_packs_epi32(s, s), s);
		const int pixel = _mm_cvtsi128_si32(s);
		__builtin_memcpy(out + 3 * (ptrdiff_t)i, &pixel, 4); // the fourth byte is the next output's
	}
}

static void pillow_down_sse2(uint8_t *out, const uint8_t *src, ptrdiff_t stride, int bytes,
			     const resample_pillow_axis *y, int i)
{
	const int16_t *h = y->high + (ptrdiff_t)i * y->taps, *l = y->low + (ptrdiff_t)i * y->taps;
	const __m128i zero = _mm_setzero_si128();
	if (bytes < 16) {
		resample_pillow_down_plain(out, src, stride, 0, bytes, y, i);
		return;
	}
	for (int j = 0; j < bytes; j += 16) {
		const int at = j + 16 <= bytes ? j : bytes - 16; // the last block overlaps the one before
		const uint8_t *p = src + at;
		__m128i high[4] = {zero, zero, zero, zero}, low[4] = {zero, zero, zero, zero};
		for (int k = 0; k < y->count[i]; k += 2, p += 2 * stride) {
			__m128i a = _mm_loadu_si128((const __m128i *)p);
			__m128i b = k + 1 < y->count[i] ? _mm_loadu_si128((const __m128i *)(p + stride)) : zero;
			__m128i wh = _mm_set1_epi32(pair(h + k)), wl = _mm_set1_epi32(pair(l + k));
			__m128i lo = _mm_unpacklo_epi8(a, b), hi = _mm_unpackhi_epi8(a, b);
			__m128i v[4] = {_mm_unpacklo_epi8(lo, zero), _mm_unpackhi_epi8(lo, zero),
					_mm_unpacklo_epi8(hi, zero), _mm_unpackhi_epi8(hi, zero)};
			for (int q = 0; q < 4; q++) {
				high[q] = _mm_add_epi32(high[q], _mm_madd_epi16(v[q], wh));
				low[q] = _mm_add_epi32(low[q], _mm_madd_epi16(v[q], wl));
			}
		}
		__m128i a = _mm_packs_epi32(pillow_sums(high[0], low[0]), pillow_sums(high[1], low[1]));
		__m128i b = _mm_packs_epi32(pillow_sums(high[2], low[2]), pillow_sums(high[3], low[3]));
		_mm_storeu_si128((__m128i *)(out + at), _mm_packus_epi16(a, b));
	}
}

AVX2 static void pillow_down_avx2(uint8_t *out, const uint8_t *src, ptrdiff_t stride, int bytes,
				  const resample_pillow_axis *y, int i)
{
	const int16_t *h = y->high + (ptrdiff_t)i * y->taps, *l = y->low + (ptrdiff_t)i * y->taps;
	const __m256i zero = _mm256_setzero_si256();
	if (bytes < 32) {
		pillow_down_sse2(out, src, stride, bytes, y, i);
		return;
	}
	for (int j = 0; j < bytes; j += 32) {
		const int at = j + 32 <= bytes ? j : bytes - 32;
		const uint8_t *p = src + at;
		__m256i high[4] = {zero, zero, zero, zero}, low[4] = {zero, zero, zero, zero};
		for (int k = 0; k < y->count[i]; k += 2, p += 2 * stride) {
			__m256i a = _mm256_loadu_si256((const __m256i *)p);
			__m256i b = k + 1 < y->count[i] ? _mm256_loadu_si256((const __m256i *)(p + stride)) : zero;
			__m256i wh = _mm256_set1_epi32(pair(h + k)), wl = _mm256_set1_epi32(pair(l + k));
			__m256i lo = _mm256_unpacklo_epi8(a, b), hi = _mm256_unpackhi_epi8(a, b);
			__m256i v[4] = {_mm256_unpacklo_epi8(lo, zero), _mm256_unpackhi_epi8(lo, zero),
					_mm256_unpacklo_epi8(hi, zero), _mm256_unpackhi_epi8(hi, zero)};
			for (int q = 0; q < 4; q++) {
				high[q] = _mm256_add_epi32(high[q], _mm256_madd_epi16(v[q], wh));
				low[q] = _mm256_add_epi32(low[q], _mm256_madd_epi16(v[q], wl));
			}
		}
		// Unpack and pack stay within the halves, and undo each other.
		__m256i a = _mm256_packs_epi32(pillow_sums_avx2(high[0], low[0]), pillow_sums_avx2(high[1], low[1]));
		__m256i b = _mm256_packs_epi32(pillow_sums_avx2(high[2], low[2]), pillow_sums_avx2(high[3], low[3]));
		_mm256_storeu_si256((__m256i *)(out + at), _mm256_packus_epi16(a, b));
	}
}

const resample_kernel *resample_kernels(int *n)
{
	static const resample_kernel kernels[] = {
		{down_sse2, left_sse2, pillow_across_plain, pillow_down_sse2},
		{down_avx2, left_avx2, pillow_across_avx2, pillow_down_avx2},
	};
	*n = __builtin_cpu_supports("avx2") ? 2 : 1;
	return kernels;
}
