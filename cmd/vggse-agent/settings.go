package main

import (
	"context"
	"os"
	"slices"

	"github.com/spf13/cobra"

	"github.com/vggse/vggse-agent/configs"
	"github.com/vggse/vggse-agent/infer"
	"github.com/vggse/vggse-agent/vision"
)

// settings are the flags that every verb with a configuration takes.
type settings struct {
	options             configs.Options
	logLevel, logFormat string
}

// addSettings gives cmd the global flags of the configuration.
func addSettings(cmd *cobra.Command) *settings {
	s := &settings{options: configs.Options{Environ: os.Environ()}}
	flags := cmd.PersistentFlags()
	flags.StringVar(&s.options.File, "config", "",
		"configuration `FILE` (default ./vggse-agent.yaml, then /etc/vggse-agent/vggse-agent.yaml)")
	flags.StringArrayVar(&s.options.Set, "set", nil,
		"set one `KEY=VALUE`, repeatable (list elements as cameras.0.fps=5)")
	flags.StringVar(&s.logLevel, "log-level", "", "debug, info, warn or error (short for --set log.level=…)")
	flags.StringVar(&s.logFormat, "log-format", "", "text or json (short for --set log.format=…)")
	return s
}

// load joins the layers of the configuration, with overrides, KEY=VALUE each, over all of them; a
// mistake in one of them is exit code 78.
func (s *settings) load(overrides ...string) (*configs.Effective, error) {
	o := s.options
	o.Set = append(slices.Clone(o.Set), overrides...)
	if s.logLevel != "" {
		o.Set = append(o.Set, "log.level="+s.logLevel)
	}
	if s.logFormat != "" {
		o.Set = append(o.Set, "log.format="+s.logFormat)
	}
	e, err := configs.Load(o)
	return e, withCode(exitConfig, err)
}

// buildsInChild is c with engines built in a process of their own.
func buildsInChild(c infer.Config) infer.Config {
	engines := *c.Engines
	engines.Prepare = prepareInChild
	c.Engines = &engines
	return c
}

// networkOverrides are the flags of a verb that opens one bundle, as overrides; "" overrides
// nothing.
func networkOverrides(dir, precision, provider string) []string {
	all := []string{"model.bundle=" + dir}
	if precision != "" {
		all = append(all, "model.precision="+precision)
	}
	if provider != "" {
		all = append(all, "infer.providers="+provider)
	}
	return all
}

// openNetwork opens a bundle with the configuration in force and overrides of a verb over it.
func openNetwork(ctx context.Context, s *settings, overrides ...string) (*infer.Network, error) {
	n, _, err := openDeciding(ctx, s, overrides...)
	return n, err
}

// openDeciding is openNetwork, with what the settings say about decisions.
func openDeciding(ctx context.Context, s *settings, overrides ...string) (*infer.Network, vision.DecideConfig, error) {
	e, err := s.load(overrides...)
	if err != nil {
		return nil, vision.DecideConfig{}, err
	}
	c := &e.Config
	n, err := infer.OpenBundle(ctx, c.Model.Bundle, c.Model.Precision, buildsInChild(c.Infer))
	return n, c.Decide, c.Model.Unnamed(err)
}
