package infer

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"

	"github.com/vggse/vggse-agent/internal/account"
	"github.com/vggse/vggse-agent/internal/atomicfile"
	"github.com/vggse/vggse-agent/internal/filelock"
)

// Runtimes is the folder of the ONNX Runtimes that were installed for the agent, each in a folder
// of its own.
type Runtimes struct{ dir string }

// RuntimesAt is the folder that Config.Runtimes names; it need not be there yet.
func RuntimesAt(dir string) Runtimes { return Runtimes{dir} }

// InstalledRuntime is one of them.
type InstalledRuntime struct {
	Name      string   // of its folder: version, best provider, the first digits of its SHA-256
	Path      string   // of its libonnxruntime.so
	Version   string   // "" where its files do not tell
	Providers []string // whose libraries are there, best first
	Missing   []string // libraries that these providers want and this machine does not have
	Current   bool     // the one that the agent finds
}

// LookFunc does what Look does with the named library in a folder, perhaps in a process that may do
// less than this one. Its error names the library as name or ./name.
type LookFunc func(ctx context.Context, dir, name string) (version string, err error)

// Install takes the libraries of an ONNX Runtime (core, shared, tensorrt, cuda, openvino with what
// it brings along) for this machine out of a wheel (.whl), an npm package or release archive (.tgz,
// .tar.gz), or a folder, looks whether they fit and load here, and makes them the current runtime.
// They stand there complete or not at all. Loading runs code of a library that nobody knows yet:
// where and as whom, look decides.
func (r Runtimes) Install(ctx context.Context, path string, look LookFunc) (*InstalledRuntime, error) {
	unlock, err := r.open(ctx)
	if err != nil {
		return nil, fmt.Errorf("infer: install runtime: %w", err)
	}
	defer unlock()
	aside, err := os.MkdirTemp(r.dir, ".incoming.*")
	if err != nil {
		return nil, fmt.Errorf("infer: install runtime: %w", err)
	}
	defer os.RemoveAll(aside)
	name, err := r.collect(ctx, path, aside, look)
	if err != nil {
		return nil, fmt.Errorf("infer: install runtime: %s %w", path, err)
	}
	final := filepath.Join(r.dir, name)
	if _, err := os.Stat(final); err != nil {
		err := errors.Join(atomicfile.SyncDir(aside), os.Rename(aside, final), atomicfile.SyncDir(r.dir))
		if err != nil {
			return nil, fmt.Errorf("infer: install runtime: %w", err)
		}
	}
	if err := r.Use(name); err != nil {
		return nil, err
	}
	return r.look(name), nil
}

// open makes the folder, readable by all whatever the umask is, keeps other installations out and
// removes what those have left that were killed.
func (r Runtimes) open(ctx context.Context) (unlock func(), err error) {
	if err := account.NotForRoot(r.dir); err != nil {
		return nil, err
	}
	_, missing := os.Stat(r.dir)
	if err := os.MkdirAll(r.dir, 0o755); err != nil {
		return nil, err
	}
	if missing != nil && os.Geteuid() == 0 {
		err := os.Chmod(r.dir, 0o755)
		if r.dir == SystemRuntimes {
			err = errors.Join(err, os.Chmod(filepath.Dir(r.dir), 0o755))
		}
		if err != nil {
			return nil, err
		}
	}
	if unlock, err = filelock.LockDir(ctx, r.dir); err != nil {
		return nil, err
	}
	left, _ := filepath.Glob(filepath.Join(escaped(r.dir), ".incoming.*"))
	for _, dir := range left {
		if err := os.RemoveAll(dir); err != nil {
			unlock()
			return nil, err
		}
	}
	return unlock, nil
}

// collect puts the libraries into the folder aside, judges them, and returns the name that they
// get.
func (r Runtimes) collect(ctx context.Context, path, aside string, look LookFunc) (name string, err error) {
	core, err := unpackLibraries(ctx, path, aside)
	if err != nil {
		return "", err
	}
	for _, link := range []string{libraryName, libraryName + ".1"} {
		if link != core {
			if err := os.Symlink(core, filepath.Join(aside, link)); err != nil {
				return "", err
			}
		}
	}
	version, err := judge(ctx, aside, look)
	if err != nil {
		return "", fmt.Errorf("holds an ONNX Runtime that does not work here: %s",
			strings.NewReplacer(aside+"/", "", "./"+libraryName, libraryName).Replace(err.Error()))
	}
	sum, err := atomicfile.HashFile(ctx, filepath.Join(aside, libraryName))
	if err != nil {
		return "", err
	}
	return fmt.Sprintf("%s-%s-%s", version, providersIn(aside)[0], sum[:8]), nil
}

// versionText is what a version may look like that becomes part of a folder's name.
var versionText = regexp.MustCompile(`^\d+\.\d+[0-9A-Za-z.+_-]{0,40}$`)

// judge looks at the library in a new folder, and returns its version.
func judge(ctx context.Context, dir string, look LookFunc) (version string, err error) {
	if err := os.Chmod(dir, 0o755); err != nil { // whatever account looks
		return "", err
	}
	if err := trusted(filepath.Join(dir, libraryName)); err != nil {
		return "", err
	}
	if version, err = look(ctx, dir, libraryName); err != nil {
		return "", err
	}
	if !versionText.MatchString(version) { // these are the library's own words
		return "", fmt.Errorf("%s calls itself ONNX Runtime %q: that is no version", libraryName, version)
	}
	if err = willDo(version); err == nil {
		_, err = shimFor(version)
	}
	if err != nil {
		return "", fmt.Errorf("%s %w", libraryName, err)
	}
	return version, nil
}

