package spool

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"
)

// memFS is a file system in memory that knows what is on the disk and what is not there yet. It can
// fail any operation, and crash: what was not synced is then lost, kept or torn by sectors, at
// random.
type memFS struct {
	files   map[string]*inode // as programs see it
	durable map[string]*inode // names on the disk
	pending []func()          // changes of names since the last SyncDir, in order
	ops     int               // writes, syncs, creations, renames and removals so far
	fault   func(op string, n int) error
	free    int64
}

type inode struct {
	now, disk []byte
	unsynced  []write
}

type write struct {
	at   int64
	data []byte
}

var errCrashed = errors.New("the power is off")

func newMemFS() *memFS {
	return &memFS{files: make(map[string]*inode), durable: make(map[string]*inode), free: 1 << 40}
}

func (m *memFS) op(name string) error {
	m.ops++
	if m.fault != nil {
		return m.fault(name, m.ops)
	}
	return nil
}

// crash is the file system after a power cut.
func (m *memFS) crash(random *rand.Rand) *memFS {
	for _, change := range m.pending[:random.IntN(len(m.pending)+1)] {
		change() // a journal keeps the order of names
	}
	after := newMemFS()
	for name, node := range m.durable {
		disk := slices.Clone(node.disk)
		for _, w := range node.unsynced {
			if len(disk) < int(w.at)+len(w.data) {
				disk = append(disk, make([]byte, int(w.at)+len(w.data)-len(disk))...)
			}
			const sector = 512
			for i := 0; i < len(w.data); {
				n := min(len(w.data)-i, sector-int(w.at+int64(i))%sector)
				if random.IntN(2) == 0 {
					copy(disk[int(w.at)+i:], w.data[i:i+n])
				}
				i += n
			}
		}
		copied := &inode{now: disk, disk: slices.Clone(disk)}
		after.files[name], after.durable[name] = copied, copied
	}
	return after
}

func (m *memFS) MkdirAll(string) error { return m.op("mkdir") }

func (m *memFS) List(dir string) ([]string, error) {
	var names []string
	for path := range m.files {
		if filepath.Dir(path) == dir {
			names = append(names, filepath.Base(path))
		}
	}
	return names, nil
}

func (m *memFS) Open(path string) (File, error) {
	if n := m.files[path]; n != nil {
		return &memFile{m, n}, nil
	}
	return nil, fs.ErrNotExist
}

func (m *memFS) Create(path string) (File, error) {
	if err := m.op("create"); err != nil {
		return nil, err
	}
	if m.files[path] != nil {
		return nil, fs.ErrExist
	}
	n := &inode{}
	m.files[path] = n
	m.pending = append(m.pending, func() { m.durable[path] = n })
	return &memFile{m, n}, nil
}

func (m *memFS) Rename(from, to string) error {
	if err := m.op("rename"); err != nil {
		return err
	}
	n := m.files[from]
	if n == nil {
		return fs.ErrNotExist
	}
	delete(m.files, from)
	m.files[to] = n
	m.pending = append(m.pending, func() { delete(m.durable, from); m.durable[to] = n })
	return nil
}

func (m *memFS) Remove(path string) error {
	if err := m.op("remove"); err != nil {
		return err
	}
	delete(m.files, path)
	m.pending = append(m.pending, func() { delete(m.durable, path) })
	return nil
}

func (m *memFS) SyncDir(string) error {
	if err := m.op("syncdir"); err != nil {
		return err
	}
	for _, change := range m.pending {
		change()
	}
	m.pending = nil
	return nil
}

func (m *memFS) Free(string) (free, total int64, err error) { return m.free, 1 << 40, nil }

// segments lists the files of records.
func (m *memFS) segments() []string {
	var names []string
	for name := range m.files {
		if strings.HasSuffix(name, ".seg") {
			names = append(names, name)
		}
	}
	slices.Sort(names)
	return names
}

type memFile struct {
	fs   *memFS
	node *inode
}

func (f *memFile) ReadAt(p []byte, at int64) (int, error) {
	if at >= int64(len(f.node.now)) {
		return 0, io.EOF
	}
	n := copy(p, f.node.now[at:])
	if n < len(p) {
		return n, io.EOF
	}
	return n, nil
}

func (f *memFile) WriteAt(p []byte, at int64) (int, error) {
	if err := f.fs.op("write"); err != nil {
		return 0, err
	}
	if grow := int(at) + len(p) - len(f.node.now); grow > 0 {
		f.node.now = append(f.node.now, make([]byte, grow)...)
	}
	copy(f.node.now[at:], p)
	f.node.unsynced = append(f.node.unsynced, write{at, slices.Clone(p)})
	return len(p), nil
}

// Sync makes the data durable; when it fails, nobody knows of which.
func (f *memFile) Sync() error {
	if err := f.fs.op("sync"); err != nil {
		return err
	}
	f.node.disk = slices.Clone(f.node.now)
	f.node.unsynced = nil
	return nil
}

func (f *memFile) Close() error         { return nil }
func (f *memFile) Size() (int64, error) { return int64(len(f.node.now)), nil }

// errFull is what a full disk says.
var errFull = fmt.Errorf("mem: %w", syscall.ENOSPC)

func mustMkdir(t *testing.T, dir string) {
	t.Helper()
	if err := os.MkdirAll(dir, 0o700); err != nil {
		t.Fatal(err)
	}
}
