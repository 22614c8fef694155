package onnx

import (
	"fmt"
	"maps"
	"path/filepath"
	"slices"
)

// ExternalFiles are the files beside the ONNX file at path that hold weights of its, in order, as
// it names them.
func ExternalFiles(path string) ([]string, error) {
	file, err := Map(path)
	if err != nil {
		return nil, fmt.Errorf("onnx: %w", err)
	}
	m := &Model{mappings: []*Mapping{file}}
	defer m.Close()
	beside := &folder{dir: filepath.Dir(path), path: path, model: m}
	r := reader{budget: heapLimit, external: beside}
	if err := r.file(file.Bytes, m); err != nil {
		return nil, fmt.Errorf("onnx: %s: %w", path, err)
	}
	return slices.Sorted(maps.Keys(beside.files)), nil
}
