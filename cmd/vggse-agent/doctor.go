package main

import (
	"context"
	"fmt"
	"io"

	"github.com/spf13/cobra"

	"github.com/vggse/vggse-agent/agent"
	"github.com/vggse/vggse-agent/device"
)

func newDoctorCmd(s *settings) *cobra.Command {
	var asJSON bool
	var root string
	cmd := &cobra.Command{
		Use:   "doctor",
		Short: "Is this machine ready for the configuration in force, and if not, what cures it",
		Long: `Looks at the machine, NVIDIA's libraries, ONNX Runtime and its providers, OpenCV, the bundle, the cameras, memory, disk, clock, groups and
broker, and says ok, warn or fail for each, with the cure. Nothing is changed, no camera is opened. Exit
code 1 when something fails. What it says of a Jetson was tested on copies of its files, not on a device.`,
		Example: "  vggse-agent doctor\n  sudo -u vggse-agent vggse-agent doctor --config /etc/vggse-agent/vggse-agent.yaml --json",
		Args:    exactArgs(0, "no arguments"),
		RunE: func(cmd *cobra.Command, _ []string) error {
			e, err := s.load()
			if err != nil {
				return err
			}
			return examine(cmd.Context(), &e.Config, device.At(root), cmd.OutOrStdout(), asJSON)
		},
	}
	cmd.Flags().BoolVar(&asJSON, "json", false, "print one JSON line for each check")
	cmd.Flags().StringVar(&root, "root", "/", "read the machine's own files under `DIR`")
	return cmd
}

// Values of finding.Status.
const (
	fine    = "ok"
	warning = "warn"
	failure = "fail"
)

// finding is what one check has to say.
type finding struct {
	Check  string `json:"check"`
	Status string `json:"status"`
	Found  string `json:"found"`
	Cure   string `json:"cure"` // empty where all is well
}

// patient is what the checks look at.
type patient struct {
	config  *agent.Config
	machine device.Machine
	facts   device.Facts
}

// checks are all of them, in the order in which they are told.
var checks = []func(context.Context, *patient) []finding{
	checkMachine, checkJetPack, checkNVIDIA, checkRuntime, checkProviders, checkOpenCV, checkBundle, checkCameras,
	checkMemory, checkDisk, checkThermal, checkClock, checkGroups, checkBroker,
}

// examine runs every check and tells what it finds as it goes; an error counts what failed.
func examine(ctx context.Context, c *agent.Config, m device.Machine, w io.Writer, asJSON bool) error {
	p := &patient{config: c, machine: m, facts: m.Facts()}
	failed, all := 0, 0
	for _, check := range checks {
		for _, f := range check(ctx, p) {
			if err := tellFinding(w, f, asJSON); err != nil {
				return err
			}
			all++
			if f.Status == failure {
				failed++
			}
		}
		if err := ctx.Err(); err != nil {
			return err
		}
	}
	if failed > 0 {
		return fmt.Errorf("doctor: %d of %d checks failed", failed, all)
	}
	return nil
}

func tellFinding(w io.Writer, f finding, asJSON bool) error {
	if asJSON {
		return printJSON(w, f)
	}
	_, err := fmt.Fprintf(w, "%-4s  %-17s  %s\n", f.Status, f.Check, f.Found)
	if err == nil && f.Cure != "" {
		_, err = fmt.Fprintf(w, "%25s→ %s\n", "", f.Cure)
	}
	return err
}

func one(check, status, found, cure string) []finding {
	return []finding{{Check: check, Status: status, Found: found, Cure: cure}}
}
