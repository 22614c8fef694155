package onnx

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"math"
	"os"
	"path/filepath"
	"reflect"
	"runtime"
	"strings"
	"testing"

	"google.golang.org/protobuf/encoding/protowire"
)

// sample is a model with every kind of part that the package understands.
func sample() *Model {
	sub := &Graph{Name: "branch", Outputs: []ValueInfo{{Name: "y", Type: Float32, Shape: []Dim{}}}}
	value := NewFloat32("value", []float32{1, -2.5}, 2)
	return &Model{
		IRVersion: 8, Producer: "test", ProducerVersion: "1", Domain: "d", ModelVersion: 3, Doc: "doc",
		Opsets:   []Opset{{"", 17}, {"com.example", 1}},
		Metadata: []Property{{"k", "v"}, {"empty", ""}},
		Graph: Graph{
			Name: "g", Doc: "graph",
			Nodes: []Node{
				{Name: "n", OpType: "Gemm", Domain: "com.example", Inputs: []string{"x", "", "w"},
					Outputs: []string{"y"},
					Attributes: []Attribute{Int("i", -1), Ints("is", 1, 300, -7), Ints("none"), Float("f", 0),
						String("s", ""),
						{Name: "fs", Type: AttrFloats, Floats: []float32{1, 2}},
						{Name: "ss", Type: AttrStrings, Strings: []string{"a", ""}},
						{Name: "t", Type: AttrTensor, Tensor: &value}, {Name: "g", Type: AttrGraph, Graph: sub}}},
			},
			Initializers: []Tensor{NewFloat32("w", []float32{1, 2, 3, 4, 5, 6}, 2, 3),
				NewInt64("shape", []int64{0, -1}, 2),
				NewFloat32("scalar", []float32{7}), NewFloat32("large", make([]float32, 5000), 5000)},
			Inputs: []ValueInfo{{Name: "x", Type: Float32, Shape: []Dim{{Name: "N"}, {Size: 3}, {}}},
				{Name: "w", Type: Float32}},
			Outputs: []ValueInfo{{Name: "y", Type: Float32, Shape: []Dim{{Name: "N"}, {Size: 10}}}},
		},
	}
}

func encode(t testing.TB, m *Model) []byte {
	t.Helper()
	var b bytes.Buffer
	if err := Write(&b, m); err != nil {
		t.Fatal(err)
	}
	if got, want := int64(b.Len()), Size(m); got != want {
		t.Fatalf("wrote %d bytes, Size says %d", got, want)
	}
	return b.Bytes()
}

func TestRoundTrip(t *testing.T) {
	want := sample()
	b := encode(t, want)
	got, err := Parse(b)
	if err != nil {
		t.Fatal(err)
	}
	if !reflect.DeepEqual(got, want) {
		t.Errorf("got\n%+v\nwant\n%+v", got, want)
	}
	if again := encode(t, got); !bytes.Equal(again, b) {
		t.Error("writing what was read gives other bytes")
	}
}

// What the package does not know must come back, wherever it stands.
func TestUnknownFieldsTravel(t *testing.T) {
	unknown := protowire.AppendString(protowire.AppendTag(nil, 1000, protowire.BytesType), strings.Repeat("u", 5000))
	m := sample()
	m.rest = rest{unknown}
	m.Graph.rest = rest{unknown}
	m.Graph.Nodes[0].rest = rest{unknown}
	m.Graph.Inputs[0].rest = rest{unknown}
	m.Graph.Initializers[0].rest = rest{unknown}
	got, err := Parse(encode(t, m))
	if err != nil {
		t.Fatal(err)
	}
	if !reflect.DeepEqual(got, m) {
		t.Errorf("got %+v, want %+v", got, m)
	}
}

