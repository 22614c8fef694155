package bundle

import (
	"archive/tar"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"
)

// unpack puts the bundle of a packed file into the empty folder dir: nothing that its manifest does
// not name, and nothing that differs from what it says.
func unpack(ctx context.Context, file *os.File, dir string) error {
	info, err := file.Stat()
	if err != nil {
		return err
	}
	if _, err := file.Seek(0, io.SeekStart); err != nil {
		return err
	}
	in := tar.NewReader(file)
	sums, err := head(in, sumsFile)
	if err != nil {
		return err
	}
	text, err := head(in, SpecFile)
	if err != nil {
		return err
	}
	if !strings.HasPrefix(string(sums), fmt.Sprintf("%s  %s\n", hexSum(text), SpecFile)) {
		return fmt.Errorf("%s is not the one that %s names: the file was changed or damaged, copy it again", SpecFile,
			sumsFile)
	}
	spec, err := ParseSpec(text)
	if err != nil {
		return err
	}
	if err := unpackMembers(ctx, in, dir, spec, info.Size()); err != nil {
		return err
	}
	if _, err := in.Next(); !errors.Is(err, io.EOF) {
		return errors.New("it holds more than its manifest names, or is damaged behind the last file: pack the " +
			"bundle again")
	}
	return saveAs(dir, SpecFile, text)
}

// unpackMembers takes the small files beside the manifest, where they come, and then all that it
// names but what absent.txt leaves out.
func unpackMembers(ctx context.Context, in *tar.Reader, dir string, spec *Spec, limit int64) error {
	h, err := in.Next()
	absent := ""
	for ; err == nil && slices.Contains(extras, h.Name) && h.Typeflag == tar.TypeReg; h, err = in.Next() {
		text, err := unpackExtra(in, dir, h)
		if err != nil {
			return err
		}
		if h.Name == AbsentFile {
			absent = string(text)
		}
	}
	for _, key := range strings.Fields(absent) {
		delete(spec.Files, key)
	}
	for i, f := range members(spec) {
		if i > 0 {
			h, err = in.Next()
		}
		if err != nil {
			return cut(err)
		}
		if err := member(ctx, in, h, dir, f, limit); err != nil {
			return err
		}
	}
	return nil
}

// unpackExtra saves one of the small files.
func unpackExtra(in *tar.Reader, dir string, h *tar.Header) ([]byte, error) {
	if err := checkExtra(h.Name, h.Size); err != nil {
		return nil, err
	}
	text, err := io.ReadAll(in)
	if err != nil {
		return nil, cut(err)
	}
	return text, saveAs(dir, h.Name, text)
}

// head reads one of the two small files that a packed bundle begins with.
func head(in *tar.Reader, name string) ([]byte, error) {
	h, err := in.Next()
	if err == nil && h.Name == name && h.Size > maxHead {
		return nil, fmt.Errorf("%s has %d bytes, at most %d are allowed", name, h.Size, maxHead)
	}
	if err != nil || h.Name != name {
		return nil, fmt.Errorf("this is not a bundle: make one with 'vggse-agent bundle pack DIR', or give a "+
			"folder with %s", SpecFile)
	}
	text, err := io.ReadAll(in)
	return text, cut(err)
}

// member takes the file of the archive with the header h, which must be f.
func member(ctx context.Context, in *tar.Reader, h *tar.Header, dir string, f File, limit int64) error {
	switch {
	case h.Name == filepath.ToSlash(f.Path) && h.Typeflag != tar.TypeReg:
		return fmt.Errorf("%q is a link, a device or a folder in the archive, not a file: pack the bundle again",
			h.Name)
	case h.Name != filepath.ToSlash(f.Path):
		return fmt.Errorf("%q stands where the manifest has %q: pack the bundle again", h.Name, f.Path)
	case f.Bytes != 0 && h.Size != f.Bytes:
		return fmt.Errorf("%s has %d bytes, the manifest says %d: pack the bundle again", f.Path, h.Size, f.Bytes)
	}
	if err := tooLarge(f.Path, h.Size, limit); err != nil {
		return err
	}
	return cut(save(ctx, dir, f, in))
}

// cut says in words what the end of a file too early means.
func cut(err error) error {
	if errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF) {
		return errors.New("the file ends too early: copy it again")
	}
	return err
}
