package store

import (
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"

	"github.com/vggse/vggse-agent/bundle"
	"github.com/vggse/vggse-agent/internal/atomicfile"
)

// mark is a file beside the store: it is there since a model was activated for the first time, and has
// the digest of the last. By it a device whose store is lost differs from a new one.
func (s *Store) mark() string { return filepath.Join(filepath.Dir(s.dir), "activated") }

// putMark writes the mark where it does not say so already. What fails is tried again at the next
// start.
func (s *Store) putMark(active string) {
	info, err := os.Lstat(s.mark())
	other := err == nil && !info.Mode().IsRegular() // it is there, whatever it is
	if active == "" || other || s.marked() == active {
		return
	}
	_ = atomicfile.WriteFile(s.mark(), func(w io.Writer) error {
		_, err := fmt.Fprintln(w, active)
		return err
	})
}

// marked is the digest in the mark; empty: nobody knows it.
func (s *Store) marked() string {
	text, _ := atomicfile.ReadSmall(s.mark(), 1<<10)
	if sum := strings.TrimSpace(string(text)); bundle.IsDigest(sum) {
		return sum
	}
	return ""
}

// lost is an error where a model was activated on this device and st names none: nothing takes an
// activation back.
func (s *Store) lost(st *state) error {
	if _, err := os.Lstat(s.mark()); st.Active != "" || err != nil {
		return nil
	}
	was := "a model"
	if sum := s.marked(); sum != "" {
		was = fmt.Sprintf("%.12s", sum)
	}
	return fmt.Errorf("%s %w (%s was active here; without %s the demo runs)", s.file(), errStateDamaged, was, s.mark())
}
