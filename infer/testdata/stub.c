// Stands for the library of a GPU's provider in a folder with a real ONNX Runtime that has the bridge to it.
// It does on loading what the environment variable STUB says, and has no provider to offer: ONNX Runtime then
// refuses it in its own words.
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static void handler(int n) { (void)n; }

__attribute__((constructor)) static void loaded(void) {
	const char *what = getenv("STUB"), *marker = getenv("STUB_MARKER");
	if (marker) fclose(fopen(marker, "w"));
	if (!what) return;
	if (!strcmp(what, "sleep")) for (;;) sleep(1);
	if (!strcmp(what, "abort")) abort();
	if (!strcmp(what, "signal")) { // as CUDA does: without SA_ONSTACK
		struct sigaction a = {.sa_handler = handler};
		sigaction(SIGINT, &a, NULL);
		sigaction(SIGTERM, &a, NULL);
	}
}
