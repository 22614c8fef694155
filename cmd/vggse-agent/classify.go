package main

import (
	"fmt"
	"io"
	"path/filepath"
	"slices"
	"strings"

	"github.com/spf13/cobra"

	"github.com/vggse/vggse-agent/dataset"
	"github.com/vggse/vggse-agent/eval"
)

// classifyFlags are the choices of one classify.
type classifyFlags struct {
	bundle, precision, provider string
	logits, json                bool
	top                         int
}

func newClassifyCmd(s *settings) *cobra.Command {
	var f classifyFlags
	cmd := &cobra.Command{
		Use:   "classify [--bundle DIR] IMAGE…|DIR",
		Short: "Classify pictures",
		Long: `Classifies still pictures with the very preprocessing and runtime of the daemon. A folder is walked;
'file' in the answer is the path as found. A picture that cannot be read is named on stderr, the
others are classified all the same, and the exit code is 1.`,
		Example: "  vggse-agent classify --bundle demo/bundle picture.jpg\n  vggse-agent classify --bundle " +
			"demo/bundle --json --logits pictures/ > answers.jsonl",
		Args: func(_ *cobra.Command, args []string) error {
			if len(args) == 0 {
				return usagef("classify wants pictures or a folder of them (see 'vggse-agent classify --help')")
			}
			return nil
		},
		RunE: func(cmd *cobra.Command, args []string) error { return classify(cmd, s, &f, args) },
	}
	flags := cmd.Flags()
	flags.StringVar(&f.bundle, "bundle", "", "`DIR` with model.yaml (default: the configured one)")
	flags.StringVar(&f.precision, "precision", "", "auto, fp32, fp16, bf16 or int8")
	flags.StringVar(&f.provider, "provider", "", "auto, cpu, openvino, cuda or tensorrt")
	flags.BoolVar(&f.logits, "logits", false, "add the raw scores of every class")
	flags.BoolVar(&f.json, "json", false, "one JSON object for each picture")
	flags.IntVar(&f.top, "top", 5, "classes to show")
	return cmd
}

func classify(cmd *cobra.Command, s *settings, f *classifyFlags, args []string) error {
	files, err := dataset.Files(args)
	if err != nil {
		return err
	}
	network, err := openNetwork(cmd.Context(), s, networkOverrides(f.bundle, f.precision, f.provider)...)
	if err != nil {
		return err
	}
	defer network.Close()
	c, err := eval.NewClassifier(network, f.top)
	if err != nil {
		return err
	}
	failed, labels := 0, network.Bundle.Spec.Labels
	var guesses []dataset.Summary // of pictures in folders that are named like a label
	for _, file := range files {
		a, err := c.Classify(cmd.Context(), file)
		switch {
		case cmd.Context().Err() != nil:
			return cmd.Context().Err()
		case err != nil:
			failed++
			fmt.Fprintln(cmd.ErrOrStderr(), "vggse-agent:", err)
			continue
		}
		guesses = append(guesses, dataset.Summary{Guess: a.Top[0].Index,
			Class: slices.Index(labels, filepath.Base(filepath.Dir(file)))})
		if !f.logits {
			a.Logits = nil
		}
		if err := printAnswer(cmd.OutOrStdout(), a, f.json); err != nil {
			return err
		}
	}
	for _, odd := range dataset.LabelOrder(guesses, labels) {
		fmt.Fprintf(cmd.ErrOrStderr(), "warning: %s: %s (%s)\n", odd.Check, odd.Evidence, odd.Cure)
	}
	if failed > 0 {
		return fmt.Errorf("%d of %d pictures could not be classified", failed, len(files))
	}
	return nil
}

func printAnswer(w io.Writer, a *eval.ImageAnswer, asJSON bool) error {
	if asJSON {
		return printJSON(w, a)
	}
	line := make([]string, len(a.Top))
	for i, s := range a.Top {
		line[i] = fmt.Sprintf("%s %.1f %%", s.Label, 100*s.Score)
	}
	_, err := fmt.Fprintf(w, "%s\t%s\t(%s, %s, %.1f ms)\n", a.File, strings.Join(line, ", "), a.Provider, a.Precision,
		a.LatencyMS)
	if err == nil && a.Logits != nil {
		_, err = fmt.Fprintf(w, "\tlogits %v\n", a.Logits)
	}
	return err
}
