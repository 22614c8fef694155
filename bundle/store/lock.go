package store

import (
	"context"
	"io/fs"
	"os"
	"path/filepath"
	"syscall"

	"github.com/vggse/vggse-agent/internal/filelock"
)

// lock keeps other processes out until unlock is called; the folder is made where it is missing.
func (s *Store) lock() (unlock func(), err error) {
	if err := os.MkdirAll(s.dir, 0o755); err != nil {
		return nil, err
	}
	return filelock.Lock(context.Background(), filepath.Join(s.dir, ".lock"), 0o644)
}

// adopt gives what root wrote to the owner of the state folder, so that the service may change it,
// too.
func (s *Store) adopt() error {
	if os.Geteuid() != 0 {
		return nil
	}
	info, err := os.Stat(filepath.Dir(s.dir))
	if err != nil {
		return err
	}
	owner, ok := info.Sys().(*syscall.Stat_t)
	if !ok || owner.Uid == 0 {
		return nil
	}
	return filepath.WalkDir(s.dir, func(path string, _ fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		return os.Lchown(path, int(owner.Uid), int(owner.Gid))
	})
}
