package infer

import (
	"fmt"
	"path/filepath"
)

// Runtime is the ONNX Runtime that a configuration leads to.
type Runtime struct {
	Path      string   // of its libonnxruntime.so
	Version   string   // 1.27.0
	API       int      // version of its C API that is used; below the binding's 24 through the shim
	Shim      string   // path of the shim; "": it is not needed
	Providers []string // compiled in, by our names, best first; others that ONNX Runtime knows are left out
}

// known are our names of the providers.
var known = map[string]string{
	"TensorrtExecutionProvider": TensorRT, "CUDAExecutionProvider": CUDA,
	"OpenVINOExecutionProvider": OpenVINO, "CPUExecutionProvider": CPU,
}

// About loads ONNX Runtime as Open would and says what it is. The error wraps ErrNoLibrary where
// there is none.
func About(c Config) (*Runtime, error) {
	l, err := acquire(&c)
	if err != nil {
		return nil, fmt.Errorf("infer: about: %w", err)
	}
	r := &Runtime{Path: l.path, Version: l.version, API: l.api}
	if l.entry != l.path && filepath.Base(l.entry) == shimName {
		r.Shim = l.entry
	}
	names, err := l.base.providers(l.api)
	for _, name := range names {
		if ours, ok := known[name]; ok {
			r.Providers = append(r.Providers, ours)
		}
	}
	if closing := release(); err == nil {
		err = closing
	}
	if err != nil {
		return nil, fmt.Errorf("infer: about: %w", err)
	}
	return r, nil
}

// Locate is the path of the ONNX Runtime that Open would load, and of the shim where it needs one, for
// another process. The error wraps ErrNoLibrary where there is none.
func Locate(c Config) (library, shim string, err error) {
	l, err := find(&c)
	if err != nil {
		return "", "", fmt.Errorf("infer: %w", err)
	}
	defer l.close()
	if library, err = filepath.Abs(l.path); err == nil && filepath.Base(l.entry) == shimName {
		shim, err = filepath.Abs(l.entry)
	}
	return library, shim, err
}

// Version loads ONNX Runtime as Open would and returns its version.
func Version(c Config) (string, error) {
	l, err := acquire(&c)
	if err != nil {
		return "", fmt.Errorf("infer: version: %w", err)
	}
	version := l.version
	if err := release(); err != nil {
		return "", fmt.Errorf("infer: version: %w", err)
	}
	return version, nil
}
