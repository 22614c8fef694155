package checkpoint

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"io"
	"math"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/vggse/vggse-agent/onnx"
)

// source gives float32 numbers as the content of a tensor.
func source(v ...float32) onnx.Source {
	return func(w io.Writer) error { return binary.Write(w, binary.LittleEndian, v) }
}

func safetensors(t testing.TB) []byte {
	t.Helper()
	var b bytes.Buffer
	err := WriteSafetensors(&b, []Out{
		{Name: "a.weight", Shape: []int64{2, 2}, Source: source(1, 2, 3, 4)}, {Name: "scalar", Source: source(5)},
		{Name: "none", Shape: []int64{0, 3}, Source: source()},
	}, map[string]string{"origin": "test"})
	if err != nil {
		t.Fatal(err)
	}
	return b.Bytes()
}

// raw makes a file of any header and data.
func raw(header, data string) []byte {
	return append(binary.LittleEndian.AppendUint64(nil, uint64(len(header))), header+data...)
}

func values(t *testing.T, x *Tensor) []float64 {
	t.Helper()
	var all []float64
	if err := x.Values(func(v []float64) error { all = append(all, v...); return nil }); err != nil {
		t.Fatal(err)
	}
	return all
}

func TestSafetensorsRoundTrip(t *testing.T) {
	path := filepath.Join(t.TempDir(), "x.safetensors")
	if err := os.WriteFile(path, safetensors(t), 0o600); err != nil {
		t.Fatal(err)
	}
	f, err := Open(path, "")
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	if f.Format != Safetensors || len(f.Tensors) != 3 || f.Metadata["origin"] != "test" {
		t.Fatalf("got %+v", f)
	}
	if got := fmt.Sprint(values(t, f.Tensor("a.weight")), f.Tensor("a.weight").Shape,
		values(t, f.Tensor("scalar"))); got != "[1 2 3 4] [2 2] [5]" {
		t.Error(got)
	}
	if f.Tensor("b") != nil {
		t.Error("found what is not there")
	}
}

func TestElementTypes(t *testing.T) {
	inf := math.Inf(1)
	for _, c := range []struct {
		kind string
		data []byte
		want []float64
	}{
		{"F32", binary.LittleEndian.AppendUint32(nil, math.Float32bits(1.5)), []float64{1.5}},
		{"F64", binary.LittleEndian.AppendUint64(nil, math.Float64bits(-0.1)), []float64{-0.1}},
		{"BF16", []byte{0xc0, 0x3f, 0x80, 0xff}, []float64{1.5, -inf}},
		{"F16", []byte{0, 0x3c, 0, 0xc0, 1, 0, 0xff, 0x03, 0xff, 0x7b, 0, 0x7c, 0, 0xfc, 0, 0x80},
			[]float64{1, -2, 0x1p-24, 1023 * 0x1p-24, 65504, inf, -inf, 0}},
	} {
		n := len(c.want)
		f, err := parse(raw(fmt.Sprintf(`{"x":{"dtype":%q,"shape":[%d],"data_offsets":[0,%d]}}`, c.kind, n,
			len(c.data)), string(c.data)), "")
		if err != nil {
			t.Errorf("%s: %v", c.kind, err)
			continue
		}
		got := values(t, &f.Tensors[0])
		var written bytes.Buffer
		if err := f.Tensors[0].WriteFloat32(&written); err != nil {
			t.Error(err)
		}
		for i := range c.want {
			f32 := math.Float32frombits(binary.LittleEndian.Uint32(written.Bytes()[4*i:]))
			if got[i] != c.want[i] || f32 != float32(c.want[i]) {
				t.Errorf("%s[%d]: got %g and %g, want %g", c.kind, i, got[i], f32, c.want[i])
			}
		}
	}
}

