package main

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"os"
	"strings"
	"time"

	"github.com/spf13/cobra"
	"golang.org/x/term"

	"github.com/vggse/vggse-agent/mqtt"
	"github.com/vggse/vggse-agent/mqtt/watch"
)

func newWatchCmd(s *settings) *cobra.Command {
	var prefix string
	var asJSON bool
	cmd := &cobra.Command{
		Use:   "watch",
		Short: "Show live what a broker carries",
		Long: `Subscribes to everything below the topic prefix and shows a live table: one line for each camera,
with its stable label and the score of that. Where the output is no terminal, each message is a line.
It waits for a broker that is not there, or goes away. Ctrl-C ends it.

User, password, certificates and prefix are those of the configuration; where that says "embedded", and
without one, the broker is tcp://127.0.0.1:1883.`,
		Example: `  vggse-agent watch
  vggse-agent watch --broker tcp://broker:1883 --topic plant/vggse
  vggse-agent watch --json | jq -r 'select(.topic | endswith("/classification")) | .payload'`,
		Args: exactArgs(0, "no arguments"),
		RunE: func(cmd *cobra.Command, _ []string) error {
			e, err := s.load()
			if err != nil {
				return err
			}
			cfg := e.Config.MQTT
			cfg.ClientID = "" // the agent's own, and there can be only one of a name
			if cfg.Broker == mqtt.Embedded {
				cfg.Broker = "tcp://127.0.0.1:1883"
			}
			if prefix != "" {
				cfg.TopicPrefix = strings.Trim(prefix, "/")
			}
			return runWatch(cmd.Context(), cfg, cmd.OutOrStdout(), cmd.ErrOrStderr(), asJSON)
		},
	}
	cmd.Flags().StringVar(&s.options.Broker, "broker", "", "`URL` of the broker")
	cmd.Flags().StringVar(&prefix, "topic", "", "`PREFIX` of the topics (default: mqtt.topic_prefix)")
	cmd.Flags().BoolVar(&asJSON, "json", false, "print one JSON object for each message")
	return cmd
}

// runWatch shows what comes until ctx ends.
func runWatch(ctx context.Context, cfg mqtt.Config, out, errs io.Writer, asJSON bool) error {
	filters := []string{cfg.TopicPrefix + "/#"}
	if f, ok := out.(*os.File); ok && !asJSON && term.IsTerminal(int(f.Fd())) && os.Getenv("TERM") != "dumb" {
		return watch.Table(ctx, cfg, filters, f)
	}
	changed := func(err error) {
		if err != nil {
			fmt.Fprintf(errs, "no broker at %s: %v; trying again\n", cfg.Broker, err)
		} else {
			fmt.Fprintf(errs, "connected to %s\n", cfg.Broker)
		}
	}
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	handle := func(m mqtt.Message) {
		if err := printMessage(out, cfg.TopicPrefix, m, asJSON); err != nil {
			cancel(err) // nobody reads any more
		}
	}
	if err := mqtt.Subscribe(ctx, cfg, filters, changed, handle); err != nil {
		return err
	}
	if err := context.Cause(ctx); err != nil && err != context.Canceled {
		return fmt.Errorf("watch: %w", err)
	}
	return nil
}

// printMessage writes one message as a line: with JSON exactly what came, else for people.
func printMessage(out io.Writer, prefix string, m mqtt.Message, asJSON bool) error {
	now := time.Now()
	if !asJSON {
		_, err := fmt.Fprintf(out, "%s  %s\n", now.Format("15:04:05.000"), watch.Line(prefix, m))
		return err
	}
	payload := any(string(m.Payload))
	if json.Valid(m.Payload) {
		payload = json.RawMessage(m.Payload)
	}
	return printJSON(out, struct {
		Time     time.Time `json:"time"` // of arrival
		Topic    string    `json:"topic"`
		QoS      byte      `json:"qos"`
		Retained bool      `json:"retained"`
		Payload  any       `json:"payload"` // JSON as it is, else text
	}{now.UTC(), m.Topic, m.QoS, m.Retained, payload})
}
