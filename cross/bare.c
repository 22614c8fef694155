// Runs a network of one picture through ONNX Runtime a hundred times and prints its own resident memory in bytes: what
// the network takes with nothing around it. Options are the agent's own: sequential, all cores.
//
//   bare LIBRARY MODEL INPUT_SIZE
#include <dlfcn.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "onnxruntime_c_api.h"

static const OrtApi *api;

static void check(OrtStatus *status) {
	if (status == NULL) return;
	fprintf(stderr, "bare: %s\n", api->GetErrorMessage(status));
	exit(1);
}

int main(int argc, char **argv) {
	if (argc != 4) return 2;
	void *library = dlopen(argv[1], RTLD_NOW);
	const OrtApiBase *(*base)(void) = library ? (const OrtApiBase *(*)(void))dlsym(library, "OrtGetApiBase") : NULL;
	if (base == NULL || (api = base()->GetApi(16)) == NULL) {
		fprintf(stderr, "bare: %s is no ONNX Runtime\n", argv[1]);
		return 1;
	}
	OrtEnv *env;
	OrtSessionOptions *options;
	OrtSession *session;
	OrtMemoryInfo *memory;
	OrtAllocator *allocator;
	OrtValue *in;
	check(api->CreateEnv(ORT_LOGGING_LEVEL_ERROR, "bare", &env));
	check(api->CreateSessionOptions(&options));
	check(api->CreateSession(env, argv[2], options, &session));
	check(api->CreateCpuMemoryInfo(OrtDeviceAllocator, OrtMemTypeDefault, &memory));
	check(api->GetAllocatorWithDefaultOptions(&allocator));
	char *input, *output;
	check(api->SessionGetInputName(session, 0, allocator, &input));
	check(api->SessionGetOutputName(session, 0, allocator, &output));
	int64_t shape[] = {1, 3, atoi(argv[3]), atoi(argv[3])};
	size_t bytes = sizeof(float) * 3 * shape[2] * shape[3];
	float *data = calloc(1, bytes);
	check(api->CreateTensorWithDataAsOrtValue(memory, data, bytes, shape, 4, ONNX_TENSOR_ELEMENT_DATA_TYPE_FLOAT, &in));
	const char *inputs[] = {input}, *outputs[] = {output};
	for (int i = 0; i < 100; i++) {
		OrtValue *out = NULL;
		check(api->Run(session, NULL, inputs, (const OrtValue *const *)&in, 1, outputs, 1, &out));
		api->ReleaseValue(out);
	}
	long pages, resident;
	FILE *statm = fopen("/proc/self/statm", "r");
	if (statm == NULL || fscanf(statm, "%ld %ld", &pages, &resident) != 2) return 1;
	printf("%ld\n", resident * sysconf(_SC_PAGESIZE));
	return 0;
}
