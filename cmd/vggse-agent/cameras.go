package main

import (
	"fmt"
	"io"
	"strings"

	"github.com/spf13/cobra"

	"github.com/vggse/vggse-agent/camera"
)

// newCamerasCmd builds the verbs cameras and cameras test.
func newCamerasCmd() *cobra.Command {
	var asJSON bool
	cmd := &cobra.Command{
		Use:   "cameras",
		Short: "List the cameras that are here, or try one",
		Long: `Lists the capture devices of this machine: what they call themselves, the names that stay the same
wherever they are plugged in, whether they are free, and the formats, sizes and rates that they
offer. 'cameras test' opens any source.`,
		Example: `  vggse-agent cameras
  vggse-agent cameras test /dev/video0 --frames 60 --save pictures`,
		Args: exactArgs(0, "no arguments, or test URI"),
		RunE: func(cmd *cobra.Command, _ []string) error {
			all, err := camera.Devices("/")
			if err != nil {
				return err
			}
			for _, d := range all {
				if asJSON {
					err = printJSON(cmd.OutOrStdout(), d)
				} else {
					err = printDevice(cmd.OutOrStdout(), &d)
				}
				if err != nil {
					return err
				}
			}
			if len(all) == 0 {
				fmt.Fprintln(cmd.ErrOrStderr(),
					"no camera is plugged in here; others are given as rtsp://HOST/PATH, csi://0, demo://parts or "+
						"a file")
			}
			return nil
		},
	}
	cmd.PersistentFlags().BoolVar(&asJSON, "json", false, "print one JSON object a line")
	cmd.AddCommand(newCamerasTestCmd(&asJSON))
	return cmd
}

func printDevice(w io.Writer, d *camera.Device) error {
	var b strings.Builder
	fmt.Fprintf(&b, "%s  %s  (%s, %s)  %s\n", d.URI, d.Name, d.Driver, d.Bus, d.State)
	for _, name := range d.ByID {
		fmt.Fprintf(&b, "  %s\n", name)
	}
	for _, m := range d.Modes {
		rates := make([]string, len(m.FPS))
		for i, fps := range m.FPS {
			rates[i] = fmt.Sprintf("%.3g", fps)
		}
		fmt.Fprintf(&b, "  %-4s  %-10s  %s\n", m.Format, m.Size, strings.Join(rates, " "))
	}
	_, err := io.WriteString(w, b.String())
	return err
}
