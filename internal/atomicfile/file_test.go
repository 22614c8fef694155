package atomicfile

import (
	"errors"
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

func write(content string, err error) func(io.Writer) error {
	return func(w io.Writer) error {
		if _, err := io.WriteString(w, content); err != nil {
			return err
		}
		return err
	}
}

// names lists a folder.
func names(t *testing.T, dir string) string {
	t.Helper()
	entries, err := os.ReadDir(dir)
	if err != nil {
		t.Fatal(err)
	}
	var list []string
	for _, e := range entries {
		list = append(list, e.Name())
	}
	return strings.Join(list, " ")
}

func TestWriteFileReplaces(t *testing.T) {
	dir := t.TempDir()
	path := filepath.Join(dir, "file")
	for _, want := range []string{"a long first content", "short"} {
		if err := WriteFile(path, write(want, nil)); err != nil {
			t.Fatal(err)
		}
		got, err := os.ReadFile(path)
		if err != nil || string(got) != want {
			t.Errorf("got %q, %v, want %q", got, err, want)
		}
	}
	info, err := os.Stat(path)
	if err != nil {
		t.Fatal(err)
	}
	if got := info.Mode().Perm(); got != 0o644 {
		t.Errorf("got mode %o, want 644: others read bundles", got)
	}
	if got := names(t, dir); got != "file" {
		t.Errorf("the folder holds %q, want only the file", got)
	}
}

// A failure leaves the old file, or none, and nothing beside it.
func TestWriteFileLeavesWhatWas(t *testing.T) {
	full := errors.New("no space left")
	for _, before := range []string{"", "old content"} {
		dir := t.TempDir()
		path := filepath.Join(dir, "file")
		if before != "" {
			if err := os.WriteFile(path, []byte(before), 0o644); err != nil {
				t.Fatal(err)
			}
		}
		err := WriteFile(path, write("half of the n", full))
		if !errors.Is(err, full) || err.Error() != "write "+path+": no space left" {
			t.Errorf("got error %v, want %v with the path", err, full)
		}
		got, err := os.ReadFile(path)
		if string(got) != before || (err != nil) != (before == "") {
			t.Errorf("got %q, %v, want what was there: %q", got, err, before)
		}
		if got := names(t, dir); strings.Contains(got, ".") {
			t.Errorf("the folder holds %q, want nothing half-written", got)
		}
	}
}

func TestWriteFileErrors(t *testing.T) {
	dir := t.TempDir()
	if err := WriteFile(filepath.Join(dir, "none", "file"), write("x", nil)); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("no such folder: got error %v, want %v", err, os.ErrNotExist)
	}
	if err := os.MkdirAll(filepath.Join(dir, "taken", "in"), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := WriteFile(filepath.Join(dir, "taken"), write("x", nil)); err == nil {
		t.Error("a folder in the way: got no error")
	}
	if got := names(t, dir); got != "taken" {
		t.Errorf("the folder holds %q, want nothing half-written", got)
	}
	t.Chdir(dir)
	if err := WriteFile("bare", write("x", nil)); err != nil {
		t.Errorf("a path without a folder: got error %v", err)
	}
}
