package main

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"os"
	"strings"
	"sync"
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
	return watchLines(ctx, cfg, filters, out, errs, asJSON)
}

// watchLines prints one line for each message; what is said of the connection, on errs, once for
// each change.
func watchLines(ctx context.Context, cfg mqtt.Config, filters []string, out, errs io.Writer, asJSON bool) error {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	var mu sync.Mutex // guards errs and what follows
	board, said := watch.New(cfg.Broker, cfg.TopicPrefix), ""
	var failed error // of writing
	say := func(text string) {
		if text != said {
			fmt.Fprintln(errs, text)
		}
		said = text
	}
	hint := time.AfterFunc(watch.Patience, func() {
		mu.Lock()
		defer mu.Unlock()
		if text := board.Hint(time.Now()); text != "" {
			say(text)
		}
	})
	defer hint.Stop()
	changed := func(err error) {
		mu.Lock()
		defer mu.Unlock()
		board.Connection(err, time.Now())
		if err != nil {
			say(fmt.Sprintf("%s: %v; trying again", mqtt.Shown(cfg.Broker), err))
			return
		}
		say("connected to " + mqtt.Shown(cfg.Broker))
		hint.Reset(watch.Patience + time.Millisecond)
	}
	handle := func(m mqtt.Message) {
		mu.Lock()
		board.Apply(m, time.Now())
		mu.Unlock()
		if err := printMessage(out, cfg.TopicPrefix, m, asJSON); err != nil {
			failed = err // nobody reads any more
			cancel()
		}
	}
	if err := mqtt.Subscribe(ctx, cfg, filters, changed, handle); err != nil {
		return err
	}
	if failed != nil {
		return fmt.Errorf("watch: %w", failed)
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
