package onnx

import (
	"strings"
	"testing"
)

// classifier is a model that takes batch×3×size×size and answers batch×classes.
func classifier(batch, size Dim, classes int64) *Model {
	return &Model{IRVersion: 8, Graph: Graph{
		Nodes: []Node{{OpType: "Gemm", Inputs: []string{"x"}, Outputs: []string{"scores"}},
			{OpType: "Softmax", Inputs: []string{"scores"}, Outputs: []string{"p"}}},
		Inputs:  []ValueInfo{{Name: "x", Type: Float32, Shape: []Dim{batch, {Size: 3}, size, size}}},
		Outputs: []ValueInfo{{Name: "p", Type: Float32, Shape: []Dim{batch, {Size: classes}}}},
		Values:  []ValueInfo{{Name: "scores", Type: Float32, Shape: []Dim{batch, {Size: classes}}}},
	}}
}

func TestAsClassifier(t *testing.T) {
	m := classifier(Dim{Size: 1}, Dim{Size: 64}, 9)
	c, err := m.AsClassifier(Wanted{Classes: 9})
	if err != nil {
		t.Fatal(err)
	}
	want := Classifier{
		Input:      "x",
		Output:     "scores",
		Size:       64,
		Scores:     "p",
		ScoresType: Float32,
		Head:       HeadSoftmax,
		Batch:      1,
		Picture:    Picture{Name: "x", Type: Float32, Height: 64, Width: 64, Channels: 3, Batch: 1},
	}
	if *c != want {
		t.Errorf("got %+v, want %+v", *c, want)
	}
	if got := m.Graph.Inputs[0].String() + " " +
		m.Graph.Outputs[0].String(); got != "x float32[N 3 64 64] scores float32[N 9]" || len(m.Graph.Nodes) != 1 ||
		m.Graph.Values != nil {
		t.Errorf("got %s, %d nodes, values %v", got, len(m.Graph.Nodes), m.Graph.Values)
	}
	free := classifier(Dim{Name: "b"}, Dim{Name: "h"}, 9)
	if _, err = free.AsClassifier(Wanted{Classes: 9}); err == nil ||
		!strings.Contains(err.Error(), "--input") {
		t.Fatalf("got %v, want a word of --input", err)
	}
	free = classifier(Dim{Name: "b"}, Dim{Name: "h"}, 9)
	if c, err = free.AsClassifier(Wanted{Classes: 9, Height: 64, Width: 96}); err != nil || c.Size != 96 {
		t.Fatalf("got %+v, %v", c, err)
	}
	if got := free.Graph.Inputs[0].String(); got != "pictures float32[N 3 96 96]" {
		t.Error(got)
	}
}

// What leads from three float32 channels to what a file takes, and from its answer to rows.
func TestForeignPortsAreRewritten(t *testing.T) {
	port := func(name string, kind DataType, sizes ...int64) ValueInfo {
		v := ValueInfo{Name: name, Type: kind}
		for _, s := range sizes {
			v.Shape = append(v.Shape, Dim{Size: s})
		}
		return v
	}
	for name, c := range map[string]struct {
		in, out ValueInfo
		opset   int64
		want    string // operators
	}{
		"as it is":       {port("x", Float32, 1, 3, 8, 8), port("y", Float32, 1, 2), 13, "Op"},
		"channels last":  {port("x", Float32, 1, 8, 8, 3), port("y", Float32, 1, 2), 13, "Transpose Op"},
		"bytes":          {port("x", Uint8, 0, 8, 8, 3), port("y", Float32, 0, 2), 13, "Transpose Cast Op"},
		"half precision": {port("x", Float16, 1, 3, 8, 8), port("y", Float16, 1, 2), 13, "Cast Op Cast"},
		"grey":           {port("x", Float32, 1, 1, 8, 8), port("y", Float32, 1, 2, 1, 1), 13, "Gather Op Reshape"},
		"opaque":         {port("x", Float32, 1, 4, 8, 8), port("y", Float32, 2), 7, "Pad Op Reshape"},
		"wide":           {port("x", Float32, 1, 3, 6, 8), port("y", Float32, 1, 1, 1, 2), 9, "Slice Op Reshape"},
		"no batch":       {port("x", Float32, 8, 8, 3), port("y", Float32, 1, 2), 13, "Transpose Reshape Op"},
		"one score":      {port("x", Float32, 1, 3, 8, 8), port("y", Float32, 1, 1), 13, "Op Sub Concat"},
	} {
		m := &Model{IRVersion: 3, Opsets: []Opset{{"", c.opset}}, Graph: Graph{Inputs: []ValueInfo{c.in},
			Outputs: []ValueInfo{
				c.out,
			}, Nodes: []Node{{OpType: "Op", Inputs: []string{"x"}, Outputs: []string{"y"}}}}}
		got, err := m.AsClassifier(Wanted{Classes: 2})
		if err != nil {
			t.Errorf("%s: %v", name, err)
			continue
		}
		var ops []string
		at := got.Input
		for _, n := range m.Graph.Nodes {
			ops = append(ops, n.OpType)
			if n.OpType != "Sub" && n.OpType != "Concat" && n.Inputs[0] != at {
				t.Errorf("%s: %s reads %s, not %s", name, n.OpType, n.Inputs[0], at)
			}
			at = n.Outputs[0]
		}
		if strings.Join(ops, " ") != c.want || at != got.Output || got.Size != 8 || m.IRVersion != 4 ||
			m.Graph.Inputs[0].Shape[1].Size != 3 || m.Graph.Outputs[0].Shape[1].Size != 2 {
			t.Errorf("%s: %v, want %s; %+v", name, ops, c.want, got)
		}
	}
}

