package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"text/tabwriter"

	"github.com/spf13/cobra"

	"github.com/vggse/vggse-agent/bundle"
	"github.com/vggse/vggse-agent/dataset"
	"github.com/vggse/vggse-agent/eval"
	"github.com/vggse/vggse-agent/internal/atomicfile"
	"github.com/vggse/vggse-agent/internal/progress"
)

type evaluateFlags struct {
	images, against, out, precision, provider string
	workers                                   int
	json                                      bool
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
			if f.images == "" || f.workers < 1 {
				return usagef("evaluate wants --images DIR, and --workers of at least 1")
			}
			e, err := evaluate(cmd, s, args[0], &f)
			if err == nil && f.out != "" {
				err = writeEvaluation(f.out, e)
			}
			if err != nil {
				return fmt.Errorf("evaluate: %w", err)
			}
			if f.json {
				return printJSON(cmd.OutOrStdout(), e)
			}
			return printEvaluation(cmd.OutOrStdout(), e, f.out)
		},
	}
	flags := cmd.Flags()
	flags.StringVar(&f.images, "images", "", "`DIR` of pictures, in folders that are named like labels")
	flags.StringVar(&f.against, "against", "", "another `BUNDLE` to compare with")
	flags.StringVar(&f.out, "out", "", "`DIR` for report.json and report.html")
	flags.StringVar(&f.precision, "precision", "", "auto, fp32, fp16 or int8")
	flags.StringVar(&f.provider, "provider", "", "auto, cpu, cuda or tensorrt")
	flags.IntVar(&f.workers, "workers", runtime.NumCPU(), "pictures that are read at the same time")
	flags.BoolVar(&f.json, "json", false, "the content of report.json on stdout")
	return cmd
}

// evaluate measures the bundle in dir, and the other one.
func evaluate(cmd *cobra.Command, s *settings, dir string, f *evaluateFlags) (*eval.Evaluation, error) {
	ctx, show := cmd.Context(), progress.To(cmd.ErrOrStderr())
	own, err := bundle.Open(dir)
	if err != nil {
		return nil, err
	}
	pictures, found, err := dataset.List(ctx, f.images, own.Spec.Labels)
	if err != nil {
		return nil, err
	}
	labelled := 0
	for _, p := range pictures {
		if p.Label >= 0 {
			labelled++
		}
	}
	if labelled == 0 && f.against == "" {
		return nil, fmt.Errorf("no folder below %s is named like a label (%s, …): put the pictures into such folders, "+
			"or compare with --against BUNDLE", f.images, own.Spec.Labels[0])
	}
	e, answers, err := answered(ctx, s, dir, f, pictures, show)
	if err != nil {
		return nil, err
	}
	e.Findings = append(e.Findings, found...)
	if f.against == "" {
		return e, nil
	}
	other, err := bundle.Open(f.against)
	if err != nil {
		return nil, err
	}
	o, others, err := answered(ctx, s, f.against, f, pictures, show)
	if err != nil {
		return nil, err
	}
	e.Against = eval.Compare(own.Spec.Labels, answers, other.Spec.Labels, others)
	e.Against.Bundle, e.Against.SHA256, e.Against.Precision, e.Against.Provider = o.Bundle, o.SHA256, o.Precision,
		o.Provider
	return e, nil
}

// answered opens the bundle in dir and lets it answer.
func answered(ctx context.Context, s *settings, dir string, f *evaluateFlags, pictures []dataset.Picture,
	show *progress.Progress) (e *eval.Evaluation, answers []eval.Answer, err error) {
	n, err := openNetwork(ctx, s, networkOverrides(dir, f.precision, f.provider)...)
	if err != nil {
		return nil, nil, err
	}
	defer func() { err = errors.Join(err, n.Close()) }()
	spec, info := &n.Bundle.Spec, n.Info()
	bar := show.Start("classifying with "+filepath.Base(filepath.Clean(dir)), int64(len(pictures)))
	defer bar.Done()
	if answers, err = eval.Answers(ctx, n, pictures, f.workers, bar); err != nil {
		return nil, nil, err
	}
	e = eval.NewEvaluation(spec.Labels, answers)
	e.Tool, e.Bundle = "vggse-agent "+version, strings.TrimSpace(spec.Name+" "+spec.Version)
	e.SHA256, e.Precision, e.Provider = n.SHA256, info.Precision, info.Provider
	return e, answers, nil
}

func writeEvaluation(dir string, e *eval.Evaluation) error {
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return err
	}
	return errors.Join(atomicfile.WriteJSON(filepath.Join(dir, "report.json"), e),
		atomicfile.WriteFile(filepath.Join(dir, "report.html"),
			func(w io.Writer) error { return eval.WriteHTML(w, e) }))
}

// printEvaluation is the evaluation for a terminal.
func printEvaluation(w io.Writer, e *eval.Evaluation, out string) error {
	fmt.Fprintf(w, "%s, %s on %s: %d pictures, %d labelled\n", e.Bundle, e.Precision, e.Provider, e.Images, e.Labelled)
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
