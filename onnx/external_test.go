package onnx

import (
	"os"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"

	"google.golang.org/protobuf/encoding/protowire"
)

// msg is a protobuf message of fields, each a number and what is in it.
func msg(fields ...any) []byte {
	var b []byte
	for i := 0; i < len(fields); i += 2 {
		b = protowire.AppendTag(b, protowire.Number(fields[i].(int)), protowire.BytesType)
		switch v := fields[i+1].(type) {
		case string:
			b = protowire.AppendString(b, v)
		case []byte:
			b = protowire.AppendBytes(b, v)
		}
	}
	return b
}

// TestExternalFiles: a file with weights is found wherever it is named, also where Open reads
// nothing, and in a model that Open refuses.
func TestExternalFiles(t *testing.T) {
	outside := msg(8, "w", 13, msg(1, "location", 2, "w.data"), 13, msg(1, "offset", 2, "0"))
	swapped := msg(13, msg(2, "w.data", 1, "location"))
	constant := msg(4, "Constant", 5, msg(1, "value", 5, outside))
	deep := msg(5, outside)
	for range 20 {
		deep = msg(1, msg(4, "If", 5, msg(1, "then_branch", 6, deep)))
	}
	for name, model := range map[string][]byte{
		"an initializer":                msg(7, msg(5, outside)),
		"value before key":              msg(7, msg(5, swapped)),
		"a constant":                    msg(7, msg(1, constant)),
		"a constant of a function":      msg(25, msg(1, "f", 7, constant)),
		"a default of a function":       msg(25, msg(1, "f", 11, msg(1, "a", 5, outside))),
		"a sparse initializer":          msg(7, msg(15, msg(1, outside))),
		"indices of a sparse one":       msg(7, msg(15, msg(2, outside))),
		"a list of tensors":             msg(7, msg(1, msg(5, msg(10, outside)))),
		"a graph of a list":             msg(7, msg(1, msg(5, msg(11, msg(5, outside))))),
		"a sparse attribute":            msg(7, msg(1, msg(5, msg(22, msg(1, outside))))),
		"a graph for training":          msg(20, msg(1, msg(5, outside))),
		"graphs deeper than we read":    msg(7, deep),
		"a second graph":                msg(7, msg(2, "g"), 7, msg(5, outside)),
		"a tensor in two parts":         msg(7, msg(1, msg(5, msg(5, msg(8, "w"), 5, outside)))),
		"beside a tensor cut too short": msg(7, msg(5, append(msg(9, "short"), 8, 99), 5, outside)),
	} {
		path := filepath.Join(t.TempDir(), "m.onnx")
		if err := os.WriteFile(path, model, 0o644); err != nil {
			t.Fatal(err)
		}
		if got, err := ExternalFiles(path); err != nil || !slices.Equal(got, []string{"w.data"}) {
			t.Errorf("%s: %v, %v", name, got, err)
		}
	}
	for name, model := range map[string][]byte{
		"no message": []byte(strings.Repeat("\xff", 40)),
		"too deep":   msg(7, nested(200)),
	} {
		path := filepath.Join(t.TempDir(), "m.onnx")
		if err := os.WriteFile(path, model, 0o644); err != nil {
			t.Fatal(err)
		}
		if got, err := ExternalFiles(path); err == nil {
			t.Errorf("%s: %v", name, got)
		}
	}
	path := filepath.Join(t.TempDir(), "m.onnx")
	metadata := msg(14, msg(1, "location", 2, "Hall 3"), 7, msg(1, msg(4, "Relu", 3, "location")))
	if err := os.WriteFile(path, metadata, 0o644); err != nil {
		t.Fatal(err)
	}
	if got, err := ExternalFiles(path); err != nil || len(got) > 0 {
		t.Errorf("a location that names no file: %v, %v", got, err)
	}
}

func nested(depth int) []byte {
	b := msg(1, "x")
	for range depth {
		b = msg(1, msg(5, msg(6, b)))
	}
	return b
}

// A pipe in the place of the weights is refused, not waited for.
func TestExternalDataInAPipe(t *testing.T) {
	outside := append(msg(8, "w", 1, []byte{1}, 13, msg(1, "location", 2, "w.data")),
		2<<3, byte(Float32), 14<<3, 1) // its type, and that its data is elsewhere
	dir := t.TempDir()
	path := filepath.Join(dir, "m.onnx")
	if err := os.WriteFile(path, msg(7, msg(5, outside)), 0o644); err != nil {
		t.Fatal(err)
	}
	if err := syscall.Mkfifo(filepath.Join(dir, "w.data"), 0o600); err != nil {
		t.Fatal(err)
	}
	if m, err := Open(path); err == nil || !strings.Contains(err.Error(), "w.data") {
		t.Errorf("%v, %v", m, err)
	}
}