// List returns all of them, newest version first.
func (r Runtimes) List() ([]*InstalledRuntime, error) {
	entries, err := os.ReadDir(r.dir)
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return nil, fmt.Errorf("infer: list runtimes: %w", err)
	}
	var all []*InstalledRuntime
	for _, e := range entries {
		if e.IsDir() && !strings.HasPrefix(e.Name(), ".") {
			all = append(all, r.look(e.Name()))
		}
	}
	slices.SortFunc(all, func(a, b *InstalledRuntime) int {
		return slices.Compare(numbers(b.Version),
			numbers(a.Version))
	})
	return all, nil
}

// Use makes the named runtime the one that the agent finds, from its next start on.
func (r Runtimes) Use(name string) error {
	if err := r.has(name); err != nil {
		return fmt.Errorf("infer: use runtime: %w", err)
	}
	link := filepath.Join(r.dir, fmt.Sprintf(".current.%d", os.Getpid()))
	os.Remove(link) // of a process with this number that died
	if err := errors.Join(os.Symlink(name, link), os.Rename(link, filepath.Join(r.dir, current)),
		atomicfile.SyncDir(r.dir)); err != nil {
		return fmt.Errorf("infer: use runtime: %w", err)
	}
	return nil
}

// Remove deletes the named runtime. The current one too: the agent then finds another library, or
// says that it finds none.
func (r Runtimes) Remove(name string) error {
	if err := r.has(name); err != nil {
		return fmt.Errorf("infer: remove runtime: %w", err)
	}
	link := filepath.Join(r.dir, current)
	if target, _ := os.Readlink(link); target == name {
		if err := os.Remove(link); err != nil {
			return fmt.Errorf("infer: remove runtime: %w", err)
		}
	}
	if err := os.RemoveAll(filepath.Join(r.dir, name)); err != nil {
		return fmt.Errorf("infer: remove runtime: %w", err)
	}
	return nil
}

// has returns an error that names those that are there, and one where root must not change them.
func (r Runtimes) has(name string) error {
	if err := account.NotForRoot(r.dir); err != nil {
		return err
	}
	all, err := r.List()
	if err != nil {
		return err
	}
	var names []string
	for _, i := range all {
		if i.Name == name {
			return nil
		}
		names = append(names, i.Name)
	}
	if len(names) == 0 {
		return fmt.Errorf("%q is not installed, none is: 'vggse-agent runtime install FILE' puts one there", name)
	}
	return fmt.Errorf("%q is not installed: there is %s", name, strings.Join(names, ", "))
}

// look reads what stands in the folder of the named runtime.
func (r Runtimes) look(name string) *InstalledRuntime {
	dir := filepath.Join(r.dir, name)
	i := &InstalledRuntime{Name: name, Path: filepath.Join(dir, libraryName), Providers: providersIn(dir)}
	i.Version, _, _ = strings.Cut(name, "-")
	for _, p := range i.Providers {
		for _, lib := range MissingLibraries(i.Path, p) {
			if !slices.Contains(i.Missing, lib) {
				i.Missing = append(i.Missing, lib)
			}
		}
	}
	target, _ := os.Readlink(filepath.Join(r.dir, current))
	i.Current = target == name
	return i
}

// providersIn are the providers whose libraries lie in dir, best first.
func providersIn(dir string) []string {
	var found []string
	for _, p := range []string{TensorRT, CUDA, OpenVINO} {
		if _, err := os.Stat(filepath.Join(dir, providerFile(p))); err == nil {
			found = append(found, p)
		}
	}
	return append(found, CPU)
}

func providerFile(provider string) string { return "libonnxruntime_providers_" + provider + ".so" }

// MissingLibraries are those that a provider of the ONNX Runtime at library wants and the dynamic
// linker does not find. A provider whose own library is not there misses that.
func MissingLibraries(library, provider string) []string {
	if provider == CPU {
		return nil
	}
	if trusted(library) != nil {
		return nil // nor what it wants
	}
	needed := wants(library, provider)
	if needed == nil {
		return []string{providerFile(provider)}
	}
	var missing []string
	for _, name := range needed {
		if strings.HasPrefix(name, "libonnxruntime") {
			continue
		}
		if strings.Contains(name, "/") { // only names are looked up: a path would be code to run
			missing = append(missing, name)
			continue
		}
		if _, err := os.Stat(filepath.Join(filepath.Dir(library), name)); err == nil && provider == OpenVINO {
			continue // it looks for its libraries beside itself
		}
		s, err := openShared(name)
		if err != nil {
			missing = append(missing, name)
		}
		s.close()
	}
	return missing
}

// wants are the libraries that a provider of the ONNX Runtime at library names as needed; nil where
// the provider's own library is not there.
func wants(library, provider string) []string {
	b, err := ReadBinary(filepath.Join(filepath.Dir(library), providerFile(provider)))
	if err != nil {
		return nil
	}
	return append([]string{}, b.Needed...)
}

// MissingLibrary says in a sentence whose a library is that is missing, what of it is here, and the
// cure.
func MissingLibrary(name string) string { return missingLibrary(name) }
