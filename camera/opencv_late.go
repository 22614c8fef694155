//go:build gocv && lateopencv

package camera

/*
#cgo LDFLAGS: -ldl -Wl,--export-dynamic -Wl,--unresolved-symbols=ignore-in-object-files
#include <dlfcn.h>
#include <stdlib.h>
#include <string.h>

// What gocv catches is told by this object, the one thing of OpenCV that is no function and so would be looked for
// at the start: a class with one base, std::exception, as the C++ ABI lays it out (Itanium C++ ABI, 2.9.5). OpenCV
// then uses it, too.
extern char _ZTVN10__cxxabiv120__si_class_type_infoE[], _ZTISt9exception[];
const char _ZTSN2cv9ExceptionE[] = "N2cv9ExceptionE";
const void *const _ZTIN2cv9ExceptionE[] = {
	_ZTVN10__cxxabiv120__si_class_type_infoE + 2 * sizeof(void *), _ZTSN2cv9ExceptionE, _ZTISt9exception};

// load makes the functions of a library those that this program calls; it returns why not, to be freed, or NULL.
static char *load(const char *name) { return dlopen(name, RTLD_LAZY | RTLD_GLOBAL) ? NULL : strdup(dlerror()); }
*/
import "C"

import (
	"errors"
	"fmt"
	"strings"
	"sync"
	"unsafe"
)

// libraries are those of OpenCV that this program was built for, by the names that the linker would
// have noted; make build sets them.
var libraries string

// loadOpenCV makes OpenCV ready to be called, at the first need: with all that it depends on it is
// some 240 libraries, which the agent itself does without.
var loadOpenCV = sync.OnceValue(func() error {
	for name := range strings.FieldsSeq(libraries) {
		c := C.CString(name)
		defer C.free(unsafe.Pointer(c))
		if why := C.load(c); why != nil {
			defer C.free(unsafe.Pointer(why))
			return fmt.Errorf("OpenCV, which this program was built with, cannot be loaded: %s: 'make build' builds "+
				"it anew", C.GoString(why))
		}
	}
	if libraries == "" {
		return errors.New("this program was built with the tag lateopencv and without the names of OpenCV's " +
			"libraries: build it with 'make build'")
	}
	return nil
})
