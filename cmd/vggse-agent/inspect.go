package main

import (
	"cmp"
	"fmt"
	"io"
	"maps"
	"slices"
	"strings"
	"text/tabwriter"

	"github.com/spf13/cobra"

	"github.com/vggse/vggse-agent/importer"
	"github.com/vggse/vggse-agent/onnx"
	"github.com/vggse/vggse-agent/vgg16se/checkpoint"
)

// inspectTensor is one tensor of inspect's JSON line.
type inspectTensor struct {
	Name  string  `json:"name"`
	Shape []int64 `json:"shape"`
	Type  string  `json:"dtype"`
}

// inspection is what the verb prints.
type inspection struct {
	Format   string            `json:"format"`
	Key      string            `json:"key,omitempty"`    // of a nested checkpoint
	Others   []string          `json:"others,omitempty"` // keys of sets of tensors that are not shown
	Producer string            `json:"producer,omitempty"`
	IR       int64             `json:"ir_version,omitempty"`
	Opsets   map[string]int64  `json:"opsets,omitempty"`
	Inputs   []string          `json:"inputs,omitempty"`
	Outputs  []string          `json:"outputs,omitempty"`
	Nodes    map[string]int    `json:"nodes,omitempty"` // how many of each kind
	Metadata map[string]string `json:"metadata,omitempty"`
	Tensors  []inspectTensor   `json:"tensors"`
}

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
			i, err := inspect(args[0], key)
			if err != nil {
				return fmt.Errorf("inspect: %w", err)
			}
			if asJSON {
				return printJSON(cmd.OutOrStdout(), i)
			}
			return i.print(cmd.OutOrStdout())
		},
	}
	cmd.Flags().StringVar(&key, "key", "", "where in a nested checkpoint to look, such as ema")
	cmd.Flags().BoolVar(&asJSON, "json", false, "print one JSON line")
	return cmd
}

func inspect(path, key string) (*inspection, error) {
	if importer.IsONNX(path) {
		return inspectONNX(path)
	}
	f, err := checkpoint.Open(path, key)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	i := &inspection{Format: f.Format, Key: f.Key, Others: f.Others, Metadata: f.Metadata, Tensors: []inspectTensor{}}
	for _, t := range f.Tensors {
		i.Tensors = append(i.Tensors, inspectTensor{t.Name, append([]int64{}, t.Shape...), t.Type.String()})
	}
	return i, nil
}

func inspectONNX(path string) (*inspection, error) {
	m, err := onnx.Open(path)
	if err != nil {
		return nil, err
	}
	defer m.Close()
	i := &inspection{Format: "onnx", Producer: strings.TrimSpace(m.Producer + " " + m.ProducerVersion), IR: m.IRVersion,
		Opsets: map[string]int64{}, Nodes: map[string]int{}, Metadata: map[string]string{}, Tensors: []inspectTensor{}}
	for _, o := range m.Opsets {
		i.Opsets[cmp.Or(o.Domain, "ai.onnx")] = o.Version
	}
	for _, v := range m.Graph.FreeInputs() {
		i.Inputs = append(i.Inputs, v.String())
	}
	for _, v := range m.Graph.Outputs {
		i.Outputs = append(i.Outputs, v.String())
	}
	for _, n := range m.Graph.Nodes {
		i.Nodes[n.OpType]++
	}
	for _, p := range m.Metadata {
		i.Metadata[p.Key] = p.Value
	}
	for _, t := range m.Graph.Initializers {
		i.Tensors = append(i.Tensors, inspectTensor{t.Name, append([]int64{}, t.Dims...), t.Type.String()})
	}
	return i, nil
}

// print writes the facts that the file has, then the table of tensors.
func (i *inspection) print(w io.Writer) error {
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
			fmt.Fprintf(w, "%s: %s\n", f[0], f[1])
		}
	}
	t := tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)
	numbers := int64(0)
	for _, x := range i.Tensors {
		fmt.Fprintf(t, "  %s\t%s\t%v\n", x.Name, x.Type, x.Shape)
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
