package main

import (
	"cmp"
	"fmt"
	"io"
	"strconv"
	"strings"
	"text/tabwriter"

	"github.com/spf13/cobra"

	"github.com/vggse/vggse-agent/bundle"
	"github.com/vggse/vggse-agent/onnx"
	"github.com/vggse/vggse-agent/vgg16se"
)

// summaryLayer is one layer of summary's JSON line.
type summaryLayer struct {
	Name       string `json:"name"`
	Op         string `json:"op"`
	Shape      []int  `json:"shape"`
	Parameters int64  `json:"parameters"`
	MACs       int64  `json:"macs"`
	SE         bool   `json:"se"`
}

// summary is what the verb prints.
type summary struct {
	Parameters   int64          `json:"parameters"`
	SEParameters int64          `json:"se_parameters"`
	MACs         int64          `json:"macs"`
	SEMACs       int64          `json:"se_macs"`
	Layers       []summaryLayer `json:"layers"`
}

func newSummaryCmd() *cobra.Command {
	var asJSON bool
	cmd := &cobra.Command{
		Use:   "summary BUNDLE",
		Short: "Show the layers of a bundle's network: shapes, parameters, multiply-adds, share of SE",
		Long: `Summary shows the layers of a bundle's network for one picture. Multiply-adds count convolutions, fully
connected layers, and SE with its squeeze and scale; biases, ReLU and pools count nothing. Of a network that
came as .onnx the shapes are worked out from the graph, and SE blocks are known by their pattern.`,
		Example: "  vggse-agent summary demo/bundle",
		Args:    exactArgs(1, "one BUNDLE"),
		RunE: func(cmd *cobra.Command, args []string) error {
			b, err := bundle.Open(args[0])
			if err != nil {
				return err
			}
			s, what, err := summarizeBundle(b)
			if err != nil {
				return fmt.Errorf("summary: %w", err)
			}
			if asJSON {
				return printJSON(cmd.OutOrStdout(), s)
			}
			fmt.Fprintf(cmd.OutOrStdout(), "%s %s: %s\n\n", b.Spec.Name, b.Spec.Version, what)
			return s.print(cmd.OutOrStdout())
		},
	}
	cmd.Flags().BoolVar(&asJSON, "json", false, "print one JSON line")
	return cmd
}

// summarizeBundle knows a VGG of ours by its manifest, any other network by its graph.
func summarizeBundle(b *bundle.Bundle) (*summary, string, error) {
	if b.Spec.Architecture.Family != bundle.FamilyONNX {
		a, err := vgg16se.FromManifest(b.Spec.Architecture)
		if err != nil {
			return nil, "", err
		}
		return summarize(a), a.String(), nil
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
	what := fmt.Sprintf("ONNX opset %d, %d nodes, %d classes", m.Opset(""), len(m.Graph.Nodes), len(b.Spec.Labels))
	return summarizeGraph(&m.Graph), what, nil
}

func summarize(a vgg16se.Architecture) *summary {
	s := &summary{}
	s.Parameters, s.SEParameters = a.Parameters()
	s.MACs, s.SEMACs = a.MACs()
	for _, l := range a.Layers() {
		s.Layers = append(s.Layers, summaryLayer{l.Name, l.Op, l.Shape, l.Parameters, l.MACs, l.Gate})
	}
	return s
}

// summarizeGraph shows the nodes that hold parameters or do arithmetic with them.
func summarizeGraph(g *onnx.Graph) *summary {
	s := &summary{}
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
		l := summaryLayer{Name: cmp.Or(c.Name, fmt.Sprint("node ", i)), Op: c.Op, Shape: []int{},
			Parameters: c.Parameters, MACs: c.MACs, SE: c.SE}
		for _, d := range c.Shape[min(1, len(c.Shape)):] {
			l.Shape = append(l.Shape, int(d))
		}
		s.Layers = append(s.Layers, l)
	}
	return s
}

// print writes the table; layers that only move numbers show their shape.
func (s *summary) print(w io.Writer) error {
	t := tabwriter.NewWriter(w, 0, 0, 2, ' ', tabwriter.AlignRight)
	fmt.Fprintln(t, "layer\top\tshape\tparameters\t\tmultiply-adds\t\t")
	for _, l := range s.Layers {
		if l.Op == vgg16se.OpReLU {
			continue
		}
		fmt.Fprintf(t, "%s\t%s\t%s\t%s\t%s\t%s\t%s\t\n", l.Name, l.Op, shapeText(l.Shape),
			orDash(l.Parameters), share(l.Parameters, s.Parameters), orDash(l.MACs), share(l.MACs, s.MACs))
	}
	fmt.Fprintf(t, "all\t\t\t%s\t\t%s\t\t\n", grouped(s.Parameters), grouped(s.MACs))
	fmt.Fprintf(t, "of it %s\t\t\t%s\t%s\t%s\t%s\t\n", s.attention(), orDash(s.SEParameters),
		share(s.SEParameters, s.Parameters),
		orDash(s.SEMACs), share(s.SEMACs, s.MACs))
	return t.Flush()
}

// attention is what the gates are: SE, or in a network of ours one of its relatives.
func (s *summary) attention() string {
	for _, l := range s.Layers {
		switch l.Op {
		case vgg16se.OpSSE, vgg16se.OpSCSE, vgg16se.OpBAM, vgg16se.OpCBAM:
			return l.Op
		}
	}
	return vgg16se.OpSE
}

func shapeText(shape []int) string {
	words := make([]string, len(shape))
	for i, d := range shape {
		words[i] = strconv.Itoa(d)
	}
	return strings.Join(words, "×")
}

func orDash(n int64) string {
	if n == 0 {
		return "–"
	}
	return grouped(n)
}

func share(part, all int64) string {
	if part == 0 {
		return ""
	}
	return fmt.Sprintf("%.3f %%", 100*float64(part)/float64(all))
}

// grouped writes a count with a comma every three digits.
func grouped(n int64) string {
	s := strconv.FormatInt(n, 10)
	for i := len(s) - 3; i > 0; i -= 3 {
		s = s[:i] + "," + s[i:]
	}
	return s
}
