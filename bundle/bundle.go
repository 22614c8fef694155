package bundle

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"reflect"
	"regexp"
	"slices"
	"strings"
	"syscall"
	"time"

	"go.yaml.in/yaml/v3"

	"github.com/vggse/vggse-agent/internal/atomicfile"
	"github.com/vggse/vggse-agent/internal/mistake"
)

// Bundle is a folder with a network and its manifest.
type Bundle struct {
	Dir    string
	Spec   Spec     // but for the files that are Absent
	Absent []string // keys of files that the manifest names and absent.txt excuses
}

// Open reads and checks the manifest of the folder dir and sees that every file it names is there
// with the size it gives, unless absent.txt beside it says that it was left out on purpose. It does
// not hash them: that is CheckFile's work, beside loading. Nor does it look into them: infer.Open
// refuses a network that does not answer with one number for each label.
func Open(dir string) (*Bundle, error) {
	path := filepath.Join(dir, SpecFile)
	text, err := atomicfile.ReadSmall(path, maxHead)
	if errors.Is(err, syscall.ENOTDIR) {
		if _, err := os.Stat(filepath.Join(filepath.Dir(dir), SpecFile)); err == nil {
			return nil, fmt.Errorf("bundle: %s is a file of a bundle: give its folder %s", dir, filepath.Dir(dir))
		}
	}
	if errors.Is(err, fs.ErrNotExist) || errors.Is(err, syscall.ENOTDIR) {
		if err := noFolder(dir); err != nil {
			return nil, fmt.Errorf("bundle: %w", err)
		}
		return nil, fmt.Errorf("bundle: %s is not a bundle: it has no %s (make one with 'vggse-agent new' or "+
			"'import')", dir, SpecFile)
	}
	if err != nil {
		return nil, fmt.Errorf("bundle: open bundle: %w", err)
	}
	if err := isNamed(dir, text); err != nil {
		return nil, fmt.Errorf("bundle: %w", err)
	}
	b := &Bundle{Dir: dir}
	if err := parseSpec(text, &b.Spec); err != nil {
		return nil, fmt.Errorf("bundle: %s: %w", path, err)
	}
	if err := b.leaveOut(); err != nil {
		return nil, fmt.Errorf("bundle: %s: %w", dir, err)
	}
	for _, key := range b.Spec.fileKeys() {
		if err := b.find(key); err != nil {
			return nil, fmt.Errorf("bundle: %s: files.%s: %w", path, key, err)
		}
	}
	return b, nil
}

// noFolder says what a path is that is no folder at all: nothing, a packed bundle, or a network of
// another program.
func noFolder(path string) error {
	info, err := os.Stat(path)
	switch {
	case err != nil:
		return fmt.Errorf("there is no folder %s", path)
	case info.IsDir():
		return nil
	}
	if strings.EqualFold(filepath.Ext(path), ".vggse") {
		return fmt.Errorf("%s is a packed bundle: 'vggse-agent model install %s' installs it", path, path)
	}
	return fmt.Errorf("%s is a file, not the folder of a bundle: 'vggse-agent import' makes one of a network, "+
		"'inspect' looks into its file", path)
}

// isNamed holds a manifest against the name of its folder, and of the one that a link to it leads
// to, where that is a digest as in the store: one number pins every byte.
func isNamed(dir string, text []byte) error {
	whole, err := filepath.Abs(dir)
	if err != nil {
		return err
	}
	names := []string{filepath.Base(whole)}
	if real, err := filepath.EvalSymlinks(whole); err == nil {
		names = append(names, filepath.Base(real))
	}
	got := hexSum(text)
	for _, want := range names {
		if IsDigest(want) && got != want {
			return fmt.Errorf("%s has SHA-256 %.12s…, its folder is named %.12s…: the manifest was changed or "+
				"damaged, install the bundle again", filepath.Join(dir, SpecFile), got, want)
		}
	}
	return nil
}

// ParseSpec reads the text of a manifest that does not stand in a folder yet, as strictly as Open.
// Whether its files are there is not seen here.
func ParseSpec(text []byte) (*Spec, error) {
	s := new(Spec)
	if err := parseSpec(text, s); err != nil {
		return nil, fmt.Errorf("bundle: %w", err)
	}
	return s, nil
}

// parseSpec reads a manifest strictly: no key may be unknown, none that a network depends on left
// out.
func parseSpec(text []byte, s *Spec) error {
	if len(text) > specBytes {
		return fmt.Errorf("has %d bytes, a manifest has at most %d", len(text), specBytes)
	}
	if err := noKeyTwice(text); err != nil {
		return err
	}
	text = spacedTime.ReplaceAll(text, []byte("${1}T$2"))
	dec := yaml.NewDecoder(bytes.NewReader(text))
	dec.KnownFields(true)
	switch err := dec.Decode(s); {
	case errors.Is(err, io.EOF):
		return errors.New("is empty: copy the bundle again")
	case err != nil:
		return unread(err)
	}
	if err := dec.Decode(new(Spec)); !errors.Is(err, io.EOF) {
		return errors.New("holds more than one document: keep the first")
	}
	if err := s.Validate(); err != nil {
		return err
	}
	var given struct{ Preprocess map[string]any }
	if err := yaml.Unmarshal(text, &given); err != nil {
		return err
	}
	if given.Preprocess["mean"] == nil { // the one key whose zero value Validate takes for a choice
		return errors.New("preprocess.mean: missing (write [0, 0, 0] for none)")
	}
	return nil
}

