package main

import (
	"errors"
	"fmt"
	"io"
	"math"
	"strings"
	"text/tabwriter"

	"github.com/spf13/cobra"

	"github.com/vggse/vggse-agent/bundle"
	"github.com/vggse/vggse-agent/eval"
	"github.com/vggse/vggse-agent/infer"
)

func newCompareCmd(s *settings) *cobra.Command {
	var asJSON bool
	var top int
	cmd := &cobra.Command{
		Use:   "compare BUNDLE IMAGE",
		Short: "Show the logits of one picture for every precision and provider, side by side",
		Long: `Compare classifies one picture with every model file of the bundle on every execution provider of
this machine. What cannot be had is said on stderr; --json prints a line each, as classify does.`,
		Example: "  vggse-agent compare demo/bundle picture.png",
		Args:    exactArgs(2, "a BUNDLE and an IMAGE"),
		RunE: func(cmd *cobra.Command, args []string) error {
			answers, labels, err := compare(cmd, s, args[0], args[1], top)
			if err != nil {
				return err
			}
			for _, a := range answers {
				if asJSON {
					err = errors.Join(err, printJSON(cmd.OutOrStdout(), a))
				}
			}
			if !asJSON {
				err = printColumns(cmd.OutOrStdout(), answers, labels)
			}
			return err
		},
	}
	cmd.Flags().BoolVar(&asJSON, "json", false, "one JSON object for each precision and provider")
	cmd.Flags().IntVar(&top, "top", 5, "classes to show")
	return cmd
}

// compare asks every combination that can be had; the first is the one the others are compared
// with.
func compare(cmd *cobra.Command, s *settings, dir, image string, top int) ([]*eval.ImageAnswer, []string, error) {
	b, err := bundle.Open(dir)
	if err != nil {
		return nil, nil, err
	}
	var answers []*eval.ImageAnswer
	for _, precision := range []string{"fp32", "fp16", "bf16", "int8"} {
		for _, provider := range []string{infer.CPU, infer.OpenVINO, infer.CUDA, infer.TensorRT} {
			if precision == "bf16" && provider != infer.OpenVINO {
				continue // no other has it
			}
			a, err := ask(cmd, s, dir, image, precision, provider, top)
			switch {
			case err == nil:
				answers = append(answers, a)
			case cmd.Context().Err() != nil:
				return nil, nil, cmd.Context().Err()
			case provider == infer.CPU && precision == "fp32":
				// nothing to compare with: the picture, the bundle or the runtime is at fault
				return nil, nil, fmt.Errorf("compare: %w", err)
			default:
				fmt.Fprintf(cmd.ErrOrStderr(), "not %s on %s: %v\n", precision, provider, err)
			}
			if _, ok := b.Spec.Files[precision]; !ok && precision != "bf16" && err != nil {
				break // no such file for any provider
			}
		}
	}
	return answers, b.Spec.Labels, nil
}

// ask classifies the picture once.
func ask(cmd *cobra.Command, s *settings, dir, image, precision, provider string, top int) (*eval.ImageAnswer, error) {
	network, err := openNetwork(cmd.Context(), s, networkOverrides(dir, precision, provider)...)
	if err != nil {
		return nil, err
	}
	defer network.Close()
	c, err := eval.NewClassifier(network, top)
	if err != nil {
		return nil, err
	}
	return c.Classify(cmd.Context(), image)
}

// printColumns writes the best classes of the first answer as rows, one column of logits for each
// answer.
func printColumns(w io.Writer, answers []*eval.ImageAnswer, labels []string) error {
	t := tabwriter.NewWriter(w, 0, 0, 2, ' ', tabwriter.AlignRight)
	row := func(name string, cell func(a *eval.ImageAnswer) string) {
		cells := make([]string, len(answers))
		for i, a := range answers {
			cells[i] = cell(a)
		}
		fmt.Fprintf(t, "%s\t%s\t\n", name, strings.Join(cells, "\t"))
	}
	row("", func(a *eval.ImageAnswer) string { return a.Provider + " " + a.Precision })
	for _, class := range answers[0].Top {
		row(labels[class.Index], func(a *eval.ImageAnswer) string { return fmt.Sprintf("%.4f", a.Logits[class.Index]) })
	}
	row("answer", func(a *eval.ImageAnswer) string { return a.Top[0].Label })
	row("max |Δ|", func(a *eval.ImageAnswer) string {
		worst := 0.0
		for i, v := range a.Logits {
			worst = max(worst, math.Abs(float64(v)-float64(answers[0].Logits[i])))
		}
		return fmt.Sprintf("%.2g", worst)
	})
	row("ms", func(a *eval.ImageAnswer) string { return fmt.Sprintf("%.1f", a.LatencyMS) })
	return t.Flush()
}
