package main

import (
	"fmt"
	"io"
	"slices"

	"github.com/spf13/cobra"

	"github.com/vggse/vggse-agent/infer"
	"github.com/vggse/vggse-agent/internal/round"
)

// buildLine is what the verb prints with --json.
type buildLine struct {
	Engine    string         `json:"engine"`  // folder
	Seconds   float64        `json:"seconds"` // 0: it was there already
	Bytes     int64          `json:"bytes"`
	Provider  string         `json:"provider"`
	Precision string         `json:"precision"`
	Nodes     map[string]int `json:"nodes"`  // which provider runs how many
	OnCPU     []string       `json:"on_cpu"` // what is left to the CPU
}

func newBuildCmd(s *settings) *cobra.Command {
	var precision, provider string
	var asJSON bool
	cmd := &cobra.Command{
		Use:   "build BUNDLE",
		Short: "Build the TensorRT engine of a bundle ahead of time",
		Long: `Build makes what the daemon would make at its first start with this bundle: the engine, its test
against the CPU, and the list of which provider runs what. It takes minutes, so it is better done
before the cameras wait for it. The daemon finds the engine if both use the same settings: run it as
the service's user. Unproven on hardware.`,
		Example: "  sudo -u vggse-agent vggse-agent build --config /etc/vggse-agent/vggse-agent.yaml " +
			"/var/lib/vggse-agent/my-bundle",
		Args: exactArgs(1, "one BUNDLE"),
		RunE: func(cmd *cobra.Command, args []string) error {
			line, err := build(cmd, s, args[0], precision, provider)
			if err != nil || asJSON {
				if err == nil {
					err = printJSON(cmd.OutOrStdout(), line)
				}
				return err
			}
			return line.print(cmd.OutOrStdout())
		},
	}
	cmd.Flags().StringVar(&precision, "precision", "", "auto, fp32, fp16, bf16 or int8")
	cmd.Flags().StringVar(&provider, "provider", infer.TensorRT, "tensorrt; or cuda, openvino: test and placement only")
	cmd.Flags().BoolVar(&asJSON, "json", false, "print one JSON line")
	return cmd
}

func build(cmd *cobra.Command, s *settings, dir, precision, provider string) (*buildLine, error) {
	if !slices.Contains([]string{infer.TensorRT, infer.CUDA, infer.OpenVINO}, provider) {
		return nil, usagef("--provider must be tensorrt, cuda or openvino, got %q: nothing else builds anything",
			provider)
	}
	e, err := s.load(append(networkOverrides(dir, precision, provider), "infer.on_fallback=fail")...)
	if err != nil {
		return nil, err
	}
	clock, c := infer.NewBuildClock(cmd.ErrOrStderr()), buildsInChild(e.Config.Infer)
	c.Engines.Tell = clock.Tell
	network, err := infer.OpenBundle(cmd.Context(), e.Config.Model.Bundle, e.Config.Model.Precision, c)
	if err != nil {
		return nil, err
	}
	defer network.Close()
	info := network.Info()
	line := &buildLine{Engine: info.Engine, Seconds: round.Three(clock.Took.Seconds()), Provider: info.Provider,
		Precision: info.Precision, Bytes: infer.EngineBytes(info.Engine)}
	if p := info.Placement; p != nil {
		line.Nodes, line.OnCPU = p.Nodes, p.OnCPU
	}
	return line, nil
}

func (l *buildLine) print(w io.Writer) error {
	how := "was there already"
	if l.Seconds > 0 {
		how = fmt.Sprintf("took %.1f s", l.Seconds)
	}
	_, err := fmt.Fprintf(w, "%s: %s on %s %s, %.1f MB, nodes %v\n", l.Engine, l.Precision, l.Provider, how,
		float64(l.Bytes)/1e6, l.Nodes)
	for _, node := range l.OnCPU {
		fmt.Fprintln(w, "  on the CPU:", node)
	}
	return err
}
