package onnx

import (
	"fmt"
	"strings"
)

// Classifier says how an image classifier is fed and what it answers.
type Classifier struct {
	Input, Output string
	Size          int  // height and width of the input, 0 where the graph takes any
	Classes       int  // columns of the output, 0 where the graph does not say
	Softmax       bool // the graph ended in a Softmax, which AsClassifier took off
	Batch         int  // that the file was exported for, 0 where it takes any
}

// inputCure says how the export has to change for the input to fit.
func inputCure(in ValueInfo) string {
	switch {
	case len(in.Shape) != 4:
		return ": export it with pictures N×3×S×S as its input"
	case in.Shape[3].Size == 3 && in.Shape[1].Size != 3:
		return ": its channels come last; export it with channels first (tf2onnx: --inputs-as-nchw " + in.Name + ")"
	case in.Type != Float32:
		return ": export it with a float32 input, preprocessed"
	case in.Shape[1].Size == 1:
		return ": it takes grey pictures, this program gives it three channels"
	case in.Shape[1].Size == 0:
		return ": its channels are left open; fix that dimension to 3 (onnxruntime.tools.make_dynamic_shape_fixed)"
	case in.Shape[1].Size == 3:
		return ": height and width must be equal"
	}
	return ""
}

// AsClassifier sees that the model takes one batch of square float32 pictures, N×3×S×S, and answers
// with one row of scores each, and makes it the classifier that a bundle wants: a symbolic batch N,
// and raw scores, so that a last Softmax is taken off, also behind operators that only pass values
// on, and written out. A sigmoid, and what names only the best classes, are refused. What exporters
// noted of shapes inside is dropped, because it may hold their batch, and so is what only other
// outputs need. classes chooses among several outputs.
func (m *Model) AsClassifier(classes int) (*Classifier, error) {
	inputs := m.Graph.FreeInputs()
	if len(inputs) != 1 {
		return nil, fmt.Errorf("onnx: an image classifier has one input, this model has %d: %v: export it with the "+
			"picture as its only input", len(inputs), inputs)
	}
	in := inputs[0]
	if in.Type != Float32 || len(in.Shape) != 4 || in.Shape[1].Size != 3 || in.Shape[2].Size != in.Shape[3].Size {
		return nil, fmt.Errorf("onnx: the input must be float32[N 3 S S], this model has %v%s", in, inputCure(in))
	}
	out, err := m.Graph.scores(classes)
	if err != nil {
		return nil, err
	}
	c := &Classifier{Input: in.Name, Size: int(in.Shape[2].Size), Classes: int(out.Shape[1].Size),
		Batch: int(in.Shape[0].Size)}
	h := newHead(&m.Graph, out.Name)
	if c.Softmax, err = h.take(); err != nil {
		return nil, err
	}
	out.Name = h.out
	m.Graph.prune(out.Name)
	c.Output = out.Name
	out.Shape = append([]Dim{{Name: "N"}}, out.Shape[1:]...)
	m.Graph.Outputs = []ValueInfo{out}
	for i := range m.Graph.Inputs {
		if m.Graph.Inputs[i].Name == in.Name {
			m.Graph.Inputs[i].Shape = append([]Dim{{Name: "N"}}, in.Shape[1:]...)
		}
	}
	m.Graph.Values = nil
	return c, nil
}

// SetInputSize fixes the height and width of a classifier's input.
func (m *Model) SetInputSize(c *Classifier, size int) {
	for i, in := range m.Graph.Inputs {
		if in.Name == c.Input {
			d := Dim{Size: int64(size)}
			m.Graph.Inputs[i].Shape = []Dim{in.Shape[0], in.Shape[1], d, d}
		}
	}
	c.Size = size
}

// scores finds the output that holds a row of float32 scores for each picture.
func (g *Graph) scores(classes int) (ValueInfo, error) {
	var fit []ValueInfo
	for _, o := range g.Outputs {
		if o.Type == Float32 && len(o.Shape) == 2 && (o.Shape[1].Size == 0 || o.Shape[1].Size == int64(classes)) {
			fit = append(fit, o)
		}
	}
	if len(fit) == 1 {
		return fit[0], nil
	}
	cure := ""
	switch {
	case len(fit) > 1:
		cure = ": export it with one of them only"
	case len(g.Outputs) == 1 && len(g.Outputs[0].Shape) == 2 && g.Outputs[0].Shape[1].Size > 0:
		cure = fmt.Sprintf(": give %d labels", g.Outputs[0].Shape[1].Size)
	case len(g.Outputs) == 1 && g.Outputs[0].Type == Float32:
		cure = ": flatten its answer to one row before the export"
	}
	words := make([]string, len(g.Outputs))
	for i, o := range g.Outputs {
		words[i] = o.String()
	}
	return ValueInfo{}, fmt.Errorf("onnx: one output must be float32[N %d], one score for each label; this model "+
		"has %s%s", classes,
		strings.Join(words, ", "), cure)
}