func TestStrides(t *testing.T) {
	data := make([]byte, 0, 24)
	for i := range 6 {
		data = binary.LittleEndian.AppendUint32(data, math.Float32bits(float32(i)))
	}
	for _, c := range []struct {
		shape, strides []int64
		want           string
	}{
		{[]int64{2, 3}, []int64{3, 1}, "[0 1 2 3 4 5]"},
		{[]int64{3, 2}, []int64{1, 3}, "[0 3 1 4 2 5]"},
		{[]int64{2, 2}, []int64{0, 2}, "[0 2 0 2]"},
		{[]int64{1, 2, 1}, []int64{99, 3, 99}, "[0 3]"},
		{[]int64{}, []int64{}, "[0]"},
		{[]int64{2, 3}, []int64{3, 2}, "last element is number 7"},
		{[]int64{2}, []int64{-1}, "impossible"},
		{[]int64{1 << 40}, []int64{1 << 40}, "impossible"},
		{[]int64{2, 2}, []int64{1}, "1 strides for 2"},
		{[]int64{1 << 40, 1 << 40}, []int64{0, 0}, "does not fit"},
	} {
		x := Tensor{Name: "x", Type: onnx.Float32, Shape: c.shape, strides: c.strides, data: data}
		if err := x.check(); err != nil {
			if !strings.Contains(err.Error(), c.want) {
				t.Errorf("%v %v: %v, want …%s…", c.shape, c.strides, err, c.want)
			}
		} else if got := fmt.Sprint(values(t, &x)); got != c.want {
			t.Errorf("%v %v: got %s, want %s", c.shape, c.strides, got, c.want)
		}
	}
}

func TestSafetensorsRefuses(t *testing.T) {
	good := safetensors(t)
	for _, c := range []struct {
		name string
		b    []byte
		want string
	}{
		{"nothing", nil, "neither"},
		{"text", []byte("hello, hello, hello"), "text, perhaps"},
		{"truncated header", good[:40], "truncated"},
		{"truncated data", good[:len(good)-1], "truncated"},
		{"length", append([]byte{255, 255, 255, 255, 255, 255, 255, 255}, good[8:]...), "truncated"},
		{"long header", raw("{"+strings.Repeat(" ", 5<<20)+"}", ""), "more than"},
		{"not JSON", raw(`{"x":`, ""), "x"},
		{"backwards", raw(`{"x":{"dtype":"F32","shape":[1],"data_offsets":[4,0]}}`, "1234"), "bytes 4 to 0"},
		{"wrong size", raw(`{"x":{"dtype":"F32","shape":[2],"data_offsets":[0,4]}}`, "1234"), "does not fit"},
		{"rest", raw(`{"x":{"dtype":"F32","shape":[1],"data_offsets":[0,8]}}`, "12345678"), "wants 4 bytes"},
		{"shared bytes", raw(`{"x":{"dtype":"F32","shape":[1],"data_offsets":[0,4]},`+
			`"y":{"dtype":"F32","shape":[1],"data_offsets":[0,4]}}`, "1234"), "the one before it ends at 4"},
		{"a hole", raw(`{"x":{"dtype":"F32","shape":[1],"data_offsets":[4,8]}}`, "12345678"), "begins at byte 4"},
		{"more behind", raw(`{"x":{"dtype":"F32","shape":[1],"data_offsets":[0,4]}}`, "12345678"), "goes on to 8"},
		{"overflow", raw(`{"x":{"dtype":"F32","shape":[4294967296,4294967296],"data_offsets":[0,4]}}`, "1234"),
			"does not fit"},
		{"negative", raw(`{"x":{"dtype":"F32","shape":[-1],"data_offsets":[0,4]}}`, "1234"), "does not fit"},
		{"type", raw(`{"x":{"dtype":"F8_E4M3","shape":[1],"data_offsets":[0,1]}}`, "1"), "not supported"},
	} {
		if _, err := parse(c.b, ""); err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s: got %v, want …%s…", c.name, err, c.want)
		}
	}
}

func FuzzSafetensors(f *testing.F) {
	f.Add(safetensors(f))
	f.Add(raw(`{"x":{"dtype":"F16","shape":[2],"data_offsets":[0,4]}}`, "1234"))
	f.Fuzz(func(t *testing.T, b []byte) {
		file, err := parse(b, "")
		if err != nil {
			return
		}
		for i := range file.Tensors {
			if x := &file.Tensors[i]; x.Elements() < 1<<20 {
				_ = x.WriteFloat32(io.Discard)
			}
		}
	})
}
