package main

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"text/tabwriter"

	"github.com/spf13/cobra"

	"github.com/vggse/vggse-agent/bundle"
	"github.com/vggse/vggse-agent/infer"
	"github.com/vggse/vggse-agent/infer/roofline"
	"github.com/vggse/vggse-agent/internal/selfexec"
)

// benchAll measures every precision of the bundle on every provider, each in a process of its own:
// memory is that of one network, and a driver that crashes takes one line with it. What cannot be
// had is said on stderr, why.
func benchAll(cmd *cobra.Command, dir string, asJSON bool) error {
	b, err := bundle.Open(dir)
	if err != nil {
		return err
	}
	var lines []*roofline.Result
	for _, provider := range []string{infer.TensorRT, infer.CUDA, infer.OpenVINO, infer.CPU} {
		for _, precision := range []string{"int8", "fp16", "bf16", "fp32"} {
			if precision == "bf16" && provider != infer.OpenVINO {
				continue // no other has it
			}
			line, err := benchInChild(cmd, dir, precision, provider)
			switch {
			case err == nil && asJSON:
				lines = append(lines, line)
				err = printJSON(cmd.OutOrStdout(), line)
			case err == nil:
				lines = append(lines, line)
			case cmd.Context().Err() != nil:
				return cmd.Context().Err()
			default:
				fmt.Fprintf(cmd.ErrOrStderr(), "not %s on %s: %v\n", precision, provider, err)
				err = nil
			}
			if err != nil {
				return err
			}
		}
	}
	switch {
	case len(lines) == 0:
		return errors.New("bench: this bundle runs here in no precision on no provider")
	case asJSON:
		return nil
	}
	return printTable(cmd.OutOrStdout(), &b.Spec, lines)
}

// benchInChild runs the same command line again, for one precision on one provider.
func benchInChild(cmd *cobra.Command, dir, precision, provider string) (*roofline.Result, error) {
	args := append([]string{"bench"}, selfexec.Flags(cmd.Flags())...)
	args = append(args, "--json", "--precision", precision, "--provider", provider, dir)
	stdout, err := selfexec.Run(cmd.Context(), args, nil)
	if err != nil {
		return nil, err
	}
	line := new(roofline.Result)
	if err := json.Unmarshal(stdout, line); err != nil {
		return nil, fmt.Errorf("its process answers %q: %w", stdout, err)
	}
	return line, nil
}

func printTable(w io.Writer, spec *bundle.Spec, lines []*roofline.Result) error {
	fmt.Fprintf(w, "%s %s: batch %d, %d threads of the CPU, %d multiply-adds/picture (10⁶)\n", spec.Name, spec.Version,
		lines[0].Batch, lines[0].Threads, int64(lines[0].MACs*1000+0.5))
	t := tabwriter.NewWriter(w, 0, 0, 2, ' ', tabwriter.AlignRight)
	fmt.Fprintln(t, "provider\tprecision\tp50 ms\tp90\tp99\timages/s\tMB\tfile MB\tG mul-add/s\tGB/s\tof the ceiling\t")
	for _, l := range lines {
		ceiling := "–"
		if l.Bound != "" {
			ceiling = fmt.Sprintf("%.0f %% (%s)", 100*l.Share, l.Bound)
		}
		fmt.Fprintf(t, "%s\t%s\t%.2f\t%.2f\t%.2f\t%.1f\t%d\t%.1f\t%.1f\t%.2f\t%s\t\n", l.Provider, l.Precision, l.P50,
			l.P90, l.P99, l.Images, l.RSS, l.Bytes, l.GMACs, l.Bandwidth, ceiling)
	}
	err := t.Flush()
	if l := lines[len(lines)-1]; err == nil && l.TopMACs > 0 {
		_, err = fmt.Fprintf(w,
			"ceilings of %s, measured in fp32: %.1f G mul-add/s in a matrix product, %.1f GB/s of weights used once\n",
			l.Provider, l.TopMACs, l.TopBytes)
	}
	return err
}
