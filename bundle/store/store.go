package store

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"syscall"

	"github.com/vggse/vggse-agent/bundle"
	"github.com/vggse/vggse-agent/internal/atomicfile"
)

// Kept is how many bundles stay installed: the active one, and those that were installed or active
// last.
const Kept = 3

var (
	// ErrNotInstalled is what a digest leads to that belongs to none of the bundles, or to several.
	ErrNotInstalled = errors.New("not installed")
	beginning       = regexp.MustCompile(`^[0-9a-f]{4,64}$`)
)

// Store is the folder of installed bundles. Several processes may use it at once.
type Store struct{ dir string }

// At is the store in the state folder of an agent, which need not be there yet.
func At(stateDir string) *Store { return &Store{filepath.Join(stateDir, "models")} }

// Installed is one bundle in the store.
type Installed struct {
	SHA256  string // the digest
	Name    string
	Version string
	Active  bool
	OnTrial bool // active, and not yet confirmed
	Dir     string
}

// Install copies the bundle at path, a folder or a file that Pack made, into the store. Every file
// is compared with its digest on the way; the bundle then stands there complete or not at all. One
// that is there already and whole is left alone. The oldest beyond Kept are removed.
func (s *Store) Install(ctx context.Context, path string) (Installed, error) {
	source, err := bundle.OpenSource(path)
	if err != nil {
		return Installed{}, fmt.Errorf("store: install: %w", err)
	}
	defer source.Close()
	return s.InstallFrom(ctx, source, nil)
}

// Approve says whether the complete bundle in the folder dir, which nobody else changes, may be
// installed.
type Approve func(dir string) error

// InstallFrom is Install of a bundle that is open, where approve agrees; nil agrees to all. What
// installations that were killed have left is removed.
func (s *Store) InstallFrom(ctx context.Context, source *bundle.Source, approve Approve) (Installed, error) {
	path := source.Path
	unlock, err := s.lock(ctx)
	if err != nil {
		return Installed{}, fmt.Errorf("store: install: %w", err)
	}
	defer unlock()
	left, _ := filepath.Glob(filepath.Join(s.dir, ".incoming.*")) // nobody else has the lock
	for _, dir := range left {
		if err := os.RemoveAll(dir); err != nil {
			return Installed{}, fmt.Errorf("store: install: %w", err)
		}
	}
	aside, err := os.MkdirTemp(s.dir, ".incoming.*")
	if err != nil {
		return Installed{}, fmt.Errorf("store: install: %w", err)
	}
	defer os.RemoveAll(aside)
	if err := source.CopyTo(ctx, aside); err != nil {
		return Installed{}, fmt.Errorf("store: install %s: %w", path, err)
	}
	if approve != nil {
		if err := approve(aside); err != nil {
			return Installed{}, fmt.Errorf("store: install %s: %w", path, err)
		}
	}
	sum, err := s.place(ctx, aside)
	if err != nil {
		return Installed{}, fmt.Errorf("store: install %s: %w", path, err)
	}
	return s.Find(sum)
}

// place gives a complete bundle its name in the store and makes room. The lock is held.
func (s *Store) place(ctx context.Context, aside string) (string, error) {
	sum, err := bundle.Digest(aside)
	if err != nil {
		return "", err
	}
	dir := filepath.Join(s.dir, sum)
	if standsFor(ctx, dir, aside) {
		if err := bundle.CopyStatement(aside, dir); err != nil {
			return "", err
		}
	} else { // not there, damaged since, or with fewer files
		if err := s.beginState(); err != nil {
			return "", err
		}
		if err := errors.Join(os.Chmod(aside, 0o755), atomicfile.SyncDir(aside)); err != nil {
			return "", err
		}
		if err := os.RemoveAll(dir); err != nil {
			return "", err
		}
		if err := errors.Join(os.Rename(aside, dir), atomicfile.SyncDir(s.dir)); err != nil {
			return "", err
		}
	}
	return sum, s.edit(func(st *state) error {
		st.touch(sum)
		return s.makeRoom(st)
	})
}

// beginState writes the state of a store without one, so that a bundle never stands there without.
func (s *Store) beginState() error {
	if _, err := os.Stat(s.file()); !errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	return s.edit(func(*state) error { return nil })
}

