#include "bincount.h"

#include <string.h>

// The compiler makes vectors of these loops, as wide as the processor has them; the results do not depend on that, as every sum has
// its place.

#define COUNT_ARGS uint32_t *cells, const float *values, size_t area, size_t channels, float scale, uint32_t limit, struct moments *m

enum { BINS = 4096, LANES = 16, BLOCK = 512 };

// count looks at every channel as measured of tally.go does, and where none of its values is beyond limit counts them in cells,
// unless that is NULL, as scattered does: cells first, of a block at a time, then the counting, which no vector can do. Channel by
// channel, so that the values come from memory once.
static inline __attribute__((always_inline)) void count(COUNT_ARGS) {
	for (size_t k = 0; k < channels; k++, values += area) {
		double sum = 0;
		uint32_t low[LANES], high[LANES] = {0};
		memset(low, 0xff, sizeof low);
		for (size_t i = 0; i < area; i += BLOCK) {
			const float *v = values + i;
			size_t n = area - i < BLOCK ? area - i : BLOCK, j = 0;
			float s[LANES] = {0};
			for (; j + LANES <= n; j += LANES) {
				uint32_t bits[LANES];
				memcpy(bits, v + j, sizeof bits);
				__builtin_prefetch(v + j + 2 * BLOCK);
				for (int l = 0; l < LANES; l++) {
					s[l] += v[j + l];
					low[l] = bits[l] < low[l] ? bits[l] : low[l];
					high[l] = bits[l] > high[l] ? bits[l] : high[l];
				}
			}
			for (int l = 0; j < n; j++, l++) {
				uint32_t bits;
				memcpy(&bits, v + j, sizeof bits);
				s[l] += v[j];
				low[l] = bits < low[l] ? bits : low[l];
				high[l] = bits > high[l] ? bits : high[l];
			}
			for (int l = 0; l < LANES; l++)
				sum += s[l];
		}
		for (int l = 1; l < LANES; l++) {
			low[0] = low[l] < low[0] ? low[l] : low[0];
			high[0] = high[l] > high[0] ? high[l] : high[0];
		}
		m[k].sum = sum;
		m[k].low = low[0];
		m[k].high = high[0];
		if (cells == NULL || high[0] >= limit)
			continue;
		for (size_t i = 0; i < area; i += BLOCK) {
			const float *v = values + i;
			int n = area - i < BLOCK ? area - i : BLOCK;
			int32_t at[BLOCK];
			for (int j = 0; j < n; j++)
				at[j] = v[j] == 0 ? BINS + j % LANES : (int32_t)(v[j] * scale);
			for (int j = 0; j < n; j++)
				cells[at[j]]++;
		}
	}
}

#if defined(__x86_64__)
__attribute__((target("avx512f"))) static void count_avx512(COUNT_ARGS) { count(cells, values, area, channels, scale, limit, m); }
__attribute__((target("avx2"))) static void count_avx2(COUNT_ARGS) { count(cells, values, area, channels, scale, limit, m); }
#endif

void vggse_count(COUNT_ARGS) {
#if defined(__x86_64__)
	if (__builtin_cpu_supports("avx512f")) {
		count_avx512(cells, values, area, channels, scale, limit, m);
		return;
	}
	if (__builtin_cpu_supports("avx2")) {
		count_avx2(cells, values, area, channels, scale, limit, m);
		return;
	}
#endif
	count(cells, values, area, channels, scale, limit, m);
}
