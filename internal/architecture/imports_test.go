// Package architecture holds tests of the layout of the whole module: who imports whom.
package architecture

import (
	"go/parser"
	"go/token"
	"io/fs"
	"maps"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"
)

const module = "github.com/vggse/vggse-agent/"

// adapters are the libraries that one room alone may import, and that room; bench measures against
// the bare ones, too.
var adapters = map[string]string{
	"gocv.io/x/gocv":                      "camera",
	"github.com/yalue/onnxruntime_go":     "infer",
	"github.com/eclipse/paho.mqtt.golang": "mqtt",
	"github.com/spf13/viper":              "configs",
	"github.com/mochi-mqtt/server/v2":     "mqtt/broker",
	"oras.land/oras-go/v2":                "release",
	"aead.dev/minisign":                   "release",
}

// TestImports compares what each folder imports of the others with the table: both ways, so that no
// row is wider than the code. A new room or arrow is a decision: change the table, and say why in
// docs/architecture.md.
func TestImports(t *testing.T) {
	got := map[string]map[string]bool{}
	for path, imports := range goFiles(t) {
		room := filepath.ToSlash(filepath.Dir(path))
		if got[room] == nil {
			got[room] = map[string]bool{}
		}
		for _, name := range imports {
			if owner, ok := adapters[name]; ok && owner != room && room != "bench" {
				t.Errorf("%s imports %s, which is for %s alone", path, name, owner)
			}
			if ours, ok := strings.CutPrefix(name, module); ok {
				got[room][ours] = true
			}
		}
	}
	for _, room := range slices.Sorted(maps.Keys(got)) {
		imports := slices.Sorted(maps.Keys(got[room]))
		if want, known := rooms[room]; !known {
			t.Errorf("%s is no room of the table: %q: %q,", room, room, imports)
		} else if !slices.Equal(imports, strings.Fields(want)) {
			t.Errorf("%s imports\n\t%s\nthe table has\n\t%s", room, strings.Join(imports, " "), want)
		}
	}
	for room := range rooms {
		if got[room] == nil {
			t.Errorf("the table has a room %s, and there is no Go in such a folder", room)
		}
	}
}

// TestFolderCircles: the top folders, taken as a whole each, import one another without a circle.
func TestFolderCircles(t *testing.T) {
	arrows := map[string]map[string]bool{}
	for room, imports := range rooms {
		from := top(room)
		if arrows[from] == nil {
			arrows[from] = map[string]bool{}
		}
		for _, to := range strings.Fields(imports) {
			if top(to) != from {
				arrows[from][top(to)] = true
			}
		}
	}
	var visit func(folder string, path []string)
	done := map[string]bool{}
	visit = func(folder string, path []string) {
		if i := slices.Index(path, folder); i >= 0 {
			t.Fatalf("a circle of folders: %s → %s", strings.Join(path[i:], " → "), folder)
		}
		if done[folder] {
			return
		}
		for to := range arrows[folder] {
			visit(to, append(slices.Clone(path), folder))
		}
		done[folder] = true
	}
	for folder := range arrows {
		visit(folder, nil)
	}
}

func top(room string) string {
	first, _, _ := strings.Cut(room, "/")
	if first == "internal" { // each leaf is one for itself
		return room
	}
	return first
}

// goFiles are the imports of every Go file that is no test, in every build configuration, by path
// from the root.
func goFiles(t *testing.T) map[string][]string {
	t.Helper()
	files := map[string][]string{}
	walk(t, func(path, rel string) error {
		if strings.HasSuffix(rel, "_test.go") {
			return nil
		}
		file, err := parser.ParseFile(token.NewFileSet(), path, nil, parser.ImportsOnly)
		if err != nil {
			return err
		}
		files[rel] = nil
		for _, spec := range file.Imports {
			name, err := strconv.Unquote(spec.Path.Value)
			if err != nil {
				return err
			}
			files[rel] = append(files[rel], name)
		}
		return nil
	})
	if len(files) < 200 {
		t.Fatalf("%d Go files were found: the test does not look where the code is", len(files))
	}
	return files
}

// walk visits every Go file of the module; rel is its path from the root.
func walk(t *testing.T, visit func(path, rel string) error) {
	t.Helper()
	const root = "../.."
	err := filepath.WalkDir(root, func(path string, d fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		rel, err := filepath.Rel(root, path)
		if err != nil {
			return err
		}
		switch {
		case d.IsDir() && rel != "." && skipped(rel):
			return fs.SkipDir
		case d.IsDir() || !strings.HasSuffix(rel, ".go"):
			return nil
		}
		return visit(path, filepath.ToSlash(rel))
	})
	if err != nil {
		t.Fatal(err)
	}
}

// skipped are folders that hold no room: build output, hidden folders, test data.
func skipped(rel string) bool {
	base := filepath.Base(rel)
	return rel == "build" || rel == "bin" || rel == "dist" || base == "testdata" || strings.HasPrefix(base, ".")
}
