package infer

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"runtime"
	"strings"

	"github.com/vggse/vggse-agent/internal/account"
)

// ErrNoLibrary is what Open and Version wrap when ONNX Runtime is nowhere to be found or too old.
var ErrNoLibrary = errors.New("no usable ONNX Runtime")

const (
	oldest  = 16 // minor version of the first ONNX Runtime whose C API has all that we use
	binding = 24 // that of the C API which the binding asks for; below it the shim stands between
)

const (
	libraryName = "libonnxruntime.so"
	shimName    = "libvggse-ort-shim.so"
	current     = "current" // the link, in Config.Runtimes, to the runtime in use
)

// Candidates lists where the library is looked for, in order; the first that loads is used:
//
//  1. infer.library, and nowhere else when it is set
//  2. the environment variable ORT_LIB, and nowhere else when it is set
//  3. the runtime that 'vggse-agent runtime use' chose, or 'runtime install' put there last, then that
//     of the service, in SystemRuntimes
//  4. beside the executable
//  5. ../build/onnxruntime/<os>-<arch>/ seen from the executable, where `make deps` puts it
//  6. build/onnxruntime/<os>-<arch>/ of the caller's own checkout that the process was started in, for
//     `go run` and `go test` alone
//  7. the system's: what the dynamic linker finds as libonnxruntime.so or libonnxruntime.so.1
//
// Root loads none that another account could change, wherever it was named.
//
// Names without a slash are for the dynamic linker; every other candidate is an existing file.
func (c *Config) Candidates() []string {
	if c.explicit() {
		return []string{c.Library}
	}
	if path := os.Getenv("ORT_LIB"); path != "" {
		return []string{path}
	}
	built := filepath.Join("build", "onnxruntime", runtime.GOOS+"-"+runtime.GOARCH, libraryName)
	var places []string
	for _, dir := range []string{c.Runtimes, SystemRuntimes, c.ownRuntimes} {
		if dir != "" {
			places = append(places, filepath.Join(dir, current, libraryName))
		}
	}
	if exe, err := os.Executable(); err == nil {
		dir := filepath.Dir(exe)
		places = append(places, filepath.Join(dir, libraryName), filepath.Join(dir, libraryName+".1"),
			filepath.Join(dir, "..", built))
	}
	if root := checkout(); root != "" {
		places = append(places, filepath.Join(root, built))
	}
	return append(existing(places), libraryName, libraryName+".1")
}

// shim is the path of the library that stands between the binding and an older ONNX Runtime: the
// environment variable ORT_SHIM, beside the executable, in ../lib/vggse-agent seen from there, in
// bin/ of the checkout.
func shim() (string, error) {
	if path := os.Getenv("ORT_SHIM"); path != "" {
		return path, nil
	}
	var places []string
	if exe, err := os.Executable(); err == nil {
		dir := filepath.Dir(exe)
		places = append(places, filepath.Join(dir, shimName), filepath.Join(dir, "..", "lib", "vggse-agent", shimName))
	}
	if root := checkout(); root != "" {
		places = append(places, filepath.Join(root, "bin", shimName))
	}
	if found := existing(places); len(found) > 0 {
		return found[0], nil
	}
	return "", fmt.Errorf("an ONNX Runtime older than 1.%d needs %s, which the package and 'make build' put beside "+
		"the agent: it is not there", binding, shimName)
}

func existing(paths []string) []string {
	var found []string
	for _, p := range paths {
		if info, err := os.Stat(p); err == nil && !info.IsDir() {
			found = append(found, p)
		}
	}
	return found
}

// checkout is the nearest folder upwards from the working folder with our go.mod, or "". Only what
// 'go run' and 'go test' have built looks there, and only in a folder of the caller's own: whoever
// stands in a folder of another does not ask for its code.
func checkout() string {
	if exe, err := os.Executable(); err != nil || !strings.Contains(exe, "/go-build") {
		return ""
	}
	dir, err := os.Getwd()
	for err == nil {
		text, err := os.ReadFile(filepath.Join(dir, "go.mod"))
		if err == nil && strings.HasPrefix(string(text), "module github.com/vggse/vggse-agent\n") {
			if uid, _, err := account.Owner(dir); err != nil || uid != os.Geteuid() {
				return ""
			}
			return dir
		}
		parent := filepath.Dir(dir)
		if parent == dir {
			break
		}
		dir = parent
	}
	return ""
}

// library is an ONNX Runtime that is open.
type library struct {
	path    string // its file
	entry   string // what the binding opens: the file, or the shim
	version string // 1.27.0
	api     int    // version of the C API that the binding gets from it
	base    apiBase
	open    []shared // in the order of opening
}

// find opens the first candidate that will do.
func find(c *Config) (*library, error) {
	var first error
	for _, path := range c.Candidates() {
		l, err := load(path)
		if err == nil {
			return l, nil
		}
		if strings.Contains(path, "/") && first == nil {
			first = err
		}
	}
	if first == nil {
		first = fmt.Errorf("none found (%s says where it is looked for)", "vggse-agent doctor")
	}
	return nil, noLibrary(first)
}

// noLibrary adds to why there is none how to come by one.
func noLibrary(why error) error {
	return fmt.Errorf("%w: %w (in a checkout 'make deps' fetches one, on a device 'vggse-agent runtime install "+
		"FILE'; or set infer.library or ORT_LIB to a %s, 1.%d or newer)",
		ErrNoLibrary, why, libraryName, oldest)
}

