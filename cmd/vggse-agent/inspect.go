package main

import (
	"fmt"
	"io"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"text/tabwriter"

	"github.com/spf13/cobra"

	"github.com/vggse/vggse-agent/bundle"
	"github.com/vggse/vggse-agent/importer"
	"github.com/vggse/vggse-agent/onnx"
)

func newInspectCmd() *cobra.Command {
	var key string
	var asJSON bool
	cmd := &cobra.Command{
		Use:   "inspect FILE",
		Short: "Show what a checkpoint or model file holds, without loading it",
		Long: `Inspect shows the tensors of a PyTorch checkpoint, a .safetensors or an .onnx file, and of the latter its
versions, ports, nodes and metadata. The weights stay on the disk, and nothing in the file is run.`,
		Example: "  vggse-agent inspect best.pth\n  vggse-agent inspect demo/bundle/fp32.onnx",
		Args:    exactArgs(1, "one FILE"),
		RunE: func(cmd *cobra.Command, args []string) error {
			if _, err := os.Stat(filepath.Join(args[0], bundle.SpecFile)); err == nil {
				return fmt.Errorf("inspect: %s is a bundle: 'vggse-agent summary %[1]s' shows it, and inspect one of "+
					"its files", args[0])
			}
			if strings.HasSuffix(args[0], ".vggse") {
				return fmt.Errorf("inspect: %s is a packed bundle: 'vggse-agent model install %[1]s' installs it",
					args[0])
			}
			i, err := importer.Inspect(args[0], key)
			if err != nil {
				return fmt.Errorf("inspect: %w", err)
			}
			if asJSON {
				return printJSON(cmd.OutOrStdout(), i)
			}
			return printInspection(cmd.OutOrStdout(), i)
		},
	}
	cmd.Flags().StringVar(&key, "key", "", "where in a nested checkpoint to look, such as ema")
	cmd.Flags().BoolVar(&asJSON, "json", false, "print one JSON line")
	return cmd
}

// printInspection writes the facts that the file has, then the table of tensors.
func printInspection(w io.Writer, i *importer.Inspection) error {
	facts := [][2]string{{"format", i.Format}, {"taken from", i.Key}, {"there is also", strings.Join(i.Others, ", ")},
		{"producer", i.Producer}, {"inputs", strings.Join(i.Inputs, ", ")}, {"outputs", strings.Join(i.Outputs, ", ")}}
	if i.IR > 0 {
		facts = append(facts, [2]string{"version", fmt.Sprintf("IR %d, opset %s", i.IR, counted(i.Opsets))},
			[2]string{"nodes", counted(i.Nodes)})
	}
	for _, key := range slices.Sorted(maps.Keys(i.Metadata)) {
		facts = append(facts, [2]string{"metadata " + key, i.Metadata[key]})
	}
	for _, f := range facts {
		if f[1] != "" {
			fmt.Fprintf(w, "%s: %s\n", oneLine(f[0]), oneLine(f[1]))
		}
	}
	t := tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)
	numbers := int64(0)
	for _, x := range i.Tensors {
		fmt.Fprintf(t, "  %s\t%s\t%v\n", oneLine(x.Name), x.Type, x.Shape)
		numbers += (&onnx.Tensor{Dims: x.Shape}).Elements()
	}
	fmt.Fprintf(w, "tensors: %d, %s numbers\n", len(i.Tensors), grouped(numbers))
	return t.Flush()
}

// counted writes "Conv 13, Gemm 3" in the order of the names.
func counted[N int | int64](m map[string]N) string {
	var words []string
	for _, key := range slices.Sorted(maps.Keys(m)) {
		words = append(words, fmt.Sprintf("%s %d", key, m[key]))
	}
	return strings.Join(words, ", ")
}
