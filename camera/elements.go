//go:build gocv

package camera

/*
#cgo LDFLAGS: -ldl
#include <dlfcn.h>
#include <stdlib.h>

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
*/
import "C"

import "unsafe"

// lacksElement reports whether GStreamer, once OpenCV has started it, surely has no element of this
// name.
func lacksElement(name string) bool {
	c := C.CString(name)
	defer C.free(unsafe.Pointer(c))
	return C.has_element(c) == 0
}
