package onnx

import (
	"bytes"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// A file that only has the name of a model is called what it is, with the cure.
func TestMisnamed(t *testing.T) {
	for start, want := range map[string]string{
		"version https://git-lfs.github.com/spec/v1\n": "git lfs pull",
		"\n<!DOCTYPE html><html>":                      "an HTML page",
		"<?xml version=\"1.0\"?>":                      "OpenVINO",
		"{\n \"cells\": [],\n \"nbformat\": 4}":        "a notebook, not the network that it trains",
		"SHA256SUMS\x00\x00":                           "a packed bundle: 'vggse-agent model install",
		"\x1f\x8b\x08\x08":                             "(gzip): unpack it",
		"\x89HDF\r\n\x1a\n":                            "Keras writes it",
		"\x1c\x00\x00\x00TFL3":                         "TensorFlow Lite",
		"\x20\x00\x00\x00ORTM":                         "ORT format",
		"ftrt\x00":                                     "a TensorRT engine",
		"ir_version: 8\n":                              "ONNX as text",
		"<\n   ir_version: 8,\n":                       "ONNX as text",
		"{\n  \"irVersion\": \"8\"":                    "ONNX as text",
		"\x40\x00\x00\x00\x00\x00\x00\x00{\"w\":{}}":   "name it .safetensors",
		"PK\x03\x04":                                   "of PyTorch .pth",
		"\x80\x02}q\x00":                               "of PyTorch .pth",
		"\x80\x04\x95\x00":                             "of PyTorch .pth",
		"\x80\x05\x95\x00":                             "of PyTorch .pth",
		"\x93NUMPY\x01\x00":                            "numbers of NumPy",
		"\x7fELF\x02\x01":                              "a program or a library",
		"%PDF-1.4\n":                                   "a PDF",
		"\xff\xff\xff\xff":                             "not an ONNX file, or damaged",
	} {
		path := filepath.Join(t.TempDir(), "m.onnx")
		if err := os.WriteFile(path, append([]byte(start), make([]byte, 300)...), 0o644); err != nil {
			t.Fatal(err)
		}
		if m, err := Open(path); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%q: %v, %v; want %q", start, m, err, want)
		}
	}
}

// Weights of four bits, which stand in the file number by number, are written as they came.
func TestFourBitWeights(t *testing.T) {
	const int4 = 22
	body := &message{}
	body.always(tensorDimsPacked, string(packed([]int64{2, 2})))
	body.number(tensorType, int4)
	body.text(tensorName, "w")
	body.always(tensorInt32Packed, "\x21\x43") // two numbers a byte
	var given bytes.Buffer
	if err := errors.Join(body.err, body.writeTo(&given)); err != nil {
		t.Fatal(err)
	}
	var w Tensor
	if err := (&reader{budget: heapLimit}).tensor(given.Bytes(), &w); err != nil {
		t.Fatal(err)
	}
	var written bytes.Buffer
	if err := encodeTensor(&w).writeTo(&written); err != nil || !bytes.Equal(written.Bytes(), given.Bytes()) {
		t.Errorf("%x, %v; want %x", written.Bytes(), err, given.Bytes())
	}
}

// An input that nothing reads is no second picture; random numbers are refused.
func TestIdleInputAndChance(t *testing.T) {
	m := withTail(op("Softmax"))
	m.Graph.Inputs = append(m.Graph.Inputs, ValueInfo{Name: "mask", Type: Float32, Shape: []Dim{{Size: 1}}})
	if c, err := m.AsClassifier(Wanted{Classes: 3}); err != nil || c.Picture.Name != "x" || len(m.Graph.Inputs) != 1 {
		t.Errorf("%+v, %v, %v", c, err, m.Graph.Inputs)
	}
	m = withTail(Node{OpType: "RandomNormalLike", Inputs: []string{"scores"}, Outputs: []string{"noise"}},
		op("Add", "scores", "noise"))
	if _, err := m.AsClassifier(Wanted{Classes: 3}); err == nil || !strings.Contains(err.Error(), "evaluation mode") {
		t.Errorf("random numbers: %v", err)
	}
}
