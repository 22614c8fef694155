package main

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"runtime"

	"github.com/spf13/cobra"

	"github.com/vggse/vggse-agent/infer"
	"github.com/vggse/vggse-agent/internal/progress"
	"github.com/vggse/vggse-agent/internal/round"
	"github.com/vggse/vggse-agent/teach"
)

func newFeaturesCmd(s *settings) *cobra.Command {
	var o teach.ExportOptions
	var precision, provider string
	var asJSON bool
	cmd := &cobra.Command{
		Use:   "features BUNDLE --images DIR --out FILE",
		Short: "Write what the last layer reads of each picture, for other programs",
		Long: `Features classifies the pictures below DIR and writes the vector in front of the last layer of each into
a safetensors file: the tensor features, float32 [images, dim]. Its metadata holds, as JSON, "files",
the path of each row, and "labels", its label or the name of its folder.`,
		Example: "  vggse-agent features demo/bundle --images build/pictures --out build/features.safetensors",
		Args:    exactArgs(1, "one BUNDLE"),
		RunE: func(cmd *cobra.Command, args []string) error {
			if o.Images == "" || o.Out == "" || o.Workers < 1 {
				return usagef("features wants --images DIR and --out FILE, and --workers of at least 1")
			}
			if _, err := os.Stat(filepath.Dir(o.Out)); err != nil {
				return fmt.Errorf("features: --out %s: there is no folder %s", o.Out, filepath.Dir(o.Out))
			}
			if info, err := os.Stat(o.Out); err == nil && info.IsDir() { // before the work, not after it
				return fmt.Errorf("features: --out %s is a folder: give a file, such as %s", o.Out,
					filepath.Join(o.Out, "features.safetensors"))
			}
			open := func(ctx context.Context, dir, _ string) (*infer.Network, error) {
				return openNetwork(ctx, s, networkOverrides(dir, precision, provider)...)
			}
			o.Bundle = args[0]
			x, err := teach.Export(cmd.Context(), open, o, progress.To(cmd.ErrOrStderr()))
			if err != nil {
				return err
			}
			warn(cmd, x.Findings)
			if asJSON {
				return printJSON(cmd.OutOrStdout(), x)
			}
			left := ""
			if x.Unreadable > 0 {
				left = fmt.Sprintf("; %d cannot be read, left out", x.Unreadable)
			}
			_, err = fmt.Fprintf(cmd.OutOrStdout(), "%s holds %d features of each of %s%s\n", o.Out, x.Dim,
				round.Pictures(x.Images), left)
			return err
		},
	}
	flags := cmd.Flags()
	flags.StringVar(&o.Images, "images", "", "`DIR` of pictures")
	flags.StringVar(&o.Out, "out", "", "`FILE` to write, .safetensors")
	flags.BoolVar(&o.Views, "views", false,
		"write the tensor views, too, float32 [images, views, dim]: the looks at each picture that teach fits to")
	flags.StringVar(&precision, "precision", "", "auto, fp32, fp16, bf16 or int8")
	flags.StringVar(&provider, "provider", "", "auto, cpu, openvino, cuda or tensorrt")
	flags.IntVar(&o.Workers, "workers", runtime.NumCPU(), "pictures that are read at the same time")
	flags.BoolVar(&asJSON, "json", false, "the summary as JSON on stdout")
	return cmd
}
