package main

import (
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/vggse/vggse-agent/bundle"
	"github.com/vggse/vggse-agent/infer"
	"github.com/vggse/vggse-agent/infer/roofline"
	"github.com/vggse/vggse-agent/internal/round"
	"github.com/vggse/vggse-agent/vgg16se"
	"github.com/vggse/vggse-agent/vision"
)

// benchLine is what the verb prints with --json.
type benchLine struct {
	Provider  string  `json:"provider"`
	Precision string  `json:"precision"`
	Threads   int     `json:"threads"`
	Batch     int     `json:"batch"`
	P50       float64 `json:"p50_ms"`
	P90       float64 `json:"p90_ms"`
	P99       float64 `json:"p99_ms"`
	Images    float64 `json:"images_per_s"`
	RSS       int     `json:"rss_mb"`
	GMACs     float64 `json:"gmacs_per_s,omitempty"` // of a VGG16-SE; what a foreign network computes is not known
	Runs      int     `json:"runs"`
	Load      float64 `json:"load_ms"`
	roofline.Roofline
}

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
		Long: `Bench runs the network alone, without camera and broker, on made-up pictures: first for a fifth of the time
unmeasured, then for the given seconds. Latencies are of one run, which is one batch. With neither --precision nor
--provider it compares all that can be had in one table. The ceilings are what the provider reaches in FP32 in a plain
matrix product, and in reading weights that are used once. On CUDA an INT8 file runs de-quantized: right, and not faster.`,
		Example: "  vggse-agent bench demo/bundle\n  vggse-agent bench --threads 1 --seconds 20 --json demo/bundle",
		Args:    exactArgs(1, "one BUNDLE"),
		RunE: func(cmd *cobra.Command, args []string) error {
			if f.seconds <= 0 || f.seconds > 86400 {
				return usagef("--seconds must be more than 0 and at most 86400, got %g", f.seconds)
			}
			if f.batch < 1 {
				return usagef("--batch must be at least 1, got %d", f.batch)
			}
			if !cmd.Flags().Changed("precision") && !cmd.Flags().Changed("provider") {
				return benchAll(cmd, args[0], f.asJSON)
			}
			return bench(cmd, s, args[0], &f)
		},
	}
	flags := cmd.Flags()
	flags.StringVar(&f.precision, "precision", "auto", "auto, fp32, fp16 or int8")
	flags.StringVar(&f.provider, "provider", "auto", "auto, cpu, cuda or tensorrt")
	flags.IntVar(&f.threads, "threads", 0, "threads of the CPU provider; 0 is one for each core")
	flags.IntVar(&f.batch, "batch", 1, "pictures in one run")
	flags.Float64Var(&f.seconds, "seconds", 5, "how long to measure")
	flags.BoolVar(&f.asJSON, "json", false, "print one JSON line for each precision and provider")
	return cmd
}

// bench measures one.
func bench(cmd *cobra.Command, s *settings, dir string, f *benchFlags) (err error) {
	ctx := cmd.Context()
	s.options.Set = append(s.options.Set, fmt.Sprint("infer.threads=", f.threads),
		fmt.Sprint("infer.max_batch=", f.batch))
	network, err := openNetwork(ctx, s, dir, f.precision, f.provider)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, network.Close()) }()
	info, spec := network.Info(), &network.Bundle.Spec
	for _, a := range info.Tried {
		fmt.Fprintf(cmd.ErrOrStderr(), "not on %s: %v\n", a.Provider, a.Err)
	}
	in := vision.NewTensor(f.batch, 3, spec.Architecture.InputSize, spec.Architecture.InputSize)
	random := rand.New(rand.NewPCG(1, 1))
	for i := range in.Data {
		in.Data[i] = 2*random.Float32() - 1
	}
	out := make(vision.Logits, f.batch*len(spec.Labels))
	length := time.Duration(f.seconds * float64(time.Second))
	if _, err := roofline.Measure(ctx, network.Engine, in, out, length/5); err != nil {
		return err
	}
	took, err := roofline.Measure(ctx, network.Engine, in, out, length)
	if err != nil {
		return err
	}
	line := benchResult(took, info, f.batch)
	var macs int64
	if a, err := vgg16se.FromManifest(spec.Architecture); err == nil {
		macs, _ = a.MACs()
		line.GMACs = round.Three(line.Images * float64(macs) / 1e9)
	}
	if err := network.Close(); err != nil { // its memory, for the ceilings
		return err
	}
	e, err := s.load()
	if err != nil {
		return err
	}
	if err := line.roofs(ctx, e.Config.Infer, filepath.Join(dir, network.File), macs, length/5,
		cmd.ErrOrStderr()); err != nil {
		return err
	}
	if f.asJSON {
		return printJSON(cmd.OutOrStdout(), line)
	}
	return line.print(cmd.OutOrStdout(), spec, info.Version)
}

func benchResult(took []time.Duration, info infer.Info, batch int) benchLine {
	var sum time.Duration
	for _, d := range took {
		sum += d
	}
	slices.Sort(took)
	percentile := func(p int) float64 { return round.Milliseconds(took[(len(took)-1)*p/100]) }
	return benchLine{
		Provider: info.Provider, Precision: info.Precision, Threads: info.Threads, Batch: batch,
		P50: percentile(50), P90: percentile(90), P99: percentile(99),
		Images: round.Three(float64(len(took)*batch) / sum.Seconds()), RSS: residentMB(),
		Runs: len(took), Load: round.Milliseconds(info.Load + info.WarmUp),
	}
}

func (l *benchLine) print(w io.Writer, spec *bundle.Spec, version string) error {
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

// residentMB is the memory of this process that is in RAM, in MiB; 0 where /proc does not say.
func residentMB() int {
	text, _ := os.ReadFile("/proc/self/status")
	for line := range strings.Lines(string(text)) {
		if value, ok := strings.CutPrefix(line, "VmRSS:"); ok {
			kb, _ := strconv.Atoi(strings.Fields(value)[0])
			return kb >> 10
		}
	}
	return 0
}
