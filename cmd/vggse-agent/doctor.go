package main

import (
	"fmt"
	"io"

	"github.com/spf13/cobra"

	"github.com/vggse/vggse-agent/device"
	"github.com/vggse/vggse-agent/doctor"
)

func newDoctorCmd(s *settings) *cobra.Command {
	var asJSON bool
	var root string
	cmd := &cobra.Command{
		Use:   "doctor",
		Short: "Is this machine ready for the configuration in force, and if not, what cures it",
		Long: `Looks at the machine, NVIDIA's libraries, ONNX Runtime and its providers, OpenCV, the bundle, the
cameras, memory, disk, clock, groups and broker, and says ok, warn or fail for each, with the cure.
Nothing is
changed. It logs in to the broker, reads films and pictures, and asks RTSP servers for their description; no other
camera is opened. Exit code 1 when something fails. What it says of a Jetson
was tested on copies of its files, not on a device.`,
		Example: "  vggse-agent doctor\n  sudo -u vggse-agent vggse-agent doctor --config " +
			"/etc/vggse-agent/vggse-agent.yaml --json",
		Args: exactArgs(0, "no arguments"),
		RunE: func(cmd *cobra.Command, _ []string) error {
			e, err := s.load()
			if err != nil {
				return err
			}
			failed, all := 0, 0
			t := doctor.Target{Config: &e.Config, Machine: device.At(root)}
			err = doctor.Examine(cmd.Context(), t, func(f doctor.Finding) error {
				all++
				if f.Status == doctor.Fail {
					failed++
				}
				return tellFinding(cmd.OutOrStdout(), f, asJSON)
			})
			if err == nil && failed > 0 {
				err = fmt.Errorf("doctor: %d of %d checks failed", failed, all)
			}
			return err
		},
	}
	cmd.Flags().BoolVar(&asJSON, "json", false, "print one JSON line for each check")
	cmd.Flags().StringVar(&root, "root", "/", "read the machine's own files under `DIR`")
	return cmd
}

func tellFinding(w io.Writer, f doctor.Finding, asJSON bool) error {
	if asJSON {
		return printJSON(w, f)
	}
	_, err := fmt.Fprintf(w, "%-4s  %-17s  %s\n", f.Status, f.Check, f.Found)
	if err == nil && f.Cure != "" {
		_, err = fmt.Fprintf(w, "%25s→ %s\n", "", f.Cure)
	}
	return err
}
