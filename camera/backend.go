package camera

import (
	"errors"
	"fmt"
	"net/url"
	"path/filepath"
	"time"
)

// machine is what there is to read a source with.
type machine struct {
	opencv                  string // version, as 4.6.0
	timeouts                bool   // its GStreamer backend can end a read: OpenCV 4.8 or newer
	ffmpeg, gstreamer, v4l2 bool   // its backends
	jetson                  bool
}

// OpenCV's backends by their numbers (cv::VideoCaptureAPIs).
type backend int

const (
	backendV4L2      backend = 200
	backendGStreamer backend = 1800
	backendFFmpeg    backend = 1900
)

func (b backend) String() string {
	return map[backend]string{backendV4L2: "V4L2", backendGStreamer: "GSTREAMER", backendFFmpeg: "FFMPEG"}[b]
}

// property is one of OpenCV's cv::VideoCaptureProperties.
type property int

const (
	propPosition    property = 0 // of the newest frame in the stream, milliseconds
	propWidth       property = 3
	propHeight      property = 4
	propFPS         property = 5
	propFourCC      property = 6
	propBuffers     property = 38
	propOpenTimeout property = 53 // milliseconds
	propReadTimeout property = 54 // milliseconds
	// FFmpeg turns pictures as their file says
	propOrientationAuto property = 49
	propKeyFrame        property = 67 // the newest packet holds a key frame
)

// How long a live source may be silent, and how long opening may take, where the URI does not say.
const (
	silenceLimit = 2 * time.Second
	openLimit    = 3 * time.Second
	// probeLimit is for FFmpeg, which wants a key frame and about 20 more before a stream is open:
	// measured 1.9 s at 30 frames a second, 5.8 s at 10 and 11.6 s at 5, with 30 frames between key
	// frames. That the stream flows is known by then; a camera of fewer frames needs GStreamer.
	probeLimit = 15 * time.Second
	// firstFrameLimit is for the first frame of a source that opens at once and sends later: an
	// RTSP camera may need a second or two to the next key frame.
	firstFrameLimit = 10 * time.Second
)

// plan is one way to read one source through OpenCV.
type plan struct {
	backend  backend
	text     string     // path, URL or pipeline; may hold credentials
	params   []property // key, value, key, value, …: the values are plain numbers
	flip     Flip       // what is left to turn
	limit    time.Duration
	patient  bool // opens before there is a frame: silence at first is not a loss yet
	warnings []string
}

// silence is how long the live source u may give no frame.
func (u *URI) silence() time.Duration {
	if u.Timeout > 0 {
		return u.Timeout
	}
	return silenceLimit
}

// plan chooses the backend and its parameters; a parameter that a backend does not know would make
// the opening fail, so they differ by backend and version.
func (u *URI) plan(m machine) (*plan, error) {
	switch {
	case u.Scheme == "file" && m.ffmpeg && !m.gstreamer && !m.jetson:
		path, err := filepath.Abs(u.Target) // FFmpeg takes what stands before a colon for a protocol
		return &plan{backend: backendFFmpeg, text: path, flip: u.Flip}, err
	case u.Scheme == "v4l2" && m.v4l2 && (!m.jetson || u.Codec == "" || !m.timeouts):
		return u.planV4L2(), nil
	case u.Scheme == "rtsp" && m.ffmpeg && !m.gstreamer:
		return u.planFFmpeg(), nil
	case !m.gstreamer:
		return nil, fmt.Errorf("OpenCV %s was built without GStreamer (and FFmpeg): install Debian's "+
			"libopencv-dev, or the released package", m.opencv)
	}
	return u.planGStreamer(m)
}

func (u *URI) planGStreamer(m machine) (*plan, error) {
	profile := Generic
	if m.jetson {
		profile = Jetson
	}
	text, err := u.Pipeline(profile)
	if err != nil {
		return nil, err
	}
	p := &plan{backend: backendGStreamer, text: text, flip: profile.turned(u.Flip)}
	if u.Scheme == "file" {
		return p, nil
	}
	p.patient = true
	if u.Scheme == "rtsp" || u.Scheme == "rtp" {
		return u.planPackets(p, m), nil
	}
	if !m.timeouts {
		p.warnings = []string{fmt.Sprintf("OpenCV %s cannot end a read of a pipeline that has stalled: that needs "+
			"4.8 or newer", m.opencv)}
		return p, nil
	}
	p.limit = u.silence()
	p.params = []property{propOpenTimeout, milliseconds(openLimit), propReadTimeout, milliseconds(p.limit)}
	return p, nil
}

// planPackets is p for packets that a session brings: its own limits come first, and close the pipe
// to the decoder.
func (u *URI) planPackets(p *plan, m machine) *plan {
	p.limit = u.silence() + decoding
	if m.timeouts {
		limit := milliseconds(max(firstFrameLimit, u.Timeout) + decoding)
		p.params = []property{propOpenTimeout, milliseconds(openLimit), propReadTimeout, limit}
	}
	return p
}

// decoding is what a decoder may take beyond the silence of a stream.
const decoding = 3 * time.Second

func (u *URI) planFFmpeg() *plan {
	text := u.rtspScheme() + u.Target
	if u.User != "" {
		text = u.rtspScheme() + url.UserPassword(u.User, u.Password).String() + "@" + u.Target
	}
	return &plan{
		backend: backendFFmpeg, text: text, flip: u.Flip, limit: u.silence(),
		params: []property{propOpenTimeout, milliseconds(probeLimit + u.Timeout), propReadTimeout,
			milliseconds(u.silence())},
	}
}

// planV4L2 asks the driver for the capture mode. Its read limit is the process's: see openCapture.
func (u *URI) planV4L2() *plan {
	p := &plan{backend: backendV4L2, text: u.Target, flip: u.Flip, limit: silenceLimit}
	switch u.Codec {
	case "mjpeg":
		p.params = append(p.params, propFourCC, fourCC("MJPG"))
	case "yuyv":
		p.params = append(p.params, propFourCC, fourCC("YUYV"))
	}
	if u.Width > 0 {
		p.params = append(p.params, propWidth, property(u.Width), propHeight, property(u.Height))
	}
	if u.FPS > 0 {
		p.params = append(p.params, propFPS, property(u.FPS+0.5))
	}
	p.params = append(p.params, propBuffers, 1)
	return p
}

func milliseconds(d time.Duration) property { return property(d.Milliseconds()) }

// fourCC packs four letters as V4L2 does.
func fourCC(s string) property {
	return property(s[0]) | property(s[1])<<8 | property(s[2])<<16 | property(s[3])<<24
}

// errNotOpened is what is known when OpenCV refuses: it keeps its reasons to itself.
var errNotOpened = errors.New("OpenCV could not open it")
