package atomicfile

import (
	"errors"
	"io"
	"os"
	"path/filepath"
	"testing"
)

// A scratch file is written anew over what was there, a link is not followed, and of a write that
// fails nothing is left.
func TestWriteScratch(t *testing.T) {
	dir := t.TempDir()
	path, other := filepath.Join(dir, "trial"), filepath.Join(dir, "other")
	if err := os.WriteFile(other, []byte("not ours"), 0o600); err != nil {
		t.Fatal(err)
	}
	if err := os.Symlink(other, path); err != nil {
		t.Fatal(err)
	}
	for _, text := range []string{"the first network", "another"} {
		err := WriteScratch(path, func(w io.Writer) error { _, err := io.WriteString(w, text); return err })
		if err != nil {
			t.Fatal(err)
		}
		if got, err := os.ReadFile(path); err != nil || string(got) != text {
			t.Errorf("%q, %v, want %q", got, err, text)
		}
	}
	if got, err := os.ReadFile(other); err != nil || string(got) != "not ours" {
		t.Errorf("what a link named became %q, %v", got, err)
	}
	full := errors.New("no space left")
	err := WriteScratch(path, func(w io.Writer) error { _, _ = io.WriteString(w, "half"); return full })
	if _, gone := os.Stat(path); !errors.Is(err, full) || !errors.Is(gone, os.ErrNotExist) {
		t.Errorf("%v, and a file that was half written: %v; want %v and none", err, gone, full)
	}
	if WriteScratch(filepath.Join(dir, "no", "folder"), func(io.Writer) error { return nil }) == nil {
		t.Error("a file without a folder was written")
	}
}
