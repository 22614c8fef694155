//go:build gocv

package camera

/*
#cgo LDFLAGS: -ldl
#include <dlfcn.h>
#include <stdlib.h>
#include <string.h>

// has_element is 1 where GStreamer has an element of this name, 0 where it has none, -1 where OpenCV has not loaded
// GStreamer: then nobody here can tell. OpenCV is linked with it; this program is not, and needs no header of it.
static int has_element(const char *name) {
	void *gst = dlopen("libgstreamer-1.0.so.0", RTLD_LAZY | RTLD_NOLOAD);
	if (!gst)
		return -1;
	void *(*find)(const char *) = (void *(*)(const char *))dlsym(gst, "gst_element_factory_find");
	void (*unref)(void *) = (void (*)(void *))dlsym(gst, "gst_object_unref");
	int has = -1;
	if (find && unref) {
		void *factory = find(name);
		has = factory != NULL;
		if (factory)
			unref(factory);
	}
	dlclose(gst);
	return has;
}

typedef struct { unsigned domain; int code; char *message; } error; // GError

// parse_error is what GStreamer says against a pipeline, to be freed; NULL where it says nothing, or is not loaded.
static char *parse_error(const char *text) {
	void *gst = dlopen("libgstreamer-1.0.so.0", RTLD_LAZY | RTLD_NOLOAD);
	if (!gst)
		return NULL;
	int (*init)(int *, char ***, error **) = (int (*)(int *, char ***, error **))dlsym(gst, "gst_init_check");
	void *(*parse)(const char *, void *, int, error **) =
		(void *(*)(const char *, void *, int, error **))dlsym(gst, "gst_parse_launch_full");
	void (*unref)(void *) = (void (*)(void *))dlsym(gst, "gst_object_unref");
	char *word = NULL;
	error *err = NULL;
	if (init && parse && unref && init(NULL, NULL, NULL)) {
		void *pipeline = parse(text, NULL, 1, &err); // GST_PARSE_FLAG_FATAL_ERRORS
		if (err)
			word = strdup(err->message); // err itself is a few bytes, and its process ends
		if (pipeline)
			unref(pipeline);
	}
	dlclose(gst);
	return word;
}
*/
import "C"

import "unsafe"

// pipelineError is what GStreamer says against a pipeline; "" where it has nothing to say.
func pipelineError(text string) string {
	c := C.CString(text)
	defer C.free(unsafe.Pointer(c))
	word := C.parse_error(c)
	if word == nil {
		return ""
	}
	defer C.free(unsafe.Pointer(word))
	return C.GoString(word)
}

// lacksElement reports whether GStreamer, once OpenCV has started it, surely has no element of this
// name.
func lacksElement(name string) bool {
	c := C.CString(name)
	defer C.free(unsafe.Pointer(c))
	return C.has_element(c) == 0
}
