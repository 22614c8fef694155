package spool

import (
	"cmp"
	"errors"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"syscall"

	"golang.org/x/sys/unix"
)

// FS is what the spool needs of a file system. Tests bring one that forgets what was not synced,
// and one that fails.
type FS interface {
	MkdirAll(dir string) error
	List(dir string) ([]string, error)
	Open(path string) (File, error)   // an existing file, for reading and writing
	Create(path string) (File, error) // a new one; an error where it exists
	Rename(from, to string) error
	Remove(path string) error
	SyncDir(dir string) error
	Free(dir string) (free, total int64, err error) // bytes
}

// File is one file of an FS.
type File interface {
	io.ReaderAt
	io.WriterAt
	io.Closer
	Sync() error // data, and of the metadata what is needed to read it again
	Size() (int64, error)
}

// OS is the file system of the machine.
type OS struct{}

func (OS) MkdirAll(dir string) error { return os.MkdirAll(dir, 0o700) }

func (OS) List(dir string) ([]string, error) {
	entries, err := os.ReadDir(dir)
	names := make([]string, 0, len(entries))
	for _, e := range entries {
		if e.Type().IsRegular() {
			names = append(names, e.Name())
		}
	}
	return names, err
}

// errNoFile is the error of what is there and is no file: a folder, a pipe.
var errNoFile = errors.New("is no file")

// Open opens a file of a file system that is read-only for reading.
func (OS) Open(path string) (File, error) {
	f, err := openFile(path, os.O_RDWR)
	if errors.Is(err, syscall.EROFS) {
		if f, err = openFile(path, os.O_RDONLY); err == nil {
			return &osFile{f, true}, nil
		}
	}
	return wrap(f, err)
}

// openFile opens a regular file, and never waits for the other end of a pipe.
func openFile(path string, how int) (*os.File, error) {
	f, err := os.OpenFile(path, how|syscall.O_NONBLOCK, 0)
	if errors.Is(err, syscall.EISDIR) || errors.Is(err, syscall.ENXIO) || errors.Is(err, syscall.ELOOP) {
		return nil, &fs.PathError{Op: "open", Path: path, Err: errNoFile}
	}
	if err != nil {
		return nil, err
	}
	if info, err := f.Stat(); err != nil || !info.Mode().IsRegular() {
		f.Close()
		return nil, &fs.PathError{Op: "open", Path: path, Err: cmp.Or(err, errNoFile)}
	}
	return f, nil
}

func (OS) Create(path string) (File, error) {
	f, err := os.OpenFile(path, os.O_RDWR|os.O_CREATE|os.O_EXCL, 0o600)
	return wrap(f, err)
}

func wrap(f *os.File, err error) (File, error) {
	if err != nil {
		return nil, err
	}
	return &osFile{File: f}, nil
}

func (OS) Rename(from, to string) error { return os.Rename(from, to) }
func (OS) Remove(path string) error     { return os.Remove(path) }

func (OS) SyncDir(dir string) error {
	d, err := os.Open(filepath.Clean(dir))
	if err != nil {
		return err
	}
	defer d.Close()
	return d.Sync()
}

func (OS) Free(dir string) (free, total int64, err error) {
	var s unix.Statfs_t
	if err := unix.Statfs(dir, &s); err != nil {
		return 0, 0, err
	}
	return int64(s.Bavail) * int64(s.Bsize), int64(s.Blocks) * int64(s.Bsize), nil
}

type osFile struct {
	*os.File
	readOnly bool
}

// WriteAt tries for itself whether the file system can be written again.
func (f *osFile) WriteAt(p []byte, at int64) (int, error) {
	if f.readOnly {
		again, err := os.OpenFile(f.Name(), os.O_RDWR, 0)
		if err != nil {
			return 0, err
		}
		f.File.Close()
		*f = osFile{File: again}
	}
	return f.File.WriteAt(p, at)
}

func (f *osFile) Size() (int64, error) {
	info, err := f.Stat()
	if err != nil {
		return 0, err
	}
	return info.Size(), nil
}
