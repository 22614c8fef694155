package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"slices"

	"github.com/spf13/cobra"

	"github.com/vggse/vggse-agent/bundle"
	"github.com/vggse/vggse-agent/infer"
	"github.com/vggse/vggse-agent/internal/progress"
	"github.com/vggse/vggse-agent/verify"
)

type verifyFlags struct {
	verify.Options
	precision, provider string
	json                bool
}

func newVerifyCmd(s *settings) *cobra.Command {
	var o verifyFlags
	cmd := &cobra.Command{
		Use:   "verify BUNDLE",
		Short: "Check that a bundle answers on this machine as it should",
		Long: `Verify runs golden pairs, pictures and the logits that belong to them, on the provider that the
daemon would use, and measures how far its answers are off. The pairs come from --golden, or from
the bundle; for a VGG of ours without any they are computed now in float64 by plain Go code that no
runtime has a part in.

It ends with exit code 3 where the largest difference is more than --tolerance parts of the largest logit:
1e-4 for fp32 on the CPU, 5e-3 on a GPU (whose TF32 has a mantissa of 10 bits), 2e-2 for fp16, 0.2 for int8.`,
		Example: "  vggse-agent verify demo/bundle\n  vggse-agent verify parts --golden from-pytorch.safetensors " +
			"--provider cuda",
		Args: exactArgs(1, "one BUNDLE"),
		RunE: func(cmd *cobra.Command, args []string) error { return runVerify(cmd, s, args[0], o) },
	}
	f := cmd.Flags()
	f.StringVar(&o.Golden, "golden", "", "safetensors `FILE` with the tensors input (n×3×S×S) and logits (n×classes)")
	f.StringVar(&o.precision, "precision", "", "auto, fp32, fp16, bf16 or int8")
	f.StringVar(&o.provider, "provider", "", "auto, cpu, openvino, cuda or tensorrt")
	f.Float64Var(&o.Tolerance, "tolerance", 0, "largest difference in parts of the largest logit (default: as above)")
	f.BoolVar(&o.json, "json", false, "print one JSON line")
	return cmd
}

func runVerify(cmd *cobra.Command, s *settings, dir string, o verifyFlags) error {
	v, err := verifyBundle(cmd, s, dir, o)
	switch {
	case v == nil:
		return err
	case o.json:
		return errors.Join(err, printJSON(cmd.OutOrStdout(), v))
	}
	fmt.Fprintln(cmd.OutOrStdout(), v)
	return err
}

// verifyBundle opens the bundle in the folder dir and verifies it; a miss is exit code 3.
func verifyBundle(cmd *cobra.Command, s *settings, dir string, o verifyFlags) (*verify.Verdict, error) {
	network, err := openNetwork(cmd.Context(), s, networkOverrides(dir, o.precision, o.provider)...)
	if err != nil {
		return nil, err
	}
	defer network.Close()
	e, err := s.load()
	if err != nil {
		return nil, err
	}
	o.CacheDir = e.Config.CacheDir
	v, err := verify.Run(cmd.Context(), network, o.Options, progress.To(cmd.ErrOrStderr()))
	if missed := (*verify.MissedError)(nil); errors.As(err, &missed) {
		err = withCode(exitGate, err)
	}
	return v, err
}

// goldensHold compares the answers of an open network with the goldens that its bundle has for its
// precision; where there are none, nothing is computed.
func goldensHold(ctx context.Context, n *infer.Network) error {
	key := bundle.FileGolden
	if n.Info().Precision == "int8" {
		key = bundle.FileGoldens8
	}
	if _, ok := n.Bundle.Spec.Files[key]; !ok || slices.Contains(n.Bundle.Absent, key) {
		return nil
	}
	_, err := verify.Run(ctx, n, verify.Options{}, progress.To(io.Discard))
	return err
}