// What only packs the scores up is looked into; of other values that are no tensors nothing is taken.
func TestAnswersThatAreNoTensors(t *testing.T) {
	for op, want := range map[string]string{"Optional": "",
		"SplitToSequence": "sequence", "SequenceInsert": "--output", "Loop": "export the tensor"} {
		m := classifier(Dim{Name: "N"}, Dim{Size: 64}, 9)
		m.Graph.Nodes = append(m.Graph.Nodes, Node{OpType: op, Inputs: []string{"p"}, Outputs: []string{"packed"}})
		m.Graph.Outputs = []ValueInfo{{Name: "packed", restType: rest{{0x22, 0}}}}
		c, err := m.AsClassifier(Wanted{Classes: 9})
		if want == "" && (err != nil || c.Scores != "p" || c.Head != HeadSoftmax) {
			t.Errorf("%s: %+v, %v", op, c, err)
		}
		if want != "" && (err == nil || !strings.Contains(err.Error(), want)) {
			t.Errorf("%s: %v, want …%s…", op, err, want)
		}
	}
}

func TestAsClassifierRefuses(t *testing.T) {
	batch, size := Dim{Name: "N"}, Dim{Size: 64}
	for _, c := range []struct {
		change func(*Model)
		want   string
	}{
		{func(m *Model) { m.Graph.Inputs = append(m.Graph.Inputs, m.Graph.Inputs[0]) }, "has 2"},
		{func(m *Model) { m.Graph.Inputs[0].Type = Text }, "string"},
		{func(m *Model) { m.Graph.Inputs[0].Shape[1].Size = 2 }, "N 2 64 64"},
		{func(m *Model) { m.Graph.Outputs[0].Shape[1].Size = 8 },
			"answers with 8 scores for each picture, there are 9 labels: give 8"},
		{func(m *Model) { m.Graph.Outputs[0].Type = Bool }, "export the scores that it is made of"},
		{func(m *Model) { m.Graph.Outputs = nil }, "one output"},
		{func(m *Model) {
			m.Graph.Outputs = append(m.Graph.Outputs, ValueInfo{Name: "aux", Type: Float32,
				Shape: []Dim{batch, {Size: 9}}})
			m.Graph.Nodes = append(m.Graph.Nodes, Node{OpType: "Gemm", Inputs: []string{"x"}, Outputs: []string{"aux"}})
		}, "choose with --output"},
	} {
		m := classifier(batch, size, 9)
		c.change(m)
		if _, err := m.AsClassifier(Wanted{Classes: 9}); err == nil ||
			!strings.Contains(err.Error(), c.want) {
			t.Errorf("got %v, want …%s…", err, c.want)
		}
	}
}

