package vgg16se

import (
	"cmp"
	"fmt"

	"github.com/vggse/vggse-agent/bundle"
	"github.com/vggse/vggse-agent/onnx"
)

// SummaryLayer is one layer of summary's JSON line.
type SummaryLayer struct {
	Name       string `json:"name"`
	Op         string `json:"op"`
	Shape      []int  `json:"shape"`
	Parameters int64  `json:"parameters"`
	MACs       int64  `json:"macs"`
	SE         bool   `json:"se"`
}

// Summary is what the verb prints.
type Summary struct {
	Parameters   int64          `json:"parameters"`
	SEParameters int64          `json:"se_parameters"`
	MACs         int64          `json:"macs"`
	SEMACs       int64          `json:"se_macs"`
	Layers       []SummaryLayer `json:"layers"`
}

// Summarize knows a VGG of ours by its manifest, any other network by its graph.
func Summarize(b *bundle.Bundle) (*Summary, string, error) {
	if b.Spec.Architecture.Family != bundle.FamilyONNX {
		a, err := FromManifest(b.Spec.Architecture)
		if err != nil {
			return nil, "", err
		}
		return summaryOf(a), a.String(), nil
	}
	path, err := b.Path(bundle.FileFP32)
	if err != nil {
		return nil, "", err
	}
	m, err := onnx.Open(path)
	if err != nil {
		return nil, "", err
	}
	defer m.Close()
	m.Conceal(b.Spec.Output.Name)
	what := fmt.Sprintf("ONNX opset %d, %d nodes, %d classes", m.Opset(""), len(m.Graph.Nodes), len(b.Spec.Labels))
	return summaryOfGraph(&m.Graph), what, nil
}

func summaryOf(a Architecture) *Summary {
	s := &Summary{}
	s.Parameters, s.SEParameters = a.Parameters()
	s.MACs, s.SEMACs = a.MACs()
	for _, l := range a.Layers() {
		s.Layers = append(s.Layers, SummaryLayer{l.Name, l.Op, l.Shape, l.Parameters, l.MACs, l.Gate})
	}
	return s
}

// summarizeGraph shows the nodes that hold parameters or do arithmetic with them.
func summaryOfGraph(g *onnx.Graph) *Summary {
	s := &Summary{}
	for i, c := range g.Costs() {
		s.Parameters += c.Parameters
		s.MACs += c.MACs
		if c.SE {
			s.SEParameters += c.Parameters
			s.SEMACs += c.MACs
		}
		if c.Parameters == 0 && c.MACs == 0 {
			continue
		}
		l := SummaryLayer{Name: cmp.Or(c.Name, fmt.Sprint("node ", i)), Op: c.Op, Shape: []int{},
			Parameters: c.Parameters, MACs: c.MACs, SE: c.SE}
		for _, d := range c.Shape[min(1, len(c.Shape)):] {
			l.Shape = append(l.Shape, int(d))
		}
		s.Layers = append(s.Layers, l)
	}
	return s
}

// Gates is the kind of the gates: SE, or in a network of ours one of its relatives.
func (s *Summary) Gates() string {
	for _, l := range s.Layers {
		switch l.Op {
		case OpSSE, OpSCSE, OpBAM, OpCBAM:
			return l.Op
		}
	}
	return OpSE
}