// Exporters may store numbers in typed lists; the content is the same little-endian bytes.
func TestTypedData(t *testing.T) {
	tensor := func(kind DataType, n int64, field []byte) []byte {
		b := protowire.AppendVarint(protowire.AppendVarint(nil, tensorDim), uint64(n))
		b = protowire.AppendVarint(protowire.AppendVarint(b, tensorType), uint64(kind))
		b = append(b, field...)
		g := protowire.AppendBytes(protowire.AppendVarint(nil, graphInitializer), b)
		m := protowire.AppendVarint(protowire.AppendVarint(nil, modelIRVersion), 8)
		return protowire.AppendBytes(protowire.AppendVarint(m, modelGraph), g)
	}
	list := func(tag uint64, b []byte) []byte {
		return protowire.AppendBytes(protowire.AppendVarint(nil, tag), b)
	}
	for _, c := range []struct {
		name  string
		bytes []byte
		want  []byte
	}{
		{"packed floats", tensor(Float32, 1, list(tensorFloatsPacked, appendFloat(nil, 1.5))), appendFloat(nil, 1.5)},
		{"loose floats", tensor(Float32, 1, appendFloat(protowire.AppendVarint(nil, tensorFloat), 1.5)),
			appendFloat(nil, 1.5)},
		{"int8 as int32", tensor(Int8, 2, list(tensorInt32Packed, packed([]int64{-1, 5}))), []byte{0xff, 5}},
		{"int64", tensor(Int64, 1, list(tensorInt64Packed, packed([]int64{-2}))),
			binary.LittleEndian.AppendUint64(nil, math.MaxUint64-1)},
		{"half as int32", tensor(Float16, 1, list(tensorInt32Packed, packed([]int64{0x3c00}))), []byte{0, 0x3c}},
	} {
		m, err := Parse(c.bytes)
		if err != nil {
			t.Errorf("%s: %v", c.name, err)
		} else if got := m.Graph.Initializers[0].Data; !bytes.Equal(got, c.want) {
			t.Errorf("%s: got % x, want % x", c.name, got, c.want)
		}
	}
}

func TestExternalData(t *testing.T) {
	dir := t.TempDir()
	write := func(name string, b []byte) string {
		path := filepath.Join(dir, name)
		if err := os.WriteFile(path, b, 0o600); err != nil {
			t.Fatal(err)
		}
		return path
	}
	model := func(location, offset, length string) []byte {
		var b []byte
		b = protowire.AppendVarint(protowire.AppendVarint(b, tensorDim), 2)
		b = protowire.AppendVarint(protowire.AppendVarint(b, tensorType), uint64(Float32))
		for _, p := range []Property{{"location", location}, {"offset", offset}, {"length", length}} {
			e := protowire.AppendString(protowire.AppendVarint(nil, propertyKey), p.Key)
			e = protowire.AppendString(protowire.AppendVarint(e, propertyValue), p.Value)
			b = protowire.AppendBytes(protowire.AppendVarint(b, tensorExternal), e)
		}
		b = protowire.AppendVarint(protowire.AppendVarint(b, tensorLocation), 1)
		g := protowire.AppendBytes(protowire.AppendVarint(nil, graphInitializer), b)
		m := protowire.AppendVarint(protowire.AppendVarint(nil, modelIRVersion), 8)
		return protowire.AppendBytes(protowire.AppendVarint(m, modelGraph), g)
	}
	write("w.data", []byte("....12345678"))
	m, err := Open(write("ok.onnx", model("w.data", "4", "8")))
	if err != nil {
		t.Fatal(err)
	}
	if got := string(m.Graph.Initializers[0].Data); got != "12345678" {
		t.Errorf("got %q", got)
	}
	inline, err := Parse(encode(t, m))
	if err != nil || string(inline.Graph.Initializers[0].Data) != "12345678" {
		t.Errorf("written inside: %v", err)
	}
	if err := errors.Join(m.Close(), m.Close()); err != nil {
		t.Error(err)
	}
	for _, c := range []struct{ location, offset, length, want string }{
		{"../w.data", "4", "8", "beside the model"},
		{"/etc/passwd", "0", "8", "beside the model"},
		{"none", "0", "8", "beside the model"},
		{"w.data", "4", "9", "copy both files again"},
		{"w.data", "99", "8", "which has 12"},
		{"w.data", "-1", "8", "which has 12"},
		{"w.data", "x", "8", "not a number"},
		{"w.data", "0", "4", "wants 8 bytes"},
	} {
		if _, err := Open(write("bad.onnx", model(c.location, c.offset, c.length))); err == nil ||
			!strings.Contains(err.Error(), c.want) {
			t.Errorf("%+v: got %v", c, err)
		}
	}
}

