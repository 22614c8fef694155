package prune

import (
	"encoding/binary"
	"fmt"
	"io"
	"math"
	"slices"

	"github.com/vggse/vggse-agent/onnx"
	"github.com/vggse/vggse-agent/vgg16se"
)

// Network is a VGG16-SE with its parameters: those that surgery has changed, and the others in the
// file that it was read from, which must stay open.
type VGG struct {
	Arch  vgg16se.Architecture // with Channels and Squeezed spelled out
	file  *onnx.Graph
	own   map[string][]float32
	shape map[string][]int
}

// NewNetwork takes the parameters of a out of m, whose initializers bear the names of the
// state_dict.
func NewVGG(a vgg16se.Architecture, m *onnx.Model) (*VGG, error) {
	a = explicit(a)
	n := &VGG{Arch: a, file: &m.Graph, own: map[string][]float32{}, shape: shapes(a)}
	for _, p := range a.Params() {
		t := m.Graph.Initializer(p.Name)
		if t == nil || t.Type != onnx.Float32 || t.Elements() != p.Elements() || int64(len(t.Data)) != t.Bytes() {
			return nil, fmt.Errorf("prune: the model has no float32 initializer %s of shape %v: import the "+
				"checkpoint again", p.Name, p.Shape)
		}
	}
	return n, nil
}

// explicit says the width of every layer instead of factors.
func explicit(a vgg16se.Architecture) vgg16se.Architecture {
	a = a.Full()
	conv, stage := 0, 0
	for _, l := range a.Layers() {
		switch {
		case l.Op == vgg16se.OpConv:
			a.Channels[conv] = l.Shape[0]
			conv++
		case l.Op == vgg16se.OpMaxPool:
			stage++
		case l.Gate && l.Op != vgg16se.OpSSE:
			a.Squeezed[stage] = l.Params[0].Shape[0]
		}
	}
	return a
}

func shapes(a vgg16se.Architecture) map[string][]int {
	s := map[string][]int{}
	for _, p := range a.Params() {
		s[p.Name] = p.Shape
	}
	return s
}

// values are the numbers of a parameter, to read only.
func (n *VGG) values(name string) []float32 {
	if v, ok := n.own[name]; ok {
		return v
	}
	return n.file.Initializer(name).Float32s()
}

// clone is a network that can be cut without changing n.
func (n *VGG) clone() *VGG {
	c := *n
	c.own = map[string][]float32{}
	for k, v := range n.own {
		c.own[k] = v // replaced as a whole, never written into
	}
	return &c
}

// Model is the network as an ONNX model that reads the weights while it is written.
func (n *VGG) Model() (*onnx.Model, error) {
	return n.Arch.Graph(func(p vgg16se.Param) (onnx.Source, error) {
		if v, ok := n.own[p.Name]; ok {
			if int64(len(v)) != p.Elements() {
				return nil, fmt.Errorf("prune: %s has %d numbers, want %d", p.Name, len(v), p.Elements())
			}
			return func(w io.Writer) error { return writeFloats(w, v) }, nil
		}
		data := n.file.Initializer(p.Name).Data
		return func(w io.Writer) error { _, err := w.Write(data); return err }, nil
	})
}

func writeFloats(w io.Writer, v []float32) error {
	b := make([]byte, 0, 1<<16)
	for part := range slices.Chunk(v, 1<<14) {
		b = b[:0]
		for _, x := range part {
			b = binary.LittleEndian.AppendUint32(b, math.Float32bits(x))
		}
		if _, err := w.Write(b); err != nil {
			return err
		}
	}
	return nil
}

// until is the part of m that works out the given tensors, as its outputs, from the pictures or, where
// from is not empty, from that tensor, which it reads in their place.
func until(m *onnx.Model, from string, tensors ...string) *onnx.Model {
	part := *m
	needed := map[string]bool{}
	part.Graph.Outputs = nil
	for _, t := range tensors {
		needed[t] = true
		part.Graph.Outputs = append(part.Graph.Outputs, onnx.ValueInfo{Name: t, Type: onnx.Float32})
	}
	part.Graph.Nodes = nil
	for _, v := range slices.Backward(m.Graph.Nodes) {
		if !needed[v.Outputs[0]] || v.Outputs[0] == from {
			continue
		}
		v.Inputs = slices.Clone(v.Inputs)
		for i, in := range v.Inputs {
			needed[in] = true
			if in == from {
				v.Inputs[i] = m.Graph.Inputs[0].Name
			}
		}
		part.Graph.Nodes = append(part.Graph.Nodes, v)
	}
	slices.Reverse(part.Graph.Nodes)
	if from != "" {
		input := m.Graph.Inputs[0]
		input.Shape = []onnx.Dim{{Size: 1}, {Name: "channels"}, {Name: "height"}, {Name: "width"}}
		part.Graph.Inputs = []onnx.ValueInfo{input}
	}
	part.Graph.Initializers = nil
	for _, t := range m.Graph.Initializers {
		if needed[t.Name] {
			part.Graph.Initializers = append(part.Graph.Initializers, t)
		}
	}
	return &part
}
