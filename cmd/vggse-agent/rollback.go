package main

import (
	"fmt"

	"github.com/spf13/cobra"

	"github.com/vggse/vggse-agent/agent"
)

// rollbackLine is what 'rollback --json' prints.
type rollbackLine struct {
	SHA256  string `json:"sha256"`
	Name    string `json:"name"`
	Version string `json:"version"`
}

func newRollbackCmd(s *settings) *cobra.Command {
	var asJSON bool
	cmd := &cobra.Command{
		Use:   "rollback",
		Short: "Run the bundle before the active one again, at once",
		Long: `Rollback makes the bundle that was active before the active one active again, where it is whole, and
not revoked. An agent that runs takes it between two frames; one that does not, at its next start. The
bundle that was left stays installed, and nothing but 'model activate' makes it run again.`,
		Args: exactArgs(0, "no arguments"),
		RunE: func(cmd *cobra.Command, _ []string) error { return runRollback(cmd, s, asJSON) },
	}
	cmd.Flags().BoolVar(&asJSON, "json", false, "print one JSON line")
	return cmd
}

func runRollback(cmd *cobra.Command, s *settings, asJSON bool) error {
	if err := s.becomeOwner(); err != nil {
		return err
	}
	e, err := s.load()
	if err != nil {
		return err
	}
	if e.Config.Model.Demo == "" {
		return withCode(exitConfig, fmt.Errorf("rollback: model.bundle names %s, so no installed model would run: "+
			"remove that key first", e.Config.Model.Bundle))
	}
	i, err := agent.Rollback(cmd.Context(), &e.Config, version)
	if err != nil {
		return err
	}
	switch pid, err := agent.Reload(e.Config.StateDir); {
	case err != nil:
		fmt.Fprintln(cmd.ErrOrStderr(), "the agent could not be asked to take it, 'sudo systemctl reload vggse-agent' "+
			"does:", err)
	case pid > 0:
		fmt.Fprintf(cmd.ErrOrStderr(), "the agent (process %d) was asked to take it\n", pid)
	default:
		fmt.Fprintln(cmd.ErrOrStderr(), "it runs from the agent's next start or reload on")
	}
	if asJSON {
		return printJSON(cmd.OutOrStdout(), rollbackLine{i.SHA256, i.Name, i.Version})
	}
	_, err = fmt.Fprintf(cmd.OutOrStdout(), "%s  %s %s\n", i.SHA256, i.Name, i.Version)
	return err
}
