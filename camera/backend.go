package camera

import (
	"errors"
	"fmt"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/vggse/vggse-agent/vision"
)

// machine is what there is to read a source with.
type machine struct {
	opencv       string // version, as 4.6.0
	timeouts     bool   // its GStreamer backend can end a read: OpenCV 4.8 or newer
	ffmpeg, v4l2 bool   // its backends
	gstreamer    bool   // we can call it
	jetson       bool
}

// bareMachine is what there is without OpenCV, which takes a while to load.
func bareMachine() machine {
	_, err := os.Stat("/etc/nv_tegra_release")
	return machine{gstreamer: gstThere(), jetson: err == nil}
}

// hasFFmpeg reports whether OpenCV has FFmpeg.
func hasFFmpeg() bool {
	m, err := thisMachine()
	return err == nil && m.ffmpeg
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

// plan is one way to read one source: through OpenCV, or by a pipeline of our own.
type plan struct {
	backend  backend
	text     string        // path, URL or pipeline; may hold credentials
	params   []property    // of OpenCV: key, value, key, value, …: the values are plain numbers
	own      bool          // a pipeline that ends in our sink, which OpenCV has no part in
	ahead    bool          // its decoder may work at several pictures at once, each in memory of its own
	unedited bool          // its file has no list of edits, by which it could end before its pictures
	full     bool          // its file says that its range is full, where GStreamer does not look
	wait     time.Duration // of such a pipeline for a frame; 0: no limit
	flip     Flip          // what is left to turn
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
	case u.Scheme == "v4l2" && m.v4l2 && (!m.jetson || u.Codec == ""):
		return u.planV4L2(), nil
	case u.Scheme == "rtsp" && m.ffmpeg && !m.gstreamer:
		return u.planFFmpeg(), nil
	case !m.gstreamer:
		return nil, fmt.Errorf("there is no GStreamer here, and OpenCV %s was built without FFmpeg: install "+
			"libgstreamer-plugins-base1.0-0", m.opencv)
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
	p := &plan{backend: backendGStreamer, text: text, flip: profile.turned(u.Flip), own: strings.Contains(text, sink)}
	p.ahead = u.MaxSpeed
	if u.Scheme == "file" {
		return p, nil
	}
	p.patient = true
	switch {
	case u.Scheme == "rtsp" || u.Scheme == "rtp":
		return u.planPackets(p), nil
	case p.own:
		p.limit, p.wait = u.silence(), u.silence()
		return p, nil
	case !m.timeouts:
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
func (u *URI) planPackets(p *plan) *plan {
	p.limit, p.wait = u.silence()+decoding, max(firstFrameLimit, u.Timeout)+decoding
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

// capturer is an open source of pictures: OpenCV's, or a pipeline of our own. One goroutine at a time
// has it.
type capturer interface {
	// read waits for the next picture; not ok: there is none. memory, which must not be Go's, may take
	// it while it is decoded; nil: none.
	read(memory []byte) (ok bool, err error)
	copyTo(f *vision.Frame, flip Flip) error // the newest picture, once
	property(p property) float64
	why() string // what has ended it, in its own words; "" where it has none
	set(p property, v float64)
	close() error
}

func openCapture(p *plan) (capturer, error) {
	if p.own {
		return openPipeline(p)
	}
	return openOpenCV(p)
}

// errNotOpened is what is known when OpenCV refuses: it keeps its reasons to itself.
var errNotOpened = errors.New("OpenCV could not open it")
