// libvggse-ort-shim.so: lets the Go binding, which asks for version 24 of ONNX Runtime's C API, work with
// any ONNX Runtime from 1.16 on.
//
// The API is one table of functions that only ever grows at its end. The shim hands out a copy of the older,
// shorter table, filled up with a function that returns an error: who calls what that ONNX Runtime does not
// have gets a status with a sentence, never a jump into nowhere. The agent itself needs nothing newer than
// 1.16. The agent opens the real library, gives its base to vggse_shim_over, and lets the binding open the
// shim in its place.
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

typedef struct {
	const void *(*get_api)(uint32_t version);
	const char *(*get_version)(void);
} Base;

typedef void *(*CreateStatus)(int code, const char *message);

enum {
	oldest = 16,
	not_implemented = 9, // OrtErrorCode ORT_NOT_IMPLEMENTED
	room = 512,          // entries; version 24 has 415
};

// How many functions the table of each version has; TestShimTable holds it against the binding's header.
static const struct {
	unsigned version;
	size_t entries;
} tables[] = {{16, 266}, {17, 276}, {18, 280}, {19, 280}, {20, 285}, {21, 285}, {22, 318}, {23, 390}};

static const Base *real;
static const void *table[room];
static char sentence[128];

// missing stands for every function that the older library does not have. Those return a status.
static void *missing(void) {
	return ((CreateStatus)table[0])(not_implemented, sentence);
}

static const void *get_api(uint32_t wanted) {
	unsigned have = 0;
	if (!real || sscanf(real->get_version(), "1.%u", &have) != 1 || have < oldest) return NULL;
	if (have >= wanted) return real->get_api(wanted);
	const void *api = real->get_api(have);
	size_t entries = 0;
	for (size_t i = 0; i < sizeof tables / sizeof *tables; i++)
		if (tables[i].version == have) entries = tables[i].entries;
	if (!api || !entries) return NULL;
	memcpy(table, api, entries * sizeof *table);
	for (size_t i = entries; i < room; i++) table[i] = (const void *)missing;
	snprintf(sentence, sizeof sentence, "ONNX Runtime %s does not have this function, a newer one does", real->get_version());
	return table;
}

static const char *get_version(void) {
	return real ? real->get_version() : "";
}

// vggse_shim_over says whose API is handed out: the OrtApiBase of the real library, which must stay open.
__attribute__((visibility("default"))) void vggse_shim_over(const void *base) {
	real = base;
}

__attribute__((visibility("default"))) const Base *OrtGetApiBase(void) {
	static const Base base = {get_api, get_version};
	return &base;
}
