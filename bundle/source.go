package bundle

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"

	"github.com/vggse/vggse-agent/internal/atomicfile"
)

// Source is a bundle to copy: a folder or a file that Pack made with all of its files open, or the
// parts of one. What becomes of their names, and of the rights of this process, no longer matters.
// Whoever opened it closes it.
type Source struct {
	Path   string
	packed *os.File
	files  []File // by path; of a packed bundle none
	text   []byte
	extras map[string][]byte
	open   func(path string) (io.ReadCloser, error)
	opened map[string]*os.File // by path in the bundle
}

// OpenSource opens the bundle at path.
func OpenSource(path string) (*Source, error) {
	info, err := os.Stat(path)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, fmt.Errorf("there is no file or folder %s: 'vggse-agent release pull' takes a release from a "+
			"registry, else download the file first", path)
	}
	if err != nil {
		return nil, err
	}
	s := &Source{Path: path, opened: make(map[string]*os.File)}
	if !info.IsDir() {
		s.packed, err = atomicfile.OpenRegular(path)
		return s, err
	}
	b, text, err := open(path)
	if err != nil {
		return nil, err
	}
	if s.extras, err = readExtras(path); err != nil {
		return nil, err
	}
	s.files, s.text, s.open = members(&b.Spec), text, s.again
	for _, f := range s.files {
		if s.opened[f.Path], err = atomicfile.OpenRegular(filepath.Join(path, f.Path)); err != nil {
			delete(s.opened, f.Path)
			s.Close()
			return nil, err
		}
	}
	return s, nil
}

// Parts are what NewSource makes a bundle of.
type Parts struct {
	Name      string                                   // for messages: where the parts come from
	Text      []byte                                   // of the manifest
	Absent    []string                                 // keys of its files that are left out
	Statement []byte                                   // nil: none
	Signature []byte                                   // of the statement
	Open      func(path string) (io.ReadCloser, error) // a file of the manifest, by its path there
}

// NewSource is a bundle whose files come from p.Open, one after the other.
func NewSource(p Parts) (*Source, error) {
	spec, err := ParseSpec(p.Text)
	if err != nil {
		return nil, err
	}
	s := &Source{Path: p.Name, text: p.Text, open: p.Open, extras: make(map[string][]byte)}
	for _, key := range p.Absent {
		delete(spec.Files, key)
	}
	if len(p.Absent) > 0 {
		s.extras[AbsentFile] = AbsentText(p.Absent)
	}
	s.SetStatement(p.Statement, p.Signature)
	s.files = members(spec)
	return s, nil
}

// again is an open file from its beginning.
func (s *Source) again(path string) (io.ReadCloser, error) {
	file := s.opened[path]
	if _, err := file.Seek(0, io.SeekStart); err != nil {
		return nil, err
	}
	return io.NopCloser(file), nil
}

// CopyTo puts the bundle into the empty folder dir: nothing that its manifest does not name, and
// nothing that differs from what it says.
func (s *Source) CopyTo(ctx context.Context, dir string) error {
	if s.packed != nil {
		if err := unpack(ctx, s.packed, dir); err != nil {
			return err
		}
		return s.copyExtras(dir)
	}
	for _, f := range s.files {
		file, err := s.open(f.Path)
		if err != nil {
			return err
		}
		err = save(ctx, dir, f, file)
		file.Close()
		if err != nil {
			return err
		}
	}
	if err := s.copyExtras(dir); err != nil {
		return err
	}
	return saveAs(dir, SpecFile, s.text)
}

// copyExtras writes the small files that came beside the bundle.
func (s *Source) copyExtras(dir string) error {
	for _, name := range extras {
		if text, ok := s.extras[name]; ok {
			if err := saveAs(dir, name, text); err != nil {
				return err
			}
		}
	}
	return nil
}

// SetStatement gives the bundle a statement in place of its own; nil: that one stays.
func (s *Source) SetStatement(statement, signature []byte) {
	if statement == nil {
		return
	}
	if s.extras == nil {
		s.extras = make(map[string][]byte)
	}
	s.extras[StatementFile], s.extras[SignatureFile] = statement, signature
}

// Close closes the files.
func (s *Source) Close() {
	if s.packed != nil {
		s.packed.Close()
	}
	for _, f := range s.opened {
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
