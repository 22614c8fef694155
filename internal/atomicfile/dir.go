package atomicfile

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
)

// NewDir makes the folder at out hold what fill puts into the folder it is given: aside first, then
// renamed, so that out is complete or not there. A folder with something in it is refused.
func NewDir(out string, fill func(dir string) error) error {
	out = filepath.Clean(out)
	switch entries, err := os.ReadDir(out); {
	case errors.Is(err, fs.ErrNotExist):
	case err != nil:
		return err
	case len(entries) > 0:
		return fmt.Errorf("%s is not empty: choose another folder, or remove it first", out)
	}
	aside, err := MakeAside(out)
	if err != nil {
		return err
	}
	defer os.RemoveAll(aside)
	if err := fill(aside); err != nil {
		return err
	}
	if err := os.Remove(out); err != nil && !errors.Is(err, fs.ErrNotExist) { // an empty one
		return err
	}
	if err := os.Rename(aside, out); err != nil {
		return err
	}
	return SyncDir(filepath.Dir(out))
}
