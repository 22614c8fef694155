package main

import (
	"fmt"
	"runtime"

	"github.com/spf13/cobra"

	"github.com/vggse/vggse-agent/demo"
	"github.com/vggse/vggse-agent/internal/progress"
	"github.com/vggse/vggse-agent/internal/round"
)

// newDemoDataCmd builds the verb demo-data.
func newDemoDataCmd() *cobra.Command {
	var out, size string
	var data demo.Dataset
	var jobs int
	var asJSON bool
	cmd := &cobra.Command{
		Use:   "demo-data --out DIR",
		Short: "Draw labelled pictures of the demo, one folder per class",
		Long: `Draw pictures of parts on a conveyor, as the camera demo://parts shows them, into one folder per
class: what torchvision's ImageFolder, train/train.py and 'vggse-agent calibrate' read. The same seed
gives the same pictures. DIR appears when all of them are written, and must not exist before.`,
		Example: `  vggse-agent demo-data --out build/demo/train --n 26000 --seed 1
  vggse-agent demo-data --out build/demo/test --n 13000 --seed 2`,
		Args: exactArgs(0, "no arguments"),
		RunE: func(cmd *cobra.Command, _ []string) error {
			if out == "" {
				return usagef("demo-data: --out DIR is needed")
			}
			if data.Images < 1 || jobs < 1 {
				return usagef("demo-data: --n and --jobs must be at least 1")
			}
			if _, err := fmt.Sscanf(size, "%dx%d\n", &data.Width, &data.Height); err != nil ||
				data.Height < 64 || data.Width < data.Height || data.Width > 8192 {
				return usagef("demo-data: --size %q must be WIDTHxHEIGHT, no higher than wide, 64 to 8192 pixels", size)
			}
			if err := demo.MakeDataset(cmd.Context(), out, data, jobs, progress.To(cmd.ErrOrStderr())); err != nil {
				return fmt.Errorf("demo-data: %w", err)
			}
			if asJSON {
				return printJSON(cmd.OutOrStdout(), struct {
					Images  int      `json:"images"`
					Classes []string `json:"classes"`
				}{data.Images, demo.Classes()})
			}
			fmt.Fprintf(cmd.OutOrStdout(), "%s of %d classes in %s\n", round.Pictures(data.Images),
				len(demo.Classes()), out)
			return nil
		},
	}
	f := cmd.Flags()
	f.StringVar(&out, "out", "", "folder to make")
	f.IntVar(&data.Images, "n", 1300, "number of pictures")
	f.Uint64Var(&data.Seed, "seed", 1, "seed; another one gives other pictures of the same kind")
	f.StringVar(&size, "size", "320x180", "width and height in pixels")
	f.IntVar(&jobs, "jobs", runtime.NumCPU(), "pictures drawn at the same time")
	f.BoolVar(&asJSON, "json", false, "one JSON object on stdout")
	return cmd
}
