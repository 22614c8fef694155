package infer

import (
	"archive/tar"
	"archive/zip"
	"compress/gzip"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"regexp"
	"runtime"
	"slices"
	"strings"

	"github.com/vggse/vggse-agent/internal/atomicfile"
)

// libraryFile matches the names of the libraries that we take: the core with or without its
// version, and the providers' ones.
//
// OpenVINO's wheel has each of its libraries under three names and plugins for what we do not run
// on: the names that the dynamic linker asks for, and the processor's plugin, will do.
var libraryFile = regexp.MustCompile(`^(libonnxruntime(\.so(\.\d+)*|_providers_(shared|tensorrt|cuda|openvino)\.so)` +
	`|libopenvino(_onnx_frontend)?\.so\.\d+|libopenvino_intel_cpu_plugin\.so|libtbb\.so\.\d+)$`)

const (
	mostLibrary = 4 << 30 // bytes of all libraries: those of the largest known build have 0.7 GB
	mostRatio   = 100     // of their bytes to those of an archive, which has one of 2 to 4
	mostEntries = 64      // libraries in one archive, all machines together
)

// taker keeps, of the libraries that pass, those for this machine.
type taker struct {
	dir     string // where they go
	core    string // base name of the core; "": none yet
	seen    int
	foreign []string // machines whose core passed
	room    int64    // bytes that libraries may still have
}

// unpackLibraries walks the file or folder at from, copies the libraries for this machine into dir,
// and returns the base name of the core. The error follows the name of from.
func unpackLibraries(ctx context.Context, from, dir string) (core string, err error) {
	t := &taker{dir: dir, room: mostLibrary}
	info, err := os.Stat(from)
	if err == nil && !info.IsDir() {
		t.room = min(mostLibrary, mostRatio*info.Size()+1<<20)
	}
	lower := strings.ToLower(from)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return "", errors.New("is not there")
	case err != nil:
		return "", err
	case info.IsDir():
		err = t.folder(ctx, from)
	case strings.HasSuffix(lower, ".whl"), strings.HasSuffix(lower, ".zip"):
		err = t.zip(ctx, from)
	case strings.HasSuffix(lower, ".tgz"), strings.HasSuffix(lower, ".tar.gz"):
		err = t.tar(ctx, from)
	default:
		return "", errors.New("is no .whl, .tgz, .tar.gz or folder")
	}
	switch {
	case err != nil:
		return "", err
	case t.core == "" && len(t.foreign) > 0:
		return "", fmt.Errorf("holds an ONNX Runtime for %s, this machine is %s: take the file for %[2]s",
			strings.Join(t.foreign, " and "), runtime.GOARCH)
	case t.core == "":
		return "", errors.New("holds no libonnxruntime.so: in some wheels it is inside the Python module; take a " +
			"release archive, or a wheel that was built with --build_shared_lib")
	}
	return t.core, nil
}

func (t *taker) folder(ctx context.Context, from string) error {
	return filepath.WalkDir(from, func(p string, d fs.DirEntry, err error) error {
		if err != nil || !d.Type().IsRegular() {
			return err
		}
		return t.take(ctx, d.Name(), func() (io.ReadCloser, error) { return os.Open(p) })
	})
}

func (t *taker) zip(ctx context.Context, from string) error {
	file, err := atomicfile.OpenRegular(from)
	if err != nil {
		return err
	}
	defer file.Close()
	info, err := file.Stat()
	if err != nil {
		return err
	}
	z, err := zip.NewReader(file, info.Size())
	if err != nil {
		return fmt.Errorf("is damaged, or no wheel: %w: copy it again", err)
	}
	for _, f := range z.File {
		if !f.Mode().IsRegular() {
			continue
		}
		if err := t.take(ctx, path.Base(f.Name), func() (io.ReadCloser, error) { return f.Open() }); err != nil {
			return err
		}
	}
	return nil
}

func (t *taker) tar(ctx context.Context, from string) error {
	f, err := atomicfile.OpenRegular(from)
	if err != nil {
		return err
	}
	defer f.Close()
	plain, err := gzip.NewReader(f)
	if err != nil {
		return fmt.Errorf("is damaged, or not packed with gzip: %w: copy it again", err)
	}
	for archive := tar.NewReader(plain); ; {
		header, err := archive.Next()
		if errors.Is(err, io.EOF) {
			return nil
		}
		if err != nil {
			return fmt.Errorf("is damaged: %w: copy it again", err)
		}
		if header.Typeflag != tar.TypeReg {
			continue
		}
		if err := t.take(ctx, path.Base(header.Name), func() (io.ReadCloser, error) {
			return io.NopCloser(archive),
				nil
		}); err != nil {
			return err
		}
	}
}

// take copies one file if it is a library that we want; the names of archives never become paths.
func (t *taker) take(ctx context.Context, base string, open func() (io.ReadCloser, error)) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	if !libraryFile.MatchString(base) {
		return nil
	}
	if t.seen++; t.seen > mostEntries {
		return fmt.Errorf("holds more than %d libraries: it is no ONNX Runtime", mostEntries)
	}
	r, err := open()
	if err != nil {
		return err
	}
	defer r.Close()
	aside := filepath.Join(t.dir, ".one")
	n, err := writeLibrary(aside, r, t.room)
	t.room -= n
	if err != nil {
		return fmt.Errorf("holds a %s that could not be copied: %w", base, err)
	}
	b, err := ReadBinary(aside)
	isCore := strings.HasPrefix(base, "libonnxruntime.so")
	switch {
	case err != nil:
		return os.Remove(aside) // a text, or a library for another system
	case b.Arch != runtime.GOARCH:
		if isCore && !slices.Contains(t.foreign, b.Arch) {
			t.foreign = append(t.foreign, b.Arch)
		}
		return os.Remove(aside)
	case isCore && t.core != "":
		return os.Remove(aside) // a copy under another name, as folders have where links were followed
	}
	if isCore {
		t.core = base
	}
	return os.Rename(aside, filepath.Join(t.dir, base))
}

// writeLibrary copies at most limit bytes of r to path, readable by all, down to the disk.
func writeLibrary(path string, r io.Reader, limit int64) (n int64, err error) {
	f, err := os.OpenFile(path, os.O_CREATE|os.O_TRUNC|os.O_WRONLY, 0o755)
	if err != nil {
		return 0, err
	}
	n, err = io.Copy(f, io.LimitReader(r, limit+1))
	if err == nil && n > limit {
		err = fmt.Errorf("it is larger than the %d bytes that libraries out of this may have: is the file damaged?",
			limit)
	}
	return n, errors.Join(err, f.Chmod(0o755), f.Sync(), f.Close())
}