// Of a ZipMap or a sequence, what is packed is the answer; the class beside it is dropped.
func TestPackedAnswersAreUnpacked(t *testing.T) {
	for _, packer := range []string{"ZipMap", "SequenceConstruct"} {
		m := classifier(Dim{Name: "N"}, Dim{Size: 64}, 3)
		m.Graph.Nodes = append(m.Graph.Nodes, Node{OpType: "ArgMax", Inputs: []string{"p"}, Outputs: []string{"class"}},
			Node{OpType: packer, Domain: "ai.onnx.ml", Inputs: []string{"p"}, Outputs: []string{"loss"}})
		m.Graph.Outputs = []ValueInfo{{Name: "class", Type: Int64, Shape: []Dim{{Name: "N"}}}, {Name: "loss"}}
		c, err := m.AsClassifier(Wanted{Classes: 3})
		if err != nil || c.Head != HeadSoftmax || c.Scores != "p" || m.Graph.Nodes[0].OpType != "Gemm" {
			t.Errorf("%s: %+v, %v", packer, c, err)
			continue
		}
		if m.Graph.makes("loss") || m.Graph.makes("class") || m.Graph.makes("p") {
			t.Errorf("%s: left %+v", packer, m.Graph.Nodes)
		}
	}
}

// Integers that stand for scores are taken for the numbers that they were made of: raw scores, and
// what is in front of a softmax.
func TestQuantizedAnswersAreNumbers(t *testing.T) {
	for of, head := range map[string]Head{"p": HeadSoftmax, "scores": HeadRaw} {
		m := classifier(Dim{Name: "N"}, Dim{Size: 64}, 3)
		m.Graph.Initializers = append(m.Graph.Initializers, NewFloat32("step", []float32{1. / 256}),
			Tensor{Name: "zero", Type: Uint8, Data: []byte{0}})
		m.Graph.Nodes = append(m.Graph.Nodes, Node{OpType: "QuantizeLinear", Inputs: []string{of, "step", "zero"},
			Outputs: []string{"code"}})
		m.Graph.Outputs = []ValueInfo{{Name: "code", Type: Uint8, Shape: []Dim{{Name: "N"}, {Size: 3}}}}
		c, err := m.AsClassifier(Wanted{Classes: 3})
		if err != nil || c.Head != head || c.Scores != of || m.Graph.makes("code") {
			t.Errorf("%s: %+v, %v", of, c, err)
		}
	}
}

// A switch between training and use is off, and no input any more.
func TestTrainingSwitchIsOff(t *testing.T) {
	m := classifier(Dim{Name: "N"}, Dim{Size: 64}, 3)
	m.Graph.Inputs = append(m.Graph.Inputs, ValueInfo{Name: "keras_learning_phase", Type: Bool, Shape: []Dim{}})
	if _, err := m.AsClassifier(Wanted{Classes: 3}); err != nil {
		t.Fatal(err)
	}
	off := m.Graph.Initializer("keras_learning_phase")
	if off == nil || off.Type != Bool || len(off.Data) != 1 || off.Data[0] != 0 || len(m.Graph.Inputs) != 1 {
		t.Errorf("%+v, inputs %v", off, m.Graph.Inputs)
	}
}

// A layout that no declared length tells is told by the convolution that reads the picture.
func TestLayoutByTheFirstConvolution(t *testing.T) {
	open := []Dim{{Name: "n"}, {Name: "a"}, {Name: "b"}, {Name: "c"}}
	for _, last := range []bool{false, true} {
		m := &Model{Opsets: []Opset{{"", 13}}, Graph: Graph{
			Inputs:       []ValueInfo{{Name: "x", Type: Float32, Shape: open}},
			Outputs:      []ValueInfo{{Name: "y", Type: Float32, Shape: []Dim{{Name: "n"}, {Size: 3}}}},
			Initializers: []Tensor{NewFloat32("w", make([]float32, 2*3*9), 2, 3, 3, 3)}}}
		at := "x"
		if last {
			m.Graph.Nodes = append(m.Graph.Nodes, Node{OpType: "Transpose", Inputs: []string{"x"},
				Outputs:    []string{"t"},
				Attributes: []Attribute{Ints("perm", 0, 3, 1, 2)}})
			at = "t"
		}
		m.Graph.Nodes = append(m.Graph.Nodes, Node{OpType: "Conv", Inputs: []string{at, "w"}, Outputs: []string{"f"}},
			Node{OpType: "Gemm", Inputs: []string{"f"}, Outputs: []string{"y"}})
		c, err := m.AsClassifier(Wanted{Classes: 3, Height: 32, Width: 32})
		if err != nil || c.Picture.ChannelsLast != last || c.Picture.Channels != 3 {
			t.Errorf("channels last %v: %+v, %v", last, c, err)
		}
		if n := m.Graph.Nodes[0]; n.OpType != "Conv" || n.Inputs[0] != c.Input {
			t.Errorf("channels last %v: begins with %+v", last, n)
		}
	}
}
