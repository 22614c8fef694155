package infer

import (
	"bufio"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"runtime"
	"strings"
)

// ErrNoLibrary is what Open and Version wrap when ONNX Runtime is nowhere to be found or too old.
var ErrNoLibrary = errors.New("no usable ONNX Runtime")

// oldest is the first ONNX Runtime with the C API 24 that the binding asks for.
const oldest = "1.24"

// Candidates lists where the library is looked for, in order; the first that loads is used:
//
//  1. infer.library, and nowhere else when it is set
//  2. the environment variable ORT_LIB, and nowhere else when it is set
//  3. beside the executable
//  4. ../build/onnxruntime/<os>-<arch>/ seen from the executable, where `make deps` puts it
//  5. build/onnxruntime/<os>-<arch>/ of the checkout the process was started in (for `go run` and `go test`)
//  6. the system's: what the dynamic linker finds as libonnxruntime.so or libonnxruntime.so.1
//
// Names without a slash are for the dynamic linker; every other candidate is an existing file.
func (c *Config) Candidates() []string {
	if c.explicit() {
		return []string{c.Library}
	}
	if path := os.Getenv("ORT_LIB"); path != "" {
		return []string{path}
	}
	const name = "libonnxruntime.so"
	built := filepath.Join("build", "onnxruntime", runtime.GOOS+"-"+runtime.GOARCH, name)
	var places []string
	if exe, err := os.Executable(); err == nil {
		dir := filepath.Dir(exe)
		places = append(places, filepath.Join(dir, name), filepath.Join(dir, name+".1"), filepath.Join(dir, "..", built))
	}
	if root := checkout(); root != "" {
		places = append(places, filepath.Join(root, built))
	}
	var found []string
	for _, p := range places {
		if info, err := os.Stat(p); err == nil && !info.IsDir() {
			found = append(found, p)
		}
	}
	return append(found, name, name+".1")
}

// checkout is the nearest folder upwards from the working folder with a go.mod, or "".
func checkout() string {
	dir, err := os.Getwd()
	for err == nil {
		if _, err := os.Stat(filepath.Join(dir, "go.mod")); err == nil {
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

// findLibrary loads the first candidate that will do and returns its path.
func findLibrary(c *Config, load func(path string) error) (string, error) {
	candidates := c.Candidates()
	var first error
	for _, path := range candidates {
		err := load(path)
		if err == nil {
			return loadedFrom(path), nil
		}
		if strings.Contains(path, "/") && first == nil {
			first = cure(path, err)
		}
	}
	if first == nil {
		first = errors.New("not found")
	}
	return "", fmt.Errorf("%w: %w (in a checkout 'make deps' fetches one; or set infer.library or ORT_LIB to a libonnxruntime.so, %s or newer)",
		ErrNoLibrary, first, oldest)
}

// cure says in words what the binding's errors about a file mean.
func cure(path string, err error) error {
	text := err.Error()
	switch {
	case strings.Contains(text, "Error setting ORT API base"):
		return fmt.Errorf("%s is older than %s", path, oldest)
	case strings.Contains(text, "looking up OrtGetApiBase"):
		return fmt.Errorf("%s is not an ONNX Runtime: it has no OrtGetApiBase", path)
	}
	if i := strings.LastIndex(text, "\": "); i >= 0 { // Error loading ONNX shared library "path": path: why
		return errors.New(text[i+3:])
	}
	return fmt.Errorf("%s: %w", path, err)
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
		if i := strings.Index(lines.Text(), "/"); i >= 0 && strings.HasPrefix(filepath.Base(lines.Text()[i:]), "libonnxruntime.so") {
			return lines.Text()[i:]
		}
	}
	return name
}