// standsFor reports whether the bundle in dir is whole and has every file that the same one in the
// folder aside has.
func standsFor(ctx context.Context, dir, aside string) bool {
	if bundle.CheckAll(ctx, dir) != nil {
		return false
	}
	old, err := bundle.Open(dir)
	if err != nil {
		return false
	}
	b, err := bundle.Open(aside)
	return err == nil && !slices.ContainsFunc(old.Absent, func(key string) bool {
		return !slices.Contains(b.Absent, key)
	})
}

// makeRoom removes what is beyond Kept, the longest unused first.
func (s *Store) makeRoom(st *state) error {
	sums, err := s.digests()
	if err != nil {
		return err
	}
	slices.SortFunc(sums, func(a, b string) int { return st.rank(b) - st.rank(a) })
	for _, sum := range sums[min(Kept, len(sums)):] {
		if err := os.RemoveAll(filepath.Join(s.dir, sum)); err != nil {
			return err
		}
		st.forget(sum)
		delete(st.Used, sum)
	}
	return nil
}

// digests are the names of the folders in the store.
func (s *Store) digests() ([]string, error) {
	entries, err := os.ReadDir(s.dir)
	if errors.Is(err, syscall.ENOTDIR) {
		return nil, s.noFolder()
	}
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return nil, err
	}
	var sums []string
	for _, e := range entries {
		if e.IsDir() && bundle.IsDigest(e.Name()) {
			sums = append(sums, e.Name())
		}
	}
	return sums, nil
}

// List is what is installed, the last used first. A damaged bundle is in it, without a name.
func (s *Store) List() ([]Installed, error) {
	all, err := s.list()
	if err != nil {
		return all, fmt.Errorf("store: list: %w", err)
	}
	return all, nil
}

func (s *Store) list() ([]Installed, error) {
	sums, err := s.digests()
	if err != nil {
		return nil, err
	}
	st, err := s.read()
	if errors.Is(err, errStateDamaged) {
		st, err = &state{}, nil // then none is marked as active
	}
	if err != nil {
		return nil, err
	}
	slices.SortFunc(sums, func(a, b string) int { return st.rank(b) - st.rank(a) })
	all := make([]Installed, 0, len(sums))
	for _, sum := range sums {
		i := s.installed(sum, st)
		if b, err := bundle.Open(i.Dir); err == nil {
			i.Name, i.Version = b.Spec.Name, b.Spec.Version
		}
		all = append(all, i)
	}
	return all, nil
}

// Find is the installed bundle whose digest begins with the given four or more hexadecimal digits.
func (s *Store) Find(sum string) (Installed, error) {
	i, err := s.find(sum)
	if err != nil {
		return i, fmt.Errorf("store: %w", err)
	}
	return i, nil
}

func (s *Store) find(sum string) (Installed, error) {
	if !beginning.MatchString(sum) {
		return Installed{}, fmt.Errorf("%q is no digest: it must be 4 to 64 hexadecimal digits, as "+
			"'vggse-agent model list' shows them", sum)
	}
	all, err := s.list()
	if err != nil {
		return Installed{}, err
	}
	var found []Installed
	for _, i := range all {
		if len(i.SHA256) >= len(sum) && i.SHA256[:len(sum)] == sum {
			found = append(found, i)
		}
	}
	switch len(found) {
	case 0:
		return Installed{}, fmt.Errorf("model %.12s: %w (see 'vggse-agent model list')", sum, ErrNotInstalled)
	case 1:
		return found[0], nil
	}
	return Installed{}, fmt.Errorf("model %s: %w: %d of the installed begin so, give more digits", sum,
		ErrNotInstalled, len(found))
}

// Remove deletes an installed bundle, never the active one.
func (s *Store) Remove(sum string) (Installed, error) {
	i, err := s.remove(sum)
	if err != nil {
		return i, fmt.Errorf("store: remove: %w", err)
	}
	return i, nil
}

func (s *Store) remove(sum string) (Installed, error) {
	unlock, err := s.lock(context.Background())
	if err != nil {
		return Installed{}, err
	}
	defer unlock()
	i, err := s.find(sum)
	if err != nil {
		return i, err
	}
	return i, s.edit(func(st *state) error {
		if st.Active == i.SHA256 {
			return fmt.Errorf("model %.12s is active: activate another first", i.SHA256)
		}
		st.forget(i.SHA256)
		delete(st.Used, i.SHA256)
		return os.RemoveAll(i.Dir)
	})
}
