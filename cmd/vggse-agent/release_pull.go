package main

import (
	"fmt"
	"io"
	"strings"
	"sync"
	"time"

	"github.com/spf13/cobra"

	"github.com/vggse/vggse-agent/bundle/store"
	"github.com/vggse/vggse-agent/configs"
	"github.com/vggse/vggse-agent/internal/progress"
	"github.com/vggse/vggse-agent/release"
)

// pullFlags are those of pull.
type pullFlags struct {
	loginFlags
	older, activate, unverified bool
	files                       []string
	rate                        int64
}

// patience is how long a pull waits for a registry that is away.
const pullPatience = 24 * time.Hour

func newPullCmd(s *settings) *cobra.Command {
	var o pullFlags
	cmd := &cobra.Command{
		Use:   "pull PLACE",
		Short: "Fetch what is missing of a release, check it, and install it",
		Long: `Pull looks at the signature first, then at the number of the release, which must not be lower than what
this device took before, and only then at the content. Of that it fetches the pieces that no
installed bundle has, at most two at once; what was fetched stays when it is cut off, and the next
pull goes on from there. The running model is not touched: --activate does that, as 'model activate'.`,
		Example: "  sudo vggse-agent release pull registry.example/factory/parts\n" +
			"  sudo vggse-agent release pull /media/usb/parts.tar --activate",
		Args: exactArgs(1, "one PLACE"),
		RunE: func(cmd *cobra.Command, args []string) error { return runPull(cmd, s, args[0], o) },
	}
	f := cmd.Flags()
	f.BoolVar(&o.older, "older", false, "take a release that is lower than what was taken before")
	f.BoolVar(&o.activate, "activate", false, "and run it from now on")
	f.BoolVar(&o.unverified, "no-verify", false, "of --activate: do not run verify before")
	f.StringSliceVar(&o.files, "files", nil,
		"files to fetch, as fp32,int8.cpu,reference (default: those that this machine uses with these settings)")
	f.Int64Var(&o.rate, "rate", 0, "`BYTES` a second, at most (default: update.rate)")
	o.loginFlags.add(cmd)
	return cmd
}

func runPull(cmd *cobra.Command, s *settings, text string, o pullFlags) error {
	if o.rate < 0 {
		return usagef("--rate must be 1 or more bytes a second, got %d", o.rate)
	}
	place, err := o.place(s, text)
	if err != nil {
		return err
	}
	opened, err := place.Open() // with the rights of who asks; the store has its owner's
	if err != nil {
		return err
	}
	st, err := s.store()
	if err != nil {
		return err
	}
	e, err := s.load()
	if err != nil {
		return err
	}
	if err := stepBack(); err != nil { // a model may run in the service meanwhile
		return err
	}
	r, err := opened.Release(cmd.Context(), e.Config.Gate(version), release.Wanted{Older: o.older})
	if err != nil {
		return err
	}
	defer r.Close()
	for _, note := range r.Notes {
		fmt.Fprintln(cmd.ErrOrStderr(), "note:", note)
	}
	done, err := r.Pull(cmd.Context(), o.options(cmd.ErrOrStderr(), &e.Config, st))
	if err != nil {
		return err
	}
	if done.Fetched+done.Reused == 0 {
		fmt.Fprintln(cmd.ErrOrStderr(), "nothing to fetch: it is installed already")
	} else {
		fmt.Fprintf(cmd.ErrOrStderr(), "fetched %d bytes, %d were on this device\n", done.Fetched, done.Reused)
	}
	if len(done.Absent) > 0 {
		fmt.Fprintln(cmd.ErrOrStderr(), "not on this device:", strings.Join(done.Absent, ", "))
	}
	l := releaseLineOf(r.Statement, r.SignedBy(), "installed")
	if o.activate {
		if _, err := activate(cmd, s, done.SHA256, o.unverified); err != nil {
			return err
		}
		l.State = "active"
	}
	if l.Digest == "" {
		l.Name, l.Digest = done.Name, r.Digest()
	}
	l.Bundle = done.SHA256
	return printRelease(cmd, l)
}

// options are those of the pull, by flags and settings.
func (o *pullFlags) options(stderr io.Writer, c *configs.Config, st *store.Store) release.PullOptions {
	p := release.PullOptions{Store: st, Rate: o.rate, Patience: pullPatience, Tell: tellPull(stderr)}
	if p.Rate == 0 {
		p.Rate = c.Update.Rate
	}
	p.Keep = c.FilesUsed
	if len(o.files) > 0 {
		p.Keep, p.Named = func([]string) []string { return o.files }, o.files
	}
	return p
}

// tellPull shows how far a pull is: a bar, and a line for each change between waiting and not.
func tellPull(w io.Writer) func(release.Progress) {
	var mu sync.Mutex
	var bar *progress.Bar
	var shown int64
	waiting := false
	return func(p release.Progress) {
		mu.Lock()
		defer mu.Unlock()
		if bar == nil && p.Of > 0 {
			bar = progress.To(w).StartBytes(fmt.Sprintf("fetching %d pieces", p.Pieces), p.Of)
		}
		if bar != nil && p.Bytes > shown {
			bar.Add(int(p.Bytes - shown))
			shown = p.Bytes
		}
		if now := p.Waiting != nil; now != waiting {
			waiting = now
			if now {
				fmt.Fprintf(w, "waiting: %v\n", p.Waiting)
			}
		}
		if p.State == release.StateChecking && bar != nil {
			bar.Done()
		}
	}
}
