// Package filelock locks files between processes.
package filelock

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"syscall"
	"time"
)

// Lock makes the file at path where it is missing, with the permissions mode, and keeps other
// processes, and other calls in this one, out until unlock is called (flock(2), exclusive). Waiting
// ends with ctx. The file holds nothing, and may be another account's; an empty folder, or a link that
// leads nowhere, in its place makes room for it.
func Lock(ctx context.Context, path string, mode fs.FileMode) (unlock func(), err error) {
	f, err := openLock(path, mode)
	if err != nil {
		return nil, err
	}
	return wait(ctx, f)
}

// openLock opens for reading, which is enough to lock: the file may have been made by root.
func openLock(path string, mode fs.FileMode) (*os.File, error) {
	info, err := os.Stat(path)
	if err != nil {
		if link, failed := os.Lstat(path); failed == nil && link.Mode()&fs.ModeSymlink != 0 {
			os.Remove(path) // what opens it says why, where that failed
		}
	} else if info.IsDir() {
		if err := os.Remove(path); err != nil {
			return nil, fmt.Errorf("%s is a folder where a file should be: remove it", path)
		}
	}
	return os.OpenFile(path, os.O_CREATE|os.O_RDONLY|syscall.O_NONBLOCK, mode)
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

// Hold makes the file at path where it is missing and marks it as held by this process until release
// is called. Where another process holds it already, that one stays the holder, and nothing is
// wrong. The mark is a record lock of fcntl(2): this process must not open the file otherwise.
func Hold(path string, mode fs.FileMode) (release func(), err error) {
	f, err := os.OpenFile(path, os.O_CREATE|os.O_RDWR, mode)
	if err != nil {
		return nil, err
	}
	whole := syscall.Flock_t{Type: syscall.F_WRLCK}
	err = syscall.FcntlFlock(f.Fd(), syscall.F_SETLK, &whole)
	if err != nil && !errors.Is(err, syscall.EAGAIN) && !errors.Is(err, syscall.EACCES) {
		return nil, errors.Join(err, f.Close())
	}
	return func() { f.Close() }, nil
}

// Holder is the process, another one than this, that holds the file at path; 0: none that can be
// seen from here.
func Holder(path string) (pid int, err error) {
	f, err := os.OpenFile(path, os.O_RDWR, 0)
	if errors.Is(err, fs.ErrNotExist) {
		return 0, nil
	}
	if err != nil {
		return 0, err
	}
	defer f.Close()
	whole := syscall.Flock_t{Type: syscall.F_WRLCK}
	if err := syscall.FcntlFlock(f.Fd(), syscall.F_GETLK, &whole); err != nil || whole.Type == syscall.F_UNLCK {
		return 0, err
	}
	return max(0, int(whole.Pid)), nil
}
