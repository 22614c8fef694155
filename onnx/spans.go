package onnx

import (
	"fmt"
	"path/filepath"
	"slices"
	"unsafe"
)

// Span is where the content of a constant stands in a file, in bytes.
type Span struct{ Offset, Size int64 }

// Spans are the places of the constants of at least least bytes, in order and without overlap, by
// file: those of the ONNX file at path under "", those of files beside it under the names by which
// the model knows them. Numbers that are not written as raw bytes have none.
func Spans(path string, least int64) (map[string][]Span, error) {
	file, err := Map(path)
	if err != nil {
		return nil, fmt.Errorf("onnx: %w", err)
	}
	m := &Model{mappings: []*Mapping{file}}
	defer m.Close()
	beside := &folder{dir: filepath.Dir(path), model: m}
	r := reader{budget: heapLimit, external: beside}
	if err := r.file(file.Bytes, m); err != nil {
		return nil, fmt.Errorf("onnx: %s: %w", path, err)
	}
	maps := map[string]*Mapping{"": file}
	for name, f := range beside.files {
		maps[name] = f
	}
	all := make(map[string][]Span)
	for t := range m.Graph.constants {
		if int64(len(t.Data)) < max(1, least) {
			continue
		}
		for name, f := range maps {
			if at, ok := within(f.Bytes, t.Data); ok {
				all[name] = append(all[name], Span{at, int64(len(t.Data))})
			}
		}
	}
	for name := range all {
		all[name] = apart(all[name])
	}
	return all, nil
}

// constants yields the initializers and the tensors of nodes.
func (g *Graph) constants(yield func(*Tensor) bool) {
	for i := range g.Initializers {
		if !yield(&g.Initializers[i]) {
			return
		}
	}
	for i := range g.Nodes {
		for j := range g.Nodes[i].Attributes {
			if t := g.Nodes[i].Attributes[j].Tensor; t != nil && !yield(t) {
				return
			}
		}
	}
}

// within is the offset of part in whole, where it is a slice of it.
func within(whole, part []byte) (int64, bool) {
	if len(whole) == 0 || len(part) == 0 {
		return 0, false
	}
	start, at := uintptr(unsafe.Pointer(&whole[0])), uintptr(unsafe.Pointer(&part[0]))
	if at < start || at-start > uintptr(len(whole)-len(part)) || len(part) > len(whole) {
		return 0, false
	}
	return int64(at - start), true
}

// apart sorts spans and drops those that overlap one before.
func apart(s []Span) []Span {
	slices.SortFunc(s, func(a, b Span) int { return int(a.Offset - b.Offset) })
	kept, end := s[:0], int64(0)
	for _, x := range s {
		if x.Offset >= end {
			kept, end = append(kept, x), x.Offset+x.Size
		}
	}
	return kept
}
