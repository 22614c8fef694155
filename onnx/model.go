package onnx

import (
	"errors"
	"fmt"
	"io"
	"strconv"
	"strings"
)

// Model is one ONNX file. Strings and lists are its own; Tensor.Data and what is carried along
// unread point into the mapped file and are valid until Close.
type Model struct {
	IRVersion       int64
	Producer        string
	ProducerVersion string
	Domain          string
	ModelVersion    int64
	Doc             string
	Graph           Graph
	Opsets          []Opset
	Metadata        []Property

	rest     rest
	mappings []*Mapping
}

// Opset says which version of an operator set the nodes speak; Domain "" is ONNX's own.
type Opset struct {
	Domain  string
	Version int64
}

// Property is one entry of metadata_props.
type Property struct{ Key, Value string }

// Graph is the network: nodes in topological order, constants, and the ports to the outside.
type Graph struct {
	Name         string
	Doc          string
	Nodes        []Node
	Initializers []Tensor
	Inputs       []ValueInfo
	Outputs      []ValueInfo
	Values       []ValueInfo // what the exporter knew of the tensors in between

	rest rest
}

// Node is one operation. An empty name among Inputs is an optional input that is not given.
type Node struct {
	Inputs     []string
	Outputs    []string
	Name       string
	OpType     string
	Attributes []Attribute
	Domain     string

	rest rest
}

// ValueInfo names a tensor and what is known of it. Shape is nil where not even the rank is known.
type ValueInfo struct {
	Name  string
	Type  DataType
	Shape []Dim

	rest, restType rest
}

// Dim is one length of a shape: Size where it is fixed, else 0 with the name of a symbolic
// dimension, which may be empty.
type Dim struct {
	Size int64
	Name string
}

// String writes the port as "input float32[N 3 224 224]"; an unknown length is a question mark.
func (v ValueInfo) String() string {
	words := make([]string, len(v.Shape))
	for i, d := range v.Shape {
		switch {
		case d.Name != "":
			words[i] = d.Name
		case d.Size > 0:
			words[i] = strconv.FormatInt(d.Size, 10)
		default:
			words[i] = "?"
		}
	}
	if v.Shape == nil {
		words = []string{"…"}
	}
	return fmt.Sprintf("%s %v[%s]", v.Name, v.Type, strings.Join(words, " "))
}

// SetProperty sets the metadata entry with the given key.
func (m *Model) SetProperty(key, value string) {
	for i := range m.Metadata {
		if m.Metadata[i].Key == key {
			m.Metadata[i].Value = value
			return
		}
	}
	m.Metadata = append(m.Metadata, Property{key, value})
}

// Opset returns the version of the given operator set, 0 where the model does not import it.
func (m *Model) Opset(domain string) int64 {
	for _, o := range m.Opsets {
		if o.Domain == domain || domain == "" && o.Domain == "ai.onnx" {
			return o.Version
		}
	}
	return 0
}

// Forget lets go of what is in memory of the file and its external data, which stays open and is
// read again when it is needed.
func (m *Model) Forget() error {
	var errs []error
	for _, f := range m.mappings {
		errs = append(errs, f.Forget())
	}
	return errors.Join(errs...)
}

// Close unmaps the file and its external data. It may be called twice; a Model that was never
// opened has nothing to close.
func (m *Model) Close() error {
	var errs []error
	for _, f := range m.mappings {
		errs = append(errs, f.Close())
	}
	m.mappings = nil
	return errors.Join(errs...)
}

// Initializer returns the constant with the given name, nil where there is none. The pointer is
// into Initializers.
func (g *Graph) Initializer(name string) *Tensor {
	for i := range g.Initializers {
		if g.Initializers[i].Name == name {
			return &g.Initializers[i]
		}
	}
	return nil
}

// FreeInputs are the inputs that a caller must feed: old exporters list the constants, too.
func (g *Graph) FreeInputs() []ValueInfo {
	constants := make(map[string]bool, len(g.Initializers))
	for i := range g.Initializers {
		constants[g.Initializers[i].Name] = true
	}
	var free []ValueInfo
	for _, in := range g.Inputs {
		if !constants[in.Name] {
			free = append(free, in)
		}
	}
	return free
}

// Attribute returns the attribute of the node with the given name, nil where there is none.
func (n *Node) Attribute(name string) *Attribute {
	for i := range n.Attributes {
		if n.Attributes[i].Name == name {
			return &n.Attributes[i]
		}
	}
	return nil
}

// Source writes the content of a tensor, exactly Tensor.Bytes() bytes, little-endian, row-major.
type Source func(w io.Writer) error
