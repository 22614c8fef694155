package main

import (
	"errors"
	"fmt"
	"io"
	"path/filepath"
	"time"

	"github.com/spf13/cobra"

	"github.com/vggse/vggse-agent/bundle"
	"github.com/vggse/vggse-agent/infer/roofline"
	"github.com/vggse/vggse-agent/internal/round"
	"github.com/vggse/vggse-agent/vgg16se"
)

type benchFlags struct {
	precision, provider string
	threads, batch      int
	seconds             float64
	asJSON              bool
}

func newBenchCmd(s *settings) *cobra.Command {
	var f benchFlags
	cmd := &cobra.Command{
		Use:   "bench BUNDLE",
		Short: "Measure how fast a bundle's network runs on this machine",
		Long: `Bench runs the network alone, without camera and broker, on made-up pictures: first for a fifth of
the time unmeasured, then for the given seconds. Latencies are of one run, which is one batch. With
neither --precision nor --provider it compares all that can be had in one table. The ceilings are
what the provider reaches in FP32 in a plain matrix product, and in reading weights that are used
once. On CUDA an INT8 file runs de-quantized: right, and not faster.`,
		Example: "  vggse-agent bench demo/bundle\n  vggse-agent bench --threads 1 --seconds 20 --json demo/bundle",
		Args:    exactArgs(1, "one BUNDLE"),
		RunE: func(cmd *cobra.Command, args []string) error {
			if f.seconds <= 0 || f.seconds > 86400 {
				return usagef("--seconds must be more than 0 and at most 86400, got %g", f.seconds)
			}
			if f.batch < 1 {
				return usagef("--batch must be at least 1, got %d", f.batch)
			}
			_, err := s.load(fmt.Sprint("infer.threads=", f.threads), fmt.Sprint("infer.max_batch=", f.batch))
			if err != nil {
				return err // once, not for every precision
			}
			if !cmd.Flags().Changed("precision") && !cmd.Flags().Changed("provider") {
				return benchAll(cmd, args[0], f.asJSON)
			}
			return bench(cmd, s, args[0], &f)
		},
	}
	flags := cmd.Flags()
	flags.StringVar(&f.precision, "precision", "auto", "auto, fp32, fp16, bf16 or int8")
	flags.StringVar(&f.provider, "provider", "auto", "auto, cpu, openvino, cuda or tensorrt")
	flags.IntVar(&f.threads, "threads", 0, "threads of the CPU provider; 0 is one for each core")
	flags.IntVar(&f.batch, "batch", 1, "pictures in one run")
	flags.Float64Var(&f.seconds, "seconds", 5, "how long to measure")
	flags.BoolVar(&f.asJSON, "json", false, "print one JSON line for each precision and provider")
	return cmd
}

// bench measures one.
func bench(cmd *cobra.Command, s *settings, dir string, f *benchFlags) (err error) {
	ctx := cmd.Context()
	overrides := append(networkOverrides(dir, f.precision, f.provider),
		fmt.Sprint("infer.threads=", f.threads), fmt.Sprint("infer.max_batch=", f.batch))
	network, err := openNetwork(ctx, s, overrides...)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, network.Close()) }()
	info, spec := network.Info(), &network.Bundle.Spec
	for _, a := range info.Tried {
		fmt.Fprintf(cmd.ErrOrStderr(), "not on %s: %v\n", a.Provider, a.Err)
	}
	length := time.Duration(f.seconds * float64(time.Second))
	line, err := roofline.Run(ctx, network, f.batch, length)
	if err != nil {
		return err
	}
	var macs int64
	if a, err := vgg16se.FromManifest(spec.Architecture); err == nil {
		macs, _ = a.MACs()
		line.GMACs = round.Three(line.Images * float64(macs) / 1e9)
	}
	if err := network.Close(); err != nil { // its memory, for the ceilings
		return err
	}
	e, err := s.load(overrides...)
	if err != nil {
		return err
	}
	if err := line.HoldAgainst(ctx, e.Config.Infer, filepath.Join(dir, network.File), macs, length/5,
		cmd.ErrOrStderr()); err != nil {
		return err
	}
	if f.asJSON {
		return printJSON(cmd.OutOrStdout(), line)
	}
	return printBench(cmd.OutOrStdout(), line, spec, info.Version)
}

func printBench(w io.Writer, l *roofline.Result, spec *bundle.Spec, version string) error {
	_, err := fmt.Fprintf(w, "%s %s: %s on %s, ONNX Runtime %s, %d threads, batch %d\n",
		spec.Name, spec.Version, l.Precision, l.Provider, version, l.Threads, l.Batch)
	fmt.Fprintf(w, "  loaded and warm in %.0f ms, %d MB resident\n", l.Load, l.RSS)
	fmt.Fprintf(w, "  %d runs: half took at most %.2f ms, 90 %% %.2f ms, 99 %% %.2f ms\n", l.Runs, l.P50, l.P90, l.P99)
	fmt.Fprintf(w, "  %.1f images/s", l.Images)
	if l.GMACs > 0 {
		fmt.Fprintf(w, ", %.1f billion multiply-adds/s", l.GMACs)
	}
	fmt.Fprintf(w, "; %.1f MB of model, %.2f GB/s\n", l.Bytes, l.Bandwidth)
	if l.Bound != "" {
		_, err = fmt.Fprintf(w,
			"  %.0f %% of what bounds it, %s (in fp32: %.1f billion multiply-adds/s in a matrix product, %.1f GB/s "+
				"of weights)\n",
			100*l.Share, l.Bound, l.TopMACs, l.TopBytes)
	}
	return err
}
