package quant

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"maps"
	"strings"
	"testing"
)

// readFlatTable walks a table as the code that flatc generates does: vtables, slots, offsets.
func readFlatTable(b []byte) map[string]string {
	le := binary.LittleEndian
	u32 := func(at int) int { return int(le.Uint32(b[at:])) }
	field := func(table, slot int) int {
		vtable := table - int(int32(le.Uint32(b[table:])))
		at := table + int(le.Uint16(b[vtable+slot:]))
		return at + u32(at)
	}
	text := func(at int) string { return string(b[at+4 : at+4+u32(at)]) }
	vector, all, last := field(u32(0), 4), map[string]string{}, ""
	for i := range u32(vector) {
		at := vector + 4 + 4*i
		entry := at + u32(at)
		key := text(field(entry, 4))
		if key <= last {
			panic("keys are not sorted")
		}
		all[key], last = text(field(entry, 6)), key
	}
	return all
}

func TestTables(t *testing.T) {
	n := &Graph{Sites: []Site{{Name: "input"}, {Name: "relu_b"}, {Name: "a"}}}
	p := &Plan{Levels: LevelsS8, Picture: [2]float64{-2, 2.5}, Choices: []Choice{{Site: "relu_b", Threshold: 127},
		{Site: "a", Threshold: 1.0 / 3}}}
	var flat, text bytes.Buffer
	if err := WriteFlatTable(&flat, n, p); err != nil {
		t.Fatal(err)
	}
	got := readFlatTable(flat.Bytes())
	if want := map[string]string{"a": "0.333333333", "input": "2.5",
		"relu_b": "127"}; fmt.Sprint(got) != fmt.Sprint(want) {
		t.Errorf("flatbuffer: got %v, want %v", got, want)
	}
	if err := WriteTextTable(&text, n, p, "10.3"); err != nil {
		t.Fatal(err)
	}
	if want := "TRT-103-EntropyCalibration2\na: 3b2c02b0\ninput: 3ca14285\nrelu_b: 3f800000\n"; text.String() != want {
		t.Errorf("text: got %q, want %q", text.String(), want)
	}
	if err := WriteTextTable(io.Discard, n, p, "11.0"); err == nil ||
		!strings.Contains(err.Error(), "int8.trt11.onnx") {
		t.Errorf("TensorRT 11: %v", err)
	}
	// as in the cache that NVIDIA's TrafficCamNet comes with
	n.Sites[0].Name, n.Sites[2].Name, p.Choices[1].Site = "input_1:0", "a: b:0", "a: b:0"
	text.Reset()
	if err := WriteTextTable(&text, n, p, "10.3"); err != nil {
		t.Fatal(err)
	}
	scales := map[string]string{}
	for _, line := range strings.Split(strings.TrimSpace(text.String()), "\n")[1:] {
		end := strings.LastIndex(line, ": ")
		scales[line[:end]] = line[end+2:]
	}
	if want := map[string]string{"a: b:0": "3b2c02b0", "input_1:0": "3ca14285",
		"relu_b": "3f800000"}; !maps.Equal(scales, want) {
		t.Errorf("names with colons: %v, want %v", scales, want)
	}
	n.Sites[2].Name, p.Choices[1].Site = "a\nb", "a\nb"
	if err := WriteTextTable(io.Discard, n, p, "10.3"); !errors.Is(err, ErrNoTextTable) {
		t.Errorf("a name of two lines: %v", err)
	}
	p.Levels = LevelsU8
	if err := WriteFlatTable(io.Discard, n, p); err == nil {
		t.Error("thresholds of unsigned codes were written")
	}
}

func TestHalf(t *testing.T) {
	for _, tt := range []struct {
		v    float32
		want uint16
	}{{0, 0}, {1, 0x3c00}, {-2, 0xc000}, {65504, 0x7bff}, {65520, 0x7c00}, {1e9, 0x7c00}, {1.0 / 3, 0x3555},
		{0x1p-14, 0x0400}, {0x1p-24, 1}, {0x1p-25, 0}, {0x1.8p-25, 1}, {0x1p-26, 0}, {2049, 0x6800}, {2051, 0x6802}} {
		if got := half(tt.v); got != tt.want {
			t.Errorf("half(%g) = %#04x, want %#04x", tt.v, got, tt.want)
		}
	}
}
