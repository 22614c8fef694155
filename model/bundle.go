package model

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"

	"go.yaml.in/yaml/v3"
)

// Bundle is a folder with a network and its manifest.
type Bundle struct {
	Dir  string
	Spec Spec
}

// OpenBundle reads and checks the manifest of the folder dir and sees that every file it names is
// there with the size it gives. It does not hash them: that is CheckFile's work, beside loading.
func OpenBundle(dir string) (*Bundle, error) {
	path := filepath.Join(dir, SpecFile)
	text, err := os.ReadFile(path)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, fmt.Errorf("model: %s is not a bundle: it has no %s (make one with 'vggse-agent new' or 'import')", dir, SpecFile)
	}
	if err != nil {
		return nil, fmt.Errorf("model: open bundle: %w", err)
	}
	b := &Bundle{Dir: dir}
	dec := yaml.NewDecoder(bytes.NewReader(text))
	dec.KnownFields(true)
	if err := dec.Decode(&b.Spec); err != nil {
		return nil, fmt.Errorf("model: %s: %w", path, err)
	}
	if err := b.Spec.Validate(); err != nil {
		return nil, fmt.Errorf("model: %s: %w", path, err)
	}
	for key, f := range b.Spec.Files {
		info, err := os.Stat(filepath.Join(dir, f.Path))
		if err != nil {
			return nil, fmt.Errorf("model: %s: files.%s: %s is missing: copy the whole folder again", path, key, f.Path)
		}
		if f.Bytes != 0 && info.Size() != f.Bytes {
			return nil, fmt.Errorf("model: %s: files.%s: %s has %d bytes, the manifest says %d: copy it again",
				path, key, f.Path, info.Size(), f.Bytes)
		}
	}
	return b, nil
}

// Path is where the file with the given key of Spec.Files lies.
func (b *Bundle) Path(key string) (string, error) {
	f, ok := b.Spec.Files[key]
	if !ok {
		return "", fmt.Errorf("model: bundle %s has no %s file", b.Dir, key)
	}
	return filepath.Join(b.Dir, f.Path), nil
}

// CheckFile hashes the file with the given key and compares it with the manifest. It reads the whole
// file: about 1 s for 554 MB, less when ctx ends.
func (b *Bundle) CheckFile(ctx context.Context, key string) error {
	path, err := b.Path(key)
	if err != nil {
		return err
	}
	got, err := HashFile(ctx, path)
	if err != nil {
		return fmt.Errorf("model: hash %s: %w", path, err)
	}
	if want := b.Spec.Files[key].SHA256; got != want {
		return fmt.Errorf("model: %s has SHA-256 %.12s…, the manifest says %.12s…: the file was changed or damaged, copy the bundle again",
			path, got, want)
	}
	return nil
}

// HashFile returns the SHA-256 of a file in hexadecimal digits.
func HashFile(ctx context.Context, path string) (string, error) {
	f, err := os.Open(path)
	if err != nil {
		return "", err
	}
	defer f.Close()
	h := sha256.New()
	buf := make([]byte, 1<<20)
	for {
		if err := ctx.Err(); err != nil {
			return "", err
		}
		n, err := f.Read(buf)
		h.Write(buf[:n])
		if err == io.EOF {
			return hex.EncodeToString(h.Sum(nil)), nil
		}
		if err != nil {
			return "", err
		}
	}
}

// WriteSpec writes the manifest into dir: aside, synced, renamed. Its YAML is what OpenBundle reads.
func WriteSpec(dir string, s *Spec) error {
	if err := s.Validate(); err != nil {
		return fmt.Errorf("model: manifest: %w", err)
	}
	var text bytes.Buffer
	enc := yaml.NewEncoder(&text)
	enc.SetIndent(2)
	if err := enc.Encode(s); err != nil {
		return fmt.Errorf("model: manifest: %w", err)
	}
	if err := WriteFile(filepath.Join(dir, SpecFile), func(w io.Writer) error {
		_, err := w.Write(text.Bytes())
		return err
	}); err != nil {
		return fmt.Errorf("model: write manifest: %w", err)
	}
	return nil
}

// WriteFile makes the file at path hold what write writes, or leaves what was there: it writes aside,
// syncs, renames and syncs the folder.
func WriteFile(path string, write func(io.Writer) error) (err error) {
	f, err := os.CreateTemp(filepath.Dir(path), "."+filepath.Base(path)+".*")
	if err != nil {
		return err
	}
	defer func() {
		if err != nil {
			f.Close()
			os.Remove(f.Name())
		}
	}()
	if err := write(f); err != nil {
		return err
	}
	if err := f.Chmod(0o644); err != nil {
		return err
	}
	if err := f.Sync(); err != nil {
		return err
	}
	if err := f.Close(); err != nil {
		return err
	}
	if err := os.Rename(f.Name(), path); err != nil {
		return err
	}
	return syncDir(filepath.Dir(path))
}

func syncDir(dir string) error {
	d, err := os.Open(dir)
	if err != nil {
		return err
	}
	defer d.Close()
	return d.Sync()
}

func isLocal(path string) bool { return filepath.IsLocal(path) && !filepath.IsAbs(path) }
