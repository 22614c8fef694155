package main

import (
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"

	"github.com/spf13/cobra"

	"github.com/vggse/vggse-agent/mqtt"
	"github.com/vggse/vggse-agent/mqtt/spool"
)

func newSpoolCmd(s *settings) *cobra.Command {
	cmd := &cobra.Command{
		Use:   "spool",
		Short: "Look into what waits on disk for the broker",
		Long: `What the broker has not acknowledged in time waits in the folder spool of the state folder. stat,
peek and verify only read, also while the agent runs; its figures may then be half-way through a
write. DIR is by default that of the configuration.`,
		Args: exactArgs(0, "one of the verbs stat, peek, verify and repair"),
		RunE: func(cmd *cobra.Command, _ []string) error { return cmd.Help() },
	}
	v := &spoolVerb{settings: s}
	cmd.PersistentFlags().BoolVar(&v.asJSON, "json", false, "print one JSON object a line")
	cmd.AddCommand(
		v.command("stat [DIR]", "Count what waits", v.stat),
		v.peekCommand(),
		v.command("verify [DIR]",
			"Read every record and compare it with its checksum; exit code 1 where one is damaged", v.verify),
		v.command("repair [DIR]", "Write what holds of damaged files anew; the agent must not run", v.repair),
	)
	return cmd
}

// spoolVerb is what the verbs below spool share.
type spoolVerb struct {
	*settings
	asJSON bool
	limit  int
}

func (v *spoolVerb) command(use, short string, run func(cmd *cobra.Command, dir string) error) *cobra.Command {
	return &cobra.Command{
		Use: use, Short: short,
		Args: func(cmd *cobra.Command, args []string) error {
			if len(args) > 1 {
				return usagef("%s wants at most one DIR, got %d arguments (see '%s --help')", cmd.Name(), len(args),
					cmd.CommandPath())
			}
			return nil
		},
		RunE: func(cmd *cobra.Command, args []string) error {
			if len(args) == 1 {
				return run(cmd, args[0])
			}
			e, err := v.load()
			if err != nil {
				return err
			}
			dir := filepath.Join(e.Config.StateDir, "spool")
			if _, err := os.Stat(dir); errors.Is(err, fs.ErrNotExist) {
				fmt.Fprintln(cmd.ErrOrStderr(), "nothing has waited yet: there is no", dir)
				if v.asJSON && cmd.Name() != "peek" {
					return v.print(cmd, &spool.Summary{})
				}
				return nil
			}
			return run(cmd, dir)
		},
	}
}

func (v *spoolVerb) peekCommand() *cobra.Command {
	cmd := v.command("peek [DIR]", "Print the records that wait, oldest first", v.peek)
	cmd.Flags().IntVarP(&v.limit, "limit", "n", 10, "how many; 0: all")
	return cmd
}

func (v *spoolVerb) stat(cmd *cobra.Command, dir string) error {
	sum, err := spool.Inspect(dir, nil)
	if err != nil {
		return err
	}
	return v.print(cmd, &sum)
}

func (v *spoolVerb) verify(cmd *cobra.Command, dir string) error {
	sum, err := spool.Inspect(dir, nil)
	if err != nil {
		return err
	}
	if err := v.print(cmd, &sum); err != nil {
		return err
	}
	if sum.Damaged == 0 {
		return nil
	}
	return fmt.Errorf("%s: %d damaged places: the agent steps over them; 'vggse-agent spool repair %s' writes the "+
		"rest anew", dir, sum.Damaged, dir)
}

func (v *spoolVerb) repair(cmd *cobra.Command, dir string) error {
	sum, err := spool.Repair(dir)
	if errors.Is(err, spool.ErrInUse) {
		return fmt.Errorf("%s: an agent is at work on it: stop it first", dir)
	}
	if err != nil {
		return err
	}
	return v.print(cmd, &sum)
}

// print tells a summary; stream_id, first_seq, last_seq and in_use go beyond what other verbs
// promise.
func (v *spoolVerb) print(cmd *cobra.Command, sum *spool.Summary) error {
	if v.asJSON {
		return printJSON(cmd.OutOrStdout(), struct {
			Records int    `json:"records"`
			Bytes   int64  `json:"bytes"`
			Damaged int    `json:"damaged"`
			Dropped uint64 `json:"dropped"`
			Stream  string `json:"stream_id"`
			First   uint64 `json:"first_seq"`
			Last    uint64 `json:"last_seq"`
			InUse   bool   `json:"in_use"`
		}{sum.Records, sum.Bytes, sum.Damaged, sum.Dropped, sum.StreamID, sum.First, sum.Last, sum.InUse})
	}
	out := cmd.OutOrStdout()
	between := ""
	if sum.Records > 0 {
		between = fmt.Sprintf(", numbers %d to %d of stream %s", sum.First, sum.Last, sum.StreamID)
	}
	fmt.Fprintf(out, "records  %d wait%s\n", sum.Records, between)
	fmt.Fprintf(out, "bytes    %d in %d files\n", sum.Bytes, sum.Files)
	fmt.Fprintf(out, "damaged  %d places\n", sum.Damaged)
	_, err := fmt.Fprintf(out, "dropped  %d records that no event tells of yet\n", sum.Dropped)
	if sum.InUse {
		_, err = fmt.Fprintln(out, "in use   an agent is at work on it")
	}
	return err
}

// peek prints records as they would go out now.
func (v *spoolVerb) peek(cmd *cobra.Command, dir string) error {
	n, failed := 0, error(nil)
	_, err := spool.Inspect(dir, func(r *spool.Record) bool {
		payload := mqtt.Late(r.Payload)
		if v.asJSON {
			failed = printJSON(cmd.OutOrStdout(), struct {
				Seq     uint64          `json:"seq"`
				Class   string          `json:"class"`
				Topic   string          `json:"topic"`
				QoS     byte            `json:"qos"`
				Payload json.RawMessage `json:"payload"`
			}{r.Seq, r.Class.String(), r.Topic, r.QoS, payload})
		} else {
			_, failed = fmt.Fprintf(cmd.OutOrStdout(), "%d %s %s %s\n", r.Seq, r.Class, r.Topic, payload)
		}
		n++
		return failed == nil && n != v.limit
	})
	return errors.Join(failed, err)
}
