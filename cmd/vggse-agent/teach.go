package main

import (
	"context"
	"fmt"
	"io"
	"runtime"
	"strings"
	"text/tabwriter"

	"github.com/spf13/cobra"

	"github.com/vggse/vggse-agent/infer"
	"github.com/vggse/vggse-agent/internal/progress"
	"github.com/vggse/vggse-agent/internal/round"
	"github.com/vggse/vggse-agent/teach"
)

func newTeachCmd(s *settings) *cobra.Command {
	var o teach.Options
	var provider string
	var asJSON bool
	points := 0.5
	cmd := &cobra.Command{
		Use:   "teach BUNDLE --images DIR [--add-only] --out DIR",
		Short: "Correct the last layer of a bundle, or give it new classes, with labelled pictures",
		Long: `Teach fits the last layer of a network anew, to pictures in folders that are named like labels: those
that the bundle has, in its order, and new ones, which come behind. The layers below stay as they are,
and with them the INT8 files: no calibration is needed again. With 5 or more pictures of every label the
layer is a logistic regression, with fewer it answers with the nearest mean.

The report says whether the network got better, on pictures that the layer that answered had not seen;
pictures of one camera and minute (by the file names of 'samples') never stand on both sides. New labels
answer only where about --old-may-lose points of the old ones' pictures are lost to them. Where old
labels are proven to lose more than that and than a point, or a new one is proven to be found in under 90 %, --out
gets the reports only, and the exit code is 3.`,
		Example: `  vggse-agent teach demo/bundle --images build/pictures --out build/taught
  vggse-agent evaluate build/taught --images build/others --against demo/bundle`,
		Args: exactArgs(1, "one BUNDLE"),
		RunE: func(cmd *cobra.Command, args []string) error {
			if o.Images == "" || o.Out == "" || o.Workers < 1 {
				return usagef("teach wants --images DIR and --out DIR, and --workers of at least 1")
			}
			if !(points >= 0 && points <= 100) {
				return usagef("--old-may-lose is %g: points of the old labels' pictures, 0 to 100", points)
			}
			o.Bundle, o.Tool, o.MayLose = args[0], "vggse-agent "+version, points/100
			open := func(ctx context.Context, dir, precision string) (*infer.Network, error) {
				return openNetwork(ctx, s, networkOverrides(dir, precision, provider)...)
			}
			if err := stepBack(); err != nil { // an agent beside it goes first
				fmt.Fprintln(cmd.ErrOrStderr(), "warning: an agent beside this may lose frames:", err)
			}
			r, err := teach.Run(cmd.Context(), open, o, progress.To(cmd.ErrOrStderr()))
			if err != nil {
				return err
			}
			if asJSON {
				err = printJSON(cmd.OutOrStdout(), r)
			} else {
				err = printTeaching(cmd.OutOrStdout(), r, o.Out)
			}
			if err == nil && len(r.Missed) > 0 {
				err = withCode(exitGate, fmt.Errorf("teach: %s: no bundle was put into %s, see its report.html",
					strings.Join(r.Missed, "; "), o.Out))
			}
			return err
		},
	}
	flags := cmd.Flags()
	flags.StringVar(&o.Images, "images", "", "`DIR` of pictures, in folders that are named like labels, old and new")
	flags.BoolVar(&o.AddOnly, "add-only", false,
		"labels without pictures are fitted to what the bundle has stored of them when it was taught before")
	flags.Float64Var(&points, "old-may-lose", points,
		"`POINTS` of the old labels' pictures that may be lost to new ones; 100: as many as it takes to answer best")
	flags.StringVar(&o.Out, "out", "", "`DIR` of the bundle to make")
	flags.BoolVar(&o.Flip, "flip", false, "a mirrored picture shows the same label: fit to mirrored ones, too")
	flags.StringVar(&provider, "provider", "", "auto, cpu, openvino, cuda or tensorrt")
	flags.IntVar(&o.Workers, "workers", runtime.NumCPU(), "pictures that are read at the same time")
	flags.BoolVar(&asJSON, "json", false, "the content of report.json on stdout")
	return cmd
}

// printTeaching is the report for a terminal.
func printTeaching(w io.Writer, r *teach.Report, out string) error {
	fmt.Fprintf(w, "%s\n\n%s with %s (%s), %s on %s\n", r.Verdict, r.Method, round.Pictures(r.Pictures),
		round.Count(r.Groups, "moment", "moments"), r.Precision, r.Provider)
	t := tabwriter.NewWriter(w, 0, 0, 2, ' ', tabwriter.AlignRight)
	fmt.Fprintln(t, "label\tpictures\tfound\tanswers\tright\t")
	for _, c := range r.After.Classes {
		fmt.Fprintf(t, "%s\t%d\t%.1f %%\t%d\t%.1f %%\t\n", c.Label, c.Recall.Of, 100*c.Recall.Value, c.Precision.Of,
			100*c.Precision.Value)
	}
	if err := t.Flush(); err != nil {
		return err
	}
	for i, p := range r.Curve {
		fmt.Fprintf(w, "%s%d: %.1f %%", map[bool]string{true: "\ntop-1 by pictures: ", false: ", "}[i == 0], p.Pictures,
			100*p.Top1.Value)
	}
	fmt.Fprintln(w)
	if u := r.Unknown; u != nil {
		fmt.Fprintf(w, "a label that is left out is told as unknown in %.1f %% of pairs, before in %.1f %%\n",
			100*u.After, 100*u.Before)
	}
	for _, f := range r.Findings {
		fmt.Fprintf(w, "%s: %s: %s (%s)\n", f.Severity, f.Check, f.Evidence, f.Cure)
	}
	what := "the bundle, report.json and report.html"
	if len(r.Missed) > 0 {
		what = "report.json and report.html"
	}
	_, err := fmt.Fprintf(w, "%s now holds %s\n", out, what)
	return err
}
