package account

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
)

// Trusted is an error where code at path must not be loaded by root: where another account could
// change the file, or any folder or link on the way to it. For every other account it is nil: what
// that loads runs as itself. Whoever owns this very program is trusted like root, for root runs it.
func Trusted(path string) error {
	if os.Geteuid() != 0 {
		return nil
	}
	trusted := []uint32{0}
	if exe, err := os.Executable(); err == nil {
		if info, err := os.Stat(exe); err == nil {
			trusted = append(trusted, info.Sys().(*syscall.Stat_t).Uid)
		}
	}
	return trustedBy(path, trusted)
}

// linksLimit is how many symbolic links a path may have, as in the kernel.
const linksLimit = 40

// trustedBy looks at every step of a path, links included.
func trustedBy(path string, trusted []uint32) error {
	return walk(path, func(step string, info fs.FileInfo) error { return unchangeable(step, info, trusted) })
}

// walk follows a path from the root to its end and hands every step to look, links included.
func walk(path string, look func(step string, info fs.FileInfo) error) error {
	path, err := filepath.Abs(path)
	if err != nil {
		return err
	}
	at, rest, links := "/", strings.Split(path, "/"), 0
	for len(rest) > 0 {
		step := rest[0]
		rest = rest[1:]
		switch step {
		case "", ".":
			continue
		case "..":
			at = filepath.Dir(at)
			continue
		}
		next := filepath.Join(at, step)
		info, err := os.Lstat(next)
		if err != nil {
			return err
		}
		if err := look(next, info); err != nil {
			return err
		}
		if info.Mode()&fs.ModeSymlink == 0 {
			at = next
			continue
		}
		if links++; links > linksLimit {
			return fmt.Errorf("%s has too many links", path)
		}
		target, err := os.Readlink(next)
		if err != nil {
			return err
		}
		if filepath.IsAbs(target) {
			at = "/"
		}
		rest = append(strings.Split(target, "/"), rest...)
	}
	return nil
}

// unchangeable looks at one step of a path. A folder that all may write to is good enough where
// only the owner of an entry may take it away, as in /tmp: then the entry decides.
func unchangeable(path string, info fs.FileInfo, trusted []uint32) error {
	stat, ok := info.Sys().(*syscall.Stat_t)
	if !ok {
		return errors.New("the owner of " + path + " is unknown")
	}
	if !slices.Contains(trusted, stat.Uid) {
		return fmt.Errorf("root does not load it, for %s belongs to %s: put it where only root writes", path,
			Name(int(stat.Uid)))
	}
	mode := info.Mode()
	if mode&fs.ModeSymlink != 0 || mode.IsDir() && mode&fs.ModeSticky != 0 {
		return nil
	}
	if mode&0o002 != 0 || mode&0o020 != 0 && stat.Gid != 0 {
		return fmt.Errorf("root does not load it, for others than root may write to %s: put it where only root "+
			"writes, or 'chmod go-w' that", path)
	}
	return nil
}