func TestWriteRefuses(t *testing.T) {
	with := func(x Tensor) *Model { return &Model{IRVersion: 8, Graph: Graph{Initializers: []Tensor{x}}} }
	short := func(w io.Writer) error { _, err := w.Write([]byte{1}); return err }
	long := func(w io.Writer) error { _, err := w.Write(make([]byte, 5)); return err }
	for _, c := range []struct {
		m    *Model
		want string
	}{
		{with(Tensor{Name: "a", Type: Float32, Dims: []int64{2}, Data: make([]byte, 4)}), `tensor "a": shape [2]`},
		{with(Tensor{Name: "a", Type: Float32, Dims: []int64{1}, Source: short}), "ended 3 bytes early"},
		{with(Tensor{Name: "a", Type: Float32, Dims: []int64{1}, Source: long}), "more than its shape"},
		{with(Tensor{Name: "a", Type: Float32, Dims: []int64{1 << 30}, Source: short}), "at most 2147483647"},
		{with(Tensor{Name: "a", Type: Float32, Dims: []int64{-1}, Source: short}), "does not go"},
	} {
		if err := Write(io.Discard, c.m); err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("got %v, want …%s…", err, c.want)
		}
	}
}

func TestOpenRefuses(t *testing.T) {
	dir := t.TempDir()
	good := encode(t, sample())
	for name, b := range map[string][]byte{
		"empty": {}, "text": []byte("hello, this is not a model\n"), "truncated": good[:len(good)/2],
		"one byte": {0x0a},
	} {
		path := filepath.Join(dir, name)
		if err := os.WriteFile(path, b, 0o600); err != nil {
			t.Fatal(err)
		}
		if _, err := Open(path); err == nil || !strings.Contains(err.Error(), path) {
			t.Errorf("%s: got %v", name, err)
		}
	}
	if _, err := Open(dir); err == nil || !strings.Contains(err.Error(), "folder") {
		t.Errorf("folder: got %v", err)
	}
}

// A hostile file of empty nodes, or of graphs in graphs, must not take the memory of the machine.
func TestMemoryIsBounded(t *testing.T) {
	file := func(graph []byte) []byte {
		m := protowire.AppendVarint(protowire.AppendVarint(nil, modelIRVersion), 8)
		return protowire.AppendBytes(protowire.AppendVarint(m, modelGraph), graph)
	}
	var deep []byte
	for range 100 {
		a := protowire.AppendBytes(protowire.AppendVarint(nil, attrGraph), deep)
		n := protowire.AppendBytes(protowire.AppendVarint(nil, nodeAttribute), a)
		deep = protowire.AppendBytes(protowire.AppendVarint(nil, graphNode), n)
	}
	for name, b := range map[string][]byte{
		"nodes":   file(bytes.Repeat([]byte{graphNode, 0}, 10<<20)),
		"inputs":  file(bytes.Repeat([]byte{graphInput, 0}, 10<<20)),
		"unknown": file(bytes.Repeat([]byte{0x7a, 0}, 10<<20)),
		"name":    file(protowire.AppendBytes([]byte{graphName}, make([]byte, 50<<20))),
		"deep":    file(deep),
	} {
		var before, after runtime.MemStats
		runtime.ReadMemStats(&before)
		_, err := Parse(b)
		runtime.ReadMemStats(&after)
		if !errors.Is(err, errTooMuch) && !errors.Is(err, errTooDeep) {
			t.Errorf("%s: got %v", name, err)
		}
		if took := after.TotalAlloc - before.TotalAlloc; took > 64<<20 {
			t.Errorf("%s: took %d MB", name, took>>20)
		}
	}
}

