package infer

// #include <stdlib.h>
// #ifdef __GLIBC__
// #include <malloc.h>
// static void trim(void) { malloc_trim(0); }
// #else
// static void trim(void) {}
// #endif
import "C"

// trim gives memory that ONNX Runtime has freed back to the system: a network of full size leaves
// 600 MB behind otherwise.
func trim() { C.trim() }
