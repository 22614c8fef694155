package main

import (
	"fmt"
	"strings"

	"github.com/spf13/cobra"

	"github.com/vggse/vggse-agent/infer"
)

// runtimeLine is what the verb prints with --json.
type runtimeLine struct {
	Name      string   `json:"name"`
	Path      string   `json:"path"`
	Version   string   `json:"version"`
	Providers []string `json:"providers"`
	Missing   []string `json:"missing"` // libraries that they want and this machine lacks
	Current   bool     `json:"current"`
}

// noRuntime is what 'runtime list' says beside an empty list.
const noRuntime = "no ONNX Runtime is installed here ('vggse-agent runtime install FILE' installs one; 'vggse-agent " +
	"doctor' says which is found)"

func newRuntimeCmd(s *settings) *cobra.Command {
	cmd := &cobra.Command{
		Use:   "runtime",
		Short: "Install ONNX Runtime libraries on this device, and choose the one that runs",
		Long: `Installed runtimes lie under runtimes/ of the state folder, those of the service (settings in
/etc/vggse-agent) in /opt/vggse-agent/runtimes, where only root writes. The current one is used where
infer.library is auto and ORT_LIB is not set, from the next start of the agent on. Any ONNX Runtime
from 1.16 on will do.`,
		Args: exactArgs(0, "one of the verbs install, list, use and remove"),
		RunE: func(cmd *cobra.Command, _ []string) error { return cmd.Help() },
	}
	var asJSON bool
	cmd.PersistentFlags().BoolVar(&asJSON, "json", false, "print one JSON object a line")
	show := func(cmd *cobra.Command, i *infer.InstalledRuntime) error { return printRuntime(cmd, i, asJSON) }
	named := func(use, short string, do func(infer.Runtimes, string) error) *cobra.Command {
		return &cobra.Command{Use: use + " NAME", Short: short,
			Args: exactArgs(1, "one NAME, as 'runtime list' shows it"),
			RunE: func(_ *cobra.Command, args []string) error {
				r, err := s.runtimes()
				if err != nil {
					return err
				}
				return do(r, args[0])
			}}
	}
	cmd.AddCommand(
		&cobra.Command{
			Use:     "install FILE|DIR",
			Short:   "Take the libraries out of a wheel, an npm package, a release archive or a folder, and use them",
			Example: "  sudo vggse-agent runtime install onnxruntime_gpu-1.23.0-cp310-cp310-linux_aarch64.whl",
			Args:    exactArgs(1, "one FILE (.whl, .tgz, .tar.gz) or DIR"),
			RunE: func(cmd *cobra.Command, args []string) error {
				r, err := s.runtimes()
				if err != nil {
					return err
				}
				i, err := r.Install(cmd.Context(), args[0], lookInChild)
				if err != nil {
					return err
				}
				for _, lib := range i.Missing {
					fmt.Fprintln(cmd.ErrOrStderr(), "missing:", infer.MissingLibrary(lib))
				}
				return show(cmd, i)
			},
		},
		&cobra.Command{
			Use: "list", Short: "List what is installed; * is the one in use", Args: exactArgs(0, "no arguments"),
			RunE: func(cmd *cobra.Command, _ []string) error {
				r, err := s.runtimes()
				if err != nil {
					return err
				}
				all, err := r.List()
				if err == nil && len(all) == 0 {
					fmt.Fprintln(cmd.ErrOrStderr(), noRuntime)
				}
				for _, i := range all {
					if err := show(cmd, i); err != nil {
						return err
					}
				}
				return err
			},
		},
		named("use", "Choose the runtime for the next start", infer.Runtimes.Use),
		named("remove", "Delete an installed runtime", infer.Runtimes.Remove),
	)
	return cmd
}

// runtimes is the folder that the configuration in force leads to.
func (s *settings) runtimes() (infer.Runtimes, error) {
	e, err := s.load()
	if err != nil {
		return infer.Runtimes{}, err
	}
	return infer.RuntimesAt(e.Config.Infer.Runtimes), nil
}

func printRuntime(cmd *cobra.Command, i *infer.InstalledRuntime, asJSON bool) error {
	if asJSON {
		return printJSON(cmd.OutOrStdout(), runtimeLine{i.Name, i.Path, i.Version, i.Providers,
			append([]string{}, i.Missing...), i.Current})
	}
	mark := " "
	if i.Current {
		mark = "*"
	}
	_, err := fmt.Fprintf(cmd.OutOrStdout(), "%s %-28s  ONNX Runtime %-8s  %s\n", mark, i.Name, i.Version,
		strings.Join(i.Providers, ", "))
	return err
}
