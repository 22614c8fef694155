package main

import (
	"context"
	"fmt"

	"github.com/spf13/cobra"

	"github.com/vggse/vggse-agent/bundle"
	"github.com/vggse/vggse-agent/bundle/store"
	"github.com/vggse/vggse-agent/release"
)

func newModelCmd(s *settings) *cobra.Command {
	cmd := &cobra.Command{
		Use:   "model",
		Short: "Install bundles on this device, and choose the one that runs",
		Long: `Installed bundles lie under models/ of the state folder, each under its digest (the SHA-256 of its
model.yaml, of which the first four or more digits do). The active one is used where model.bundle is
not set, from the next start or reload (SIGHUP) of the agent on. The last three are kept.`,
		Args: exactArgs(0, "one of the verbs install, list, activate and remove"),
		RunE: func(cmd *cobra.Command, _ []string) error { return cmd.Help() },
	}
	var asJSON bool
	cmd.PersistentFlags().BoolVar(&asJSON, "json", false, "print one JSON object a line")
	show := func(cmd *cobra.Command, i store.Installed) error { return printInstalled(cmd, i, asJSON) }
	cmd.AddCommand(
		newInstallCmd(s, show),
		&cobra.Command{
			Use: "list", Short: "List what is installed; * is active", Args: exactArgs(0, "no arguments"),
			RunE: func(cmd *cobra.Command, _ []string) error {
				st, err := s.store()
				if err != nil {
					return err
				}
				all, err := st.List()
				if err == nil && len(all) == 0 {
					fmt.Fprintln(cmd.ErrOrStderr(), noModel)
				}
				for _, i := range all {
					if err := show(cmd, i); err != nil {
						return err
					}
				}
				return err
			},
		},
		newActivateCmd(s, show),
		&cobra.Command{
			Use: "remove SHA256", Short: "Remove an installed bundle that is not active",
			Args: exactArgs(1, "one SHA256"),
			RunE: func(cmd *cobra.Command, args []string) error {
				st, err := s.store()
				if err != nil {
					return err
				}
				i, err := st.Remove(args[0])
				if err != nil {
					return err
				}
				return show(cmd, i)
			},
		},
	)
	return cmd
}

func newInstallCmd(s *settings, show func(*cobra.Command, store.Installed) error) *cobra.Command {
	var older bool
	cmd := &cobra.Command{
		Use: "install FILE|DIR", Short: "Copy a bundle, or a file that 'bundle pack' made, into the store",
		Example: "  vggse-agent model install parts-3.vggse",
		Args:    exactArgs(1, "one FILE or DIR"),
		RunE: func(cmd *cobra.Command, args []string) error {
			source, err := bundle.OpenSource(args[0]) // with the rights of who asks; the store has its owner's
			if err != nil {
				return fmt.Errorf("model install: %w", err)
			}
			defer source.Close()
			st, err := s.store()
			if err != nil {
				return err
			}
			i, err := s.install(cmd.Context(), st, source, older)
			if err != nil {
				return err
			}
			return show(cmd, i)
		},
	}
	cmd.Flags().BoolVar(&older, "older", false, "take a release that is lower than what was taken before")
	return cmd
}

func newActivateCmd(s *settings, show func(*cobra.Command, store.Installed) error) *cobra.Command {
	var unverified bool
	cmd := &cobra.Command{
		Use:   "activate SHA256",
		Short: "Run an installed bundle from now on",
		Long: `Activate compares every file with its digest, runs 'verify' on this machine, and only then makes the
bundle the active one: at the agent's next start or reload it runs, at first on trial. Where it cannot
be opened, misses its goldens, crashes the agent twice, or is proven worse than model.trial allows, the
one before runs again by itself, and the log says why.`,
		Args: exactArgs(1, "one SHA256"),
		RunE: func(cmd *cobra.Command, args []string) error {
			i, err := activate(cmd, s, args[0], unverified)
			if err != nil {
				return err
			}
			fmt.Fprintln(cmd.ErrOrStderr(), "it runs from the agent's next start or reload on: "+
				"sudo systemctl reload vggse-agent, or kill -HUP its process")
			return show(cmd, i)
		},
	}
	cmd.Flags().BoolVar(&unverified, "no-verify", false, "do not run verify before")
	return cmd
}

// install puts a bundle into the store, where it passes the same check as a release that is pulled.
func (s *settings) install(ctx context.Context, st *store.Store, source *bundle.Source, older bool) (store.Installed,
	error) {
	e, err := s.load()
	if err != nil {
		return store.Installed{}, err
	}
	approve, admitted := e.Config.Gate(version).Installing(ctx, release.Wanted{Older: older})
	i, err := st.InstallFrom(ctx, source, approve)
	if err != nil {
		return i, err
	}
	return i, admitted().Record(ctx)
}

// store is the one of the configuration's state folder. From here on root is the folder's owner.
func (s *settings) store() (*store.Store, error) {
	if err := s.becomeOwner(); err != nil {
		return nil, err
	}
	e, err := s.load()
	if err != nil {
		return nil, err
	}
	return store.At(e.Config.StateDir), nil
}

func printInstalled(cmd *cobra.Command, i store.Installed, asJSON bool) error {
	if asJSON {
		return printJSON(cmd.OutOrStdout(), lineOf(i))
	}
	_, err := fmt.Fprintln(cmd.OutOrStdout(), lineOf(i))
	return err
}

func activate(cmd *cobra.Command, s *settings, sum string, unverified bool) (store.Installed, error) {
	if err := s.becomeOwner(); err != nil {
		return store.Installed{}, err
	}
	e, err := s.load()
	if err != nil {
		return store.Installed{}, err
	}
	if e.Config.Model.Demo == "" {
		return store.Installed{}, withCode(exitConfig, fmt.Errorf(
			"model activate: model.bundle names %s, so no installed model would run: remove that key first",
			e.Config.Model.Bundle))
	}
	st := store.At(e.Config.StateDir)
	i, err := st.Find(sum)
	if err != nil {
		return i, err
	}
	if _, err := e.Config.Gate(version).Installed(i.Dir); err != nil {
		return i, fmt.Errorf("model %.12s was not activated: %w", i.SHA256, err)
	}
	if !unverified {
		v, err := verifyBundle(cmd, s, i.Dir, verifyFlags{})
		if err != nil {
			return i, fmt.Errorf("model %.12s was not activated: %w", i.SHA256, err)
		}
		fmt.Fprintln(cmd.ErrOrStderr(), "verified:", v)
	}
	return st.Activate(cmd.Context(), i.SHA256)
}
