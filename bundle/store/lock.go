package store

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"syscall"

	"github.com/vggse/vggse-agent/internal/account"
	"github.com/vggse/vggse-agent/internal/filelock"
)

// lock keeps other processes out until unlock is called; the folder is made where it is missing. A
// store in a folder of another account is refused to root: whatever root writes or follows there,
// that account may exchange meanwhile.
func (s *Store) lock(ctx context.Context) (unlock func(), err error) {
	if err := account.NotForRoot(filepath.Dir(s.dir)); err != nil {
		return nil, err
	}
	if err := s.clearPlace(); err != nil {
		return nil, err
	}
	err = os.MkdirAll(s.dir, 0o755)
	if errors.Is(err, fs.ErrExist) {
		return nil, fmt.Errorf("%s leads to a folder that is not there: mount the disk that it is on, or "+
			"remove the link", s.dir)
	}
	if errors.Is(err, syscall.ENOTDIR) {
		return nil, s.noFolder()
	}
	if err != nil {
		return nil, err
	}
	return filelock.Lock(ctx, filepath.Join(s.dir, ".lock"), 0o644)
}

// clearPlace moves aside what lies in the place of the store and is neither a folder nor a link, which
// may lead to a disk that is away.
func (s *Store) clearPlace() error {
	info, err := os.Lstat(s.dir)
	if err != nil || info.IsDir() || info.Mode()&fs.ModeSymlink != 0 {
		return nil
	}
	return os.Rename(s.dir, fmt.Sprintf("%s-%s", s.dir, rand.Text()[:8]))
}

// noFolder is the error where something else than a folder lies in the place of the store.
func (s *Store) noFolder() error {
	return fmt.Errorf("%s is not a folder, or not in one: move away what lies there", s.dir)
}
