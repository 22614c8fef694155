package camera

import (
	"fmt"
	"math"
	"regexp"
	"strings"
	"time"
)

// Profile says which GStreamer elements do the work.
type Profile string

// Generic decodes on the CPU, on any Linux. Jetson decodes, turns and converts in the hardware of
// an NVIDIA Jetson; its pipelines follow NVIDIA's documentation and were never run on a device.
const (
	Generic Profile = "generic"
	Jetson  Profile = "jetson"
)

const (
	// sink is where pictures are taken from, in any format: see package-level pipeline, which converts
	// them.
	sink = "appsink name=frames caps=video/x-raw enable-last-sample=false "
	// sinkLatest hands out the newest frame and drops the rest. async=false: appsink does not wait
	// for a first frame, so that opening a silent source cannot hang.
	sinkLatest = sink + "drop=true max-buffers=1 sync=false async=false"
	// sinkBunch hands out the newest four, the oldest first: packets may come in bunches, and whoever
	// reads all the time loses no picture of one.
	sinkBunch = sink + "drop=true max-buffers=4 sync=false async=false"
	// sinkEvery hands out every frame, as fast as it is asked.
	sinkEvery = sink + "drop=false max-buffers=1 sync=false"

	captureWidth, captureHeight = 1280, 720 // where a URI does not say
	captureFPS                  = 30
	jitterBuffer                = 100 * time.Millisecond
)

// Pipeline returns the GStreamer pipeline that reads u and ends in an appsink: what the decoder gives
// from Generic, BGRx from Jetson, for that is what its converter can do. Values are quoted; credentials are
// properties of the source, so redact the text before showing it. What Generic does not turn, see
// turned, is left to us.
func (u *URI) Pipeline(p Profile) (string, error) {
	tail := p.convert(u.Flip) + " ! " + sinkLatest
	switch u.Scheme {
	case "csi":
		if p != Jetson {
			return "", fmt.Errorf("csi:// needs an NVIDIA Jetson: use v4l2:// here, or test:// for a test pattern")
		}
		mode := ""
		if u.Mode > 0 {
			mode = fmt.Sprintf(" sensor-mode=%d", u.Mode-1)
		}
		return "nvarguscamerasrc sensor-id=" + u.Target + mode + " ! " + u.rawCaps("(memory:NVMM)") + ",format=NV12" +
			tail, nil
	case "v4l2":
		return u.v4l2() + p.decodeV4L2(u.Codec) + tail, nil
	case "rtsp", "rtp":
		t := track{codec: u.codec(), payload: anyPayload, clock: 90000}
		if text, ok := u.packetPipeline(p, &t, 0, u.UDP || u.Scheme == "rtp"); ok {
			return text, nil
		}
		return "", fmt.Errorf("the camera sends %.20q, want h264 or h265: switch it to one of them", t.codec)
	case "file":
		decode := " ! decodebin"
		if p == Jetson {
			decode = " ! parsebin ! nvv4l2decoder"
		}
		return "filesrc location=" + quote(u.Target) + decode + p.convert(u.Flip) + " ! " + sinkEvery, nil
	case "gst":
		if u.hasSink() {
			return u.Target, nil
		}
		return strings.TrimRight(u.Target, "! ") + " ! videoconvert ! video/x-raw,format=BGR ! " + sinkLatest, nil
	}
	return "", fmt.Errorf("%s:// is not read through GStreamer", u.Scheme)
}

// hasSink reports whether a pipeline of one's own has an appsink of its own, too.
func (u *URI) hasSink() bool { return strings.Contains(u.Target, "appsink") }

// turned is how the pictures that Pipeline delivers must still be turned.
func (p Profile) turned(f Flip) Flip {
	if p == Jetson {
		return FlipNone
	}
	return f
}

// flipMethods are the values of nvvidconv's flip-method.
var flipMethods = map[Flip]int{
	FlipCounterclockwise: 1, FlipRotate180: 2, FlipClockwise: 3, FlipHorizontal: 4, FlipVertical: 6,
}

// convert is the part of a pipeline that brings decoded pictures into memory that we can read. The
// format is pinned: left free, nvvidconv settles on grey (opencv issue 25557).
func (p Profile) convert(f Flip) string {
	if p == Jetson {
		return fmt.Sprintf(" ! nvvidconv flip-method=%d ! video/x-raw,format=BGRx", flipMethods[f])
	}
	return ""
}

func (p Profile) decodeV4L2(codec string) string {
	switch {
	case codec != "mjpeg":
		return ""
	case p == Jetson:
		return " ! jpegparse ! nvv4l2decoder mjpeg=1"
	}
	return " ! jpegdec"
}

