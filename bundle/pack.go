package bundle

import (
	"archive/tar"
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"hash"
	"io"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/vggse/vggse-agent/internal/atomicfile"
)

// A packed bundle is a tar file: SHA256SUMS as sha256sum writes it, the manifest, then the small
// files beside it (extras), where the folder has them, then the files that the manifest names, in
// the order of their paths, but for those that absent.txt leaves out. Owners, times and modes are
// always the same, so that the same bundle makes the same bytes. It is not compressed: weights hardly
// can be.
const (
	sumsFile = "SHA256SUMS"
	maxHead  = 1 << 20 // bytes of SHA256SUMS and of a manifest, at most
)

// Pack writes the bundle in the folder dir to w as one file for Install, and returns the bundle's
// digest. What the manifest does not name, such as reports, is left out. Every file is compared
// with its digest on the way.
func Pack(ctx context.Context, dir string, w io.Writer) (string, error) {
	sum, err := pack(ctx, dir, w)
	if err != nil {
		return "", fmt.Errorf("bundle: pack %s: %w", dir, err)
	}
	return sum, nil
}

func pack(ctx context.Context, dir string, w io.Writer) (string, error) {
	b, text, err := open(dir)
	if err != nil {
		return "", err
	}
	beside, err := readExtras(dir)
	if err != nil {
		return "", err
	}
	return packTo(ctx, w, b, text, beside)
}

// PackWithout is Pack of an open bundle with its manifest's text. What its manifest names and the
// keys of absent leave out is missing on purpose; no statement goes in.
func PackWithout(ctx context.Context, b *Bundle, text []byte, absent []string, w io.Writer) error {
	beside := make(map[string][]byte)
	if len(absent) > 0 {
		beside[AbsentFile] = AbsentText(absent)
	}
	if _, err := packTo(ctx, w, b, text, beside); err != nil {
		return fmt.Errorf("bundle: pack %s: %w", b.Dir, err)
	}
	return nil
}

// packTo writes the files of an open bundle with its manifest's text and the small files beside it.
func packTo(ctx context.Context, w io.Writer, b *Bundle, text []byte, beside map[string][]byte) (string, error) {
	files := members(&b.Spec)
	sums := fmt.Sprintf("%s  %s\n", hexSum(text), SpecFile)
	for _, f := range files {
		sums += fmt.Sprintf("%s  %s\n", f.SHA256, f.Path)
	}
	out := tar.NewWriter(w)
	for _, head := range []struct{ name, text string }{{sumsFile, sums}, {SpecFile, string(text)}} {
		if err := add(out, head.name, int64(len(head.text)), strings.NewReader(head.text)); err != nil {
			return "", err
		}
	}
	for _, name := range extras {
		if text, ok := beside[name]; ok {
			if err := add(out, name, int64(len(text)), bytes.NewReader(text)); err != nil {
				return "", err
			}
		}
	}
	for _, f := range files {
		if err := addFile(ctx, out, b.Dir, f); err != nil {
			return "", err
		}
	}
	return hexSum(text), out.Close()
}

// ReadSpec is the text of the manifest in the folder dir.
func ReadSpec(dir string) ([]byte, error) {
	text, err := atomicfile.ReadSmall(filepath.Join(dir, SpecFile), maxHead)
	if err != nil {
		return nil, fmt.Errorf("bundle: %w", err)
	}
	return text, nil
}

// Members are the files of the bundle by path, each once.
func (b *Bundle) Members() []File { return members(&b.Spec) }

// MembersOf are those of a manifest.
func MembersOf(s *Spec) []File { return members(s) }

// open reads a bundle, and its manifest as it stands.
func open(dir string) (*Bundle, []byte, error) {
	b, err := Open(dir)
	if err != nil {
		return nil, nil, err
	}
	text, err := atomicfile.ReadSmall(filepath.Join(dir, SpecFile), maxHead)
	return b, text, err
}

// members are the files of a bundle by path, each once.
func members(s *Spec) []File {
	byPath := make(map[string]File)
	for _, f := range s.Files {
		f.Path = filepath.Clean(f.Path)
		byPath[f.Path] = f
	}
	var files []File
	for _, path := range slices.Sorted(maps.Keys(byPath)) {
		files = append(files, byPath[path])
	}
	return files
}

func add(out *tar.Writer, name string, size int64, from io.Reader) error {
	err := out.WriteHeader(&tar.Header{Name: name, Size: size, Mode: 0o644, ModTime: time.Unix(0, 0),
		Format: tar.FormatUSTAR})
	if err != nil {
		return err
	}
	_, err = io.Copy(out, from)
	return err
}

func addFile(ctx context.Context, out *tar.Writer, dir string, f File) error {
	file, err := atomicfile.OpenRegular(filepath.Join(dir, f.Path))
	if err != nil {
		return err
	}
	defer file.Close()
	info, err := file.Stat()
	if err != nil {
		return err
	}
	check := newChecked(ctx, f, file)
	if err := add(out, filepath.ToSlash(f.Path), info.Size(), check); err != nil {
		return err
	}
	return check.err()
}

// checked reads a file of a bundle and hashes it on the way. It ends early with its context.
type checked struct {
	ctx  context.Context
	from io.Reader
	file File
	hash hash.Hash
}

func newChecked(ctx context.Context, f File, from io.Reader) *checked {
	return &checked{ctx, from, f, sha256.New()}
}

func (c *checked) Read(p []byte) (int, error) {
	if err := c.ctx.Err(); err != nil {
		return 0, err
	}
	n, err := c.from.Read(p)
	c.hash.Write(p[:n])
	return n, err
}

// err says whether what was read is what the manifest names.
func (c *checked) err() error {
	if got := hex.EncodeToString(c.hash.Sum(nil)); got != c.file.SHA256 {
		return fmt.Errorf("%s has SHA-256 %.12s…, the manifest says %.12s…: it was changed or damaged, copy the "+
			"bundle again", c.file.Path, got, c.file.SHA256)
	}
	return nil
}

// save writes one file of a bundle into dir and sees that it is the one that the manifest names.
func save(ctx context.Context, dir string, f File, from io.Reader) error {
	path := filepath.Join(dir, f.Path)
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		return err
	}
	check := newChecked(ctx, f, from)
	return atomicfile.WriteFile(path, func(w io.Writer) error {
		if _, err := io.Copy(w, check); err != nil {
			return err
		}
		return check.err()
	})
}

// saveAs writes a small file; the manifest comes last.
func saveAs(dir, name string, text []byte) error {
	return atomicfile.WriteFile(filepath.Join(dir, name), func(w io.Writer) error {
		_, err := w.Write(text)
		return err
	})
}