// shapely is a graph with the operators whose shapes are worked out.
func shapely() *Model {
	node := func(op, in, out string, a ...Attribute) Node {
		return Node{OpType: op, Inputs: strings.Fields(in), Outputs: []string{out}, Attributes: a}
	}
	zeros := func(name string, dims ...int64) Tensor {
		t := Tensor{Name: name, Type: Float32, Dims: dims}
		t.Data = make([]byte, t.Bytes())
		return t
	}
	return &Model{IRVersion: 8, Graph: Graph{
		Inputs: []ValueInfo{{Name: "x", Type: Float32, Shape: []Dim{{Name: "N"}, {Size: 3}, {Size: 15}, {Size: 15}}}},
		Initializers: []Tensor{zeros("w", 8, 3, 1, 1), zeros("m", 7, 4), zeros("fc", 2, 224),
			NewInt64("end", []int64{0, -1}, 2),
			NewInt64("hw", []int64{2, 3}, 2), NewInt64("one", []int64{1})},
		Nodes: []Node{
			node("Conv", "x w", "conv", Ints("strides", 2, 2)),
			node("MaxPool", "conv", "pool", Ints("kernel_shape", 3, 3), Ints("strides", 2, 2), Int("ceil_mode", 1)),
			node("AveragePool", "pool", "same", Ints("kernel_shape", 2, 2), String("auto_pad", "SAME_UPPER")),
			node("GlobalAveragePool", "same", "gap"),
			node("ReduceMean", "same hw", "mean", Int("keepdims", 0)),
			node("Unsqueeze", "mean hw", "back"),
			node("Mul", "same back", "scaled"),
			node("Concat", "scaled same", "two", Int("axis", 1)),
			node("Transpose", "two", "nhwc", Ints("perm", 0, 2, 3, 1)),
			node("MatMul", "m scaled", "rows"),
			node("Reshape", "rows end", "flat"),
			node("Gemm", "flat fc", "logits", Int("transB", 1)),
			node("Shape", "scaled", "dims"),
			node("Gather", "dims one", "channels"),
			node("Softmax", "logits", "p"),
		},
		Outputs: []ValueInfo{{Name: "p", Type: Float32, Shape: []Dim{{Name: "N"}, {Size: 2}}}},
	}}
}

func TestShapes(t *testing.T) {
	got := shapely().Graph.Shapes()
	for name, want := range map[string]string{
		"conv": "[1 8 8 8]", "pool": "[1 8 4 4]", "same": "[1 8 4 4]", "gap": "[1 8 1 1]", "mean": "[1 8]",
		"back":   "[1 8 1 1]",
		"scaled": "[1 8 4 4]", "two": "[1 16 4 4]", "nhwc": "[1 4 4 16]", "rows": "[1 8 7 4]", "flat": "[1 224]",
		"logits": "[1 2]", "p": "[1 2]",
	} {
		if s := fmt.Sprint(got[name]); s != want {
			t.Errorf("%s: got %s, want %s", name, s, want)
		}
	}
}

func FuzzOpen(f *testing.F) {
	m := sample()
	m.Graph.Initializers = m.Graph.Initializers[:3] // the fuzzer minimizes: short seeds
	good := encode(f, m)
	f.Add(good)
	f.Add(good[:len(good)-7])
	f.Add(encode(f, shapely()))
	f.Add([]byte{8, 8, 0x3a, 2, 0x0a, 0})
	f.Fuzz(func(t *testing.T, b []byte) {
		m, err := Parse(b)
		if err != nil {
			return
		}
		m.Graph.Costs()
		_, _ = m.AsClassifier(Wanted{Classes: 10})
		var out bytes.Buffer
		if err := Write(&out, m); err != nil {
			t.Fatalf("what was read cannot be written: %v", err)
		}
		again, err := Parse(out.Bytes())
		if err != nil {
			t.Fatalf("what was written cannot be read: %v", err)
		}
		if len(again.Graph.Nodes) != len(m.Graph.Nodes) ||
			len(again.Graph.Initializers) != len(m.Graph.Initializers) {
			t.Fatal("nodes or initializers were lost")
		}
	})
}

// The goals: ≤ 10 ms and ≤ 32 MB of heap for a file of 554 MB.
func BenchmarkOpen(b *testing.B) {
	path := filepath.Join(b.TempDir(), "large.onnx")
	f, err := os.Create(path)
	if err != nil {
		b.Fatal(err)
	}
	block := make([]byte, 1<<20)
	m := sample()
	m.Graph.Initializers = []Tensor{{Name: "w", Type: Float32, Dims: []int64{138_433_832},
		Source: func(w io.Writer) error {
			for left := 138_433_832 * 4; left > 0; {
				n, err := w.Write(block[:min(left, len(block))])
				if left -= n; err != nil {
					return err
				}
			}
			return nil
		}}}
	if err := errors.Join(Write(f, m), f.Close()); err != nil {
		b.Fatal(err)
	}
	b.ReportAllocs()
	for b.Loop() {
		m, err := Open(path)
		if err != nil {
			b.Fatal(err)
		}
		m.Close()
	}
}
