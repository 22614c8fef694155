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
	if err := os.Remove(out); err != nil && !errors.Is(err, fs.ErrNotExist) { // an empty one
		return err
	}
	if err := os.Rename(aside, out); err != nil {
		return err
	}
	return model.SyncDir(filepath.Dir(out))
}

// bundleFile writes dir/name, counting on progress, and returns its manifest entry. It ends early with ctx.
func bundleFile(ctx context.Context, dir, name string, progress io.Writer, write func(io.Writer) error) (model.File, error) {
	hash := newHasher()
	defer hash.stop()
	var size counter
	err := model.WriteFile(filepath.Join(dir, name), func(w io.Writer) error {
		hash.file = w
		return write(io.MultiWriter(cancelWriter{ctx}, hash, &size, progress))
	})
	return model.File{Path: name, SHA256: hash.stop(), Bytes: int64(size)}, err
}

// writebackStep is how much gathers in memory before the disk is set to work.
const writebackStep = 16 << 20

// hasher writes to file and hashes what it writes beside that, on another core, while the disk works.
type hasher struct {
	file   io.Writer
	ahead  int64 // written, and not yet on its way to the disk
	at     int64 // where that begins
	disk   chan [2]int64
	blocks chan []byte
	hashed chan struct{} // one for each block, and closed behind the last
	sum    string
}

func newHasher() *hasher {
	h := &hasher{blocks: make(chan []byte), hashed: make(chan struct{}), disk: make(chan [2]int64)}
	go func() { // of its own, because the kernel makes the caller wait where the disk's queue is full
		for part := range h.disk {
			if f, ok := h.file.(*os.File); ok {
				startWriteback(f, part[0], part[1])
			}
		}
	}()
	go func() {
		defer close(h.hashed)
		sum := sha256.New()
		for b := range h.blocks {
			sum.Write(b)
			h.hashed <- struct{}{}
		}
		h.sum = hex.EncodeToString(sum.Sum(nil))
	}()
	return h
}

func (h *hasher) Write(p []byte) (int, error) {
	h.blocks <- p
	n, err := h.file.Write(p)
	if h.ahead += int64(n); h.ahead >= writebackStep {
		select {
		case h.disk <- [2]int64{h.at, h.ahead}:
			h.at, h.ahead = h.at+h.ahead, 0
		default: // the disk is busy with the part before: a longer one next time
		}
	}
	<-h.hashed
	return n, err
}

// stop waits for the other core and returns the SHA-256 in hexadecimal digits; it may be called twice.
func (h *hasher) stop() string {
	if h.blocks != nil {
		close(h.blocks)
		close(h.disk)
		<-h.hashed
		h.blocks = nil
	}
	return h.sum
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
