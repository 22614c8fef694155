package main

import (
	"errors"
	"fmt"
	"io"
	"strings"

	"github.com/spf13/cobra"

	"github.com/vggse/vggse-agent/bundle"
	"github.com/vggse/vggse-agent/onnx"
)

// importONNX takes an image classifier as it is; the file stays open until the bundle is written.
func importONNX(cmd *cobra.Command, path string, labels []string, o *importOptions) (*imported, io.Closer, error) {
	m, err := onnx.Open(path)
	if err != nil {
		return nil, nil, err
	}
	n, err := adopt(cmd, m, labels, o)
	if err != nil {
		return nil, nil, errors.Join(fmt.Errorf("%s: %w", path, err), m.Close())
	}
	return n, m, nil
}

func adopt(cmd *cobra.Command, m *onnx.Model, labels []string, o *importOptions) (*imported, error) {
	producer := strings.TrimSpace(m.Producer + " " + m.ProducerVersion)
	c, err := m.AsClassifier(len(labels))
	if err != nil {
		return nil, err
	}
	switch {
	case c.Size == 0 && !o.inputGiven:
		return nil, errors.New("the graph takes pictures of any size: say with --input which one the network was trained for")
	case c.Size == 0:
		m.SetInputSize(c, o.input)
	case o.inputGiven && c.Size != o.input:
		return nil, fmt.Errorf("the network takes %d×%d, --input says %d", c.Size, c.Size, o.input)
	}
	if c.Softmax {
		fmt.Fprintln(cmd.ErrOrStderr(), "took the last Softmax off: a bundle's network answers with raw scores")
	}
	parameters := int64(0)
	for i := range m.Graph.Initializers {
		if t := &m.Graph.Initializers[i]; t.Type == onnx.Float32 || t.Type == onnx.Float16 {
			parameters += t.Elements()
		}
	}
	return &imported{
		graph: m, parameters: parameters, foreign: true,
		what: fmt.Sprintf("ONNX opset %d from %s, %d nodes, %d×%d, %d classes", m.Opset(""), producer, len(m.Graph.Nodes), c.Size, c.Size, len(labels)),
		spec: bundle.Spec{
			Schema:       bundle.SpecSchema,
			Architecture: bundle.Architecture{Family: bundle.FamilyONNX, InputSize: c.Size, Classes: len(labels)},
			Input:        bundle.Port{Name: c.Input},
			Output:       bundle.Port{Name: c.Output},
			Labels:       labels,
		},
	}, nil
}
