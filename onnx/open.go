package onnx

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"

	"golang.org/x/sys/unix"
)

// Open maps the ONNX file at path, and the files beside it that hold its external data, and reads
// everything but the weights. The caller closes the model. A damaged file is an error, never a
// panic, and costs no more than heapLimit of heap.
func Open(path string) (*Model, error) {
	file, err := Map(path)
	if err != nil {
		return nil, fmt.Errorf("onnx: open: %w", err)
	}
	m := &Model{mappings: []*Mapping{file}}
	r := reader{budget: heapLimit, external: &folder{dir: filepath.Dir(path), path: path, model: m}}
	if err := r.file(file.Bytes, m); err != nil {
		if what := misnamed(file.Bytes[:min(len(file.Bytes), 512)]); what != "" {
			err = errors.New(what)
		}
		m.Close()
		return nil, fmt.Errorf("onnx: %s: %w", path, err)
	}
	return m, nil
}

// Parse reads a model from memory; its tensors point into b. External data is refused.
func Parse(b []byte) (*Model, error) {
	m := &Model{}
	r := reader{budget: heapLimit}
	if err := r.file(b, m); err != nil {
		return nil, fmt.Errorf("onnx: %w", err)
	}
	return m, nil
}

// folder maps the external data files of one model, each once.
type folder struct {
	dir   string
	path  string // of the model
	model *Model
	files map[string]*Mapping
}

// open opens a file beside the model, or beside the file that the model is a link to, as the cache
// of Hugging Face has it: both are links, and what they lead to lies in one folder.
func (d *folder) open(name string) (*os.File, error) {
	file, err := openInRoot(d.dir, name)
	if err == nil || !filepath.IsLocal(name) {
		return file, err
	}
	real, err2 := filepath.EvalSymlinks(d.path)
	if err2 != nil || filepath.Dir(real) == d.dir {
		return nil, err
	}
	if target, err2 := filepath.EvalSymlinks(filepath.Join(d.dir, name)); err2 == nil {
		if inside, err2 := filepath.Rel(filepath.Dir(real), target); err2 == nil && filepath.IsLocal(inside) {
			return openInRoot(filepath.Dir(real), inside)
		}
	}
	if beside, err2 := openInRoot(filepath.Dir(real), name); err2 == nil {
		return beside, nil
	}
	return nil, err
}

// slice returns length bytes at offset of the named file beside the model; length < 0 means up to
// the end. Names and links that lead out of both folders are refused: a model is foreign input.
func (d *folder) slice(name string, offset, length int64) ([]byte, error) {
	if d == nil {
		return nil, fmt.Errorf("its data is in another file (%q): open the model by its path", name)
	}
	f, ok := d.files[name]
	if !ok {
		file, err := d.open(name)
		if err != nil {
			return nil, fmt.Errorf("its data is in another file, which must lie beside the model: %w", err)
		}
		defer file.Close()
		if f, err = mapOpen(file); err != nil {
			return nil, err
		}
		if d.files == nil {
			d.files = map[string]*Mapping{}
		}
		d.files[name] = f
		d.model.mappings = append(d.model.mappings, f)
	}
	size := int64(len(f.Bytes))
	if offset < 0 || offset > size {
		return nil, fmt.Errorf("its data starts at byte %d of %s, which has %d", offset, name, size)
	}
	if length < 0 {
		length = size - offset
	}
	if length > size-offset {
		return nil, fmt.Errorf("its data ends at byte %d of %s, which has %d: copy both files again", offset+length,
			name, size)
	}
	return f.Bytes[offset : offset+length], nil
}

// openInRoot is os.OpenInRoot, and waits for no pipe's other end.
func openInRoot(dir, name string) (*os.File, error) {
	root, err := os.OpenRoot(dir)
	if err != nil {
		return nil, err
	}
	defer root.Close()
	return root.OpenFile(name, os.O_RDONLY|unix.O_NONBLOCK, 0)
}
