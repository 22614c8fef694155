package atomicfile

import (
	"errors"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"syscall"
)

// straight opens what cannot be replaced, but only written to: a device such as /dev/null, the
// caller's own output as /dev/stdout, a pipe with a reader. It is nil where path is to be replaced.
func straight(path string) (*os.File, error) {
	info, err := os.Stat(path)
	if err != nil {
		return nil, nil // the usual way says why
	}
	mode := info.Mode()
	switch {
	case mode.IsDir():
		return nil, errors.New("it is a folder")
	case mode&fs.ModeDevice != 0 && mode&fs.ModeCharDevice == 0:
		return nil, errors.New("it is a disk")
	case mode&(fs.ModeCharDevice|fs.ModeNamedPipe) == 0 && !ofSystem(path):
		return nil, nil
	}
	f, err := os.OpenFile(path, os.O_WRONLY|syscall.O_NONBLOCK|syscall.O_NOCTTY, 0)
	if errors.Is(err, syscall.ENXIO) && mode&fs.ModeNamedPipe != 0 {
		return nil, nil // nobody reads it
	}
	return f, err
}

// ofSystem reports whether names at path belong to the system, as /dev/stdout.
func ofSystem(path string) bool {
	whole, err := filepath.Abs(path)
	return err == nil && (filepath.Dir(whole) == "/dev" || strings.HasPrefix(whole, "/dev/fd/") ||
		strings.HasPrefix(whole, "/proc/"))
}

// writeStraight lets write write to what cannot be replaced, and closes it.
func writeStraight(f *os.File, write func(io.Writer) error) error {
	return errors.Join(write(f), f.Close())
}
