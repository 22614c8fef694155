package main

import (
	"os"
	"strings"

	"github.com/spf13/cobra"

	"github.com/vggse/vggse-agent/agent"
)

// newRecordEndCmd is the unit's ExecStopPost: it writes down how the agent ended, so that the next
// start can tell a crash from a kill or a loss of power. A configuration that cannot be read must
// not keep it from that: then the state folder is the one that systemd gives.
func newRecordEndCmd(s *settings) *cobra.Command {
	return &cobra.Command{
		Use: "record-end", Short: "Record how the agent ended (for the service manager)", Hidden: true,
		Args: exactArgs(0, "no arguments"),
		RunE: func(*cobra.Command, []string) error {
			dir, _, _ := strings.Cut(os.Getenv("STATE_DIRECTORY"), ":")
			if e, err := s.load(); err == nil {
				dir = e.Config.StateDir
			} else if dir == "" {
				return err
			}
			return agent.RecordEnding(dir, os.Getenv)
		},
	}
}
