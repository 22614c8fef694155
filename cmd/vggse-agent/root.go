package main

import (
	"encoding/json"
	"fmt"
	"io"
	"strings"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"github.com/vggse/vggse-agent/internal/mistake"
	"github.com/vggse/vggse-agent/internal/redact"
)

// newRoot builds the command tree. Every verb is a constructor in the file of its name.
func newRoot() *cobra.Command {
	root := &cobra.Command{
		Use:           "vggse-agent",
		Short:         "Classify what cameras see with a VGG16-SE, and publish it over MQTT",
		Version:       fmt.Sprintf("%s (commit %s)", version, commit),
		SilenceErrors: true,
		SilenceUsage:  true,
		Args:          cobra.ArbitraryArgs, // else cobra's own mistake for an unknown verb, with exit code 1
		RunE: func(cmd *cobra.Command, args []string) error {
			if len(args) == 0 {
				return cmd.Help()
			}
			return unknownVerb(cmd, args)
		},
	}
	root.SetVersionTemplate("vggse-agent {{.Version}}\n")
	root.CompletionOptions.HiddenDefaultCmd = true
	root.SetFlagErrorFunc(func(cmd *cobra.Command, err error) error {
		return usagef("%s (see '%s --help')", redact.Text(flagMistake(cmd, err.Error())), cmd.CommandPath())
	})
	root.PersistentPreRunE = func(cmd *cobra.Command, _ []string) error { return emptyFlag(cmd) }
	s := addSettings(root)
	root.AddCommand(
		newBenchCmd(s),
		newBuildCmd(s),
		newBundleCmd(),
		newCalibrateCmd(s),
		newCamerasCmd(),
		newPruneCmd(s),
		newRecordEndCmd(s),
		newCheckConfigCmd(s),
		newClassifyCmd(s),
		newCompareCmd(s),
		newDemoDataCmd(),
		newDoctorCmd(s),
		newEvaluateCmd(s), newTeachCmd(s), newFeaturesCmd(s),
		newImportCmd(s),
		newInspectCmd(),
		newLookCmd(), newForeignCmd(),
		newManCmd(),
		newModelCmd(s),
		newNewCmd(),
		newPrepareCmd(),
		newReleaseCmd(s), newFleetCmd(s),
		newRollbackCmd(s),
		newRunCmd(s),
		newShadowCmd(s),
		newRuntimeCmd(s),
		newSchemaCmd(),
		newSpoolCmd(s),
		newSummaryCmd(),
		newVerifyCmd(s),
		newVersionCmd(s),
		newWatchCmd(s),
	)
	root.SetHelpCommand(newHelpCmd(root))
	root.InitDefaultCompletionCmd()
	if shells, _, err := root.Find([]string{"completion"}); err == nil && shells != root {
		shells.Args = exactArgs(0, "one of bash, fish, powershell and zsh")
		shells.RunE = func(cmd *cobra.Command, _ []string) error { return cmd.Help() }
	}
	addCompletions(root, s)
	return root
}

// emptyFlag is the mistake that an empty variable of a shell makes: --bundle "$BUNDLE" would mean what no
// --bundle means.
func emptyFlag(cmd *cobra.Command) (err error) {
	cmd.Flags().Visit(func(f *pflag.Flag) {
		if f.Value.Type() == "string" && f.Value.String() == "" && err == nil {
			what, _ := pflag.UnquoteUsage(f)
			err = usagef("--%s is given without a %s, as by an empty variable: write one or leave the flag out "+
				"(see '%s --help')", f.Name, what, cmd.CommandPath())
		}
	})
	return err
}

// newHelpCmd is cobra's own verb, but for an unknown verb, which is a mistake.
func newHelpCmd(root *cobra.Command) *cobra.Command {
	return &cobra.Command{
		Use: "help [VERB]", Short: "Help about any command",
		RunE: func(_ *cobra.Command, args []string) error {
			verb, rest, err := root.Find(args)
			if err != nil || len(rest) > 0 {
				return unknownVerb(verb, rest)
			}
			verb.InitDefaultHelpFlag()
			return verb.Help()
		},
	}
}

// unknownVerb names the nearest verb below cmd.
func unknownVerb(cmd *cobra.Command, args []string) error {
	var verbs []string
	for _, c := range cmd.Commands() {
		if c.IsAvailableCommand() {
			verbs = append(verbs, c.Name())
		}
	}
	if near := mistake.DidYouMean(args[0], verbs); near != "" {
		return usagef("unknown verb %q%s", args[0], near)
	}
	return usagef("unknown verb %q (see '%s --help')", args[0], cmd.CommandPath())
}

// exactArgs, like cobra's own but with exit code 2: n arguments, named by what.
func exactArgs(n int, what string) cobra.PositionalArgs {
	return func(cmd *cobra.Command, args []string) error {
		if n == 0 && len(args) > 0 && cmd.HasAvailableSubCommands() {
			if err := unknownVerb(cmd, args); strings.Contains(err.Error(), "did you mean") {
				return err
			}
		}
		if n == 0 && len(args) > 0 {
			hint := ""
			if cmd.Flags().Lookup("source") != nil {
				hint = fmt.Sprintf(", did you mean --source %s?", redact.Text(args[0]))
			}
			return usagef("%s wants %s, got %q%s (see '%s --help')", cmd.Name(), what, redact.Text(args[0]), hint,
				cmd.CommandPath())
		}
		if len(args) != n {
			return usagef("%s wants %s, got %s (see '%s --help')", cmd.Name(), what, arguments(len(args)),
				cmd.CommandPath())
		}
		return nil
	}
}

func arguments(n int) string {
	switch n {
	case 0:
		return "none"
	case 1:
		return "one argument"
	}
	return fmt.Sprintf("%d arguments", n)
}

// printJSON writes v as one line.
func printJSON(w io.Writer, v any) error {
	enc := json.NewEncoder(w)
	enc.SetEscapeHTML(false)
	return enc.Encode(v)
}
