package main

import (
	"context"
	"fmt"
	"io"
	"path/filepath"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/vggse/vggse-agent/model"
	"github.com/vggse/vggse-agent/onnx"
	"github.com/vggse/vggse-agent/vgg16se"
	"github.com/vggse/vggse-agent/vgg16se/checkpoint"
)

type importOptions struct {
	out, labels, preprocess string
	name, version           string
	golden, key             string
	input                   int
	asJSON                  bool
}

func newImportCmd() *cobra.Command {
	var o importOptions
	cmd := &cobra.Command{
		Use:   "import FILE --labels FILE|A,B,C --preprocess torchvision|KEY=V,… --out DIR",
		Short: "Make a bundle of a trained network: a PyTorch checkpoint or .safetensors",
		Long: `Import makes a bundle of a trained VGG16-SE or VGG16, with or without batch normalization. It reads what
torch.save(model.state_dict(), …) writes, also inside a training script's checkpoint, and .safetensors. No
Python runs: the pickle inside is read with a closed list of names. The sizes are inferred from the shapes of
the weights; batch normalization is folded into the convolutions.

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
		RunE: func(cmd *cobra.Command, args []string) error { return runImport(cmd, args[0], o) },
	}
	f := cmd.Flags()
	f.StringVar(&o.out, "out", "", "folder to make")
	f.StringVar(&o.labels, "labels", "", "file with one label a line, or the labels with commas between")
	f.StringVar(&o.preprocess, "preprocess", "", "torchvision, or KEY=V,… as above")
	f.IntVar(&o.input, "input", 224, "height and width of the input in pixels")
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
	spec       model.Spec
	parameters int64
	what       string // the architecture in words
}

func runImport(cmd *cobra.Command, path string, o importOptions) error {
	for _, f := range []struct{ name, value string }{{"labels", o.labels}, {"preprocess", o.preprocess}, {"out", o.out}} {
		if f.value == "" {
			return usagef("import wants --%s (see '%s --help')", f.name, cmd.CommandPath())
		}
	}
	preprocess, err := parsePreprocess(o.preprocess, o.input)
	if err != nil {
		return usagef("--preprocess: %w", err)
	}
	labels, err := readLabels(o.labels)
	if err != nil {
		return usagef("--labels: %w", err)
	}
	file, err := checkpoint.Open(path, o.key)
	if err != nil {
		return fmt.Errorf("import: %w", err)
	}
	defer file.Close()
	if len(file.Others) > 0 {
		fmt.Fprintf(cmd.ErrOrStderr(), "took the weights under %q; there are also: %s (--key)\n", file.Key, strings.Join(file.Others, ", "))
	}
	n, err := importVGG(file, o.input, labels, preprocess)
	if err != nil {
		return fmt.Errorf("import: %s: %w", path, err)
	}
	return writeImported(cmd, n, path, o)
}

// importVGG makes a graph of a checkpoint.
func importVGG(file *checkpoint.File, input int, labels []string, p model.Preprocess) (*imported, error) {
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
	return &imported{graph: graph, spec: vggSpec(a, labels, p), parameters: parameters, what: a.String()}, nil
}

func writeImported(cmd *cobra.Command, n *imported, path string, o importOptions) error {
	n.spec.Name, n.spec.Version = o.name, o.version
	if o.name == "" {
		n.spec.Name = filepath.Base(filepath.Clean(o.out))
	}
	n.spec.Provenance = model.Provenance{Tool: "vggse-agent import", Source: filepath.Base(path), Created: time.Now().UTC().Truncate(time.Second)}
	err := newFolder(o.out, func(dir string) error {
		bar := newProgress(cmd.ErrOrStderr(), "writing weights", onnx.Size(n.graph), true)
		f, err := bundleFile(cmd.Context(), dir, "fp32.onnx", bar, func(w io.Writer) error { return onnx.Write(w, n.graph) })
		if err != nil {
			return err
		}
		if err := bar.Finish(); err != nil {
			return err
		}
		n.spec.Files = map[string]model.File{model.FileFP32: f}
		if o.golden != "" {
			if n.spec.Files[model.FileGolden], err = copyGolden(cmd.Context(), o.golden, dir, &n.spec); err != nil {
				return fmt.Errorf("--golden: %w", err)
			}
		}
		return model.WriteSpec(dir, &n.spec)
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
		}{o.out, n.what, n.parameters, n.spec.Files[model.FileFP32].SHA256})
	}
	fmt.Fprintf(cmd.OutOrStdout(), "%s: %s, %s parameters\n", o.out, n.what, grouped(n.parameters))
	return nil
}

// copyGolden copies input and logits of a safetensors file into dir after a look at their shapes.
func copyGolden(ctx context.Context, path, dir string, spec *model.Spec) (model.File, error) {
	file, err := checkpoint.Open(path, "")
	if err != nil {
		return model.File{}, err
	}
	defer file.Close()
	input, logits := file.Tensor("input"), file.Tensor("logits")
	size, classes := int64(spec.Architecture.InputSize), int64(len(spec.Labels))
	switch {
	case input == nil || logits == nil:
		return model.File{}, fmt.Errorf("%s: it must hold the tensors input and logits", path)
	case len(input.Shape) != 4 || input.Shape[1] != 3 || input.Shape[2] != size || input.Shape[3] != size:
		return model.File{}, fmt.Errorf("%s: input is %v, must be n×3×%d×%d", path, input.Shape, size, size)
	case len(logits.Shape) != 2 || logits.Shape[0] != input.Shape[0] || logits.Shape[1] != classes || logits.Shape[0] == 0:
		return model.File{}, fmt.Errorf("%s: logits are %v, must be %d×%d", path, logits.Shape, input.Shape[0], classes)
	}
	tensors := []checkpoint.Out{
		{Name: "input", Shape: input.Shape, Source: input.WriteFloat32},
		{Name: "logits", Shape: logits.Shape, Source: logits.WriteFloat32},
	}
	return bundleFile(ctx, dir, "golden.safetensors", io.Discard, func(w io.Writer) error {
		return checkpoint.WriteSafetensors(w, tensors, map[string]string{"origin": "given: " + strings.TrimSpace(filepath.Base(path))})
	})
}
