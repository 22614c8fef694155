package main

import (
	"context"
	"errors"
	"fmt"
	"image/png"
	"io"
	"os"
	"path/filepath"
	"slices"
	"time"

	"github.com/spf13/cobra"

	"github.com/vggse/vggse-agent/camera"
	"github.com/vggse/vggse-agent/internal/atomicfile"
	"github.com/vggse/vggse-agent/internal/round"
	"github.com/vggse/vggse-agent/vision"
)

// trial is one try of a camera, and what came of it: the JSON of cameras test.
type trial struct {
	URI      string   `json:"uri"`
	Asked    string   `json:"asked"`
	Got      string   `json:"got"`
	Frames   int      `json:"frames"`
	FPS      float64  `json:"fps"`
	AgeMS    *float64 `json:"age_ms"` // median, when the frame was handed out; null: this source does not tell
	FirstMS  float64  `json:"first_frame_ms"`
	Warnings []string `json:"warnings,omitempty"`
}

func newCamerasTestCmd(asJSON *bool) *cobra.Command {
	var frames int
	var save string
	cmd := &cobra.Command{
		Use:   "test URI",
		Short: "Open one source as the daemon does, and say what it gives",
		Long: `Opens the source as the daemon does, reads some frames, and says what was asked and what came: size,
backend, frames a second, how long the first one took, and how old frames are (of V4L2 since the
camera gave them, of RTSP beyond the freshest). --save writes them as PNG, as the network would see
them. Exit code 1 where the camera is lost.`,
		Example: `  vggse-agent cameras test 'v4l2:///dev/video0?width=1280&height=720&codec=mjpeg' --frames 60
  vggse-agent cameras test rtsp://user:password@camera.local/stream --save pictures --json`,
		Args: exactArgs(1, "one URI"),
		RunE: func(cmd *cobra.Command, args []string) error {
			if frames < 1 {
				return usagef("cameras test: --frames must be at least 1")
			}
			t, err := tryCamera(cmd.Context(), args[0], frames, save)
			if err != nil {
				return err
			}
			if *asJSON {
				return printJSON(cmd.OutOrStdout(), t)
			}
			return t.print(cmd.OutOrStdout())
		},
	}
	cmd.Flags().IntVar(&frames, "frames", 30, "how many to read, at most")
	cmd.Flags().StringVar(&save, "save", "", "write them to `DIR`, which is made")
	return cmd
}

func tryCamera(ctx context.Context, source string, frames int, save string) (t trial, err error) {
	u, err := camera.ParseURI(source)
	if err != nil {
		return t, usagef("%w", err)
	}
	if save != "" {
		if err := os.MkdirAll(save, 0o755); err != nil {
			return t, err
		}
	}
	start := time.Now()
	s, err := camera.Open(ctx, camera.Config{Name: "test", Source: source})
	if err != nil {
		return t, err
	}
	defer func() { err = errors.Join(err, s.Close()) }()
	var f vision.Frame
	var ages []time.Duration
	var first, last time.Time
	for ; t.Frames < frames; t.Frames++ {
		if err := s.Read(ctx, &f); err == io.EOF {
			break
		} else if err != nil {
			return t, fmt.Errorf("after %d frames: %w", t.Frames, err)
		}
		if t.Frames == 0 {
			first = f.Time
		}
		last = f.Time
		if age, known := s.Age(); known {
			ages = append(ages, age)
		}
		if save != "" {
			path := filepath.Join(save, fmt.Sprintf("frame-%04d.png", f.Seq))
			if err := atomicfile.WriteFile(path,
				func(w io.Writer) error { return png.Encode(w, f.Image()) }); err != nil {
				return t, err
			}
		}
	}
	info := s.Info()
	t.URI, t.Asked, t.Warnings = info.URI, asked(&u), slices.Clone(info.Warnings)
	t.Got = fmt.Sprintf("%dx%d through %s", info.Width, info.Height, info.Backend)
	t.FirstMS = round.Milliseconds(first.Sub(start))
	if save != "" {
		t.Warnings = append(t.Warnings,
			"frames a second are those that could be saved: leave --save out to see the camera's rate")
	}
	if took := last.Sub(first); took > 0 {
		t.FPS = float64(t.Frames-1) / took.Seconds()
	}
	if len(ages) > 0 {
		slices.Sort(ages)
		age := round.Milliseconds(ages[len(ages)/2])
		t.AgeMS = &age
	}
	return t, nil
}

// asked is the capture mode that a URI names.
func asked(u *camera.URI) string {
	text := "whatever comes"
	if u.Width > 0 {
		text = fmt.Sprintf("%dx%d", u.Width, u.Height)
	}
	if u.FPS > 0 {
		text += fmt.Sprintf(" at %g frames/s", u.FPS)
	}
	if u.Codec != "" {
		text += " in " + u.Codec
	}
	return text
}

func (t *trial) print(w io.Writer) error {
	age := "not told by this source"
	if t.AgeMS != nil {
		age = fmt.Sprintf("%.1f ms (median)", *t.AgeMS)
	}
	_, err := fmt.Fprintf(w, "source       %s\nasked        %s\ngot          %s\nframes       %d, %.1f a "+
		"second\nfirst frame  after %.0f ms\nage          %s\n",
		t.URI, t.Asked, t.Got, t.Frames, t.FPS, t.FirstMS, age)
	for _, warning := range t.Warnings {
		fmt.Fprintf(w, "warning      %s\n", warning)
	}
	return err
}
