package camera

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"os"

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
	p, c, err := turned.openFilm(m)
	if err != nil {
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

// openFilm opens a film through GStreamer, which follows a picture that changes its size or its
// pixel format, and knows colours; or else through FFmpeg, which reads more kinds of films, and says
// of each whether it is one: OpenCV before 4.8 waits for ever where GStreamer finds none.
func (u *URI) openFilm(m machine) (p *plan, c *capture, err error) {
	if !m.ffmpeg || !m.gstreamer || m.jetson {
		return u.openFilmBy(m)
	}
	gstreamer, ffmpeg := m, m
	gstreamer.ffmpeg, ffmpeg.gstreamer = false, false
	p, c, err = u.openFilmBy(ffmpeg)
	if err != nil || !usualFilm(u.Target) {
		return p, c, err
	}
	better, opened, err := u.openFilmBy(gstreamer)
	if err != nil {
		return p, c, nil
	}
	return better, opened, c.close()
}

func (u *URI) openFilmBy(m machine) (p *plan, c *capture, err error) {
	if p, err = u.plan(m); err != nil {
		return nil, nil, err
	}
	if c, err = openUnturned(p); !errors.Is(err, errNotOpened) {
		return p, c, err
	}
	why := "or needs another decoder"
	if p.backend == backendGStreamer && lacksElement("avdec_h264") && lacksElement("openh264dec") {
		why = "or needs a decoder that is not installed: gstreamer1.0-libav brings those of H.264 and H.265"
	}
	return nil, nil, fmt.Errorf("%s cannot be read as a video: it is no video, is damaged, %s (%s)", u.Target, why,
		p.backend)
}

// filmStarts are the beginnings of the files whose demultiplexers are GStreamer's own, from offset
// 0 or 4: MP4 and MOV, Matroska and WebM, AVI, Ogg, FLV, IVF, MPEG-TS and -PS, MXF, and streams of
// H.264, H.265 and JPEG in no container.
var filmStarts = [2][]string{
	{"\x1aE\xdf\xa3", "RIFF", "OggS", "FLV", "DKIF", "G", "\x00\x00\x01",
		"\x00\x00\x00\x01", "\x06\x0e+4", "\xff\xd8\xff"},
	{"ftyp", "moov", "mdat", "wide", "free", "skip", "G"},
}

// usualFilm reports whether GStreamer reads such a file to its end; those of others it may never
// end.
func usualFilm(path string) bool {
	f, err := os.Open(path)
	if err != nil {
		return false
	}
	defer f.Close()
	var head [8]byte
	n, _ := io.ReadFull(f, head[:])
	for i, starts := range filmStarts {
		for _, start := range starts {
			if n == len(head) && bytes.HasPrefix(head[4*i:], []byte(start)) {
				return !bytes.HasPrefix(head[:], []byte("GIF"))
			}
		}
	}
	return false
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
