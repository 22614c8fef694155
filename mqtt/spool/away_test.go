package spool

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// TestFolderThatIsAway: a link to what is not there is told, and stays: the disk behind it may come back.
func TestFolderThatIsAway(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "spool")
	if err := os.Symlink("/nowhere/disk", dir); err != nil {
		t.Fatal(err)
	}
	if _, err := Open(dir, Options{}); err == nil || !strings.Contains(err.Error(), dir+" leads to a folder that is "+
		"not there: mount") {
		t.Errorf("open: %v", err)
	}
	if to, err := os.Readlink(dir); err != nil || to != "/nowhere/disk" {
		t.Errorf("the link leads to %q, %v", to, err)
	}
}

// TestRecordsOfAnotherVersion: a segment of a format that is not known is kept for the version that
// can send it, and told; the numbers go on.
func TestRecordsOfAnotherVersion(t *testing.T) {
	dir := t.TempDir()
	s, err := Open(dir, Options{})
	if err != nil {
		t.Fatal(err)
	}
	named(t, s, "old", 9)
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	segments, err := filepath.Glob(filepath.Join(dir, "*.seg"))
	if err != nil {
		t.Fatal(err)
	}
	changed := 0
	for _, path := range segments {
		text, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		if strings.HasPrefix(string(text), "VgS1") {
			changed++
			text[3] = '2'
		}
		if err := os.WriteFile(path, text, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	if s, err = Open(dir, Options{}); err != nil {
		t.Fatal(err)
	}
	s.Flush()
	s.Connect()
	if r := (Record{}); s.Take(&r) && strings.Contains(string(r.Payload), "old") {
		t.Errorf("a record of another version was read: %+v", r)
	}
	if found := s.State().Found; !strings.Contains(found, "another version") || s.State().Damaged == 0 {
		t.Errorf("told: %q, %d damaged", found, s.State().Damaged)
	}
	if kept, _ := filepath.Glob(filepath.Join(dir, "bad", "*")); changed == 0 || len(kept) != changed {
		t.Errorf("%d of %d files are kept", len(kept), changed)
	}
	if err := s.Close(); err != nil {
		t.Error(err)
	}
}
