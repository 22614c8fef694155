package main

import (
	"context"
	"fmt"
	"io"
	"net"
	"strings"
	"text/tabwriter"
	"time"

	"github.com/spf13/cobra"

	"github.com/vggse/vggse-agent/fleet"
	"github.com/vggse/vggse-agent/mqtt"
)

// brokerPatience is how long a verb that only asks waits for the broker.
const brokerPatience = 2 * time.Minute

func newFleetCmd(s *settings) *cobra.Command {
	cmd := &cobra.Command{
		Use:   "fleet",
		Short: "See what many devices run, and bring a release to them in waves",
		Long: `The verbs of fleet speak to the broker of the settings, on any machine that may read there; who writes
below vggse-fleet/ moves devices. Devices are in the groups of their device.groups.`,
		Args: exactArgs(0, "one of the verbs status, rollout, halt and back"),
		RunE: func(cmd *cobra.Command, _ []string) error { return cmd.Help() },
	}
	cmd.PersistentFlags().Bool("json", false, "print one JSON object a line")
	cmd.PersistentFlags().StringVar(&s.options.Broker, "broker", "", "`URL` of the broker (default: mqtt.broker)")
	cmd.PersistentFlags().String("group", "", "`NAME` of the group")
	cmd.AddCommand(newFleetStatusCmd(s), newRolloutCmd(s), newFleetEndCmd(s, false), newFleetEndCmd(s, true))
	return cmd
}

// fleetOptions are those of the settings and flags.
func fleetOptions(cmd *cobra.Command, s *settings, wantsGroup bool) (o fleet.Options, asJSON bool, err error) {
	e, err := s.load()
	if err != nil {
		return o, false, err
	}
	o.MQTT = e.Config.MQTT
	if o.MQTT.Broker == mqtt.Embedded {
		o.MQTT.Broker = "tcp://127.0.0.1:1883"
	}
	if o.Group, err = cmd.Flags().GetString("group"); err != nil {
		return o, false, err
	}
	if o.Group == "" && wantsGroup {
		return o, false, usagef("%s wants --group NAME (see '%s --help')", cmd.Name(), cmd.CommandPath())
	}
	if o.Group != "" && fleet.CheckGroup(o.Group) != nil {
		return o, false, usagef("--group: %w", fleet.CheckGroup(o.Group))
	}
	said := ""
	o.Trouble = func(err error) {
		if err != nil && err.Error() != said {
			said = err.Error()
			fmt.Fprintf(cmd.ErrOrStderr(), "%s: %v; trying again\n", mqtt.Shown(o.MQTT.Broker), err)
		}
	}
	asJSON, err = cmd.Flags().GetBool("json")
	return o, asJSON, err
}

func newFleetStatusCmd(s *settings) *cobra.Command {
	listen := ""
	cmd := &cobra.Command{
		Use: "status", Short: "What each device runs, how it fares, and how far a rollout is",
		Args: exactArgs(0, "no arguments"),
		RunE: func(cmd *cobra.Command, _ []string) error {
			o, asJSON, err := fleetOptions(cmd, s, false)
			if err != nil {
				return err
			}
			if listen != "" {
				return serveFleet(cmd, o, listen)
			}
			ctx, cancel := context.WithTimeout(cmd.Context(), brokerPatience)
			defer cancel()
			devices, progress, err := fleet.Status(ctx, o)
			if err != nil {
				return err
			}
			if asJSON {
				for _, d := range devices {
					if err := printJSON(cmd.OutOrStdout(), d); err != nil {
						return err
					}
				}
				return nil
			}
			if progress.State != "" {
				fmt.Fprintln(cmd.ErrOrStderr(), progressLine(progress))
			}
			if len(devices) == 0 {
				fmt.Fprintf(cmd.ErrOrStderr(), "no device was heard below %s/: look at mqtt.topic_prefix, and whether "+
					"this account may read there\n", o.MQTT.TopicPrefix)
			}
			return printFleet(cmd.OutOrStdout(), devices)
		},
	}
	cmd.Flags().StringVar(&listen, "listen", "", "serve it as a page at `ADDR` of this machine, as 127.0.0.1:9109")
	return cmd
}

// serveFleet shows the status as a page until it is stopped.
func serveFleet(cmd *cobra.Command, o fleet.Options, address string) error {
	if err := fleet.CheckListen(address); err != nil {
		return usagef("--listen: %w", err)
	}
	l, err := net.Listen("tcp", address)
	if err != nil {
		return fmt.Errorf("--listen: %w", err)
	}
	fmt.Fprintf(cmd.ErrOrStderr(), "http://%s/\n", l.Addr())
	return fleet.Serve(cmd.Context(), o, l)
}

// printFleet is the table of devices.
func printFleet(out io.Writer, devices []*fleet.Device) error {
	t := tabwriter.NewWriter(out, 0, 0, 2, ' ', 0)
	fmt.Fprintln(t, "device\tgroups\t\thealth\trelease\tbundle\tmodel\tupdate")
	for _, d := range devices {
		there := "away"
		if d.Online {
			there = "online"
		}
		released := "-"
		if d.Name != "" {
			released = fmt.Sprintf("%s:%d", d.Name, d.Release)
		}
		if d.Local {
			released += " local"
		}
		update := strings.TrimSpace(d.State + " " + d.Reason)
		fmt.Fprintf(t, "%s\t%s\t%s\t%s\t%s\t%.12s\t%s\t%s\n", d.ID, wordOrDash(strings.Join(d.Groups, ",")), there,
			wordOrDash(strings.TrimSuffix(d.Health+" "+d.Trouble, " ")), printableWord(released), wordOrDash(d.Bundle),
			printableWord(d.Model), printableWord(update))
	}
	return t.Flush()
}

func wordOrDash(s string) string {
	if s == "" {
		return "-"
	}
	return printableWord(s)
}

// printableWord is a device's own text without what moves a terminal's cursor.
func printableWord(s string) string {
	if r := []rune(s); len(r) > 80 {
		s = string(r[:79]) + "…"
	}
	return strings.Map(func(r rune) rune {
		if r < ' ' || r == 0x7f || r >= 0x80 && r < 0xa0 {
			return '?'
		}
		return r
	}, s)
}
