package camera

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"time"

	"github.com/vggse/vggse-agent/vision"
)

// video is a file of frames. A further round opens it again: seeking to the start is not exact
// everywhere.
type video struct {
	capture capturer
	plan    *plan
	foreign
	rounds int // further rounds; −1 for ever
	fps    float64
	length filmLength

	seen  int           // frames of this round
	at    time.Duration // of the newest of them in the film; 0: not known
	early int           // rounds that ended too early
	why   string        // the last of them did
}

// videoFPS is the speed of a video that does not say its own.
const videoFPS = 25

func (u *URI) openVideo(m machine, header filmHeader) (source, Info, error) {
	turned := *u
	var err error
	if turned.Flip, err = header.turn.then(u.Flip); err != nil {
		return nil, Info{}, err
	}
	p, c, err := turned.openFilmBy(m, &header)
	if err != nil {
		return nil, Info{}, err
	}
	if l := &header.length; p.backend != backendGStreamer {
		l.joined = l.firstAlone
	}
	info := Info{Kind: "video", Backend: p.backend.String(), FPS: sane(c.property(propFPS)),
		Warnings: header.length.warning()}
	info.Width, info.Height = max(0, int(c.property(propWidth))), max(0, int(c.property(propHeight)))
	if n, ok := p.flip.quarters(); ok && n%2 == 1 {
		info.Width, info.Height = info.Height, info.Width
	}
	if info.FPS == 0 {
		info.FPS = videoFPS
	}
	return &video{capture: c, plan: p, rounds: u.Loop, fps: info.FPS, length: header.length}, info, nil
}

// openFilm opens a film through GStreamer, which follows a picture that changes its size or its
// pixel format, and knows colours; or else through OpenCV's FFmpeg, which reads more kinds of films.
func (u *URI) openFilm() (source, Info, error) {
	if info, err := os.Stat(u.Target); err == nil && info.Size() == 0 {
		return nil, Info{}, fmt.Errorf("%s cannot be read as a video: the file is empty, copy it again", u.Target)
	}
	head := beginning(u.Target)
	if what := noFilm(head); what != "" {
		return nil, Info{}, fmt.Errorf("%s cannot be read as a video: it is %s", u.Target, what)
	}
	header := headerOf(u.Target)
	bare, usual := bareMachine(), usualFilm(head) && (!header.length.joined || header.length.firstAlone)
	var why error
	if bare.gstreamer && (usual || bare.jetson) && !u.crashes {
		s, info, err := u.openVideo(bare, header)
		if err == nil || bare.jetson {
			return s, info, err
		}
		why = err
	}
	m, err := thisMachine()
	switch {
	case err != nil:
		return nil, Info{}, err
	case m.ffmpeg:
		m.gstreamer = false
	case why != nil:
		return nil, Info{}, why
	case u.crashes:
		return nil, Info{}, fmt.Errorf("%s: a decoder of GStreamer crashes at this film: convert it, as by ffmpeg",
			u.Target)
	}
	return u.openVideo(m, header)
}

func (u *URI) openFilmBy(m machine, header *filmHeader) (p *plan, c capturer, err error) {
	if p, err = u.plan(m); err != nil {
		return nil, nil, err
	}
	p.full, p.unedited = header.full, header.unedited
	c, err = openUnturned(p)
	if err == nil && p.own && !p.ahead && c.property(propWidth)*c.property(propHeight) > largeFilm {
		p.ahead = true // one picture after the other is too slow on some machines
		if err = c.close(); err == nil {
			c, err = openUnturned(p)
		}
	}
	if !errors.Is(err, errNotOpened) {
		return p, c, err
	}
	short := header.length.short()
	if header.length.noIndex {
		return nil, nil, fmt.Errorf("%s cannot be read as a video: it %s: copy it again (%s)", u.Target, short,
			p.backend)
	}
	why := "or needs another decoder"
	if p.backend == backendGStreamer && lacksElement("avdec_h264") && lacksElement("openh264dec") {
		why = "or needs a decoder that is not installed: gstreamer1.0-libav brings those of H.264 and H.265"
	}
	if short == "" {
		short = "is no video, is damaged"
	}
	return nil, nil, fmt.Errorf("%s cannot be read as a video: it %s, %s (%s)", u.Target, short, why, p.backend)
}

// largeFilm is the size in pixels above which a film is decoded ahead even if it is shown at its own
// speed.
const largeFilm = 1920 * 1088

// filmStarts are the beginnings of the files whose demultiplexers are GStreamer's own, from offset
// 0 or 4: MP4 and MOV, Matroska and WebM, AVI, Ogg, FLV, IVF, MPEG-TS and -PS, MXF, and streams of
// H.264, H.265 and JPEG in no container.
var filmStarts = [2][]string{
	{"\x1aE\xdf\xa3", "RIFF", "OggS", "FLV", "DKIF", "G", "\x00\x00\x01",
		"\x00\x00\x00\x01", "\x06\x0e+4", "\xff\xd8\xff"},
	append([]string{"G"}, boxStarts...),
}

// usualFilm reports whether GStreamer reads a file that begins so to its end; those of others it may
// never end.
func usualFilm(head []byte) bool {
	for i, starts := range filmStarts {
		for _, start := range starts {
			if len(head) >= 8 && bytes.HasPrefix(head[4*i:], []byte(start)) {
				return !bytes.HasPrefix(head, []byte("GIF"))
			}
		}
	}
	return false
}

// beginning is what a file begins with; none where it cannot be read.
func beginning(path string) []byte {
	f, err := os.Open(path)
	if err != nil {
		return nil
	}
	defer f.Close()
	head := make([]byte, hollowEnd)
	n, _ := io.ReadFull(f, head)
	return head[:n]
}

// openUnturned opens a film whose turning is ours: see headerOf.
func openUnturned(p *plan) (capturer, error) {
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
			v.counted()
			return v.capture.copyTo(f, v.plan.flip)
		case v.seen == 0:
			return v.empty()
		}
		if err := v.length.ended(v.seen, v.at, v.fps, v.capture.why()); err != io.EOF {
			v.early++
			v.why = err.Error()
			if v.rounds == 0 {
				return err
			}
		} else if v.rounds == 0 {
			return io.EOF
		}
		if err := v.rewind(); err != nil {
			return err
		}
	}
}

// counted counts a frame.
func (v *video) counted() {
	v.seen++
	if v.length.seconds > 0 {
		v.at = max(v.at, time.Duration(v.capture.property(propPosition)*float64(time.Millisecond)))
	}
}

// empty is the error for a film without a frame.
func (v *video) empty() error {
	if why := v.length.short(); why != "" {
		return fmt.Errorf("the video has no frame that can be decoded: it %s: copy it again", why)
	}
	return errors.New("the video has no frame that can be decoded")
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
	v.capture, v.seen, v.at = c, 0, 0
	return nil
}

func (v *video) close() error { return v.capture.close() }
