package main

import (
	"fmt"
	"io"
	"path/filepath"
	"time"

	"github.com/spf13/cobra"

	"github.com/vggse/vggse-agent/bundle"
	"github.com/vggse/vggse-agent/internal/atomicfile"
	"github.com/vggse/vggse-agent/internal/progress"
	"github.com/vggse/vggse-agent/onnx"
	"github.com/vggse/vggse-agent/vgg16se"
	"github.com/vggse/vggse-agent/vision"
)

type newOptions struct {
	out    string
	seed   uint64
	arch   vgg16se.Architecture
	asJSON bool
}

func newNewCmd() *cobra.Command {
	var o newOptions
	cmd := &cobra.Command{
		Use:   "new --out DIR",
		Short: "Make a bundle with seeded random weights",
		Long: `New makes a bundle with a VGG16-SE whose weights are random (He-normal, the same for the same
seed): for benchmarks, tests and a first look. It classifies nothing. The preprocessing is torchvision's.`,
		Example: `  vggse-agent new --out /tmp/full
  vggse-agent new --out /tmp/small --width 0.25 --input 96 --hidden 256 --pool 3 --classes 9`,
		Args: exactArgs(0, "no arguments"),
		RunE: func(cmd *cobra.Command, _ []string) error { return runNew(cmd, o) },
	}
	f, full := cmd.Flags(), vgg16se.Architecture{}.Full()
	f.StringVar(&o.out, "out", "", "folder to make")
	f.Uint64Var(&o.seed, "seed", 1, "seed of the weights")
	f.IntVar(&o.arch.InputSize, "input", full.InputSize, "height and width of the input in pixels")
	f.IntVar(&o.arch.Classes, "classes", full.Classes, "number of classes")
	f.Float64Var(&o.arch.Width, "width", full.Width, "factor on the channels")
	f.IntVar(&o.arch.Reduction, "reduction", full.Reduction, "reduction of the attention blocks")
	f.IntVar(&o.arch.Hidden, "hidden", full.Hidden, "neurons of the hidden layers")
	f.IntVar(&o.arch.PoolSize, "pool", full.PoolSize, "height and width after the adaptive average pool")
	f.Var(&o.arch.Attention, "attention", "se, sse, scse, bam, cbam or none (plain VGG16)")
	f.BoolFunc("no-se", "short for --attention none",
		func(string) error { return o.arch.Attention.Set(string(vgg16se.None)) })
	f.BoolVar(&o.asJSON, "json", false, "print one JSON line")
	return cmd
}

func runNew(cmd *cobra.Command, o newOptions) error {
	if o.out == "" {
		return usagef("new wants --out DIR, the folder to make")
	}
	for name, n := range map[string]int{"input": o.arch.InputSize, "classes": o.arch.Classes,
		"reduction": o.arch.Reduction, "hidden": o.arch.Hidden, "pool": o.arch.PoolSize} {
		if n < 1 { // to the architecture, 0 is the article's
			return usagef("new: --%s must be at least 1, got %d", name, n)
		}
	}
	if !(o.arch.Width > 0) {
		return usagef("new: --width must be more than 0, got %g", o.arch.Width)
	}
	if o.arch.Classes < 2 {
		return usagef("new: --classes must be at least 2, got 1: one class is always right")
	}
	graph, err := o.arch.Graph(vgg16se.Seeded(o.seed))
	if err != nil {
		return withCode(exitUsage, err)
	}
	graph.Expose(vgg16se.Output, onnx.AllSignals)
	labels := make([]string, o.arch.Classes)
	for i := range labels {
		labels[i] = fmt.Sprintf("class%d", i)
	}
	spec := vgg16se.NewSpec(o.arch, labels)
	spec.Preprocess = vision.Torchvision(o.arch.InputSize)
	spec.Name, spec.Version = filepath.Base(filepath.Clean(o.out)), "0"
	spec.Provenance = bundle.Provenance{Tool: "vggse-agent new", Seed: o.seed,
		Created: time.Now().UTC().Truncate(time.Second),
		Notes:   "random weights: it classifies nothing"}
	err = atomicfile.NewDir(o.out, func(dir string) error {
		bar := progress.To(cmd.ErrOrStderr()).StartBytes("writing weights", onnx.Size(graph))
		f, err := bundle.WriteFile(cmd.Context(), dir, "fp32.onnx", bar,
			func(w io.Writer) error { return onnx.Write(w, graph) })
		if err != nil {
			return err
		}
		bar.Done()
		spec.Files = map[string]bundle.File{bundle.FileFP32: f}
		return bundle.WriteSpec(dir, &spec)
	})
	if err != nil {
		return fmt.Errorf("new: %w", err)
	}
	parameters, _ := o.arch.Parameters()
	if o.asJSON {
		return printJSON(cmd.OutOrStdout(), struct {
			Bundle     string `json:"bundle"`
			Parameters int64  `json:"parameters"`
		}{o.out, parameters})
	}
	fmt.Fprintf(cmd.OutOrStdout(), "%s: %v, %s parameters\n", o.out, o.arch, grouped(parameters))
	return nil
}
