package main

import (
	"errors"
	"fmt"
	"path/filepath"
	"slices"

	"github.com/spf13/cobra"

	"github.com/vggse/vggse-agent/dataset"
	"github.com/vggse/vggse-agent/eval"
	"github.com/vggse/vggse-agent/internal/round"
)

// classifyFlags are the choices of one classify.
type classifyFlags struct {
	bundle, precision, provider string
	logits, json, csv           bool
	top, frames, every          int
}

func newClassifyCmd(s *settings) *cobra.Command {
	var f classifyFlags
	cmd := &cobra.Command{
		Use:   "classify [--bundle DIR] IMAGE…|DIR|FILM|URI",
		Short: "Classify pictures, films and streams",
		Long: `Classifies still pictures with the very preprocessing and runtime of the daemon. A folder is walked;
'file' in the answer is the path as found. A picture that cannot be read is named on stderr, the
others are classified all the same, and the exit code is 1.

Films, and cameras by the URIs of 'cameras', are opened in a process of their own as the daemon does:
of a film every frame is classified, as fast as it goes, of a camera the newest each time, until
Ctrl-C or --frames. 'frame' is its number. A film that is cut off counts as a damaged picture does.`,
		Example: `  vggse-agent classify --bundle demo/bundle picture.jpg
  vggse-agent classify --bundle demo/bundle --json --logits pictures/ > answers.jsonl
  vggse-agent classify --bundle demo/bundle --csv --every 25 film.mp4 > answers.csv
  vggse-agent classify --bundle demo/bundle --frames 100 rtsp://user:password@camera.local/stream`,
		Args: func(_ *cobra.Command, args []string) error {
			switch {
			case len(args) == 0:
				return usagef("classify wants pictures, a folder of them, films or URIs, and got none " +
					"(see 'vggse-agent classify --help')")
			case f.json && f.csv:
				return usagef("classify: --json or --csv, not both")
			case f.frames < 0 || f.every < 1:
				return usagef("classify: --frames must be at least 0, --every at least 1")
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
	flags.BoolVar(&f.csv, "csv", false, "one line of comma-separated values for each picture, the first their names")
	flags.IntVar(&f.top, "top", 5, "classes to show")
	flags.IntVar(&f.frames, "frames", 0, "frames of each film or stream to classify, at most (0: all)")
	flags.IntVar(&f.every, "every", 1, "of films and streams: classify each such frame only")
	return cmd
}

func classify(cmd *cobra.Command, s *settings, f *classifyFlags, args []string) error {
	if f.top < 1 {
		return usagef("classify: --top must be at least 1, got %d", f.top)
	}
	sources, stills := splitSources(args)
	files, roots, bad := picturesOf(cmd, stills)
	if len(files)+len(sources) == 0 {
		return errors.Join(bad...)
	}
	for _, err := range bad {
		fmt.Fprintln(cmd.ErrOrStderr(), "vggse-agent:", err)
	}
	network, decide, err := openDeciding(cmd.Context(), s, networkOverrides(f.bundle, f.precision, f.provider)...)
	if err != nil {
		return err
	}
	defer network.Close()
	c, err := eval.NewClassifier(network, f.top)
	if err != nil {
		return err
	}
	c.UnknownBelow = decide.UnknownBelow
	if why := network.NoKnown(); c.UnknownBelow > 0 && why != "" {
		fmt.Fprintln(cmd.ErrOrStderr(), "warning:", why)
	}
	labels := network.Bundle.Spec.Labels
	show := f.printer(cmd.OutOrStdout(), labels)
	failed, err := classifyFiles(cmd, c, files, roots, labels, show)
	if err != nil {
		return err
	}
	for _, source := range sources {
		if err := classifySource(cmd.Context(), c, source, f, show); err != nil {
			if cmd.Context().Err() != nil {
				return cmd.Context().Err()
			}
			failed++
			fmt.Fprintln(cmd.ErrOrStderr(), "vggse-agent:", err)
		}
	}
	failed += len(bad)
	switch all := len(files) + len(bad) + len(sources); {
	case failed > 0 && len(sources) == 0:
		return fmt.Errorf("%d of %s could not be classified", failed, round.Pictures(all))
	case failed > 0 && all == 1:
		return errors.New("the source could not be classified to its end")
	case failed > 0:
		return fmt.Errorf("%d of %d pictures and sources could not be classified to their end", failed, all)
	}
	return nil
}

// picturesOf lists the pictures that the arguments mean, each with the folder that was given, with an error for
// each argument that means none, and tells what is left out of folders.
func picturesOf(cmd *cobra.Command, args []string) (files, roots []string, bad []error) {
	for _, arg := range args {
		some, err := dataset.Files(arg)
		if err != nil && isBundle(arg) {
			err = fmt.Errorf("%s is a bundle, not pictures: classify takes it as --bundle %s", arg, arg)
		}
		if err != nil {
			bad = append(bad, err)
			continue
		}
		root := filepath.Dir(arg)
		if files = append(files, some...); some[0] != arg {
			warn(cmd, dataset.LeftOut(arg))
			root = arg
		}
		roots = append(roots, slices.Repeat([]string{root}, len(some))...)
	}
	return files, roots, bad
}

// warn tells what is odd about a folder.
func warn(cmd *cobra.Command, found []dataset.Finding) {
	for _, odd := range found {
		fmt.Fprintf(cmd.ErrOrStderr(), "warning: %s: %s (%s)\n", odd.Check, odd.Evidence, odd.Cure)
	}
}

// classifyFiles classifies pictures; those that cannot be read are told and counted. Where they lie
// in folders of labels that are in another order, that is told, too.
func classifyFiles(cmd *cobra.Command, c *eval.Classifier, files, roots, labels []string,
	show func(*eval.ImageAnswer) error) (failed int, err error) {
	var guesses []dataset.Summary // of pictures in folders that are named like a label
	for i, file := range files {
		a, err := c.Classify(cmd.Context(), file)
		switch {
		case cmd.Context().Err() != nil:
			return failed, cmd.Context().Err()
		case err != nil:
			failed++
			fmt.Fprintln(cmd.ErrOrStderr(), "vggse-agent:", err)
			continue
		}
		guesses = append(guesses, dataset.Summary{Guess: a.Top[0].Index,
			Class: dataset.LabelAbove(roots[i], file, labels)})
		if err := show(a); err != nil {
			return failed, err
		}
	}
	warn(cmd, dataset.LabelOrder(guesses, labels))
	return failed, nil
}
