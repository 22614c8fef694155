package main

import (
	"errors"
	"fmt"
	"io"
	"path/filepath"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/vggse/vggse-agent/bundle"
	"github.com/vggse/vggse-agent/internal/atomicfile"
	"github.com/vggse/vggse-agent/internal/progress"
	"github.com/vggse/vggse-agent/onnx"
	"github.com/vggse/vggse-agent/vgg16se"
	"github.com/vggse/vggse-agent/vgg16se/checkpoint"
)

type importOptions struct {
	out, labels, preprocess string
	name, version           string
	golden, key             string
	input                   int
	inputGiven, asJSON      bool
}

func newImportCmd(s *settings) *cobra.Command {
	var o importOptions
	cmd := &cobra.Command{
		Use:   "import FILE --labels FILE|A,B,C --preprocess torchvision|KEY=V,… --out DIR",
		Short: "Make a bundle of a trained network: a PyTorch checkpoint, .safetensors or .onnx",
		Long: `Import makes a bundle of a trained VGG16-SE or VGG16, with or without batch normalization. It reads what
torch.save(model.state_dict(), …) writes, also inside a training script's checkpoint, and .safetensors. No
Python runs: the pickle inside is read with a closed list of names. The sizes are inferred from the shapes of
the weights; batch normalization is folded into the convolutions.

Any other image classifier comes in as .onnx: one input float32[N 3 S S], one row of scores for each picture.
External data is taken inside, a last Softmax off, and a fixed batch becomes N.

How pictures become numbers is not in a checkpoint and is never guessed: --preprocess torchvision says
that the network was trained with torchvision's presets (shorter side to round(input·256/224) with
Pillow's bilinear filter, centre crop, ImageNet mean and standard deviation); else give every part:

  resize=squash|shortest-crop|letterbox   shorter=PIXELS (shortest-crop)   fill=0…255 (letterbox)
  filter=pil-bilinear|area|linear         channels=rgb|bgr
  scale=1/255                             mean=R,G,B   std=R,G,B (in the order of channels, after scale)`,
		Example: `  vggse-agent import best.pth --labels labels.txt --preprocess torchvision --out parts
  vggse-agent import best.safetensors --labels ok,scratched --input 96 --out parts \
    --preprocess resize=squash,filter=area,channels=bgr,scale=1/255,mean=0,0,0,std=1,1,1`,
		Args: exactArgs(1, "one FILE"),
		RunE: func(cmd *cobra.Command, args []string) error {
			o.inputGiven = cmd.Flags().Changed("input")
			return runImport(cmd, s, args[0], o)
		},
	}
	f := cmd.Flags()
	f.StringVar(&o.out, "out", "", "folder to make")
	f.StringVar(&o.labels, "labels", "", "file with one label a line, or the labels with commas between")
	f.StringVar(&o.preprocess, "preprocess", "", "torchvision, or KEY=V,… as above")
	f.IntVar(&o.input, "input", 224, "height and width of the input in pixels (of .onnx: what the file says)")
	f.StringVar(&o.name, "name", "", "name of the bundle (default: that of the folder)")
	f.StringVar(&o.version, "version", "1", "version of the bundle")
	f.StringVar(&o.golden, "golden", "", "safetensors file with the tensors input (n×3×S×S) and logits (n×classes), for verify")
	f.StringVar(&o.key, "key", "", "where in a nested checkpoint the weights are, such as ema")
	f.BoolVar(&o.asJSON, "json", false, "print one JSON line")
	return cmd
}

// imported is a network on its way into a bundle.
type imported struct {
	graph      *onnx.Model
	spec       bundle.Spec
	parameters int64
	what       string // the architecture in words
	foreign    bool   // not a VGG of ours: nothing here can compute its answers but a runtime
}

