package onnx

import (
	"fmt"
	"slices"
	"strings"
)

// Classifier says how an image classifier is fed and what it answers.
type Classifier struct {
	Input, Output string
	Size          int  // height and width of the input, 0 where the graph takes any
	Classes       int  // columns of the output, 0 where the graph does not say
	Softmax       bool // the graph ended in a Softmax, which AsClassifier took off
}

// AsClassifier sees that the model takes one batch of square float32 pictures, N×3×S×S, and answers
// with one row of scores each, and makes it the classifier that a bundle wants: a symbolic batch N,
// and raw scores, so that a last Softmax is taken off. What exporters noted of shapes inside is
// dropped, because it may hold their batch. classes chooses among several outputs.
func (m *Model) AsClassifier(classes int) (*Classifier, error) {
	inputs := m.Graph.FreeInputs()
	if len(inputs) != 1 {
		return nil, fmt.Errorf("onnx: an image classifier has one input, this model has %d: %v", len(inputs), inputs)
	}
	in := inputs[0]
	if in.Type != Float32 || len(in.Shape) != 4 || in.Shape[1].Size != 3 || in.Shape[2].Size != in.Shape[3].Size {
		return nil, fmt.Errorf("onnx: the input must be float32[N 3 S S], this model has %v", in)
	}
	out, err := m.Graph.scores(classes)
	if err != nil {
		return nil, err
	}
	c := &Classifier{Input: in.Name, Size: int(in.Shape[2].Size), Classes: int(out.Shape[1].Size)}
	i := slices.IndexFunc(m.Graph.Nodes, func(n Node) bool { return slices.Contains(n.Outputs, out.Name) })
	if i >= 0 && m.Graph.Nodes[i].OpType == "Softmax" && len(m.Graph.Nodes[i].Inputs) == 1 {
		c.Softmax = true
		out.Name = m.Graph.Nodes[i].Inputs[0]
		m.Graph.Nodes = slices.Delete(m.Graph.Nodes, i, i+1)
	}
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
	words := make([]string, len(g.Outputs))
	for i, o := range g.Outputs {
		words[i] = o.String()
	}
	return ValueInfo{}, fmt.Errorf("onnx: one output must be float32[N %d], one score for each label; "+
		"this model has %s", classes, strings.Join(words, ", "))
}
