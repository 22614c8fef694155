package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/user"
	"slices"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/vggse/vggse-agent/fleet"
	"github.com/vggse/vggse-agent/release"
)

// rolloutFlags are those of rollout.
type rolloutFlags struct {
	loginFlags
	waves        []string
	hold, spread time.Duration
	stopAt       string
	digest, key  string
	again        bool
}

func newRolloutCmd(s *settings) *cobra.Command {
	var o rolloutFlags
	cmd := &cobra.Command{
		Use:   "rollout NAME:N --group NAME",
		Short: "Bring a release to the devices of a group, wave by wave",
		Long: `Rollout retains on the broker which release the group shall run, and for which share of its devices that
holds. Each device takes it in a time of its own within --spread. A wave is over when all of its devices
have moved or failed and --hold has passed; then the next one begins. As soon as more than --stop-at of
those asked have failed (the release was refused, rolled back, does not fare well, or the device is away
when the hold is over) it is halted, with exit code 3.

Nothing is kept where this runs: killed and started again with the same arguments it goes on, and two of
them do what one does. The digest that devices must find comes from the signed release itself, in the
place that update.from names, or from --digest.`,
		Example: "  vggse-agent fleet rollout parts:8 --group line3 --waves 1,10%,100% --hold 30m --stop-at 2%",
		Args:    exactArgs(1, "one NAME:N"),
		RunE:    func(cmd *cobra.Command, args []string) error { return runRollout(cmd, s, args[0], o) },
	}
	f := cmd.Flags()
	f.StringSliceVar(&o.waves, "waves", []string{"1", "10%", "100%"}, "devices of each wave, a number or a share")
	f.DurationVar(&o.hold, "hold", 30*time.Minute, "how long each wave is watched")
	f.DurationVar(&o.spread, "spread", time.Minute, "in which the devices of a wave begin, each at its own time")
	f.StringVar(&o.stopAt, "stop-at", "2%", "failed devices of those asked that halt it, if there are more")
	f.StringVar(&o.digest, "digest", "", "`SHA256` of the bundle, where the release cannot be read from here")
	f.StringVar(&o.key, "key", "", "public key `FILE` that must have signed it (default: those of model.trust)")
	f.BoolVar(&o.again, "again", false, "begin anew where the last rollout of this release was halted")
	o.loginFlags.add(cmd)
	return cmd
}

func runRollout(cmd *cobra.Command, s *settings, what string, f rolloutFlags) error {
	o, asJSON, err := fleetOptions(cmd, s, true)
	if err != nil {
		return err
	}
	start := fleet.Start{Plan: fleet.Plan{Waves: f.waves, Hold: f.hold, Spread: f.spread, StopAt: f.stopAt},
		Again: f.again}
	if err := start.Plan.Validate(); err != nil {
		return withCode(exitUsage, fmt.Errorf("fleet rollout: %w", err))
	}
	if start.Target, err = f.target(cmd, s, what); err != nil {
		return err
	}
	o.Tell = func(p fleet.Progress) {
		if asJSON {
			_ = printJSON(cmd.OutOrStdout(), p) // whoever closed the pipe wants no more of it
			return
		}
		fmt.Fprintln(cmd.ErrOrStderr(), time.Now().Format(time.TimeOnly), progressLine(p))
	}
	err = fleet.Run(cmd.Context(), o, start)
	if errors.Is(err, fleet.ErrHalted) {
		return withCode(exitGate, err)
	}
	return err
}

// target is what NAME:N is.
func (f *rolloutFlags) target(cmd *cobra.Command, s *settings, what string) (fleet.Target, error) {
	p, err := release.ParsePlace(what, "/", release.Login{})
	if err != nil || p.Name == "" || p.Release == 0 {
		return fleet.Target{}, usagef("rollout wants NAME:N, got %q: the number is that of 'release push'", what)
	}
	if f.digest != "" {
		return fleet.Target{Name: p.Name, Release: p.Release, Digest: f.digest}, nil
	}
	place, err := f.place(s, what)
	if err != nil {
		return fleet.Target{}, err
	}
	gate, err := verifyGate(s, f.key)
	if err != nil {
		return fleet.Target{}, err
	}
	r, err := release.Open(cmd.Context(), place, gate, release.Wanted{Name: p.Name, Release: p.Release, Older: true})
	if err != nil {
		return fleet.Target{}, fmt.Errorf("fleet rollout: %w (or give --digest)", err)
	}
	defer r.Close()
	return fleet.Target{Name: p.Name, Release: p.Release, Digest: r.Statement.Bundle}, nil
}

// progressLine is how far a rollout is, for people.
func progressLine(p fleet.Progress) string {
	line := fmt.Sprintf("%s to %s: %s, wave %d of %d: %d of %d devices asked, %d moved, %d on their way, %d waiting, "+
		"%d failed", p.Rollout, p.Group, p.State, p.Wave, p.Waves, p.Asked, p.Devices, p.Moved, p.Busy, p.Waiting,
		p.Failed)
	if p.First != "" {
		line += " (" + printableWord(p.First) + ")"
	}
	if p.Reason != "" {
		line += ": " + printableWord(p.Reason)
	}
	return line
}

func newFleetEndCmd(s *settings, back bool) *cobra.Command {
	cmd := &cobra.Command{
		Use: "halt --group NAME", Short: "End the rollout of a group: who has not begun does not",
		Args: exactArgs(0, "no arguments"),
	}
	if back {
		cmd.Use, cmd.Short = "back --group NAME", "Return a group to the release that it ran before its rollout"
	}
	cmd.RunE = func(cmd *cobra.Command, _ []string) error {
		o, asJSON, err := fleetOptions(cmd, s, true)
		if err != nil {
			return err
		}
		ctx, cancel := context.WithTimeout(cmd.Context(), brokerPatience)
		defer cancel()
		p, err := fleet.End(ctx, o, cmd.Name()+" by "+operator(), back)
		if err != nil {
			return err
		}
		if asJSON {
			return printJSON(cmd.OutOrStdout(), p)
		}
		_, err = fmt.Fprintln(cmd.OutOrStdout(), progressLine(p))
		return err
	}
	return cmd
}

// operator is who asks, for people.
func operator() string {
	parts := []string{"somebody"}
	if u, err := user.Current(); err == nil {
		parts[0] = u.Username
	}
	if host, err := os.Hostname(); err == nil {
		parts = append(parts, host)
	}
	return strings.Join(slices.Compact(parts), "@")
}
