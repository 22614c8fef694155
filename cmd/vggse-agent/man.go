package main

import (
	"fmt"
	"os"
	"path/filepath"

	"github.com/spf13/cobra"
	"github.com/spf13/cobra/doc"

	"github.com/vggse/vggse-agent/internal/atomicfile"
)

// newManCmd is for the package: 'make man'.
func newManCmd() *cobra.Command {
	var out string
	cmd := &cobra.Command{
		Use:    "man --out DIR",
		Short:  "Write the man pages and shell completions of every verb",
		Hidden: true,
		Args:   exactArgs(0, "no arguments"),
		RunE: func(cmd *cobra.Command, _ []string) error {
			if out == "" {
				return usagef("man needs --out DIR (see 'vggse-agent man --help')")
			}
			return atomicfile.NewDir(out, func(dir string) error { return writeManual(cmd.Root(), dir) })
		},
	}
	cmd.Flags().StringVar(&out, "out", "", "folder to make, with man1/, man5/ and completions/")
	return cmd
}

// writeManual fills dir. The pages bear the date of SOURCE_DATE_EPOCH where that is set, so that two
// builds of a commit are the same bytes, else the month of now.
func writeManual(root *cobra.Command, dir string) error {
	verbs, files := filepath.Join(dir, "man1"), filepath.Join(dir, "man5")
	completions := filepath.Join(dir, "completions")
	for _, folder := range []string{verbs, files, completions} {
		if err := os.Mkdir(folder, 0o755); err != nil {
			return err
		}
	}
	root.DisableAutoGenTag = true
	header := &doc.GenManHeader{Section: "1", Source: "vggse-agent", Manual: "vggse-agent"}
	if err := writePages(root, header, verbs); err != nil {
		return fmt.Errorf("man pages: %w", err)
	}
	if err := os.WriteFile(filepath.Join(files, "vggse-agent.yaml.5"), settingsPage(), 0o644); err != nil {
		return err
	}
	for name, write := range map[string]func(string) error{
		"vggse-agent.bash": func(path string) error { return root.GenBashCompletionFileV2(path, true) },
		"_vggse-agent":     root.GenZshCompletionFile,
		"vggse-agent.fish": func(path string) error { return root.GenFishCompletionFile(path, true) },
	} {
		if err := write(filepath.Join(completions, name)); err != nil {
			return fmt.Errorf("completions: %w", err)
		}
	}
	return nil
}
