package importer

import (
	"errors"
	"fmt"
	"io"
	"path/filepath"
	"strings"

	"github.com/vggse/vggse-agent/bundle"
	"github.com/vggse/vggse-agent/internal/progress"
	"github.com/vggse/vggse-agent/onnx"
)

// fromONNX takes an image classifier as it is; the file stays open until the bundle is written.
func fromONNX(p *progress.Progress, labels []string, o *Options) (*imported, io.Closer, error) {
	m, err := onnx.Open(o.File)
	if err != nil {
		return nil, nil, err
	}
	n, err := adopt(p, m, labels, o)
	if err != nil {
		return nil, nil, errors.Join(fmt.Errorf("%s: %w", o.File, err), m.Close())
	}
	return n, m, nil
}

func adopt(p *progress.Progress, m *onnx.Model, labels []string, o *Options) (*imported, error) {
	producer := strings.TrimSpace(m.Producer + " " + m.ProducerVersion)
	c, err := m.AsClassifier(len(labels))
	if err != nil {
		return nil, err
	}
	switch {
	case c.Size == 0 && !o.InputGiven:
		return nil, errors.New("the graph takes pictures of any size: say with --input which one the network was " +
			"trained for")
	case c.Size == 0:
		m.SetInputSize(c, o.Input)
	case o.InputGiven && c.Size != o.Input:
		return nil, fmt.Errorf("the network takes %d×%d, --input says %d", c.Size, c.Size, o.Input)
	}
	if c.Softmax {
		p.Say("took the last Softmax off: a bundle's network answers with raw scores")
	}
	parameters := int64(0)
	for i := range m.Graph.Initializers {
		if t := &m.Graph.Initializers[i]; t.Type == onnx.Float32 || t.Type == onnx.Float16 {
			parameters += t.Elements()
		}
	}
	return &imported{
		graph: m, parameters: parameters, foreign: true,
		what: fmt.Sprintf("ONNX opset %d from %s, %d nodes, %d×%d, %d classes", m.Opset(""), producer,
			len(m.Graph.Nodes), c.Size, c.Size, len(labels)),
		spec: bundle.Spec{
			Schema:       bundle.SpecSchema,
			Architecture: bundle.Architecture{Family: bundle.FamilyONNX, InputSize: c.Size, Classes: len(labels)},
			Input:        bundle.Port{Name: c.Input},
			Output:       bundle.Port{Name: c.Output},
			Labels:       labels,
		},
	}, nil
}

// IsONNX goes by the name: an ONNX file has no mark of its own.
func IsONNX(path string) bool { return strings.EqualFold(filepath.Ext(path), ".onnx") }
