// Package filelock locks files between processes.
package filelock

import (
	"context"
	"errors"
	"io/fs"
	"os"
	"syscall"
	"time"
)

// Lock makes the file at path where it is missing, with the permissions mode, and keeps other
// processes, and other calls in this one, out until unlock is called (flock(2), exclusive). Waiting
// ends with ctx.
func Lock(ctx context.Context, path string, mode fs.FileMode) (unlock func(), err error) {
	f, err := os.OpenFile(path, os.O_CREATE|os.O_RDWR, mode)
	if err != nil {
		return nil, err
	}
	return wait(ctx, f)
}

// LockDir is Lock on a folder itself, which must be there.
func LockDir(ctx context.Context, dir string) (unlock func(), err error) {
	f, err := os.Open(dir)
	if err != nil {
		return nil, err
	}
	return wait(ctx, f)
}

// wait locks an open file.
func wait(ctx context.Context, f *os.File) (unlock func(), err error) {
	for {
		err := syscall.Flock(int(f.Fd()), syscall.LOCK_EX|syscall.LOCK_NB)
		if err == nil {
			return func() { f.Close() }, nil // which unlocks it
		}
		if !errors.Is(err, syscall.EWOULDBLOCK) && !errors.Is(err, syscall.EINTR) {
			return nil, errors.Join(err, f.Close())
		}
		select {
		case <-ctx.Done():
			return nil, errors.Join(ctx.Err(), f.Close())
		case <-time.After(100 * time.Millisecond):
		}
	}
}
