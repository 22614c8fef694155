package main

import (
	"context"
	"fmt"
	"io"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/vggse/vggse-agent/camera"
	"github.com/vggse/vggse-agent/dataset"
	"github.com/vggse/vggse-agent/infer"
	"github.com/vggse/vggse-agent/vision"
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
	flags.StringVar(&f.precision, "precision", "", "auto, fp32, fp16 or int8")
	flags.StringVar(&f.provider, "provider", "", "auto, cpu, cuda or tensorrt")
	flags.BoolVar(&f.logits, "logits", false, "add the raw scores of every class")
	flags.BoolVar(&f.json, "json", false, "one JSON object for each picture")
	flags.IntVar(&f.top, "top", 5, "classes to show")
	return cmd
}

// answer is one line of classify --json.
type answer struct {
	File      string        `json:"file"`
	Top       []scored      `json:"top"`
	Logits    vision.Logits `json:"logits,omitempty"`
	Precision string        `json:"precision"`
	Provider  string        `json:"provider"`
	LatencyMS float64       `json:"latency_ms"` // of the network alone
}

type scored struct {
	Label string  `json:"label"`
	Index int     `json:"index"`
	Score float32 `json:"score"`
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
	c, err := newClassifier(network, f.top)
	if err != nil {
		return err
	}
	failed := 0
	for _, file := range files {
		a, err := c.classify(cmd.Context(), file)
		switch {
		case cmd.Context().Err() != nil:
			return cmd.Context().Err()
		case err != nil:
			failed++
			fmt.Fprintln(cmd.ErrOrStderr(), "vggse-agent:", err)
			continue
		}
		if !f.logits {
			a.Logits = nil
		}
		if err := printAnswer(cmd.OutOrStdout(), a, f.json); err != nil {
			return err
		}
	}
	if failed > 0 {
		return fmt.Errorf("%d of %d pictures could not be classified", failed, len(files))
	}
	return nil
}

// classifier holds the buffers of a run over many pictures.
type classifier struct {
	network *infer.Network
	prep    *vision.Preprocessor
	frame   vision.Frame
	tensor  *vision.Tensor
	logits  vision.Logits
	scores  []float32
	top     int
}

func newClassifier(n *infer.Network, top int) (*classifier, error) {
	spec := &n.Bundle.Spec
	size := spec.Architecture.InputSize
	prep, err := vision.NewPreprocessor(spec.Preprocess, size)
	if err != nil {
		return nil, err
	}
	return &classifier{
		network: n, prep: prep, top: max(1, top),
		tensor: vision.NewTensor(1, 3, size, size), logits: make(vision.Logits, len(spec.Labels)),
		scores: make([]float32, len(spec.Labels)),
	}, nil
}

// classify answers for one file; the answer's Logits are valid until the next call.
func (c *classifier) classify(ctx context.Context, file string) (*answer, error) {
	if err := camera.ReadImage(file, &c.frame); err != nil {
		return nil, err
	}
	if err := c.prep.Apply(&c.frame, c.tensor, 0); err != nil {
		return nil, fmt.Errorf("%s: %w", file, err)
	}
	start := time.Now()
	if err := c.network.Run(ctx, c.tensor, c.logits); err != nil {
		return nil, fmt.Errorf("%s: %w", file, err)
	}
	took := time.Since(start)
	if !vision.Softmax(c.scores, c.logits) {
		return nil, fmt.Errorf("%s: the network answers with NaN or infinity: its weights are damaged", file)
	}
	info := c.network.Info()
	a := &answer{
		File: file, Logits: c.logits, Precision: info.Precision, Provider: info.Provider,
		LatencyMS: float64(took.Microseconds()) / 1000,
	}
	for _, i := range vision.TopK(nil, c.scores, c.top) {
		a.Top = append(a.Top, scored{Label: c.network.Bundle.Spec.Labels[i], Index: i, Score: c.scores[i]})
	}
	return a, nil
}

func printAnswer(w io.Writer, a *answer, asJSON bool) error {
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
