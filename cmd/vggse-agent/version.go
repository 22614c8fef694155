package main

import (
	"fmt"
	"runtime"
	"runtime/debug"
	"strings"

	"github.com/spf13/cobra"

	"github.com/vggse/vggse-agent/camera"
	"github.com/vggse/vggse-agent/infer"
)

// Set by the Makefile through -ldflags -X.
var (
	version = "dev"
	commit  = "unknown"
)

func newVersionCmd(s *settings) *cobra.Command {
	var asJSON bool
	cmd := &cobra.Command{
		Use:   "version",
		Short: "Print the versions of the agent and of the libraries that it uses",
		Args:  exactArgs(0, "no arguments"),
		RunE: func(cmd *cobra.Command, _ []string) error {
			e, err := s.load()
			if err != nil {
				return err
			}
			runtimeVersion, err := infer.Version(e.Config.Infer)
			if err != nil {
				fmt.Fprintln(cmd.ErrOrStderr(), "vggse-agent:", err)
				runtimeVersion = "not found"
			}
			v := versions{
				Version: version, Commit: commit, Go: runtime.Version(),
				OpenCV: camera.OpenCVVersion(), ONNXRuntime: runtimeVersion, Tags: buildTags(),
			}
			if asJSON {
				return printJSON(cmd.OutOrStdout(), v)
			}
			_, err = fmt.Fprintf(cmd.OutOrStdout(),
				"vggse-agent %s (commit %s, %s, tags %s)\nOpenCV %s\nONNX Runtime %s\n",
				v.Version, v.Commit, v.Go, strings.Join(v.Tags, ","), v.OpenCV, v.ONNXRuntime)
			return err
		},
	}
	cmd.Flags().BoolVar(&asJSON, "json", false, "print one JSON object")
	return cmd
}

// versions is what version --json prints.
type versions struct {
	Version     string   `json:"version"`
	Commit      string   `json:"commit"`
	Go          string   `json:"go"`
	OpenCV      string   `json:"opencv"`
	ONNXRuntime string   `json:"onnxruntime"`
	Tags        []string `json:"tags"`
}

// buildTags are those that the program was built with.
func buildTags() []string {
	if info, ok := debug.ReadBuildInfo(); ok {
		for _, setting := range info.Settings {
			if setting.Key == "-tags" {
				return strings.Split(setting.Value, ",")
			}
		}
	}
	return []string{}
}
