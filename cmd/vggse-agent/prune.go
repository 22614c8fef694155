package main

import (
	"fmt"
	"io"
	"path/filepath"
	"runtime"
	"strings"
	"text/tabwriter"

	"github.com/spf13/cobra"

	"github.com/vggse/vggse-agent/internal/progress"
	"github.com/vggse/vggse-agent/internal/round"
	"github.com/vggse/vggse-agent/prune"
)

// pruneFlags are the flags of prune; those of Options need no other form.
type pruneFlags struct {
	prune.Options
	target, budget string
	json           bool
}

func newPruneCmd(s *settings) *cobra.Command {
	var f pruneFlags
	cmd := &cobra.Command{
		Use:   "prune BUNDLE --images DIR --target 2x|--budget 0.5pt|--channels FILE --out DIR",
		Short: "Make a bundle's network smaller: whole channels out, the rest fitted anew",
		Long: `Takes whole channels out of a VGG16-SE or a relative of it, through convolutions, attention and
classifier alike. What is left is a plain network of the same kind with irregular widths, smaller
and faster everywhere; 'calibrate' makes it faster still. No training, no labels and no Python:
pictures show which channels the others can stand in for, and how much the answers feel each layer;
the weights that read what is gone are fitted anew by least squares.

--target 2x takes channels out until the network has half the multiply-adds, and those first that
cost the answers least for the time that this machine saves: every layer is timed at every width, on
the CPU provider. --budget 0.5pt finds the smallest network that loses at most half a point of top-1
(of agreement, where folders are not named like labels). The report judges it on pictures that no
choice has seen, those of --eval or a fifth of --images, beside channels chosen by the size of their
weights (L1) and by lot. --channels FILE fits the network that another program's choice leaves:
{"features.0": [0, 2, 3], …} says which channels of a layer stay. --out gets no calibrated files: run
'calibrate' on it.`,
		Example: "  vggse-agent demo-data --out build/pictures --n 4000 --seed 11\n  vggse-agent prune demo/bundle " +
			"--images build/pictures --target 2x --out build/small",
		Args: exactArgs(1, "one BUNDLE"),
		RunE: func(cmd *cobra.Command, args []string) error {
			if err := f.check(); err != nil {
				return err
			}
			e, err := s.load()
			if err != nil {
				return err
			}
			f.Bundle, f.Tool, f.Runtime = args[0], "vggse-agent "+version, e.Config.Infer
			report, err := prune.Run(cmd.Context(), f.Options, progress.To(cmd.ErrOrStderr()))
			if err != nil {
				return err
			}
			return f.print(cmd.OutOrStdout(), report)
		},
	}
	flags := cmd.Flags()
	flags.StringVar(&f.Images, "images", "", "`DIR` of pictures to fit on; a few thousand of what the camera will see")
	flags.StringVar(&f.Eval, "eval", "",
		"`DIR` of pictures to judge on (default: a fifth of --images, which then is not fitted on)")
	flags.StringVar(&f.target, "target", "", "how many times fewer multiply-adds, such as 2x")
	flags.StringVar(&f.budget, "budget", "", "how many points may be lost, such as 0.5pt")
	flags.StringVar(&f.Chosen, "channels", "",
		"JSON `FILE` of another program that says which channels stay, of layers by their names")
	flags.StringVar(&f.Out, "out", "", "`DIR` of the bundle to make")
	flags.IntVar(&f.Workers, "workers", runtime.NumCPU(), "pictures in work at the same time")
	flags.IntVar(&f.Step, "step", 8, "what widths are multiples of")
	flags.Float64Var(&f.Seconds, "seconds", 3, "time to measure latency for")
	flags.BoolVar(&f.json, "json", false, "the content of report.json on stdout")
	return cmd
}

func (f *pruneFlags) check() error {
	wishes := 0
	for _, wish := range []string{f.target, f.budget, f.Chosen} {
		if wish != "" {
			wishes++
		}
	}
	if f.Images == "" || f.Out == "" || wishes != 1 {
		return usagef("prune wants --images DIR, --out DIR and one of --target 2x, --budget 0.5pt and --channels FILE")
	}
	if f.Workers < 1 || f.Seconds < 0 || f.Step%8 != 0 || f.Step < 8 {
		return usagef("prune: --workers must be at least 1, --seconds at least 0, --step a multiple of 8")
	}
	if f.Chosen != "" {
		f.Asked = "as " + filepath.Base(f.Chosen) + " says"
	} else if err := f.Ask(f.target, f.budget); err != nil {
		return usagef("prune: %w", err)
	}
	return nil
}

// print says what came out; points beyond the budget are exit code 3.
func (f *pruneFlags) print(w io.Writer, r *prune.Report) error {
	show := func() error { return printPruning(w, r, f.Out) }
	if f.json {
		show = func() error { return printJSON(w, r) }
	}
	err := show()
	if err == nil && len(r.Missed) > 0 {
		err = withCode(exitGate, fmt.Errorf("prune: %s: no bundle was put into %s, see its report.html",
			strings.Join(r.Missed, "; "), f.Out))
	}
	return err
}

// printPruning is the report for a terminal.
func printPruning(w io.Writer, r *prune.Report, out string) error {
	fmt.Fprintf(w, "%s, fitted on %s, judged on %s; %s, ONNX Runtime %s\n\n", r.Bundle, round.Pictures(r.Fitted),
		round.Count(r.HeldOut, "other", "others"), r.Machine, r.Runtime)
	t := tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)
	fmt.Fprintln(t, "network\tagreement\ttop-1\tchange (95 %)")
	for _, way := range r.Ways {
		top1 := "–"
		if way.Top1 != nil {
			top1 = fmt.Sprintf("%.2f %%", 100**way.Top1)
		}
		fmt.Fprintf(t, "%s\t%.2f %%\t%s\t%+.2f ± %.2f points\n", way.Name, 100*way.Agreement, top1, 0-100*way.Lost,
			100*way.LostHalf)
	}
	if err := t.Flush(); err != nil {
		return err
	}
	b, a := r.Before, r.After
	fmt.Fprintf(w, "\nmultiply-adds %.1f → %.1f million (%.2f×), parameters %s → %s, file %.2f → %.2f MB; %.2f → "+
		"%.2f ms, %.2f× as fast\n%s\n",
		float64(b.MACs)/1e6, float64(a.MACs)/1e6, float64(b.MACs)/float64(a.MACs), grouped(b.Parameters),
		grouped(a.Parameters),
		float64(b.Bytes)/1e6, float64(a.Bytes)/1e6, r.Latency.Before, r.Latency.After, r.Latency.Speedup,
		a.Architecture)
	if len(r.Missed) == 0 {
		fmt.Fprintf(w, "\n%s now holds the bundle and report.html\n", out)
	}
	return nil
}
