package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"

	"github.com/spf13/cobra"

	"github.com/vggse/vggse-agent/infer"
	"github.com/vggse/vggse-agent/internal/selfexec"
	"github.com/vggse/vggse-agent/verify"
	"github.com/vggse/vggse-agent/vision"
)

// verdictOfChild is what the process that prepares an engine prints.
type verdictOfChild struct {
	Error string `json:"error"` // "": it is done
}

// newPrepareCmd is the process that prepareInChild starts: it reads a job from stdin. TensorRT
// holds a thread in C for minutes and takes gigabytes: in a process of its own a build can be ended
// at once, and what it took is given back.
func newPrepareCmd() *cobra.Command {
	return &cobra.Command{
		Use: "prepare-engine", Short: "Build an engine (for the agent itself)", Hidden: true,
		Args: exactArgs(0, "a job on stdin"),
		RunE: func(cmd *cobra.Command, _ []string) error {
			var v verdictOfChild
			if err := prepare(cmd.Context(), cmd); err != nil {
				v.Error = err.Error()
			}
			return printJSON(cmd.OutOrStdout(), v)
		},
	}
}

func prepare(ctx context.Context, cmd *cobra.Command) error {
	var job infer.Job
	if err := json.NewDecoder(cmd.InOrStdin()).Decode(&job); err != nil {
		return fmt.Errorf("the job on stdin cannot be read: %w", err)
	}
	var inputs *vision.Tensor
	if job.Network.Golden != "" {
		var err error
		if inputs, err = verify.Inputs(&job.Network); err != nil {
			return err
		}
	}
	return infer.Prepare(ctx, job, inputs)
}

// prepareInChild runs the job in a process of its own. It ends with ctx, and never outlives this
// one.
func prepareInChild(ctx context.Context, job infer.Job) error {
	text, err := json.Marshal(job)
	if err != nil {
		return err
	}
	stdout, err := selfexec.Run(ctx, []string{"prepare-engine"}, text)
	if err != nil {
		return fmt.Errorf("building the engine: %w", err)
	}
	var v verdictOfChild
	if err := json.Unmarshal(stdout, &v); err != nil {
		return fmt.Errorf("building the engine: its process answers %q: %w", stdout, err)
	}
	if v.Error != "" {
		return errors.New(v.Error)
	}
	return nil
}
