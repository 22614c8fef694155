package main

import (
	"fmt"
	"os"
	"path/filepath"
	"time"

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
	cmd.Flags().StringVar(&out, "out", "", "folder to make, with man1/ and completions/")
	return cmd
}

// writeManual fills dir. The pages bear the date 1 January 1970, so that two builds are the same
// bytes.
func writeManual(root *cobra.Command, dir string) error {
	pages, completions := filepath.Join(dir, "man1"), filepath.Join(dir, "completions")
	for _, folder := range []string{pages, completions} {
		if err := os.Mkdir(folder, 0o755); err != nil {
			return err
		}
	}
	root.DisableAutoGenTag = true
	date := time.Unix(0, 0).UTC()
	header := &doc.GenManHeader{Title: "VGGSE-AGENT", Section: "1", Date: &date, Source: "vggse-agent",
		Manual: "vggse-agent"}
	if err := doc.GenManTree(root, header, pages); err != nil {
		return fmt.Errorf("man pages: %w", err)
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
