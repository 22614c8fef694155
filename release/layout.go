package release

import (
	"archive/tar"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"syscall"

	"github.com/opencontainers/go-digest"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"
)

// files are the files of a layout by their names with slashes. What they open is a regular file
// inside the layout, nothing else.
type files interface {
	open(name string) (io.ReadSeekCloser, int64, error)
	Close() error
}

// folder is a layout in a folder, from whose names nothing leads out.
type folder struct{ root *os.Root }

func openFolder(dir string) (*folder, error) {
	root, err := os.OpenRoot(dir)
	if err != nil {
		return nil, err
	}
	return &folder{root}, nil
}

func (f *folder) Close() error { return f.root.Close() }

// open opens a file without following a link and without waiting for a pipe.
func (f *folder) open(name string) (io.ReadSeekCloser, int64, error) {
	info, err := f.root.Lstat(name)
	if err != nil {
		return nil, 0, err
	}
	if err := regular(name, info.Mode()); err != nil {
		return nil, 0, err
	}
	file, err := f.root.OpenFile(name, os.O_RDONLY|syscall.O_NONBLOCK|syscall.O_NOFOLLOW, 0)
	if err != nil {
		return nil, 0, err
	}
	if info, err = file.Stat(); err == nil {
		err = regular(name, info.Mode())
	}
	if err != nil {
		file.Close()
		return nil, 0, err
	}
	return file, info.Size(), nil
}

// regular refuses whatever is no plain file.
func regular(name string, mode fs.FileMode) error {
	switch {
	case mode.IsRegular():
		return nil
	case mode&fs.ModeSymlink != 0:
		return fmt.Errorf("%s is a link: a release has plain files alone", name)
	case mode.IsDir():
		return fmt.Errorf("%s is a folder: a release has plain files alone", name)
	}
	return fmt.Errorf("%s is a device or pipe: a release has plain files alone", name)
}

// tarFile is a layout in one tar file, which stays open.
type tarFile struct {
	file    *os.File
	members map[string]section
}

// tarMembers is the most files that a layout has.
const tarMembers = 50_000

func openTar(path string) (*tarFile, error) {
	f, err := os.OpenFile(path, os.O_RDONLY|syscall.O_NONBLOCK, 0)
	if err != nil {
		return nil, err
	}
	t := &tarFile{file: f, members: make(map[string]section)}
	info, err := f.Stat()
	if err == nil {
		err = regular(path, info.Mode())
	}
	if err == nil {
		err = t.index(info.Size())
	}
	if err != nil {
		f.Close()
		return nil, err
	}
	return t, nil
}

func (t *tarFile) Close() error { return t.file.Close() }

// index notes where the members stand.
func (t *tarFile) index(size int64) error {
	in := tar.NewReader(t.file)
	for {
		h, err := in.Next()
		if errors.Is(err, io.EOF) {
			return nil
		}
		if err != nil {
			return errors.New("is no tar file, or is damaged or cut off: copy it again")
		}
		name := strings.TrimPrefix(h.Name, "./")
		at, err := t.file.Seek(0, io.SeekCurrent)
		if err != nil {
			return err
		}
		if h.Typeflag == tar.TypeDir && (name == "" || filepath.IsLocal(name)) {
			continue
		}
		if err := t.check(name, h, at, size); err != nil {
			return err
		}
		t.members[name] = section{at, h.Size}
	}
}

// check refuses a member that no layout has.
func (t *tarFile) check(name string, h *tar.Header, at, size int64) error {
	if !filepath.IsLocal(name) || filepath.ToSlash(filepath.Clean(name)) != name {
		return fmt.Errorf("the tar file has a member %.80q, which leads out of it: a release has no such names", h.Name)
	}
	if h.Typeflag != tar.TypeReg {
		return regular(name, h.FileInfo().Mode()&^0o777|fs.ModeIrregular)
	}
	for key := range h.PAXRecords {
		if strings.HasPrefix(key, "GNU.sparse") {
			return fmt.Errorf("%s has holes: a release has plain files alone", name)
		}
	}
	if h.Size > size-at {
		return fmt.Errorf("%s claims %d bytes, more than the tar file has left: copy it again", name, h.Size)
	}
	if _, twice := t.members[name]; twice {
		return fmt.Errorf("the tar file has %s twice: pack it again", name)
	}
	if len(t.members) >= tarMembers {
		return fmt.Errorf("the tar file has more than %d files: a release has fewer", tarMembers)
	}
	return nil
}

func (t *tarFile) open(name string) (io.ReadSeekCloser, int64, error) {
	s, ok := t.members[name]
	if !ok {
		return nil, 0, &fs.PathError{Op: "open", Path: name, Err: fs.ErrNotExist}
	}
	return struct {
		io.ReadSeeker
		io.Closer
	}{io.NewSectionReader(t.file, s.offset, s.size), io.NopCloser(nil)}, s.size, nil
}

// readSmall reads a file of at most limit bytes.
func readSmall(f files, name string, limit int64) ([]byte, error) {
	r, size, err := f.open(name)
	if err != nil {
		return nil, err
	}
	defer r.Close()
	if size > limit {
		return nil, fmt.Errorf("%s has %d bytes, at most %d are possible: get the release again", name, size, limit)
	}
	return io.ReadAll(io.LimitReader(r, limit))
}

// blobName is where a layout has the content of a digest.
func blobName(d digest.Digest) (string, error) {
	if !isSHA256(string(d)) {
		return "", fmt.Errorf("%.80q is no SHA-256 digest: get the release again", string(d))
	}
	return "blobs/sha256/" + d.Encoded(), nil
}

// readIndex reads what a layout says of itself.
func readIndex(f files) (*ocispec.Index, error) {
	var layout ocispec.ImageLayout
	text, err := readSmall(f, ocispec.ImageLayoutFile, 4<<10)
	if err == nil {
		err = json.Unmarshal(text, &layout)
	}
	if errors.Is(err, fs.ErrNotExist) || err == nil && layout.Version != ocispec.ImageLayoutVersion {
		return nil, fmt.Errorf("it is no release: it has no %s of version %s (push one there with 'vggse-agent "+
			"release push')", ocispec.ImageLayoutFile, ocispec.ImageLayoutVersion)
	}
	if err != nil {
		return nil, err
	}
	index := &ocispec.Index{}
	if text, err = readSmall(f, ocispec.ImageIndexFile, manifestBytes); err != nil {
		return nil, err
	}
	if err := json.Unmarshal(text, index); err != nil {
		return nil, fmt.Errorf("%s is damaged: %w", ocispec.ImageIndexFile, err)
	}
	return index, nil
}

// missing is err, but that a file is not there is none.
func missing(err error) error {
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	return err
}
