package checkpoint

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// Files in parts are one checkpoint; what the index does not give to a file is left out of it.
func TestShards(t *testing.T) {
	dir := t.TempDir()
	part := func(name, header string, data []byte) {
		t.Helper()
		b := append([]byte{byte(len(header)), 0, 0, 0, 0, 0, 0, 0}, header...)
		if err := os.WriteFile(filepath.Join(dir, name), append(b, data...), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	part("a.safetensors", `{"x":{"dtype":"F32","shape":[1],"data_offsets":[0,4]}}`, float32Bytes(7))
	part("b.safetensors", `{"y":{"dtype":"F32","shape":[1],"data_offsets":[0,4]},`+
		`"x":{"dtype":"F32","shape":[1],"data_offsets":[4,8]}}`, float32Bytes(8, 9))
	index := filepath.Join(dir, "model.safetensors.index.json")
	for text, want := range map[string]string{
		`{"weight_map":{"x":"a.safetensors","y":"b.safetensors"}}`: "",
		`{"weight_map":{"x":"a.safetensors","z":"b.safetensors"}}`: "names 2 tensors",
		`{"weight_map":{"x":"../a.safetensors"}}`:                  "not beside it",
		`{"weight_map":{"x":"c.safetensors"}}`:                     "no such file",
		`{"weights":{}}`:                                           "not an index",
	} {
		if err := os.WriteFile(index, []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
		f, err := Open(index, "")
		if want != "" {
			if err == nil || !strings.Contains(err.Error(), want) {
				t.Errorf("%s: %v, want …%s…", text, err, want)
			}
			continue
		}
		if err != nil {
			t.Fatal(err)
		}
		// those of PyTorch have another name
		if err := os.WriteFile(filepath.Join(dir, "pytorch_model.bin.index.json"), []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
		if g, err := Open(filepath.Join(dir, "pytorch_model.bin.index.json"), ""); err != nil || len(g.Tensors) != 2 {
			t.Errorf("of .bin: %v, %v", g, err)
		} else if err := g.Close(); err != nil {
			t.Error(err)
		}
		if x, y := f.Tensor("x"), f.Tensor("y"); numbersOf(t, x)[0] != 7 || numbersOf(t, y)[0] != 8 {
			t.Errorf("x %v, y %v", numbersOf(t, x), numbersOf(t, y))
		}
		if err := f.Close(); err != nil {
			t.Error(err)
		}
	}
}
