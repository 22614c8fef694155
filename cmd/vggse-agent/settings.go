package main

import (
	"os"

	"github.com/spf13/cobra"

	"github.com/vggse/vggse-agent/configs"
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

// load joins the layers of the configuration; a mistake in one of them is exit code 78.
func (s *settings) load() (*configs.Effective, error) {
	o := s.options
	if s.logLevel != "" {
		o.Set = append(o.Set, "log.level="+s.logLevel)
	}
	if s.logFormat != "" {
		o.Set = append(o.Set, "log.format="+s.logFormat)
	}
	e, err := configs.Load(o)
	if err == nil {
		e.Config.Infer.Engines.Prepare = prepareInChild
	}
	return e, withCode(exitConfig, err)
}