// fieldOf is what the library says of a key that no field is for.
var fieldOf = regexp.MustCompile(`^line (\d+): field (.*) not found in type [\w.]+$`)

// unread words what the library says of keys and values that do not fit: the first few of them, each with the
// key that it may have been meant for.
func unread(err error) error {
	var wrong *yaml.TypeError
	if !errors.As(err, &wrong) {
		return err
	}
	all := make([]error, len(wrong.Errors))
	for i, text := range wrong.Errors {
		all[i] = errors.New(text)
		if m := fieldOf.FindStringSubmatch(text); m != nil {
			all[i] = fmt.Errorf("line %s: %.40s: unknown key%s", m[1], m[2], mistake.DidYouMean(m[2], keys))
		}
	}
	return mistake.Together(all)
}

// keys are those of a manifest, of all its sections.
var keys = keysOf(reflect.TypeFor[Spec]())

func keysOf(t reflect.Type) (all []string) {
	for t.Kind() == reflect.Map || t.Kind() == reflect.Slice {
		t = t.Elem()
	}
	if t.Kind() != reflect.Struct || t == reflect.TypeFor[time.Time]() {
		return nil
	}
	for i := range t.NumField() {
		name, _, _ := strings.Cut(t.Field(i).Tag.Get("yaml"), ",")
		all = append(append(all, name), keysOf(t.Field(i).Type)...)
	}
	return all
}

// spacedTime is a time as YAML allows it too, with a blank before the hours: who edits a manifest by a
// program gets that.
var spacedTime = regexp.MustCompile(`(?m)^(\s*created:\s*\d{4}-\d\d-\d\d) (\d\d:\d\d:\d\d\S*)`)

// specBytes is the most that a manifest has: some ten thousand labels and their digests.
const specBytes = 1 << 20

// noKeyTwice finds a key that a mapping has twice. The decoder would report every pair of them,
// which of 6,000 are 18 million.
func noKeyTwice(text []byte) error {
	var root yaml.Node
	if err := yaml.Unmarshal(text, &root); err != nil {
		return err
	}
	todo := []*yaml.Node{&root}
	for len(todo) > 0 {
		n := todo[len(todo)-1]
		todo = append(todo[:len(todo)-1], n.Content...)
		if n.Kind == yaml.AliasNode {
			return fmt.Errorf("line %d: a manifest has no aliases", n.Line)
		}
		if n.Kind != yaml.MappingNode {
			continue
		}
		seen := map[string]bool{}
		for i := 0; i < len(n.Content); i += 2 {
			k := n.Content[i]
			if seen[k.Value] {
				return fmt.Errorf("line %d: the key %.40q is there twice", k.Line, k.Value)
			}
			seen[k.Value] = true
		}
	}
	return nil
}

// find sees that the file with the given key is there, whole.
func (b *Bundle) find(key string) error {
	f := b.Spec.Files[key]
	info, err := os.Stat(filepath.Join(b.Dir, f.Path))
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return fmt.Errorf("%s is missing: copy the whole bundle again", f.Path)
	case err != nil:
		return err
	case !info.Mode().IsRegular():
		return fmt.Errorf("%s is not a file", f.Path)
	case f.Bytes != 0 && info.Size() != f.Bytes:
		return fmt.Errorf("%s has %d bytes, the manifest says %d: copy the bundle again", f.Path, info.Size(), f.Bytes)
	}
	return nil
}

// Path is where the file with the given key of Spec.Files lies.
func (b *Bundle) Path(key string) (string, error) {
	f, ok := b.Spec.Files[key]
	if !ok && slices.Contains(b.Absent, key) {
		return "", fmt.Errorf("bundle: the %s file of bundle %s was left out when it was released or pulled: get the "+
			"whole bundle", key, b.Dir)
	}
	if !ok {
		return "", fmt.Errorf("bundle: bundle %s has no %s file", b.Dir, key)
	}
	return filepath.Join(b.Dir, f.Path), nil
}

// CheckFile hashes the file with the given key and compares it with the manifest. It reads the
// whole file, and ends early with ctx.
func (b *Bundle) CheckFile(ctx context.Context, key string) error {
	path, err := b.Path(key)
	if err != nil {
		return err
	}
	got, err := atomicfile.HashFile(ctx, path)
	if err != nil {
		return err
	}
	if want := b.Spec.Files[key].SHA256; got != want {
		return fmt.Errorf("bundle: %s has SHA-256 %.12s…, the manifest says %.12s…: the file was changed or "+
			"damaged, copy the bundle again",
			path, got, want)
	}
	return nil
}
