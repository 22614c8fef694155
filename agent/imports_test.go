package agent_test

import (
	"go/parser"
	"go/token"
	"io/fs"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"
)

const module = "github.com/vggse/vggse-agent/"

// rooms says which of our packages each room may import. It is the table of docs/architecture.md;
// a new room or arrow is a decision that changes both. cmd/ joins whatever a verb needs.
var rooms = map[string][]string{
	"model":              {"model/resample"},
	"model/resample":     {},
	"onnx":               {},
	"vgg16se":            {"model", "onnx", "vgg16se/checkpoint"},
	"vgg16se/checkpoint": {"onnx"},
	"camera":             {"model", "demo"},
	"camera/cameratest":  {"model"},
	"infer":              {"model"},
	"quant":              {"model", "onnx"},
	"prune":              {"model", "onnx", "vgg16se"},
	"samples":            {"model"},
	"store":              {"model"},
	"device":             {},
	"api":                {"model"},
	"mqtt":               {"model", "mqtt/spool"},
	"mqtt/contract":      {},
	"mqtt/spool":         {},
	"agent":              {"model", "onnx", "vgg16se", "camera", "infer", "quant", "prune", "samples", "store", "device", "api", "mqtt", "demo"},
	"configs":            {"agent", "store"},
	"systemd":            {},
	"demo":               {"model"},
}

// adapters are the libraries that one room alone may import, and that room. Viper is the loader's.
var adapters = map[string]string{
	"gocv.io/x/gocv":                      "camera",
	"github.com/yalue/onnxruntime_go":     "infer",
	"github.com/eclipse/paho.mqtt.golang": "mqtt",
	"github.com/spf13/viper":              "configs",
}

// TestImports fails on any import that the house does not have.
func TestImports(t *testing.T) {
	seen := make(map[string]bool)
	err := filepath.WalkDir("..", func(path string, d fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		rel := filepath.ToSlash(strings.TrimPrefix(path, "../"))
		if d.IsDir() {
			if skipped(rel) {
				return fs.SkipDir
			}
			return nil
		}
		if strings.HasSuffix(rel, ".go") && !strings.HasSuffix(rel, "_test.go") {
			seen[filepath.Dir(rel)] = true
			checkFile(t, path, filepath.ToSlash(filepath.Dir(rel)))
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	for _, room := range []string{"model", "onnx", "vgg16se", "camera", "infer", "mqtt", "agent", "configs", "demo", "cmd/vggse-agent"} {
		if !seen[room] {
			t.Errorf("room %s was not found: the test does not look where the code is", room)
		}
	}
}

// skipped are folders that hold no room: build output, hidden folders, other modules and benches.
func skipped(rel string) bool {
	base := filepath.Base(rel)
	return rel == "build" || rel == "bin" || rel == "bench" || base == "testdata" || base == "rtsptest" ||
		(strings.HasPrefix(base, ".") && base != "..")
}

func checkFile(t *testing.T, path, room string) {
	t.Helper()
	file, err := parser.ParseFile(token.NewFileSet(), path, nil, parser.ImportsOnly)
	if err != nil {
		t.Errorf("%s: %v", path, err)
		return
	}
	allowed, known := rooms[room]
	if !known && !strings.HasPrefix(room, "cmd/") {
		t.Errorf("%s: %s is no room of the house: add it to the table here and in docs/architecture.md", path, room)
		return
	}
	for _, spec := range file.Imports {
		name, err := strconv.Unquote(spec.Path.Value)
		if err != nil {
			t.Errorf("%s: %v", path, err)
			continue
		}
		if owner, ok := adapters[name]; ok && owner != room {
			t.Errorf("%s imports %s, which is for %s alone", path, name, owner)
		}
		ours, ok := strings.CutPrefix(name, module)
		if ok && known && !slices.Contains(allowed, ours) {
			t.Errorf("%s imports %s: %s may import only %v", path, ours, room, allowed)
		}
	}
}
