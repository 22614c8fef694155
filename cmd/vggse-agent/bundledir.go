package main

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"

	"github.com/vggse/vggse-agent/model"
)

// newFolder makes the folder at out hold what fill puts into the folder it is given: aside first, then
// renamed, so that out is complete or not there. A folder with something in it is refused.
func newFolder(out string, fill func(dir string) error) error {
	out = filepath.Clean(out)
	switch entries, err := os.ReadDir(out); {
	case errors.Is(err, fs.ErrNotExist):
	case err != nil:
		return err
	case len(entries) > 0:
		return fmt.Errorf("%s is not empty: choose another folder, or remove it first", out)
	}
	if err := os.MkdirAll(filepath.Dir(out), 0o755); err != nil {
		return err
	}
	aside, err := os.MkdirTemp(filepath.Dir(out), "."+filepath.Base(out)+".*")
	if err != nil {
		return err
	}
	defer os.RemoveAll(aside)
	if err := os.Chmod(aside, 0o755); err != nil {
		return err
	}
	if err := fill(aside); err != nil {
		return err
	}
	return os.Rename(aside, out)
}

// bundleFile writes dir/name, counting on progress, and returns its manifest entry. It ends early with ctx.
func bundleFile(ctx context.Context, dir, name string, progress io.Writer, write func(io.Writer) error) (model.File, error) {
	hash := sha256.New()
	var size counter
	err := model.WriteFile(filepath.Join(dir, name), func(w io.Writer) error {
		return write(io.MultiWriter(cancelWriter{ctx}, w, hash, &size, progress))
	})
	return model.File{Path: name, SHA256: hex.EncodeToString(hash.Sum(nil)), Bytes: int64(size)}, err
}

// counter counts the bytes written to it.
type counter int64

func (c *counter) Write(p []byte) (int, error) {
	*c += counter(len(p))
	return len(p), nil
}

// cancelWriter takes everything until its context ends.
type cancelWriter struct{ ctx context.Context }

func (c cancelWriter) Write(p []byte) (int, error) { return len(p), c.ctx.Err() }
