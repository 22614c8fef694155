package infer

/*
#cgo LDFLAGS: -ldl
#include <dlfcn.h>
#include <gnu/libc-version.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

// dlerror belongs to the thread, and a goroutine may be on another one at its next call into C: so
// both are one call. why is the caller's to free.
static void *vggse_open(const char *name, char **why) {
	void *handle = dlopen(name, RTLD_LAZY);
	const char *text = handle ? NULL : dlerror();
	*why = text ? strdup(text) : NULL;
	return handle;
}

typedef struct {
	const void *(*get_api)(uint32_t version);
	const char *(*get_version)(void);
} vggse_base;

static const vggse_base *vggse_call_base(void *function) {
	return ((const vggse_base *(*)(void))function)();
}

static const char *vggse_version(const vggse_base *base) { return base->get_version(); }

static void vggse_hand_over(void *function, const vggse_base *base) {
	((void (*)(const void *))function)(base);
}

// The places in the table of functions have not changed since version 1.2 of the API.
enum { vggse_get_available_providers = 125, vggse_release_available_providers = 126, vggse_release_status = 93 };

static char **vggse_providers(const vggse_base *base, uint32_t version, int *count) {
	void *const *api = base->get_api(version);
	char **names = NULL;
	*count = 0;
	if (!api) return NULL;
	void *status = ((void *(*)(char ***, int *))api[vggse_get_available_providers])(&names, count);
	if (!status) return names;
	((void (*)(void *))api[vggse_release_status])(status);
	*count = 0;
	return NULL;
}

static void vggse_release_providers(const vggse_base *base, uint32_t version, char **names, int count) {
	void *const *api = base->get_api(version);
	void *status = ((void *(*)(char **, int))api[vggse_release_available_providers])(names, count);
	if (status) ((void (*)(void *))api[vggse_release_status])(status);
}
*/
import "C"

import (
	"errors"
	"fmt"
	"unsafe"
)

// glibc is the version of the C library that this process runs with.
func glibc() string { return C.GoString(C.gnu_get_libc_version()) }

// shared is a library that the dynamic linker has opened for us. The linker counts: it stays for as
// long as anybody has it open.
type shared struct{ handle unsafe.Pointer }

// openShared opens a library by path, or by name where there is no slash in it. The error is the
// linker's.
func openShared(name string) (shared, error) {
	c := C.CString(name)
	defer C.free(unsafe.Pointer(c))
	var why *C.char
	handle := C.vggse_open(c, &why)
	if handle == nil {
		defer C.free(unsafe.Pointer(why))
		return shared{}, errors.New(C.GoString(why))
	}
	return shared{handle}, nil
}

// symbol is the address of a function of the library; nil where it has none of that name.
func (s shared) symbol(name string) unsafe.Pointer {
	c := C.CString(name)
	defer C.free(unsafe.Pointer(c))
	return C.dlsym(s.handle, c)
}

func (s shared) close() {
	if s.handle != nil {
		C.dlclose(s.handle)
	}
}

// apiBase is the OrtApiBase of an ONNX Runtime; valid while its library is open.
type apiBase struct{ c *C.vggse_base }

// base asks an ONNX Runtime for its base and version.
func (s shared) base() (apiBase, string, error) {
	get := s.symbol("OrtGetApiBase")
	if get == nil {
		return apiBase{}, "", errors.New("is not an ONNX Runtime: it has no OrtGetApiBase")
	}
	b := C.vggse_call_base(get)
	if b == nil {
		return apiBase{}, "", errors.New("is not an ONNX Runtime: its OrtGetApiBase returns nothing")
	}
	return apiBase{b}, C.GoString(C.vggse_version(b)), nil
}

// handOver makes the shim s stand for the real base.
func (s shared) handOver(real apiBase) error {
	over := s.symbol("vggse_shim_over")
	if over == nil {
		return errors.New("is not the agent's shim: it has no vggse_shim_over")
	}
	C.vggse_hand_over(over, real.c)
	return nil
}

// providers are those that were compiled into the library, by their long names, best first.
func (b apiBase) providers(api int) ([]string, error) {
	var count C.int
	names := C.vggse_providers(b.c, C.uint32_t(api), &count)
	if names == nil {
		return nil, fmt.Errorf("ONNX Runtime does not tell its providers")
	}
	defer C.vggse_release_providers(b.c, C.uint32_t(api), names, count)
	var all []string
	for _, name := range unsafe.Slice(names, int(count)) {
		all = append(all, C.GoString(name))
	}
	return all, nil
}
