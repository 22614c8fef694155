package main

import (
	"context"
	"fmt"
	"image/png"
	"io"
	"os"
	"path/filepath"

	"github.com/spf13/cobra"

	"github.com/vggse/vggse-agent/camera"
	"github.com/vggse/vggse-agent/camera/worker"
	"github.com/vggse/vggse-agent/internal/atomicfile"
	"github.com/vggse/vggse-agent/internal/progress"
	"github.com/vggse/vggse-agent/vision"
)

func newCamerasTestCmd(asJSON *bool) *cobra.Command {
	var frames int
	var save string
	var view bool
	cmd := &cobra.Command{
		Use:   "test URI",
		Short: "Open one source as the daemon does, and say what it gives",
		Long: `Opens the source as the daemon does, reads some frames, and says what was asked and what came: size,
backend, frames a second, how long the first one took, and how old frames are (of V4L2 since the
camera gave them, of RTSP beyond the freshest). --save writes them as PNG, as the network would see
them; --view draws the last one in the terminal, as blocks of colour. Exit code 1 where the camera is
lost.`,
		Example: `  vggse-agent cameras test 'v4l2:///dev/video0?width=1280&height=720&codec=mjpeg' --frames 60
  vggse-agent cameras test rtsp://user:password@camera.local/stream --save pictures --json
  vggse-agent cameras test demo://parts --view`,
		Args: exactArgs(1, "one URI"),
		RunE: func(cmd *cobra.Command, args []string) error {
			if frames < 1 {
				return usagef("cameras test: --frames must be at least 1")
			}
			if view && *asJSON {
				return usagef("cameras test: --view draws where --json prints: choose one")
			}
			var drawn *viewer
			if view {
				var why string
				if drawn, why = newViewer(cmd.OutOrStdout()); why != "" {
					fmt.Fprintln(cmd.ErrOrStderr(), why)
				}
			}
			m, err := testCamera(cmd.Context(), args[0], frames, save, drawn, progress.To(cmd.ErrOrStderr()))
			if err != nil {
				return err
			}
			if err := drawn.draw(); err != nil {
				return err
			}
			if *asJSON {
				return printJSON(cmd.OutOrStdout(), m)
			}
			return printMeasurement(cmd.OutOrStdout(), m)
		},
	}
	cmd.Flags().IntVar(&frames, "frames", 30, "how many to read, at most")
	cmd.Flags().StringVar(&save, "save", "", "write them to `DIR`, which is made")
	cmd.Flags().BoolVar(&view, "view", false, "draw the last one here, as blocks of colour")
	return cmd
}

// testCamera measures the source; its frames go to the folder save, where one is named, and to drawn,
// which may be nil.
func testCamera(ctx context.Context, source string, frames int, save string, drawn *viewer,
	tell *progress.Progress) (*camera.Measurement, error) {
	if _, err := camera.ParseURI(source); err != nil {
		return nil, usagef("%w", err)
	}
	process := worker.New(camera.Config{Name: "test", Source: source})
	defer process.Close()
	tell.Say("opening %s", camera.Redact(source))
	bar := tell.Start("reading frames", int64(frames))
	defer bar.Done()
	if save == "" {
		return camera.Measure(ctx, source, frames, process.Open, func(f *vision.Frame) error {
			drawn.keep(f)
			bar.One()
			return nil
		})
	}
	if err := os.MkdirAll(save, 0o755); err != nil {
		return nil, err
	}
	m, err := camera.Measure(ctx, source, frames, process.Open, func(f *vision.Frame) error {
		defer bar.One()
		drawn.keep(f)
		return atomicfile.WriteFile(filepath.Join(save, fmt.Sprintf("frame-%04d.png", f.Seq)),
			func(w io.Writer) error { return png.Encode(w, f.Image()) })
	})
	if err != nil {
		return nil, err
	}
	m.Warnings = append(m.Warnings,
		"frames a second are those that could be saved: leave --save out to see the camera's rate")
	return m, nil
}

func printMeasurement(w io.Writer, m *camera.Measurement) error {
	age := "not told by this source"
	if m.AgeMS != nil {
		age = fmt.Sprintf("%.1f ms (median)", *m.AgeMS)
	}
	_, err := fmt.Fprintf(w, "source       %s\nasked        %s\ngot          %s\nframes       %d, %.1f a "+
		"second\nfirst frame  after %.0f ms\nage          %s\n",
		m.URI, m.Asked, m.Got, m.Frames, m.FPS, m.FirstMS, age)
	for _, warning := range m.Warnings {
		fmt.Fprintf(w, "warning      %s\n", warning)
	}
	return err
}
