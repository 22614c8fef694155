package onnx

import (
	"fmt"
	"os"

	"golang.org/x/sys/unix"
)

// Mapping is a file mapped read-only into memory. Its bytes are valid until Close; they change, or
// reading them faults, when someone else shortens the file meanwhile.
type Mapping struct{ Bytes []byte }

// Map maps the whole file at path.
func Map(path string) (*Mapping, error) {
	f, err := os.OpenFile(path, os.O_RDONLY|unix.O_NONBLOCK, 0) // a pipe is refused, not waited for
	if err != nil {
		return nil, err
	}
	defer f.Close()
	return mapOpen(f)
}

func mapOpen(f *os.File) (*Mapping, error) {
	info, err := f.Stat()
	switch {
	case err != nil:
		return nil, err
	case info.IsDir():
		return nil, fmt.Errorf("%s is a folder, not a file", f.Name())
	case !info.Mode().IsRegular():
		return nil, fmt.Errorf("%s is not a regular file", f.Name())
	case info.Size() == 0:
		return nil, fmt.Errorf("%s is empty", f.Name())
	case int64(int(info.Size())) != info.Size():
		return nil, fmt.Errorf("%s is too large to be mapped on this machine", f.Name())
	}
	b, err := unix.Mmap(int(f.Fd()), 0, int(info.Size()), unix.PROT_READ, unix.MAP_SHARED)
	if err != nil {
		return nil, fmt.Errorf("map %s: %w", f.Name(), err)
	}
	return &Mapping{Bytes: b}, nil
}

// Forget lets go of the pages in memory: the file is read again where Bytes are looked at again.
func (m *Mapping) Forget() error {
	if m.Bytes == nil {
		return nil
	}
	return unix.Madvise(m.Bytes, unix.MADV_DONTNEED)
}

// Close unmaps the file. It may be called twice.
func (m *Mapping) Close() error {
	b := m.Bytes
	if m.Bytes = nil; b == nil {
		return nil
	}
	return unix.Munmap(b)
}
