package main

import (
	"errors"
	"fmt"
	"os"

	"github.com/spf13/cobra"

	"github.com/vggse/vggse-agent/importer"
	"github.com/vggse/vggse-agent/infer"
	"github.com/vggse/vggse-agent/internal/progress"
	"github.com/vggse/vggse-agent/vision"
)

func newImportCmd(s *settings) *cobra.Command {
	var o importer.Options
	var asJSON bool
	var input string
	cmd := &cobra.Command{
		Use:   "import FILE|DIR [--labels FILE|A,B,C] [--preprocess torchvision|KEY=V,…] --out DIR",
		Short: "Make a bundle of a trained network: a PyTorch checkpoint, .safetensors or .onnx",
		Long: `Import makes a bundle of a trained VGG16-SE or VGG16, with or without batch normalization. It reads what
torch.save(model.state_dict(), …) writes, also inside a training script's checkpoint, and .safetensors. No
Python runs: the pickle inside is read with a closed list of names. The sizes are inferred from the shapes of
the weights; batch normalization is folded into the convolutions.

Any other image classifier comes in as .onnx: channels first or last, 1, 3 or 4 of them, bytes or floats, height and
width of any kind, logits, softmax, sigmoid or one score. The graph is rewritten once to one form, and the result is
held against the file on the same pictures before anything is written.

What lies beside the model is read where flags do not say it: preprocessor_config.json, config.json (id2label,
timm's pretrained_cfg), metadata.yaml, metadata.json of Teachable Machine, metadata_properties.json of Custom
Vision, class_indices.json, labels.txt, and the metadata in the file. --like takes
the recipe of a published network.

How pictures become numbers is not in a checkpoint and is never guessed: --preprocess torchvision says
that the network was trained with torchvision's presets (shorter side to round(input·256/224) with
Pillow's bilinear filter, centre crop, ImageNet mean and standard deviation); else give every part:

  resize=squash|shortest-crop|letterbox   size=N|H×W (squash)   shorter=PIXELS   fill=0…255 (letterbox)
  filter=pil-bilinear|pil-bicubic|pil-lanczos|pil-box|pil-hamming|nearest|area|linear|cubic|tf-bilinear
    (pil12-… as Pillow up to 12 has it)
  channels=rgb|bgr|grey   exif=apply|ignore   scale=1/255
  mean=A,B,C   std=A,B,C (after scale, in the order of channels)`,
		Example: `  vggse-agent import best.pth --labels labels.txt --preprocess torchvision --out parts
  vggse-agent import best.safetensors --labels ok,scratched --input 96 --out parts \
    --preprocess resize=squash,filter=area,channels=bgr,scale=1/255,mean=0,0,0,std=1,1,1`,
		Args: exactArgs(1, "one FILE or DIR"),
		RunE: func(cmd *cobra.Command, args []string) error {
			o.Run = runForeignInChild
			o.File, o.InputGiven = args[0], cmd.Flags().Changed("input")
			o.Runtime = func() (infer.Config, error) {
				e, err := s.load()
				if err != nil {
					return infer.Config{}, err
				}
				return e.Config.Infer, nil
			}
			return runImport(cmd, o, input, asJSON)
		},
	}
	f := cmd.Flags()
	f.StringVar(&o.Out, "out", "", "folder to make")
	f.StringVar(&o.Labels, "labels", "", "file with one label a line, or the labels with commas between")
	f.StringVar(&o.Preprocess, "preprocess", "", "torchvision, or KEY=V,… as above")
	f.StringVar(&input, "input", "224",
		"height and width of the input in pixels, or H×W (of .onnx: what the file says)")
	f.StringVar(&o.Like, "like", "",
		"prepared as torchvision:NAME or timm:NAME, with torchvision's labels of ImageNet where nothing else has any")
	f.StringVar(&o.Output, "output", "", "of .onnx: the output with the scores, where there are several")
	f.StringVar(&o.Name, "name", "", "name of the bundle (default: that of the folder)")
	f.StringVar(&o.Version, "version", "1", "version of the bundle")
	f.StringVar(&o.Golden, "golden", "",
		"safetensors file with the tensors input (n×3×S×S) and logits (n×classes), for verify")
	f.StringVar(&o.Key, "key", "", "where in a nested checkpoint the weights are, such as ema")
	f.BoolVar(&asJSON, "json", false, "print one JSON line")
	return cmd
}

func runImport(cmd *cobra.Command, o importer.Options, input string, asJSON bool) error {
	if o.Out == "" {
		return usagef("import wants --out (see '%s --help')", cmd.CommandPath())
	}
	if _, err := os.Stat(o.File); err != nil {
		return fmt.Errorf("import: %s: %w", o.File, err)
	}
	var err error
	o.Height, o.Input, err = importer.ParseInput(input)
	if err != nil || max(o.Height, o.Input) > vision.MaxSize {
		return usagef("import: --input must be 1 to %d pixels, or H×W, got %s", vision.MaxSize, input)
	}
	r, err := importer.Import(cmd.Context(), o, progress.To(cmd.ErrOrStderr()))
	if option := (*importer.OptionError)(nil); errors.As(err, &option) {
		return withCode(exitUsage, err)
	}
	if err != nil {
		return err
	}
	if asJSON {
		return printJSON(cmd.OutOrStdout(), r)
	}
	_, err = fmt.Fprintf(cmd.OutOrStdout(), "%s: %s, %s parameters\n", r.Bundle, r.Architecture,
		grouped(r.Parameters))
	return err
}
