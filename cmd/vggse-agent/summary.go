package main

import (
	"fmt"
	"io"
	"strconv"
	"strings"
	"text/tabwriter"

	"github.com/spf13/cobra"

	"github.com/vggse/vggse-agent/bundle"
	"github.com/vggse/vggse-agent/vgg16se"
)

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
			s, what, err := vgg16se.Summarize(b)
			if err != nil {
				return fmt.Errorf("summary: %w", err)
			}
			if asJSON {
				return printJSON(cmd.OutOrStdout(), s)
			}
			fmt.Fprintf(cmd.OutOrStdout(), "%s %s: %s\n\n", b.Spec.Name, b.Spec.Version, what)
			return printSummary(cmd.OutOrStdout(), s)
		},
	}
	cmd.Flags().BoolVar(&asJSON, "json", false, "print one JSON line")
	return cmd
}

// printSummary writes the table; layers that only move numbers show their shape.
func printSummary(w io.Writer, s *vgg16se.Summary) error {
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
	fmt.Fprintf(t, "of it %s\t\t\t%s\t%s\t%s\t%s\t\n", s.Gates(), orDash(s.SEParameters),
		share(s.SEParameters, s.Parameters),
		orDash(s.SEMACs), share(s.SEMACs, s.MACs))
	return t.Flush()
}

func shapeText(shape []int) string {
	return strings.ReplaceAll(strings.Trim(fmt.Sprint(shape), "[]"), " ", "×")
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
