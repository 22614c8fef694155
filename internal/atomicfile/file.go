// Package atomicfile writes files and folders aside and renames them: complete, or not there.
package atomicfile

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
)

// WriteFile makes the file at path hold what write writes, readable by all, or leaves what was
// there before: it writes a file without a name in the same folder, or where the file system has
// none one aside, syncs, gives it its name and syncs the folder. A device, or a pipe that is read,
// is written to and stays. The error wraps that of write.
func WriteFile(path string, write func(io.Writer) error) error {
	return WriteFileMode(path, 0o644, write)
}

// WriteFileMode is WriteFile with the permissions of the new file.
func WriteFileMode(path string, mode fs.FileMode, write func(io.Writer) error) error {
	if err := replace(path, mode, write, unnamed); err != nil {
		return fmt.Errorf("write %s: %w", path, err)
	}
	return nil
}

// replace is WriteFileMode with open to make a file without a name; false where that cannot be.
func replace(path string, mode fs.FileMode, write func(io.Writer) error, open func(dir string) (*os.File, bool)) (
	err error) {
	dir, base := filepath.Split(path)
	if dir == "" {
		dir = "."
	}
	if f, err := straight(path); err != nil {
		return err
	} else if f != nil {
		return writeStraight(f, write)
	}
	sweep(dir)
	publish := name
	f, ok := open(dir)
	if !ok {
		if f, err = os.CreateTemp(dir, "."+base+unfinished+"*"); errors.Is(err, fs.ErrNotExist) {
			return fmt.Errorf("there is no folder %s: %w", dir, fs.ErrNotExist)
		} else if err != nil {
			return err
		}
		hold(int(f.Fd()))
		publish = func(f *os.File, path string) error { return os.Rename(f.Name(), path) }
		defer func() {
			if err != nil {
				os.Remove(f.Name())
			}
		}()
	}
	defer f.Close()
	if err := write(f); err != nil {
		return err
	}
	if err := errors.Join(f.Chmod(mode), f.Sync()); err != nil {
		return err
	}
	if err := publish(f, path); err != nil {
		return err
	}
	if err := f.Close(); err != nil {
		return err
	}
	return SyncDir(dir)
}

// SyncDir makes a rename in the folder dir last through a power cut.
func SyncDir(dir string) error {
	d, err := os.Open(dir)
	if err != nil {
		return err
	}
	defer d.Close()
	return d.Sync()
}
