#include "tally.h"

#include <string.h>

// The compiler makes vectors of these loops, as wide as the processor has them; the results do not depend on that, as every sum has
// its place.
#if defined(__x86_64__) && defined(__linux__)
#define WIDE __attribute__((target_clones("avx512f", "avx2", "default")))
#else
#define WIDE
#endif

enum { BINS = 4096, LANES = 8, BLOCK = 512 };

// vggse_measure is measured of tally.go for every channel.
WIDE void vggse_measure(const float *values, size_t area, size_t channels, struct moments *m) {
	for (size_t k = 0; k < channels; k++, values += area) {
		double s[LANES] = {0};
		uint32_t low[LANES], high[LANES] = {0};
		memset(low, 0xff, sizeof low);
		size_t i = 0;
		for (; i + LANES <= area; i += LANES) {
			uint32_t bits[LANES];
			memcpy(bits, values + i, sizeof bits);
			for (int l = 0; l < LANES; l++) {
				s[l] += values[i + l];
				low[l] = bits[l] < low[l] ? bits[l] : low[l];
				high[l] = bits[l] > high[l] ? bits[l] : high[l];
			}
		}
		for (int l = 0; i < area; i++, l++) {
			uint32_t bits;
			memcpy(&bits, values + i, sizeof bits);
			s[l] += values[i];
			low[l] = bits < low[l] ? bits : low[l];
			high[l] = bits > high[l] ? bits : high[l];
		}
		for (int l = 1; l < LANES; l++) {
			low[0] = low[l] < low[0] ? low[l] : low[0];
			high[0] = high[l] > high[0] ? high[l] : high[0];
		}
		m[k].sum = ((s[0] + s[4]) + (s[2] + s[6])) + ((s[1] + s[5]) + (s[3] + s[7]));
		m[k].low = low[0];
		m[k].high = high[0];
	}
}

// vggse_scatter is scattered of tally.go: cells first, of a block at a time, then the counting, which no vector can do.
WIDE void vggse_scatter(uint32_t *cells, const float *values, size_t n, float scale) {
	int32_t at[BLOCK];
	while (n >= BLOCK) {
		for (int i = 0; i < BLOCK; i++)
			at[i] = values[i] == 0 ? BINS + i % LANES : (int32_t)(values[i] * scale);
		for (int i = 0; i < BLOCK; i++)
			cells[at[i]]++;
		values += BLOCK;
		n -= BLOCK;
	}
	for (size_t i = 0; i < n; i++)
		cells[values[i] == 0 ? BINS + (int32_t)(i % LANES) : (int32_t)(values[i] * scale)]++;
}
