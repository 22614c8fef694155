package atomicfile

import (
	"crypto/rand"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"time"

	"golang.org/x/sys/unix"
)

// unfinished stands in the name of what is written aside, between a dot with the name that it is to
// have and some letters.
const unfinished = ".vggse-unfinished."

// young is the age below which what lies aside may just be being made.
const young = time.Minute

// swept are the folders that this process has swept.
var swept sync.Map

// sweep removes from dir, once in the life of the process, what processes that were killed have
// left there. Who still writes holds a lock on it, see hold.
func sweep(dir string) {
	if _, done := swept.LoadOrStore(dir, true); !done {
		removeUnfinished(dir)
	}
}

func removeUnfinished(dir string) {
	entries, _ := os.ReadDir(dir) // where it cannot be read nothing can be removed, either
	for _, e := range entries {
		if !strings.HasPrefix(e.Name(), ".") || !strings.Contains(e.Name(), unfinished) {
			continue
		}
		info, err := e.Info()
		if err == nil && (info.IsDir() || info.Mode().IsRegular()) && time.Since(info.ModTime()) > young {
			removeUnheld(filepath.Join(dir, e.Name()))
		}
	}
}

// removeUnheld removes a file or folder that no process holds.
func removeUnheld(path string) {
	fd, err := unix.Open(path, unix.O_RDONLY|unix.O_NOFOLLOW|unix.O_NONBLOCK|unix.O_CLOEXEC, 0)
	if err != nil {
		return
	}
	defer unix.Close(fd)
	if unix.Flock(fd, unix.LOCK_EX|unix.LOCK_NB) == nil {
		os.RemoveAll(path)
	}
}

// hold locks what is being written for as long as fd is open. A file system without locks is no
// reason not to write there.
func hold(fd int) { _ = unix.Flock(fd, unix.LOCK_EX|unix.LOCK_NB) }

// unnamed opens a file in dir that has no name yet, so that nothing is left of it where the process
// is killed; false where the file system cannot.
func unnamed(dir string) (*os.File, bool) {
	if _, err := os.Stat("/proc/self/fd"); err != nil { // by which it gets its name
		return nil, false
	}
	f, err := os.OpenFile(dir, unix.O_TMPFILE|os.O_WRONLY, 0o600)
	return f, err == nil
}

// name gives an unnamed file the name at path, in place of what has it.
func name(f *os.File, path string) error {
	err := link(f, path)
	if !errors.Is(err, fs.ErrExist) {
		return err
	}
	dir, base := filepath.Split(path)
	aside := filepath.Join(dir, "."+base+unfinished+rand.Text())
	if err := link(f, aside); err != nil {
		return err
	}
	if err := os.Rename(aside, path); err != nil {
		os.Remove(aside)
		return err
	}
	return nil
}

func link(f *os.File, path string) error {
	from := fmt.Sprintf("/proc/self/fd/%d", f.Fd())
	if err := unix.Linkat(unix.AT_FDCWD, from, unix.AT_FDCWD, path, unix.AT_SYMLINK_FOLLOW); err != nil {
		return &os.PathError{Op: "link", Path: path, Err: err}
	}
	return nil
}
