//go:build unix

package spool

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"syscall"
)

// lockDir keeps a second process out of a folder; the kernel gives it free when this one ends. A folder
// that cannot be written needs no lock.
func lockDir(dir string, files FS) (unlock func(), err error) {
	if _, ok := files.(OS); !ok {
		return func() {}, nil
	}
	f, err := os.OpenFile(filepath.Join(dir, "lock"), os.O_RDWR|os.O_CREATE, 0o600)
	if err != nil {
		return func() {}, nil //nolint:nilerr // see above
	}
	err = syscall.Flock(int(f.Fd()), syscall.LOCK_EX|syscall.LOCK_NB)
	if errors.Is(err, syscall.EWOULDBLOCK) {
		f.Close()
		return func() {}, fmt.Errorf("another agent uses it: give this one a state_dir of its own")
	}
	return func() { f.Close() }, nil
}
