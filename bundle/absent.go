package bundle

import (
	"bytes"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/vggse/vggse-agent/internal/atomicfile"
)

// Small files beside the manifest that it does not name. They travel with a bundle: Pack, Source
// and the store keep them. This package does not look into a statement.
const (
	AbsentFile    = "absent.txt"             // keys of files that were left out on purpose, one a line
	StatementFile = "statement.json"         // who released the bundle, as what
	SignatureFile = "statement.json.minisig" // the signature of the statement's bytes
	// the statement of the signed bundle that this one was made from, and its signature
	ParentFile          = "parent.json"
	ParentSignatureFile = "parent.json.minisig"
)

// extras are those files, in the order in which they are packed.
var extras = []string{AbsentFile, StatementFile, SignatureFile, ParentFile, ParentSignatureFile}

// Extras are the names of the small files that may stand beside a manifest. A bundle that is made
// from another one takes none of them over.
func Extras() []string { return slices.Clone(extras) }

// extraBytes is the most that one of them has.
const extraBytes = 64 << 10

// leaveOut takes the files out of the manifest in memory that absent.txt names and that are not
// there; their keys are then in b.Absent.
func (b *Bundle) leaveOut() error {
	text, err := atomicfile.ReadSmall(filepath.Join(b.Dir, AbsentFile), extraBytes)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil {
		return err
	}
	for _, key := range strings.Fields(string(text)) {
		f, ok := b.Spec.Files[key]
		if !ok {
			return fmt.Errorf("%s: %.40q is no key of files in %s", AbsentFile, key, SpecFile)
		}
		if _, err := os.Lstat(filepath.Join(b.Dir, f.Path)); !errors.Is(err, fs.ErrNotExist) {
			continue
		}
		delete(b.Spec.Files, key)
		b.Absent = append(b.Absent, key)
	}
	slices.Sort(b.Absent)
	return nil
}

// AbsentText is the content of absent.txt for the given keys.
func AbsentText(keys []string) []byte {
	sorted := slices.Sorted(slices.Values(keys))
	return []byte(strings.Join(slices.Compact(sorted), "\n") + "\n")
}

// readExtras reads those of the small files that are in the folder dir, by name.
func readExtras(dir string) (map[string][]byte, error) {
	all := make(map[string][]byte)
	for _, name := range extras {
		text, err := atomicfile.ReadSmall(filepath.Join(dir, name), extraBytes)
		if errors.Is(err, fs.ErrNotExist) {
			continue
		}
		if err != nil {
			return nil, err
		}
		all[name] = text
	}
	return all, nil
}

// checkExtra refuses a small file that is too large.
func checkExtra(name string, size int64) error {
	if size > extraBytes {
		return fmt.Errorf("%s has %d bytes, at most %d are allowed", name, size, extraBytes)
	}
	return nil
}

// CopyStatement gives the bundle in the folder to the statement of the same bundle in the folder
// from, where that has one.
func CopyStatement(from, to string) error {
	all, err := readExtras(from)
	if err != nil {
		return err
	}
	return WriteLocal(to, all[StatementFile], all[SignatureFile], all[ParentFile], all[ParentSignatureFile])
}

// WriteStatement puts a statement and its signature into the folder of its bundle; nil: what is
// there stays.
func WriteStatement(dir string, statement, signature []byte) error {
	return WriteLocal(dir, statement, signature, nil, nil)
}

// WriteLocal is WriteStatement with the statement of the bundle's parent, and its signature.
func WriteLocal(dir string, statement, signature, parent, parentSignature []byte) error {
	if statement == nil {
		return nil
	}
	old, err := readExtras(dir)
	if err != nil {
		return err
	}
	for _, f := range []struct {
		name string
		text []byte
	}{{ParentSignatureFile, parentSignature}, {ParentFile, parent}, {SignatureFile, signature},
		{StatementFile, statement}} {
		if f.text == nil || bytes.Equal(old[f.name], f.text) {
			continue
		}
		if err := saveAs(dir, f.name, f.text); err != nil {
			return err
		}
	}
	return nil
}

// ReadParent returns the statement of the parent of the bundle in the folder dir and its signature;
// both are nil where there is none.
func ReadParent(dir string) (statement, signature []byte, err error) {
	all, err := readExtras(dir)
	if err != nil {
		return nil, nil, fmt.Errorf("bundle: %w", err)
	}
	return all[ParentFile], all[ParentSignatureFile], nil
}

// ReadStatement returns the statement in the folder dir and its signature; both are nil where there
// is none.
func ReadStatement(dir string) (statement, signature []byte, err error) {
	all, err := readExtras(dir)
	if err != nil {
		return nil, nil, fmt.Errorf("bundle: %w", err)
	}
	return all[StatementFile], all[SignatureFile], nil
}