func (u *URI) v4l2() string {
	caps := u.rawCaps("")
	switch u.Codec {
	case "mjpeg":
		caps = strings.Replace(caps, "video/x-raw", "image/jpeg", 1)
	case "yuyv":
		caps += ",format=YUY2"
	}
	return "v4l2src device=" + quote(u.Target) + " do-timestamp=true ! " + caps
}

// streams are the codecs that come by RTSP and that GStreamer decodes: their name in RTP, what
// unpacks them, the decoder, and which parameters of the description it needs.
var streams = map[string]struct{ name, unpack, decoder, parameters string }{
	"h264":    {"H264", "rtph264depay ! h264parse", "avdec_h264", "sprop-parameter-sets"},
	"h265":    {"H265", "rtph265depay ! h265parse", "avdec_h265", "sprop-vps sprop-sps sprop-pps"},
	"jpeg":    {"JPEG", "rtpjpegdepay", "jpegdec", ""},
	"mp4v-es": {"MP4V-ES", "rtpmp4vdepay ! mpeg4videoparse", "avdec_mpeg4", "config"},
	"vp8":     {"VP8", "rtpvp8depay", "vp8dec", ""},
	"vp9":     {"VP9", "rtpvp9depay", "vp9dec", ""},
}

// harmless is what a parameter of a description may hold: base64 with commas, and hexadecimals.
var harmless = regexp.MustCompile(`^[A-Za-z0-9+/=,]+$`)

// packetPipeline reads packets of the track t from descriptor fd, each behind its length (RFC 4571);
// ok is whether there is a decoder for them.
func (u *URI) packetPipeline(p Profile, t *track, fd int, udp bool) (text string, ok bool) {
	stream, ok := streams[t.codec]
	if !ok {
		return "", false
	}
	var s strings.Builder
	fmt.Fprintf(&s, "fdsrc fd=%d blocksize=65536 do-timestamp=true ! application/x-rtp-stream,media=video,"+
		"clock-rate=%d,encoding-name=%s", fd, t.clock, stream.name)
	for key := range strings.FieldsSeq(stream.parameters) {
		if value := t.format[key]; harmless.MatchString(value) {
			fmt.Fprintf(&s, `,%s=(string)"%s"`, key, value)
		}
	}
	s.WriteString(" ! rtpstreamdepay")
	if udp { // packets may overtake one another
		fmt.Fprintf(&s, " ! rtpjitterbuffer latency=%d", u.jitter())
	}
	s.WriteString(" ! " + stream.unpack + " ! ")
	switch {
	case p == Jetson && t.codec == "jpeg":
		s.WriteString("nvv4l2decoder mjpeg=1")
	case p == Jetson:
		s.WriteString("nvv4l2decoder enable-max-performance=1")
	case strings.HasPrefix(stream.decoder, "avdec_"): // threads would hold back as many pictures as there are
		s.WriteString(stream.decoder + " max-threads=1")
	default:
		s.WriteString(stream.decoder)
	}
	return s.String() + p.convert(u.Flip) + " ! " + sinkBunch, true
}

// codec is that of the network stream; H.264 is what nearly every camera sends.
func (u *URI) codec() string {
	if u.Codec == "" {
		return "h264"
	}
	return u.Codec
}

func (u *URI) jitter() int64 {
	if u.Latency > 0 {
		return u.Latency.Milliseconds()
	}
	return jitterBuffer.Milliseconds()
}

// rawCaps is the capture mode as GStreamer writes it.
func (u *URI) rawCaps(memory string) string {
	width, height, fps := captureWidth, captureHeight, float64(captureFPS)
	if u.Width > 0 {
		width, height = u.Width, u.Height
	}
	if u.FPS > 0 {
		fps = u.FPS
	}
	return fmt.Sprintf("video/x-raw%s,width=%d,height=%d,framerate=%s", memory, width, height, fraction(fps))
}

// fraction writes a frame rate as GStreamer does: 30/1, and 30000/1001 for 29.97.
func fraction(fps float64) string {
	if fps == math.Trunc(fps) {
		return fmt.Sprintf("%d/1", int(fps))
	}
	if ntsc := math.Round(fps * 1.001); math.Abs(ntsc/1.001-fps) < 0.005 {
		return fmt.Sprintf("%d/1001", int(ntsc)*1000)
	}
	return fmt.Sprintf("%d/100", int(math.Round(fps*100)))
}

// quote makes a value safe inside a pipeline, whatever it holds: control characters were refused
// before.
func quote(value string) string {
	return `"` + strings.NewReplacer(`\`, `\\`, `"`, `\"`).Replace(value) + `"`
}
