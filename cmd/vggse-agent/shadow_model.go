package main

import (
	"github.com/spf13/cobra"

	"github.com/vggse/vggse-agent/agent/shadow"
)

// newShadowCmd is the process of a new model beside the one that answers, for the agent itself.
func newShadowCmd(s *settings) *cobra.Command {
	return &cobra.Command{
		Use: shadow.Verb + " BUNDLE", Hidden: true,
		Short: "Run a new model beside the active one (for the agent itself)",
		Args:  exactArgs(1, "one BUNDLE"),
		RunE: func(cmd *cobra.Command, args []string) error {
			shadow.Prepare()
			network, err := openNetwork(cmd.Context(), s, networkOverrides(args[0], "", "")...)
			if err != nil {
				return err
			}
			defer network.Close()
			return shadow.Serve(cmd.Context(), network, &network.Bundle.Spec)
		},
	}
}
