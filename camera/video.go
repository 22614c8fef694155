package camera

import (
	"context"
	"errors"
	"fmt"
	"io"

	"github.com/vggse/vggse-agent/vision"
)

// video is a file of frames. A further round opens it again: seeking to the start is not exact
// everywhere.
type video struct {
	capture *capture
	plan    *plan
	foreign
	rounds int  // further rounds; −1 for ever
	seen   bool // this round has had a frame
}

// videoFPS is the speed of a video that does not say its own.
const videoFPS = 25

func (u *URI) openVideo(m machine) (source, Info, error) {
	turned := *u
	var err error
	if turned.Flip, err = rotationOf(u.Target).then(u.Flip); err != nil {
		return nil, Info{}, err
	}
	p, err := turned.plan(m)
	if err != nil {
		return nil, Info{}, err
	}
	c, err := openUnturned(p)
	if errors.Is(err, errNotOpened) {
		why := "or needs another decoder"
		if p.backend == backendGStreamer && lacksElement("avdec_h264") && lacksElement("openh264dec") {
			why = "or needs a decoder that is not installed: gstreamer1.0-libav brings those of H.264 and H.265"
		}
		return nil, Info{}, fmt.Errorf("%s cannot be read as a video: it is no video, is damaged, %s (%s)", u.Target,
			why, p.backend)
	} else if err != nil {
		return nil, Info{}, err
	}
	info := Info{Kind: "video", Backend: p.backend.String(), FPS: sane(c.property(propFPS))}
	info.Width, info.Height = max(0, int(c.property(propWidth))), max(0, int(c.property(propHeight)))
	if n, ok := p.flip.quarters(); ok && n%2 == 1 {
		info.Width, info.Height = info.Height, info.Width
	}
	if info.FPS == 0 {
		info.FPS = videoFPS
	}
	return &video{capture: c, plan: p, rounds: u.Loop}, info, nil
}

// openUnturned opens a film whose turning is ours: see rotationOf.
func openUnturned(p *plan) (*capture, error) {
	c, err := openCapture(p)
	if err == nil && p.backend == backendFFmpeg {
		c.set(propOrientationAuto, 0)
	}
	return c, err
}

func (v *video) next(_ context.Context, f *vision.Frame) error {
	for {
		ok, err := v.capture.read(v.memory(f, v.plan.flip))
		switch {
		case err != nil:
			return err
		case ok:
			v.seen = true
			return v.capture.copyTo(f, v.plan.flip)
		case !v.seen:
			return errors.New("the video has no frame that can be decoded")
		case v.rounds == 0:
			return io.EOF
		}
		if err := v.rewind(); err != nil {
			return err
		}
	}
}

func (v *video) rewind() error {
	if v.rounds > 0 {
		v.rounds--
	}
	if err := v.capture.close(); err != nil {
		return err
	}
	c, err := openUnturned(v.plan)
	if err != nil {
		return fmt.Errorf("the video cannot be opened again: %w", err)
	}
	v.capture, v.seen = c, false
	return nil
}

func (v *video) close() error { return v.capture.close() }
