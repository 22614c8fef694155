package importer

import (
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/vggse/vggse-agent/onnx"
)

// Files beside a model that say its labels in the forms that people have.
func TestLabelsBeside(t *testing.T) {
	want := []string{"bolt", "nut", "washer"}
	for name, text := range map[string]string{
		"config.json a list":         `{"id2label": ["bolt","nut","washer"]}`,
		"config.json the other way":  `{"label2id": {"nut":1,"bolt":0,"washer":2}}`,
		"config.json of Windows":     "\xef\xbb\xbf" + `{"id2label": {"0":"bolt","1":"nut","2":"washer"}}`,
		"labels.json a list":         `["bolt","nut","washer"]`,
		"class_indices.json texts":   `{"bolt":"0","washer":"2","nut":"1"}`,
		"class_indices.json numbers": `{"bolt":0,"washer":2,"nut":1}`,
	} {
		file, _, _ := strings.Cut(name, " ")
		dir := t.TempDir()
		if err := os.WriteFile(filepath.Join(dir, file), []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		k := lookBeside(filepath.Join(dir, "model.pth"), nil)
		if k.failed != nil || !slices.Equal(k.labels, want) {
			t.Errorf("%s: got %+v", name, k)
		}
	}
	const apart = `{"id2label": {"0":"bolt","1":"nut"}, "label2id": {"nut":0,"bolt":1}}`
	if _, err := ofConfig([]byte(apart)); err == nil || !strings.Contains(err.Error(), "in different orders") {
		t.Errorf("two orders in one file: %v", err)
	}
	if k, err := ofConfig([]byte(`{"id2label": {"0": 7, "1": 8}}`)); err != nil || k.labels[1] != "8" {
		t.Errorf("numbers for names: %+v, %v", k, err)
	}
}

// The index of a checkpoint in parts is JSON, and no server's refusal.
func TestIndexOfPartsIsAModel(t *testing.T) {
	dir := t.TempDir()
	for name, want := range map[string]bool{"model.safetensors.index.json": true, "M.INDEX.JSON": true,
		"model.safetensors": false, "model.pth": false} {
		path := filepath.Join(dir, name)
		if err := os.WriteFile(path, []byte(`{"weight_map": {"a": "b"}}`), 0o600); err != nil {
			t.Fatal(err)
		}
		if err := (&Options{File: path}).open(); (err == nil) != want {
			t.Errorf("%s: %v", name, err)
		}
	}
}

// A weight that no training ends with is refused with its name.
func TestWeightsBeyondAll(t *testing.T) {
	for _, c := range []struct {
		bits []byte
		want string
	}{
		{[]byte{0xca, 0xf2, 0x49, 0x71}, "above 1e15"}, // 1e30
		{[]byte{0, 0, 0x80, 0x7f}, "infinity"},
		{[]byte{0, 0x24, 0x74, 0x49}, ""}, // 1e6
	} {
		var out strings.Builder
		n := &numbers{to: &out, name: "w", kind: 1}
		_, err := n.Write(c.bits)
		if c.want == "" && err != nil || c.want != "" && (err == nil || !strings.Contains(err.Error(), c.want)) {
			t.Errorf("%x: %v, want %q", c.bits, err, c.want)
		}
	}
}

// The same number is a weight in one operator and a mask in another.
func TestWeightsAndMasks(t *testing.T) {
	for op, want := range map[string]bool{"MatMul": false, "ConvTranspose": false, "Add": true} {
		m := &onnx.Model{Graph: onnx.Graph{
			Nodes: []onnx.Node{{OpType: op, Inputs: []string{"x", "w"}}},
			Initializers: []onnx.Tensor{{Name: "w", Type: onnx.Float32, Dims: []int64{1, 1},
				Data: []byte{0xca, 0xf2, 0x49, 0xf1}}}, // -1e30
		}}
		checkNumbers(m)
		if err := m.Graph.Initializers[0].Source(io.Discard); (err == nil) != want {
			t.Errorf("%s: %v", op, err)
		}
	}
}