// load opens the library at path, and the shim where it is older than the binding. The error says
// in one sentence what was found, what is needed, and the cure.
func load(path string) (*library, error) {
	l, err := openLibrary(path)
	if err != nil {
		return nil, err
	}
	if err := l.introduce(); err != nil {
		l.close()
		return nil, fmt.Errorf("%s %w", l.path, err)
	}
	return l, nil
}

// openLibrary opens the library at path and reads its version, which is one that will do.
func openLibrary(path string) (*library, error) {
	if strings.Contains(path, "/") {
		if err := trusted(path); err != nil {
			return nil, fmt.Errorf("%s: %w", path, err)
		}
		b, err := ReadBinary(path)
		if err == nil {
			err = b.Fits(glibc())
		}
		if err != nil {
			return nil, fmt.Errorf("%s %w", path, subject(err))
		}
	}
	s, err := openShared(path)
	if err != nil {
		return nil, linkerSays(path, err)
	}
	l := &library{path: loadedFrom(path), entry: path, open: []shared{s}}
	if l.base, l.version, err = s.base(); err == nil {
		err = willDo(l.version)
	}
	if err != nil {
		l.close()
		return nil, fmt.Errorf("%s %w", l.path, err)
	}
	return l, nil
}

// Look loads the library of that name in a folder, which runs code of its own, and returns its
// version, one that will do. The error says in one sentence what was found, what is needed, and the
// cure.
func Look(_ context.Context, dir, name string) (version string, err error) {
	l, err := openLibrary(dir + "/" + name)
	if err != nil {
		return "", err
	}
	defer l.close()
	return l.version, nil
}

// trusted is an error where root must not load the library at path, or one of those beside it,
// which it loads itself: the providers.
func trusted(path string) error {
	if err := account.Trusted(path); err != nil {
		if errors.Is(err, fs.ErrNotExist) {
			return nil // opening it says so
		}
		return err
	}
	file, err := filepath.EvalSymlinks(path)
	if err != nil {
		return nil // opening it says why
	}
	for _, dir := range []string{filepath.Dir(path), filepath.Dir(file)} {
		beside, _ := filepath.Glob(filepath.Join(escaped(dir), "libonnxruntime*"))
		for _, p := range beside {
			if err := account.Trusted(p); err != nil && !errors.Is(err, fs.ErrNotExist) {
				return err
			}
		}
	}
	return nil
}

// escaped is a folder's name for filepath.Glob, in which nothing stands for anything else.
func escaped(dir string) string {
	return strings.NewReplacer(`\`, `\\`, "*", `\*`, "?", `\?`, "[", `\[`).Replace(dir)
}

// willDo is an error, which follows the library's name, where an ONNX Runtime of that version is of
// no use here.
func willDo(version string) error {
	v := numbers(version)
	switch {
	case len(v) < 2 || v[0] != 1:
		return fmt.Errorf("calls itself ONNX Runtime %q: 1.%d or newer of 1.x is needed", version, oldest)
	case v[1] < oldest:
		return fmt.Errorf("is ONNX Runtime %s, too old: 1.%d or newer is needed", version, oldest)
	}
	return nil
}

// shimFor is the shim for an ONNX Runtime of that version, which will do; "" where it needs none.
func shimFor(version string) (path string, err error) {
	if numbers(version)[1] >= binding {
		return "", nil
	}
	if path, err = shim(); err != nil {
		return "", fmt.Errorf("is ONNX Runtime %s: %w", version, err)
	}
	if err := account.Trusted(path); err != nil {
		return "", fmt.Errorf("is ONNX Runtime %s, and its shim %s: %w", version, path, err)
	}
	return path, nil
}

// introduce decides what the binding opens.
func (l *library) introduce() error {
	path, err := shimFor(l.version)
	if err != nil {
		return err
	}
	l.api = min(numbers(l.version)[1], binding)
	if path == "" {
		return nil
	}
	l.entry = path
	between, err := openShared(l.entry)
	if err != nil {
		return fmt.Errorf("is ONNX Runtime %s, and its shim cannot be loaded: %w", l.version, err)
	}
	l.open = append(l.open, between)
	if err := between.handOver(l.base); err != nil {
		return fmt.Errorf("is ONNX Runtime %s, and %s %w", l.version, l.entry, err)
	}
	return nil
}

// close closes what we have open; what the binding has open stays.
func (l *library) close() {
	for i := len(l.open) - 1; i >= 0; i-- {
		l.open[i].close()
	}
	l.open = nil
}

// subject makes an error of reading a file follow the file's name.
func subject(err error) error {
	if errors.Is(err, fs.ErrNotExist) {
		return errors.New("is not there")
	}
	if errors.Is(err, fs.ErrPermission) {
		return errors.New("may not be read by this user")
	}
	return err
}

// loadedFrom replaces a name that the dynamic linker resolved by the file it mapped.
func loadedFrom(name string) string {
	if strings.Contains(name, "/") {
		return name
	}
	maps, err := os.Open("/proc/self/maps")
	if err != nil {
		return name
	}
	defer maps.Close()
	for lines := bufio.NewScanner(maps); lines.Scan(); {
		if i := strings.Index(lines.Text(), "/"); i >= 0 && strings.HasPrefix(filepath.Base(lines.Text()[i:]),
			libraryName) {
			return lines.Text()[i:]
		}
	}
	return name
}
