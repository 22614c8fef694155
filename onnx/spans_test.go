package onnx

import (
	"bytes"
	"os"
	"path/filepath"
	"reflect"
	"testing"
)

// TestSpans finds the bytes of large constants where they stand, and nothing else.
func TestSpans(t *testing.T) {
	big, small := make([]float32, 500), []float32{7}
	for i := range big {
		big[i] = float32(i)
	}
	m := &Model{IRVersion: 8, Opsets: []Opset{{Version: 17}}, Graph: Graph{Name: "g",
		Initializers: []Tensor{NewFloat32("big", big, 500), NewFloat32("small", small, 1)}}}
	var b bytes.Buffer
	if err := Write(&b, m); err != nil {
		t.Fatal(err)
	}
	path := filepath.Join(t.TempDir(), "m.onnx")
	if err := os.WriteFile(path, b.Bytes(), 0o644); err != nil {
		t.Fatal(err)
	}
	want := int64(bytes.Index(b.Bytes(), NewFloat32("", big, 500).Data))
	got, err := Spans(path, 1000)
	if err != nil || !reflect.DeepEqual(got, map[string][]Span{"": {{want, 2000}}}) {
		t.Errorf("got %v, %v, want one span at %d", got, err, want)
	}
	if got := apart([]Span{{10, 5}, {0, 11}, {15, 1}}); !reflect.DeepEqual(got, []Span{{0, 11}, {15, 1}}) {
		t.Errorf("overlapping spans became %v", got)
	}
	if err := os.WriteFile(path, []byte("no model"), 0o644); err != nil {
		t.Fatal(err)
	}
	if got, err := Spans(path, 1); err == nil {
		t.Errorf("a damaged file has spans: %v", got)
	}
}
