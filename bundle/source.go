package bundle

import (
	"context"
	"fmt"
	"io"
	"os"
	"path/filepath"

	"github.com/vggse/vggse-agent/internal/atomicfile"
)

// Source is a bundle to copy, a folder or a file that Pack made, with all of its files open: what
// becomes of their names, and of the rights of this process, no longer matters. Whoever opened it
// closes it.
type Source struct {
	Path   string
	packed *os.File
	spec   *Spec // of a folder; nil: packed
	text   []byte
	files  map[string]*os.File // by path in the bundle
}

// OpenSource opens the bundle at path.
func OpenSource(path string) (*Source, error) {
	info, err := os.Stat(path)
	if err != nil {
		return nil, err
	}
	s := &Source{Path: path, files: make(map[string]*os.File)}
	if !info.IsDir() {
		s.packed, err = atomicfile.OpenRegular(path)
		return s, err
	}
	b, text, err := open(path)
	if err != nil {
		return nil, err
	}
	s.spec, s.text = &b.Spec, text
	for _, f := range members(s.spec) {
		if s.files[f.Path], err = atomicfile.OpenRegular(filepath.Join(path, f.Path)); err != nil {
			delete(s.files, f.Path)
			s.Close()
			return nil, err
		}
	}
	return s, nil
}

// CopyTo puts the bundle into the empty folder dir: nothing that its manifest does not name, and
// nothing that differs from what it says.
func (s *Source) CopyTo(ctx context.Context, dir string) error {
	if s.packed != nil {
		return unpack(ctx, s.packed, dir)
	}
	for _, f := range members(s.spec) {
		file := s.files[f.Path]
		if _, err := file.Seek(0, io.SeekStart); err != nil {
			return err
		}
		if err := save(ctx, dir, f, file); err != nil {
			return err
		}
	}
	return saveText(dir, s.text)
}

// Close closes the files.
func (s *Source) Close() {
	if s.packed != nil {
		s.packed.Close()
	}
	for _, f := range s.files {
		f.Close()
	}
}

// tooLarge refuses a member of a packed bundle that claims to be larger than the whole file: only
// one with holes in it can be, which Pack never makes, and which would fill the disk with zeros.
func tooLarge(name string, size, limit int64) error {
	if size > limit {
		return fmt.Errorf("%s claims %d bytes, more than the %d of the whole file: pack the bundle again", name, size,
			limit)
	}
	return nil
}
