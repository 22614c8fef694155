package atomicfile

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"os"
)

// WriteHashed is WriteFile for a large file: it hashes and counts what write writes on the way,
// hands a copy to progress and ends early with ctx. It returns the SHA-256 in hexadecimal digits
// and the number of bytes.
func WriteHashed(ctx context.Context, path string, progress io.Writer, write func(io.Writer) error) (string, int64,
	error) {
	hash := newHasher()
	defer hash.stop()
	var size counter
	err := WriteFile(path, func(w io.Writer) error {
		hash.file = w
		return write(io.MultiWriter(cancelWriter{ctx}, hash, &size, progress))
	})
	return hash.stop(), int64(size), err
}

// writebackStep is how much gathers in memory before the disk is set to work.
const writebackStep = 16 << 20

// hasher writes to file and hashes what it writes beside that, on another core, while the disk
// works.
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

// stop waits for the other core and returns the SHA-256 in hexadecimal digits; it may be called
// twice.
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

// HashFile returns the SHA-256 of a file in hexadecimal digits. It ends early with ctx.
func HashFile(ctx context.Context, path string) (string, error) {
	f, err := OpenRegular(path)
	if err != nil {
		return "", fmt.Errorf("hash: %w", err)
	}
	defer f.Close()
	h := sha256.New()
	buf := make([]byte, 1<<20)
	for {
		if err := ctx.Err(); err != nil {
			return "", fmt.Errorf("hash %s: %w", path, err)
		}
		n, err := f.Read(buf)
		h.Write(buf[:n])
		if errors.Is(err, io.EOF) {
			return hex.EncodeToString(h.Sum(nil)), nil
		}
		if err != nil {
			return "", fmt.Errorf("hash: %w", err)
		}
	}
}
