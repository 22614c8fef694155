package main

import (
	"context"
	"errors"
	"fmt"
	"math"

	"github.com/spf13/cobra"

	"github.com/vggse/vggse-agent/bundle"
	"github.com/vggse/vggse-agent/infer"
	"github.com/vggse/vggse-agent/vision"
)

type verifyOptions struct {
	golden, precision, provider string
	tolerance                   float64
	asJSON                      bool
}

// verdict is verify's JSON line.
type verdict struct {
	Provider  string  `json:"provider"`
	Precision string  `json:"precision"`
	Pairs     int     `json:"pairs"`
	MaxDiff   float64 `json:"max_abs_diff"`
	MeanDiff  float64 `json:"mean_abs_diff"`
	Agreement float64 `json:"top1_agreement"` // share of the pairs, 0..1
	OK        bool    `json:"ok"`
	MaxLogit  float64 `json:"max_abs_logit"`
	Tolerance float64 `json:"tolerance"` // of max_abs_diff, in parts of max_abs_logit
	Golden    string  `json:"golden"`    // where the expected logits come from
}

func newVerifyCmd(s *settings) *cobra.Command {
	var o verifyOptions
	cmd := &cobra.Command{
		Use:   "verify BUNDLE",
		Short: "Check that a bundle answers on this machine as it should",
		Long: `Verify runs golden pairs, pictures and the logits that belong to them, on the provider that the daemon would
use, and measures how far its answers are off. The pairs come from --golden, or from the bundle; for a VGG of ours
without any they are computed now in float64 by plain Go code that no runtime has a part in.

It ends with exit code 3 where the largest difference is more than --tolerance parts of the largest logit:
1e-4 for fp32 on the CPU, 5e-3 on a GPU (whose TF32 has a mantissa of 10 bits), 2e-2 for fp16, 0.2 for int8.`,
		Example: "  vggse-agent verify demo/bundle\n  vggse-agent verify parts --golden from-pytorch.safetensors --provider cuda",
		Args:    exactArgs(1, "one BUNDLE"),
		RunE:    func(cmd *cobra.Command, args []string) error { return runVerify(cmd, s, args[0], o) },
	}
	f := cmd.Flags()
	f.StringVar(&o.golden, "golden", "", "safetensors `FILE` with the tensors input (n×3×S×S) and logits (n×classes)")
	f.StringVar(&o.precision, "precision", "", "auto, fp32, fp16 or int8")
	f.StringVar(&o.provider, "provider", "", "auto, cpu, cuda or tensorrt")
	f.Float64Var(&o.tolerance, "tolerance", 0, "largest difference in parts of the largest logit (default: as above)")
	f.BoolVar(&o.asJSON, "json", false, "print one JSON line")
	return cmd
}

func runVerify(cmd *cobra.Command, s *settings, dir string, o verifyOptions) error {
	v, err := verifyBundle(cmd, s, dir, o)
	switch {
	case v == nil:
		return err
	case o.asJSON:
		return errors.Join(err, printJSON(cmd.OutOrStdout(), v))
	}
	fmt.Fprintln(cmd.OutOrStdout(), v)
	return err
}

// String is the verdict in one line.
func (v *verdict) String() string {
	return fmt.Sprintf("%d pairs (%s) on %s, %s: max |Δ| %.3g, mean |Δ| %.3g, largest logit %.4g, same top-1 %.0f %%",
		v.Pairs, v.Golden, v.Provider, v.Precision, v.MaxDiff, v.MeanDiff, v.MaxLogit, 100*v.Agreement)
}

// verifyBundle measures how far the bundle's answers are off; beyond the tolerance the verdict comes with an error
// of exit code 3.
func verifyBundle(cmd *cobra.Command, s *settings, dir string, o verifyOptions) (*verdict, error) {
	network, err := openNetwork(cmd.Context(), s, dir, o.precision, o.provider)
	if err != nil {
		return nil, err
	}
	defer network.Close()
	g, err := findGoldens(cmd, s, network.Bundle, o.golden)
	if err != nil {
		return nil, fmt.Errorf("verify: %w", err)
	}
	got, err := runPairs(cmd.Context(), network, g.input, len(network.Bundle.Spec.Labels))
	if err != nil {
		return nil, fmt.Errorf("verify: %w", err)
	}
	info := network.Info()
	v := judge(g, got)
	v.Provider, v.Precision, v.Golden, v.Tolerance = info.Provider, info.Precision, g.origin, o.tolerance
	if o.tolerance == 0 {
		v.Tolerance = infer.Tolerance(info.Precision, info.Provider)
	}
	if math.IsInf(v.MaxDiff, 0) {
		return nil, withCode(exitGate, fmt.Errorf("verify: %s answers with NaN or infinity on %s: the weights are damaged, or too large for %s", dir, info.Provider, info.Precision))
	}
	v.OK = v.MaxDiff <= v.Tolerance*v.MaxLogit
	if !v.OK {
		err = withCode(exitGate, fmt.Errorf("verify: %s answers %.3g off, more than the %.3g allowed (%g of the largest logit)",
			dir, v.MaxDiff, v.Tolerance*v.MaxLogit, v.Tolerance))
	}
	return &v, err
}

// findGoldens takes the pairs of the file, else of the bundle, else computes them.
func findGoldens(cmd *cobra.Command, s *settings, b *bundle.Bundle, file string) (*goldens, error) {
	if file != "" {
		return readGoldens(file, &b.Spec)
	}
	if _, ok := b.Spec.Files[bundle.FileGolden]; ok {
		return bundleGoldens(cmd.Context(), b)
	}
	if b.Spec.Architecture.Family == bundle.FamilyONNX {
		return nil, fmt.Errorf("bundle %s has no goldens and is no VGG that could be computed here: give --golden FILE", b.Dir)
	}
	e, err := s.load()
	if err != nil {
		return nil, err
	}
	return reference(cmd.Context(), b, e.Config.CacheDir, cmd.ErrOrStderr())
}

func bundleGoldens(ctx context.Context, b *bundle.Bundle) (*goldens, error) {
	if err := b.CheckFile(ctx, bundle.FileGolden); err != nil {
		return nil, err
	}
	path, err := b.Path(bundle.FileGolden)
	if err != nil {
		return nil, err
	}
	return readGoldens(path, &b.Spec)
}

// judge compares answers with the goldens. An answer that is no number is infinitely far off.
func judge(g *goldens, got vision.Logits) verdict {
	n := int(g.input.Shape[0])
	classes := len(got) / n
	v := verdict{Pairs: n}
	v.MaxDiff, v.MaxLogit = infer.Difference(g.logits, got)
	for i, want := range g.logits {
		v.MeanDiff += math.Abs(float64(got[i])-float64(want)) / float64(len(got))
	}
	for i := range n {
		if best(got[i*classes:][:classes]) == best(g.logits[i*classes:][:classes]) {
			v.Agreement += 1 / float64(n)
		}
	}
	return v
}

func best(row vision.Logits) int {
	top := 0
	for i, v := range row {
		if v > row[top] {
			top = i
		}
	}
	return top
}
