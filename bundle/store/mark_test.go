package store

import (
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// TestLostStore: whatever is lost of a store in which a model was active, nothing takes the device for
// a new one; activating a model mends it. Without an activation a device stays new.
func TestLostStore(t *testing.T) {
	for name, lose := range map[string]func(s *Store) error{
		"the folder": func(s *Store) error { return os.RemoveAll(s.dir) },
		"its disk": func(s *Store) error {
			return errors.Join(os.RemoveAll(s.dir), os.Symlink("/nowhere/x", s.dir))
		},
		"all in it":          func(s *Store) error { return errors.Join(os.RemoveAll(s.dir), os.Mkdir(s.dir, 0o755)) },
		"what the state has": func(s *Store) error { return os.WriteFile(s.file(), []byte("{}"), 0o644) },
		"and the mark's text": func(s *Store) error {
			return errors.Join(os.RemoveAll(s.dir), os.WriteFile(s.mark(), []byte("\x00"), 0o644))
		},
		"and the mark is a folder": func(s *Store) error {
			return errors.Join(os.RemoveAll(s.dir), os.Remove(s.mark()), os.Mkdir(s.mark(), 0o755))
		},
		"a store of before there were marks": func(s *Store) error {
			if err := os.Remove(s.mark()); err != nil {
				return err
			}
			_, err := s.Begin(t.Context(), "boot") // of a newer program
			return errors.Join(err, os.RemoveAll(s.dir))
		},
	} {
		t.Run(name, func(t *testing.T) {
			s := At(t.TempDir())
			source := testBundle(t, "a")
			a := install(t, s, source)
			if b, err := s.Begin(t.Context(), "boot"); err != nil || b.OK {
				t.Errorf("installed and never activated: %+v, %v", b, err)
			}
			if _, err := s.Activate(t.Context(), a.SHA256); err != nil {
				t.Fatal(err)
			}
			if err := lose(s); err != nil {
				t.Fatal(err)
			}
			wantLost(t, s)
			if name == "its disk" { // which comes back, empty
				if err := os.Remove(s.dir); err != nil {
					t.Fatal(err)
				}
			}
			install(t, s, source)
			wantLost(t, s)
			if _, err := s.Activate(t.Context(), a.SHA256); err != nil {
				t.Fatal(err)
			}
			if b, err := s.Begin(t.Context(), "boot"); err != nil || b.SHA256 != a.SHA256 {
				t.Errorf("activated again: %+v, %v", b, err)
			}
		})
	}
}

func wantLost(t *testing.T, s *Store) {
	t.Helper()
	if b, err := s.Begin(t.Context(), "boot"); err == nil || !strings.Contains(err.Error(), "activate a model again") ||
		!strings.Contains(err.Error(), filepath.Base(s.mark())) {
		t.Errorf("a start: %+v, %v", b, err)
	}
	if i, ok, err := s.Active(); !ok || err == nil {
		t.Errorf("active: %+v, %t, %v", i, ok, err)
	}
}