func runImport(cmd *cobra.Command, s *settings, path string, o importOptions) error {
	for _, f := range []struct{ name, value string }{{"labels", o.labels}, {"preprocess", o.preprocess}, {"out", o.out}} {
		if f.value == "" {
			return usagef("import wants --%s (see '%s --help')", f.name, cmd.CommandPath())
		}
	}
	labels, err := readLabels(o.labels)
	if err != nil {
		return usagef("--labels: %w", err)
	}
	var n *imported
	var file io.Closer
	if isONNX(path) {
		n, file, err = importONNX(cmd, path, labels, &o)
	} else {
		n, file, err = importCheckpoint(cmd, path, labels, &o)
	}
	if err != nil {
		return fmt.Errorf("import: %w", err)
	}
	defer file.Close()
	if n.spec.Preprocess, err = parsePreprocess(o.preprocess, n.spec.Architecture.InputSize); err != nil {
		return usagef("--preprocess: %w", err)
	}
	return writeImported(cmd, s, n, path, o)
}

// importCheckpoint makes a graph of a checkpoint, which stays open until the graph is written.
func importCheckpoint(cmd *cobra.Command, path string, labels []string, o *importOptions) (*imported, io.Closer, error) {
	file, err := checkpoint.Open(path, o.key)
	if err != nil {
		return nil, nil, err
	}
	if len(file.Others) > 0 {
		fmt.Fprintf(cmd.ErrOrStderr(), "took the weights under %q; there are also: %s (--key)\n", file.Key, strings.Join(file.Others, ", "))
	}
	n, err := importVGG(file, o.input, labels)
	if err != nil {
		return nil, nil, errors.Join(fmt.Errorf("%s: %w", path, err), file.Close())
	}
	return n, file, nil
}

func importVGG(file *checkpoint.File, input int, labels []string) (*imported, error) {
	a, weights, err := vgg16se.Recognize(file.Tensors, input)
	if err != nil {
		return nil, err
	}
	if classes := a.Full().Classes; len(labels) != classes {
		return nil, fmt.Errorf("--labels has %d labels, the network %d classes", len(labels), classes)
	}
	graph, err := a.Graph(weights)
	if err != nil {
		return nil, err
	}
	parameters, _ := a.Parameters()
	return &imported{graph: graph, spec: vgg16se.NewSpec(a, labels), parameters: parameters, what: a.String()}, nil
}

func writeImported(cmd *cobra.Command, s *settings, n *imported, path string, o importOptions) error {
	n.spec.Name, n.spec.Version = o.name, o.version
	if o.name == "" {
		n.spec.Name = filepath.Base(filepath.Clean(o.out))
	}
	n.spec.Provenance = bundle.Provenance{Tool: "vggse-agent import", Source: filepath.Base(path), Created: time.Now().UTC().Truncate(time.Second)}
	err := atomicfile.NewDir(o.out, func(dir string) error {
		bar := progress.New(cmd.ErrOrStderr(), "writing weights", onnx.Size(n.graph), true)
		f, err := bundle.WriteFile(cmd.Context(), dir, "fp32.onnx", bar, func(w io.Writer) error { return onnx.Write(w, n.graph) })
		if err != nil {
			return err
		}
		if err := bar.Finish(); err != nil {
			return err
		}
		n.spec.Files = map[string]bundle.File{bundle.FileFP32: f}
		if err := storeGolden(cmd, s, n, dir, o.golden); err != nil {
			return err
		}
		return bundle.WriteSpec(dir, &n.spec)
	})
	if err != nil {
		return fmt.Errorf("import: %w", err)
	}
	if o.asJSON {
		return printJSON(cmd.OutOrStdout(), struct {
			Bundle       string `json:"bundle"`
			Architecture string `json:"architecture"`
			Parameters   int64  `json:"parameters"`
			SHA256       string `json:"sha256"`
		}{o.out, n.what, n.parameters, n.spec.Files[bundle.FileFP32].SHA256})
	}
	fmt.Fprintf(cmd.OutOrStdout(), "%s: %s, %s parameters\n", o.out, n.what, grouped(n.parameters))
	return nil
}
