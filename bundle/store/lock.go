package store

import (
	"context"
	"errors"
	"fmt"
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
	if err := os.MkdirAll(s.dir, 0o755); errors.Is(err, syscall.ENOTDIR) {
		return nil, s.noFolder()
	} else if err != nil {
		return nil, err
	}
	return filelock.Lock(ctx, filepath.Join(s.dir, ".lock"), 0o644)
}

// noFolder is the error where something else than a folder lies in the place of the store.
func (s *Store) noFolder() error {
	return fmt.Errorf("%s is not a folder, or not in one: move away what lies there", s.dir)
}
