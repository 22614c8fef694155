package atomicfile

import (
	"errors"
	"fmt"
	"io"
	"os"
)

// WriteScratch makes the file at path hold what write writes, for this process only: it is not
// synced, so where it is removed soon its bytes never go to the disk, and after a power cut it may
// hold anything. What was there before is gone whatever comes; of an error nothing is left. The
// error wraps that of write.
func WriteScratch(path string, write func(io.Writer) error) error {
	err := os.Remove(path)
	if err == nil || errors.Is(err, os.ErrNotExist) {
		err = writeNew(path, write)
	}
	if err != nil {
		return fmt.Errorf("write %s: %w", path, err)
	}
	return nil
}

func writeNew(path string, write func(io.Writer) error) error {
	f, err := os.OpenFile(path, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o600)
	if err != nil {
		return err
	}
	if err := errors.Join(write(f), f.Close()); err != nil {
		return errors.Join(err, os.Remove(path))
	}
	return nil
}
