package infer

import (
	"io/fs"
	"os"
	"path/filepath"
	"syscall"

	"github.com/vggse/vggse-agent/bundle"
	"github.com/vggse/vggse-agent/onnx"
)

// filesOf are the keys of the files of a bundle that the network of the given key consists of: its
// own, those beside it that decide about answers, and those with weights of its. Weights in a file
// that the manifest does not list are refused.
func filesOf(b *bundle.Bundle, key string) ([]string, error) {
	path, err := b.Path(key)
	if err != nil {
		return nil, err
	}
	keys := []string{key}
	for _, beside := range []string{bundle.FileHead, bundle.FileKnown} {
		if _, ok := b.Spec.Files[beside]; ok {
			keys = append(keys, beside)
		}
	}
	external, err := onnx.ExternalFiles(path)
	if err != nil {
		return nil, wrong("%v", err)
	}
	byPath := make(map[string]string)
	for k, f := range b.Spec.Files {
		byPath[filepath.Clean(f.Path)] = k
	}
	for _, name := range external {
		name = filepath.Join(filepath.Dir(b.Spec.Files[key].Path), name)
		k, ok := byPath[name]
		if !ok {
			return nil, wrong("%s keeps weights in %s, which the manifest does not list: import the network again",
				path, name)
		}
		keys = append(keys, k)
	}
	return keys, nil
}

// untouched remembers files, and of an installed bundle the folders that they lie in.
type untouched map[string]fs.FileInfo

// remember looks at the files of a bundle with the given keys.
func remember(b *bundle.Bundle, keys []string) (untouched, error) {
	u := make(untouched)
	for _, key := range keys {
		path, err := b.Path(key)
		if err != nil {
			return nil, err
		}
		places := []string{path}
		if bundle.IsDigest(filepath.Base(b.Dir)) { // an installed one: nobody writes into its folders
			places = append(places, filepath.Dir(path), b.Dir)
		}
		for _, p := range places {
			if u[p], err = os.Stat(p); err != nil {
				return nil, err
			}
		}
	}
	return u, nil
}

// check is an error where one of them was changed or exchanged meanwhile, even for a moment: the
// file that was hashed is then not surely the one that was loaded.
func (u untouched) check() error {
	for path, before := range u {
		now, err := os.Stat(path)
		if err != nil {
			return err
		}
		a, b := before.Sys().(*syscall.Stat_t), now.Sys().(*syscall.Stat_t)
		if !os.SameFile(before, now) || a.Ctim != b.Ctim || before.Size() != now.Size() {
			return wrong("%s was changed while it was loaded: try again", path)
		}
	}
	return nil
}
