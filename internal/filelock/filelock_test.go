package filelock

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"syscall"
	"testing"
)

// TestLock: whatever lies in the place of the file, one at a time has the lock; a folder with
// something in it is named.
func TestLock(t *testing.T) {
	for name, put := range map[string]func(path string) error{
		"nothing":                   func(string) error { return nil },
		"a file without rights":     func(path string) error { return os.WriteFile(path, nil, 0o444) },
		"an empty folder":           func(path string) error { return os.Mkdir(path, 0o755) },
		"a pipe":                    func(path string) error { return syscall.Mkfifo(path, 0o600) },
		"a link that leads nowhere": func(path string) error { return os.Symlink("/nowhere/x", path) },
		"a link to itself":          func(path string) error { return os.Symlink(path, path) },
	} {
		path := filepath.Join(t.TempDir(), "lock")
		if err := put(path); err != nil {
			t.Fatal(err)
		}
		unlock, err := Lock(t.Context(), path, 0o600)
		if err != nil {
			t.Errorf("%s: %v", name, err)
			continue
		}
		ended, cancel := context.WithCancel(t.Context())
		cancel()
		if _, err := Lock(ended, path, 0o600); !errors.Is(err, context.Canceled) {
			t.Errorf("%s: a second lock: %v", name, err)
		}
		unlock()
		again, err := Lock(t.Context(), path, 0o600)
		if err != nil {
			t.Errorf("%s: afterwards: %v", name, err)
			continue
		}
		again()
	}
	full := filepath.Join(t.TempDir(), "lock")
	if err := os.MkdirAll(filepath.Join(full, "in"), 0o755); err != nil {
		t.Fatal(err)
	}
	if _, err := Lock(t.Context(), full, 0o600); err == nil || err.Error() != full+
		" is a folder where a file should be: remove it" {
		t.Errorf("a folder with something in it: %v", err)
	}
}
