package main

import (
	"fmt"
	"strings"

	"github.com/spf13/cobra"

	"github.com/vggse/vggse-agent/bundle/store"
	"github.com/vggse/vggse-agent/release"
)

func newReleaseCmd(s *settings) *cobra.Command {
	cmd := &cobra.Command{
		Use:   "release",
		Short: "Sign bundles and carry them to devices, which fetch only what changed",
		Long: `A release is a bundle with a signed statement, as an OCI image in a registry, a folder or a .tar file.
Where a verb wants a PLACE, NAME[:N] lies under update.from, REGISTRY/NAME[:N] in a registry (with
http:// in front without TLS), and a path is a folder or a .tar file. N is the number of the
release; without it the highest is meant.`,
		Args: exactArgs(0, "one of the verbs keygen, sign, verify, push, pull and status"),
		RunE: func(cmd *cobra.Command, _ []string) error { return cmd.Help() },
	}
	cmd.PersistentFlags().Bool("json", false, "print one JSON line")
	cmd.AddCommand(newKeygenCmd(), newSignCmd(), newReleaseVerifyCmd(s), newPushCmd(s), newPullCmd(s), newStatusCmd(s))
	return cmd
}

// releaseLine is what every verb of release prints.
type releaseLine struct {
	Name     string `json:"name"`
	Release  int64  `json:"release"`
	Digest   string `json:"digest"`
	SignedBy string `json:"signed_by"`
	State    string `json:"state"`
	Bundle   string `json:"bundle,omitempty"`
	Local    bool   `json:"local,omitempty"` // made on this device from the release
}

func printRelease(cmd *cobra.Command, l releaseLine) error {
	if asJSON, err := cmd.Flags().GetBool("json"); err != nil || asJSON {
		return printJSON(cmd.OutOrStdout(), l)
	}
	signed := "signed by " + l.SignedBy
	if l.Local {
		signed = "made on this device from it, signed by its key " + l.SignedBy
	}
	if l.SignedBy == "" {
		signed = "not signed by anybody known here"
	}
	if l.Name == "" {
		l.Name = "(no release)"
	}
	_, err := fmt.Fprintf(cmd.OutOrStdout(), "%-9s %s %d  %s  %s\n", l.State, l.Name, l.Release, l.Digest, signed)
	return err
}

// releaseLineOf is what a statement says; nil: nothing.
func releaseLineOf(s *release.Statement, signedBy, state string) releaseLine {
	l := releaseLine{SignedBy: signedBy, State: state}
	if s != nil {
		l.Name, l.Release, l.Digest, l.Bundle = s.Name, s.Release, s.Manifest.Digest, s.Bundle
	}
	return l
}

func newStatusCmd(s *settings) *cobra.Command {
	return &cobra.Command{
		Use: "status", Short: "What is installed on this device, and who signed it", Args: exactArgs(0, "no arguments"),
		RunE: func(cmd *cobra.Command, _ []string) error {
			e, err := s.load()
			if err != nil {
				return err
			}
			all, err := store.At(e.Config.StateDir).List()
			if err != nil {
				return err
			}
			if len(all) == 0 {
				fmt.Fprintln(cmd.ErrOrStderr(), noModel)
			}
			gate := e.Config.Gate(version)
			for _, i := range all {
				if err := printRelease(cmd, statusOf(gate, i)); err != nil {
					return err
				}
			}
			return nil
		},
	}
}

// statusOf is the line of an installed bundle.
func statusOf(gate *release.Gate, i store.Installed) releaseLine {
	state := "installed"
	if i.Active {
		state = "active"
	}
	a, err := gate.Installed(i.Dir)
	if err != nil {
		return releaseLine{Name: strings.TrimSpace(i.Name + " " + i.Version), State: "refused: " + err.Error(),
			Bundle: i.SHA256}
	}
	l := releaseLineOf(a.Statement, a.SignedBy(), state)
	l.Bundle = i.SHA256
	if a.Local != nil {
		l.Local, l.Name, l.Release = true, a.Local.Parent.Name, a.Local.Parent.Release
	}
	if l.Name == "" {
		l.Name = i.Name
	}
	return l
}

// imageFlags say what becomes of a bundle.
type imageFlags struct {
	pictures, plain bool
	arch            string
}

func (f *imageFlags) add(cmd *cobra.Command) {
	cmd.Flags().BoolVar(&f.pictures, "with-pictures", false, "goldens that are pictures travel, too")
	cmd.Flags().BoolVar(&f.plain, "plain", false, "one standard tar layer that container runtimes mount; nothing is "+
		"shared")
	cmd.Flags().StringVar(&f.arch, "arch", "arm64", "of --plain: the devices' `GOARCH`")
}
