package main

import (
	"bytes"
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"os/signal"
	"runtime/debug"
	"syscall"

	"github.com/spf13/cobra"

	"github.com/vggse/vggse-agent/agent"
	"github.com/vggse/vggse-agent/api/page"
	"github.com/vggse/vggse-agent/configs"
	"github.com/vggse/vggse-agent/internal/account"
	"github.com/vggse/vggse-agent/internal/logging"
	"github.com/vggse/vggse-agent/internal/selfexec"
	"github.com/vggse/vggse-agent/systemd"
)

func newRunCmd(s *settings) *cobra.Command {
	cmd := &cobra.Command{
		Use:   "run",
		Short: "Classify what the cameras see and publish it: the daemon",
		Long: `Opens the network, the broker and the cameras, and publishes until it is stopped (Ctrl-C or
SIGTERM), or until every source has come to its end. With nothing configured it shows the demo: moving
pictures made up on the spot, the demo network, and a broker of its own on loopback. SIGHUP makes it
read its settings again; where they are wrong, or lead to nothing that runs, the old ones stay.`,
		Example: `  vggse-agent run
  vggse-agent run --source /dev/video0 --broker tcp://broker:1883 --bundle ./my-bundle
  vggse-agent run --config /etc/vggse-agent/vggse-agent.yaml --set decide.threshold=0.8`,
		Args: exactArgs(0, "no arguments"),
		RunE: func(cmd *cobra.Command, _ []string) error {
			c, err := s.loadForRun()
			if err != nil {
				return err
			}
			if err := account.NotForRoot(c.StateDir); err != nil { // the account would be locked out of its own
				return withCode(exitConfig, fmt.Errorf("state_dir: %w", err))
			}
			agent.KeepCrash(c.StateDir)
			if os.Getenv("GOGC") == "" {
				debug.SetGCPercent(gcPercent)
			}
			hint := func(brokerURL, pageURL string) { printHint(cmd.ErrOrStderr(), &c, brokerURL, pageURL) }
			host := agent.Host{
				Build: agent.Build{Version: version, Commit: commit}, Log: logging.New(cmd.ErrOrStderr(), c.Log.Level,
					c.Log.Format), Announce: hint,
				Watchdog: systemd.Watchdog(os.Getenv), Verify: s.verifyBeside, Golden: goldensHold,
				Teach: s.teachAside, Doctor: s.doctorBeside,
				ShadowArgs: append([]string{}, s.asHere()...),    // not nil
				Stuck:      func(error) { os.Exit(exitRestart) }, // a call into C cannot be taken back, nor waited for
			}
			if n := systemd.NewNotifier(os.Getenv); n != nil {
				host.Manager = n
			}
			asked := make(chan os.Signal, 1)
			signal.Notify(asked, syscall.SIGHUP)
			defer signal.Stop(asked)
			defer agent.Hold(c.StateDir)()
			err = agent.RunReloading(cmd.Context(), c, host, asked, s.loadForRun)
			if errors.Is(err, agent.ErrRestart) {
				return withCode(exitRestart, err)
			}
			if errors.Is(err, context.Canceled) && cmd.Context().Err() != nil { // stopped before it ran: as asked
				return nil
			}
			return err
		},
	}
	flags := cmd.Flags()
	flags.StringVar(&s.options.Source, "source", "", "one camera at `URI`, in place of the configured ones")
	flags.StringVar(&s.options.Bundle, "bundle", "", "`DIR` with model.yaml (short for --set model.bundle=DIR)")
	flags.StringVar(&s.options.Listen, "listen", "",
		"`ADDR` of the live page, host:port (short for --set http.listen=ADDR, and makes the tokens that it needs)")
	flags.StringVar(&s.options.Broker, "broker", "", "`URL` of the broker (short for --set mqtt.broker=URL)")
	return cmd
}

// gcPercent is low: frames allocate nothing, and what whoever looks at the page leaves behind shall not
// double the heap.
const gcPercent = 50

// loadForRun are the settings of the daemon.
func (s *settings) loadForRun() (configs.Config, error) {
	e, err := s.load()
	if err != nil {
		return configs.Config{}, err
	}
	e.Config.Infer = buildsInChild(e.Config.Infer)
	return e.Config, nil
}

// verifyBeside runs 'verify' with the same settings in a process of its own: a network that brings
// the runtime down must not end the agent.
func (s *settings) verifyBeside(ctx context.Context, bundleDir string) error {
	_, err := selfexec.Run(ctx, s.asHere("verify", bundleDir), nil)
	if ctx.Err() != nil {
		return fmt.Errorf("verify took too long: run 'vggse-agent model activate' on the device: %w", ctx.Err())
	}
	if err != nil {
		return fmt.Errorf("verify: %w", err)
	}
	return nil
}

// teachAside runs 'teach' with the same settings in a process of its own, of the lowest priority.
func (s *settings) teachAside(ctx context.Context, r agent.TeachRun) error {
	args := s.asHere("teach", r.Bundle, "--images", r.Images, "--out", r.Out, "--workers", "1",
		fmt.Sprintf("--add-only=%t", r.AddOnly), fmt.Sprintf("--flip=%t", r.Flip))
	return selfexec.Aside(ctx, args, r.Line)
}

// doctorBeside runs 'doctor' with the same settings in a process of its own: what it loads to look at
// may bring it down.
func (s *settings) doctorBeside(ctx context.Context) (findings []page.Finding, err error) {
	said, err := selfexec.Run(ctx, s.asHere("doctor", "--json"), nil)
	for line := range bytes.Lines(said) {
		var f page.Finding
		if json.Unmarshal(line, &f) == nil && f.Check != "" {
			findings = append(findings, f)
		}
	}
	if ctx.Err() != nil || len(findings) == 0 { // else an error says that a check has failed
		return nil, fmt.Errorf("doctor: %w", cmp.Or(err, errors.New("it has found nothing")))
	}
	return findings, nil
}

// asHere are args for a verb that is to have the settings of this one.
func (s *settings) asHere(args ...string) []string {
	if s.options.File != "" {
		args = append(args, "--config", s.options.File)
	}
	for _, pair := range s.options.Set {
		args = append(args, "--set", pair)
	}
	return args
}
