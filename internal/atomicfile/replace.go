package atomicfile

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"

	"golang.org/x/sys/unix"
)

// CheckReplaceable refuses a folder out that has something in it, unless it is the folder own
// itself.
func CheckReplaceable(out, own string) error {
	entries, err := os.ReadDir(out)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return nil
	case err != nil:
		return err
	case len(entries) == 0 || sameFolder(out, own):
		return nil
	}
	return fmt.Errorf("%s is not empty and not the bundle itself: choose another folder, or remove it first", out)
}

func sameFolder(a, b string) bool {
	x, err := os.Stat(a)
	y, err2 := os.Stat(b)
	return err == nil && err2 == nil && os.SameFile(x, y)
}

// MakeAside makes an empty folder beside out, that is to take its place: for ReplaceDir, or to be
// removed.
func MakeAside(out string) (string, error) {
	out, err := filepath.Abs(out)
	if err != nil {
		return "", err
	}
	if real, err := filepath.EvalSymlinks(out); err == nil {
		out = real
	}
	if err := os.MkdirAll(filepath.Dir(out), 0o755); err != nil {
		return "", err
	}
	sweep(filepath.Dir(out))
	aside, err := os.MkdirTemp(filepath.Dir(out), "."+filepath.Base(out)+unfinished+"*")
	if err != nil {
		return "", err
	}
	if fd, err := unix.Open(aside, unix.O_RDONLY|unix.O_DIRECTORY|unix.O_CLOEXEC, 0); err == nil {
		hold(fd) // until this process ends: nobody else takes it for the work of one that was killed
	}
	return aside, os.Chmod(aside, 0o755)
}

// LinkOrCopy gives a file a second name, or where the file system cannot, a second copy.
func LinkOrCopy(from, to string) error {
	if err := os.MkdirAll(filepath.Dir(to), 0o755); err != nil {
		return err
	}
	if real, err := filepath.EvalSymlinks(from); err == nil && os.Link(real, to) == nil {
		return nil
	}
	in, err := OpenRegular(from)
	if err != nil {
		return err
	}
	defer in.Close()
	return WriteFile(to, func(w io.Writer) error { _, err := io.Copy(w, in); return err })
}

// ReplaceDir makes out the folder aside: by one rename, or where out has something in it by
// exchanging the two in one step, so that a reader finds the old bundle or the new one. What was
// there before then lies aside.
func ReplaceDir(aside, out string) error {
	if real, err := filepath.EvalSymlinks(out); err == nil {
		out = real
	}
	if entries, err := os.ReadDir(out); errors.Is(err, fs.ErrNotExist) || err == nil && len(entries) == 0 {
		return os.Rename(aside, out)
	}
	if err := unix.Renameat2(unix.AT_FDCWD, aside, unix.AT_FDCWD, out, unix.RENAME_EXCHANGE); err == nil {
		return nil
	}
	old := aside + ".old" // a file system without exchange: two renames
	if err := os.Rename(out, old); err != nil {
		return err
	}
	if err := os.Rename(aside, out); err != nil {
		return errors.Join(err, os.Rename(old, out))
	}
	return os.RemoveAll(old)
}
