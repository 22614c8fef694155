package importer

import (
	"errors"
	"fmt"
	"io"
	"path/filepath"
	"regexp"
	"strings"

	"github.com/vggse/vggse-agent/bundle"
	"github.com/vggse/vggse-agent/internal/progress"
	"github.com/vggse/vggse-agent/onnx"
	"github.com/vggse/vggse-agent/vision"
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
	if c.Size > vision.MaxSize {
		return nil, fmt.Errorf("the network takes %d×%d, at most %d×%[3]d are possible", c.Size, c.Size, vision.MaxSize)
	}
	if c.Softmax {
		p.Say("took the last Softmax off: a bundle's network answers with raw scores")
	}
	return &imported{
		graph: m, parameters: parameters(m), foreign: true,
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

// parameters counts the weights, among the initializers and in Constant nodes.
func parameters(m *onnx.Model) int64 {
	sum := int64(0)
	add := func(t *onnx.Tensor) {
		switch t.Type {
		case onnx.Float32, onnx.Float16, onnx.BFloat16, onnx.Float64, onnx.Int8:
			sum += t.Elements()
		}
	}
	for i := range m.Graph.Initializers {
		add(&m.Graph.Initializers[i])
	}
	for i := range m.Graph.Nodes {
		if a := m.Graph.Nodes[i].Attribute("value"); a != nil && a.Tensor != nil &&
			m.Graph.Nodes[i].OpType == "Constant" {
			add(a.Tensor)
		}
	}
	return sum
}

var (
	irVersion  = regexp.MustCompile(`model IR version: (\d+), max supported IR version: (\d+)`)
	noOperator = regexp.MustCompile(`(?:Fatal error: |No Op registered for |node_op_type: )(\S+?)(?:\(-?\d+\))? ` +
		`(?:is not a registered|with domain)`)
	fixedBatch = regexp.MustCompile(`takes batches of (\d+) only`)
	advice     = regexp.MustCompile(`\s*\(cure: [^)]*\)`)
	places     = regexp.MustCompile(`(?s)^.*(?:Load model from \S+ failed: ?|(?:/\S+)+:\d+ \S.*?\) )`)
)

// cannotRun says why ONNX Runtime does not run a network, in words about the file.
func cannotRun(err error) error {
	text := err.Error()
	if m := irVersion.FindStringSubmatch(text); m != nil {
		return fmt.Errorf("the file has version IR %s, this ONNX Runtime reads up to IR %s: save it with an older "+
			"one, "+
			"or install a newer runtime", m[1], m[2])
	}
	if m := noOperator.FindStringSubmatch(text); m != nil {
		return fmt.Errorf("this ONNX Runtime has no operator %s: export the network without it", m[1])
	}
	if m := fixedBatch.FindStringSubmatch(text); m != nil {
		return fmt.Errorf("the network takes batches of %s only, the number stands inside the graph: export it with "+
			"batch 1 or a dynamic batch", m[1])
	}
	text = places.ReplaceAllString(advice.ReplaceAllString(text, ""), "")
	return fmt.Errorf("ONNX Runtime cannot run the network: %s", strings.TrimSpace(text))
}
