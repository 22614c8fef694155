// What a calibration does with every value that a layer puts out: bincount.c. Go's compiler knows no vectors.
#include <stddef.h>
#include <stdint.h>

struct moments {
	double sum;
	uint32_t low, high;
};

void vggse_count(uint32_t *cells, const float *values, size_t area, size_t channels, float scale, uint32_t limit, struct moments *m);
