package atomicfile

import (
	"errors"
	"os"
	"path/filepath"
	"testing"
)

// TestNewFolder: an empty folder is filled like one that is not there; one with something in it,
// also since the work began, stays as it is; and work that fails leaves nothing.
func TestNewFolder(t *testing.T) {
	put := func(name string) func(string) error {
		return func(dir string) error { return os.WriteFile(filepath.Join(dir, name), []byte(name), 0o644) }
	}
	dir := t.TempDir()
	empty, absent, used := filepath.Join(dir, "empty"), filepath.Join(dir, "a", "absent"), filepath.Join(dir, "used")
	for _, out := range []string{empty, used} {
		if err := os.Mkdir(out, 0o755); err != nil {
			t.Fatal(err)
		}
	}
	for _, out := range []string{empty, absent} {
		if err := NewDir(out, put("new")); err != nil {
			t.Errorf("%s: %v", out, err)
		}
		if b, err := os.ReadFile(filepath.Join(out, "new")); err != nil || string(b) != "new" {
			t.Errorf("%s: %q, %v", out, b, err)
		}
	}
	if err := NewDir(used, func(aside string) error {
		return errors.Join(put("new")(aside),
			put("old")(used))
	}); err == nil {
		t.Error("a folder that was filled meanwhile was replaced")
	}
	if err := NewDir(used, put("new")); err == nil {
		t.Error("a folder with something in it was replaced")
	}
	if _, err := os.Stat(filepath.Join(used, "old")); err != nil {
		t.Error(err)
	}
	broken := errors.New("broken")
	if err := NewDir(filepath.Join(dir, "broken"), func(string) error { return broken }); !errors.Is(err, broken) {
		t.Errorf("got %v", err)
	}
	if left, _ := filepath.Glob(filepath.Join(dir, "*")); len(left) != 3 {
		t.Errorf("left: %v", left)
	}
	if left, _ := filepath.Glob(filepath.Join(dir, ".*")); len(left) != 0 {
		t.Errorf("left: %v", left)
	}
}
