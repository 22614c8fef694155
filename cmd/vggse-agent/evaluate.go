package main

import (
	"context"
	"fmt"
	"io"
	"os"
	"runtime"
	"text/tabwriter"

	"github.com/spf13/cobra"

	"github.com/vggse/vggse-agent/eval"
	"github.com/vggse/vggse-agent/infer"
	"github.com/vggse/vggse-agent/internal/progress"
	"github.com/vggse/vggse-agent/internal/round"
)

type evaluateFlags struct {
	eval.Options
	out, precision, provider string
	json                     bool
}

func newEvaluateCmd(s *settings) *cobra.Command {
	var f evaluateFlags
	cmd := &cobra.Command{
		Use:   "evaluate BUNDLE --images DIR",
		Short: "Measure a bundle on labelled pictures: accuracy, confusions, scores, and beside another bundle",
		Long: `Evaluate classifies the pictures below DIR, whose folders are named like labels, as the daemon would, and
says how many answers are right, class by class, which classes are taken for which, whether scores mean
what they say, and which mistakes are the surest. --against does the same with another bundle on the same
pictures and says whether the first is better (McNemar's exact test); classes are compared by name.`,
		Example: `  vggse-agent evaluate demo/bundle --images build/pictures
  vggse-agent evaluate build/int8 --images build/pictures --against demo/bundle --out build/evaluation`,
		Args: exactArgs(1, "one BUNDLE"),
		RunE: func(cmd *cobra.Command, args []string) error {
			if f.Images == "" || f.Workers < 1 {
				return usagef("evaluate wants --images DIR, and --workers of at least 1")
			}
			if info, err := os.Stat(f.out); err == nil && !info.IsDir() { // before the work, not after it
				return fmt.Errorf("evaluate: --out %s is a file: give a folder", f.out)
			}
			if f.out != "" && isBundle(f.out) {
				return fmt.Errorf("evaluate: --out %s is a bundle, whose report is that of calibrate or prune: give "+
					"another folder", f.out)
			}
			f.Bundle, f.Tool = args[0], "vggse-agent "+version
			open := func(ctx context.Context, dir string) (*infer.Network, error) {
				return openNetwork(ctx, s, networkOverrides(dir, f.precision, f.provider)...)
			}
			e, err := eval.Run(cmd.Context(), open, f.Options, progress.To(cmd.ErrOrStderr()))
			if err == nil && f.out != "" {
				err = e.Write(f.out)
			}
			if err != nil {
				return err
			}
			if f.json {
				return printJSON(cmd.OutOrStdout(), e)
			}
			return printEvaluation(cmd.OutOrStdout(), e, f.out)
		},
	}
	flags := cmd.Flags()
	flags.StringVar(&f.Images, "images", "", "`DIR` of pictures, in folders that are named like labels")
	flags.StringVar(&f.Against, "against", "", "another `BUNDLE` to compare with")
	flags.StringVar(&f.out, "out", "", "`DIR` for report.json and report.html")
	flags.StringVar(&f.precision, "precision", "", "auto, fp32, fp16, bf16 or int8")
	flags.StringVar(&f.provider, "provider", "", "auto, cpu, openvino, cuda or tensorrt")
	flags.IntVar(&f.Workers, "workers", runtime.NumCPU(), "pictures that are read at the same time")
	flags.BoolVar(&f.json, "json", false, "the content of report.json on stdout")
	return cmd
}

// printEvaluation is the evaluation for a terminal.
func printEvaluation(w io.Writer, e *eval.Evaluation, out string) error {
	fmt.Fprintf(w, "%s, %s on %s: %s, %d labelled\n", e.Bundle, e.Precision, e.Provider,
		round.Pictures(e.Images), e.Labelled)
	if e.Top1 != nil {
		fmt.Fprintf(w, "top-1 %.2f %% (95 %%: %.2f to %.2f), top-5 %.2f %%; scores are off by %.2f %% on average "+
			"(ECE)\n\n",
			100*e.Top1.Value, 100*e.Top1.Low, 100*e.Top1.High, 100*e.Top5.Value, 100*e.Calibration.ECE)
		t := tabwriter.NewWriter(w, 0, 0, 2, ' ', tabwriter.AlignRight)
		fmt.Fprintln(t, "class\tpictures\tfound\tanswers\tright\t")
		for _, c := range e.Classes {
			fmt.Fprintf(t, "%s\t%d\t%.1f %%\t%d\t%.1f %%\t\n", c.Label, c.Recall.Of, 100*c.Recall.Value, c.Precision.Of,
				100*c.Precision.Value)
		}
		if err := t.Flush(); err != nil {
			return err
		}
	}
	for i, m := range e.Confusions[:min(5, len(e.Confusions))] {
		fmt.Fprintf(w, "%s%d × %s", map[bool]string{true: "\ntaken for another: ", false: ", "}[i == 0], m.Count,
			m.Labels)
	}
	if len(e.Confusions) > 0 {
		fmt.Fprintln(w)
	}
	if c := e.Against; c != nil {
		fmt.Fprintf(w, "against %s, %s on %s: %s\n", c.Bundle, c.Precision, c.Provider, c.Verdict)
	}
	for _, f := range e.Findings {
		fmt.Fprintf(w, "%s: %s: %s (%s)\n", f.Severity, f.Check, f.Evidence, f.Cure)
	}
	if out != "" {
		_, err := fmt.Fprintf(w, "%s has report.html and report.json\n", out)
		return err
	}
	return nil
}
