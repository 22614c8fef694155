package main

import (
	"fmt"
	"io"
	"strconv"
	"text/tabwriter"

	"github.com/spf13/cobra"

	"github.com/vggse/vggse-agent/configs"
)

func newCheckConfigCmd(s *settings) *cobra.Command {
	var asJSON bool
	cmd := &cobra.Command{
		Use:   "check-config [FILE]",
		Short: "Validate a configuration and print what is in force, and from where",
		Long: `Joins built-in defaults, the file, the environment (VGGSE_…) and --set, validates the result and
prints every setting in force with its origin. Secrets are hidden. Exit code 78 for a mistake.`,
		Example: "  vggse-agent check-config /etc/vggse-agent/vggse-agent.yaml\n  vggse-agent check-config --set " +
			"mqtt.broker=tcp://broker:1883",
		Args: func(cmd *cobra.Command, args []string) error {
			if len(args) > 1 {
				return usagef("check-config wants at most one FILE, got %d (see 'vggse-agent check-config --help')",
					len(args))
			}
			return nil
		},
		RunE: func(cmd *cobra.Command, args []string) error {
			if len(args) == 1 {
				s.options.File = args[0]
			}
			e, err := s.load()
			if err != nil {
				return err
			}
			for _, warning := range e.Config.Warnings {
				fmt.Fprintln(cmd.ErrOrStderr(), "warning:", warning)
			}
			if asJSON {
				return printJSON(cmd.OutOrStdout(), configs.Tree(e.Entries()))
			}
			return printEntries(cmd.OutOrStdout(), e)
		},
	}
	cmd.Flags().BoolVar(&asJSON, "json", false, "print the effective configuration as one JSON object")
	return cmd
}

func printEntries(w io.Writer, e *configs.Effective) error {
	file := e.File
	if file == "" {
		file = "none (built-in defaults)"
	}
	fmt.Fprintf(w, "# file: %s\n", file)
	table := tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)
	for _, entry := range e.Entries() {
		if text, ok := entry.Value.(string); ok {
			entry.Value = strconv.Quote(text)
		}
		fmt.Fprintf(table, "%s\t%v\t# %s\n", entry.Key, entry.Value, entry.Origin)
	}
	return table.Flush()
}
