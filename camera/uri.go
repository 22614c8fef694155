package camera

import (
	"cmp"
	"errors"
	"fmt"
	"net"
	"net/url"
	"os"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"time"
	"unicode"

	"github.com/vggse/vggse-agent/internal/mistake"
	"github.com/vggse/vggse-agent/internal/reach"
	"github.com/vggse/vggse-agent/internal/redact"
)

// URI is a source, taken apart. See ParseURI for the forms.
type URI struct {
	Scheme string // demo, test, file, v4l2, csi, rtsp, onvif, rtp, http or gst
	// Target is what the scheme's own part says: the scene of demo://, the path of file:// and
	// v4l2://, the sensor number of csi://, [address]:port of rtp://, host[:port]/path?query of
	// rtsp:// and http://, the pipeline of gst:.
	Target         string
	User, Password string // of rtsp:// and http://, decoded
	TLS            bool   // rtsps:// and https://, whose Scheme is rtsp and http
	// inside: the source itself is on this machine or its link, see inward; nil: not known yet.
	inside  *bool
	crashes bool // GStreamer does, at this film
	Options
}

// Options are the keys of a URI. Zero means "not given", but for Loop.
type Options struct {
	Width, Height int           // capture mode, pixels
	FPS           float64       // of the capture mode; playback speed of files and pictures
	MaxSpeed      bool          // speed=max: files and demo:// as fast as they can be read
	Loop          int           // further rounds of a file: 0 none, −1 for ever
	Seed          uint64        // of demo://; 1 where not given
	Strangers     int           // of demo://: every so many parts is one that the demo's network does not know
	Flip          Flip          // how the picture is turned
	Codec         string        // h264, h265, mjpeg or yuyv
	Latency       time.Duration // jitter buffer of network sources on GStreamer
	Timeout       time.Duration // a live source that gives no frame for so long is lost
	UDP           bool          // transport=udp: RTP beside RTSP, not inside its TCP connection
	// Mode is the sensor-mode of csi://, from 1 here (0: chosen by the driver), or the profile of
	// onvif:// (0: the first).
	Mode int
}

// keysOf lists the keys of each scheme, in the order in which messages name them.
var keysOf = map[string][]string{
	"demo":  {"width", "height", "fps", "seed", "speed", "strangers"},
	"test":  {"width", "height", "fps", "flip", "timeout"},
	"file":  {"loop", "fps", "speed", "flip"},
	"v4l2":  {"width", "height", "fps", "codec", "flip"},
	"csi":   {"width", "height", "fps", "sensor-mode", "flip", "timeout"},
	"rtsp":  {"codec", "latency", "transport", "flip", "timeout"},
	"rtp":   {"codec", "latency", "flip", "timeout"},
	"http":  {"fps", "flip", "timeout"},
	"onvif": {"profile", "codec", "latency", "transport", "flip", "timeout"},
}

// Drawn reports whether the pictures are drawn in this program: nothing is decoded, and no library needed.
func (u *URI) Drawn() bool { return u.Scheme == "demo" || u.Scheme == "test" }

// ParseURI takes a source apart:
//
//	demo://parts?fps=15&seed=1        the drawn conveyor of package demo
//	test://                           colour bars and a moving block, drawn here
//	file://a.mp4  file:///pics/       a video, a picture, a folder or a pattern (*.jpg); ?loop=-1&speed=max
//	v4l2:///dev/video0?width=1280     a V4L2 camera; /dev/video0 and 0 mean the same
//	csi://0?width=1280&height=720     a CSI sensor of a Jetson
//	rtsp://user:word@host/x?a=b#codec=h265&latency=200
//	http://host/stream.mjpg#timeout=5000  MJPEG, or an address of one picture, fetched #fps=1 times a second
//	onvif://user:word@host#profile=2  an ONVIF device, which names its RTSP stream
//	rtp://@:5004?codec=h264           waits for RTP on a UDP port
//	gst:videotestsrc ! videoconvert   a GStreamer pipeline
//
// The keys stand behind "?", joined by "&"; those of rtsp:// and http:// behind "#", for their
// query belongs to the camera. rtsps:// and https:// are the same by TLS. A path without scheme is a
// file and taken literally, without keys. Errors never hold a password.
func ParseURI(source string) (URI, error) {
	u, err := parse(source)
	if err != nil {
		return URI{}, fmt.Errorf("camera: %s: %w", Redact(source), err)
	}
	return u, nil
}

func parse(source string) (URI, error) {
	if source == "" {
		return URI{}, fmt.Errorf("is empty: give for example demo://parts, /dev/video0 or rtsp://host/path")
	}
	if strings.Contains(source, "://") { // a blank at an end is pasted along
		source = strings.TrimSpace(source)
	}
	if strings.ContainsFunc(source, unicode.IsControl) {
		return URI{}, fmt.Errorf("holds a control character")
	}
	if len(source) >= len("gst:") && strings.EqualFold(source[:len("gst:")], "gst:") {
		pipelineDir := source[len("gst:"):]
		if text := strings.TrimSpace(pipelineDir); len(text) > 1 && text[0] == '"' && strings.Count(text, `"`) == 2 &&
			strings.HasSuffix(text, `"`) {
			return URI{}, errors.New("stands in quotes that belong to it: leave them out")
		}
		if strings.TrimSpace(pipelineDir) == "" {
			return URI{}, fmt.Errorf("has no pipeline: give for example gst:videotestsrc ! videoconvert")
		}
		if strings.HasPrefix(pipelineDir, "//") {
			return URI{}, errors.New("has slashes behind gst: leave them out, as in gst:videotestsrc ! videoconvert")
		}
		return URI{Scheme: "gst", Target: strings.TrimSpace(pipelineDir)}, nil
	}
	scheme, rest, found := strings.Cut(source, "://")
	if c := redact.Unseen(source); c != "" && found && scheme != "file" {
		return URI{}, fmt.Errorf("holds the character %s, which is not seen: write it anew", c)
	}
	if cure := noFile(source); cure != "" {
		return URI{}, errors.New(cure)
	}
	if second := twice.FindStringSubmatch(source); found && second != nil && scheme != "file" {
		if second[1] == "" {
			return URI{}, errors.New("has two schemes, one behind the other: leave one of them out")
		}
		return URI{}, errors.New("holds two addresses: a camera has one, so give each its own")
	}
	if !found {
		scheme, rest = bareScheme(source)
		if scheme == "file" {
			return URI{Scheme: scheme, Target: source}, nil
		}
	}
	scheme = strings.ToLower(scheme)
	secure := scheme == "rtsps" || scheme == "https"
	if secure {
		scheme = strings.TrimSuffix(scheme, "s")
	}
	if keysOf[scheme] == nil {
		return URI{}, unknownScheme(scheme)
	}
	mark := "?"
	server := scheme == "rtsp" || scheme == "http" || scheme == "onvif"
	if server {
		mark = "#"
	}
	target, query, _ := strings.Cut(rest, mark)
	if server && strings.Contains(query, "@") { // the rest of a password: say nothing of it
		return URI{}, errPassword
	}
	u := URI{Scheme: scheme, Target: target, TLS: secure}
	if scheme == "demo" {
		u.Seed = demoSeed
	}
	if err := u.parseTarget(); err != nil {
		return URI{}, err
	}
	return u, u.parseKeys(query)
}

// instead says for schemes that people try what reads such a source.
var instead = map[string]string{
	"rtmps": "give the camera's rtsp:// address", "rtmpt": "give the camera's rtsp:// address",
	"mms":  "give the camera's rtsp:// address",
	"rtmp": "give the camera's rtsp:// address",
	"udp":  "write rtp://@:PORT?codec=h264 for RTP, or gst:udpsrc port=PORT ! tsdemux ! decodebin for MPEG-TS",
	"tcp":  "write gst:tcpclientsrc host=HOST port=PORT ! decodebin",
	"usb":  localCamera, "webcam": localCamera, "camera": localCamera, "video": localCamera,
	"srt":   "give the camera's rtsp:// address, or gst:srtsrc uri=URL ! decodebin",
	"rtspt": "write rtsp://, which is through TCP",
	"rtspu": "write rtsp:// and #transport=udp behind it",
	"rtsph": tunnelled, "rtsp+http": tunnelled,
}

// tunnelled is for RTSP inside HTTP.
const tunnelled = "RTSP inside HTTP is not read: give the camera's rtsp:// address"

func unknownScheme(scheme string) error {
	const known = "there are demo, test, file, v4l2, csi, rtsp, onvif, rtp, http and gst"
	if cure := instead[scheme]; cure != "" {
		return fmt.Errorf("unknown scheme %q: %s; %s", scheme, known, cure)
	}
	if inside := wrapped.FindStringSubmatch(scheme); inside != nil {
		return fmt.Errorf("something stands before %s:// that is not of the address: write the address alone",
			inside[1])
	}
	if len(scheme) > 12 || strings.ContainsFunc(scheme, func(r rune) bool { return r < 'a' || r > 'z' }) {
		return fmt.Errorf("unknown scheme: %s", known) // what stands there may be half a password
	}
	return fmt.Errorf("unknown scheme %q: %s", scheme, known)
}

// bareScheme is for what people write without a scheme: a number, a device, a file.
func bareScheme(source string) (scheme, rest string) {
	number, _, _ := strings.Cut(source, "?")
	if _, err := strconv.ParseUint(number, 10, 8); err == nil {
		return "v4l2", "/dev/video" + source
	}
	if strings.HasPrefix(source, "/dev/") {
		return "v4l2", source
	}
	return "file", source
}

// localCamera is what to write for a camera of this machine.
const localCamera = "a camera of this machine is its number, as 0, or its device, as /dev/video0: " +
	"'vggse-agent cameras' lists them"

var (
	// elsewhere are cameras of this machine as other programs name them: usb:0, video0,
	// dshow:video=NAME.
	elsewhere = regexp.MustCompile(`(?i)^((usb|webcam|camera|cam|video|device|v4l2?|uvc)[:= ]?\d+(:\d+)?|` +
		`(dshow|avfoundation|v4l2?|uvc|usb|webcam|video)[:=].*|webcam|usb)$`)
	onRaspberry = regexp.MustCompile(`(?i)^(libcamera|picam(era)?2?|rpicam|raspicam)(:.*)?$`)
	// wrapped ends in the scheme of an address that something stands before: url=, a mark, another program's word.
	wrapped = regexp.MustCompile(`[^a-z0-9+.-](rtsps?|https?|onvif|rtp)$`)
	// ofNetwork begins as an address without its scheme: of IPv4, with a user, or with a port.
	ofNetwork = regexp.MustCompile(`(?i)^([^/\s@]+@[\w.\[-]|\d{1,3}(\.\d{1,3}){3}([:/?]|$)|` +
		`(localhost|www\.|[\w-]+(\.[\w-]+)*:\d+([/?]|$))|\[[0-9a-f:]+\])`)
	// twice begins a second address, at once or behind a blank or comma.
	twice      = regexp.MustCompile(`(?i)^[a-z0-9]+://(?:.*([\s,;]))?(?:rtsps?|https?|onvif|rtp|v4l2|file)://`)
	noColon    = regexp.MustCompile(`(?i)^(rtsps?|https?|onvif)(;[\\/]+|//)`)
	numbering  = regexp.MustCompile(`%0\dd|%d(\W|_|$)`)
	halfScheme = regexp.MustCompile(`(?i)^(rtsps?|rtspt|https?|onvif|rtp|rtmps?|srt|udp|demo|test|csi|v4l2|file)` +
		`(:[\\/]+|:)`)
	pipelined = regexp.MustCompile(`^[\w-]+(\s+[\w-]+=\S+)*\s+!\s+\S|^\w+src(\s+[\w-]+=\S+)+$`)
)

// noFile is what to write in the place of a source that looks like a file's path and is meant for
// something else; empty: there is such a file, or it names one.
func noFile(source string) string {
	cure := ""
	if half := halfScheme.FindStringSubmatch(source); half != nil && !strings.Contains(source, "://") {
		scheme := strings.ToLower(half[1])
		cure = fmt.Sprintf("has no // behind %s: write %s://… with two slashes (/)", scheme, scheme)
		if other := instead[scheme]; other != "" {
			cure = "is no source here: " + other
		}
	} else if len(source) > 2 && strings.IndexByte(`"'`, source[0]) >= 0 && source[len(source)-1] == source[0] {
		cure = "stands in quotes that belong to it: leave them out"
	} else if pipelined.MatchString(source) {
		cure = "is a pipeline of GStreamer: write gst: before it, as in gst:videotestsrc ! videoconvert"
	} else if mistake.ForShell(source) {
		cure = "has ~ or $NAME in it, which are not filled in here: write the whole path"
	} else if !strings.Contains(source, "://") {
		cure = noScheme(source)
	}
	if cure == "" {
		return ""
	}
	if _, err := os.Lstat(source); err == nil {
		return ""
	}
	return cure
}

// noScheme is noFile for what has no scheme.
func noScheme(source string) string {
	switch {
	case source == "demo" || source == "test":
		return fmt.Sprintf("is no file: write %s:// with two slashes", source)
	case elsewhere.MatchString(source):
		return "is no source here: " + localCamera
	case onRaspberry.MatchString(source):
		return "is no source here: write gst:libcamerasrc ! video/x-raw,width=1280,height=720"
	case noColon.MatchString(source):
		scheme := strings.ToLower(noColon.FindStringSubmatch(source)[1])
		return fmt.Sprintf("has no colon behind %s: write %s://…", scheme, scheme)
	case numbering.MatchString(source):
		return inNumbers(source)
	case ofNetwork.MatchString(source):
		return "has no scheme: write rtsp://… for a stream, http://… for MJPEG and pictures, onvif://… to ask the " +
			"camera"
	}
	return ""
}

// behindDevice is what other programs take behind a device: /dev/video0,640x480.
var behindDevice = regexp.MustCompile(`^(/dev/video\d+)([^\d].*)$`)

// withoutZone is a target for the server that it names, which does not know our network interfaces (RFC 6874, 1).
func withoutZone(target string) string { return zone.ReplaceAllString(target, "$1]") }

var zone = regexp.MustCompile(`^(\[[^\]/%]*)%25[^\]/]*\]`)

// inNumbers is for a path with a % sign in the place of numbers.
func inNumbers(path string) string {
	return fmt.Sprintf("numbers its pictures by a %% sign: write a star in the place of the number, as in %s",
		numbering.ReplaceAllString(filepath.Base(path), "*$1"))
}

// parseTarget checks and refines what stands between scheme and keys.
func (u *URI) parseTarget() error {
	switch u.Scheme {
	case "demo":
		if u.Target != "" && u.Target != "parts" {
			return fmt.Errorf("unknown scene %q: there is demo://parts", u.Target)
		}
	case "test":
		if u.Target != "" {
			return fmt.Errorf("takes keys only, as in test://?width=640&height=480")
		}
	case "file":
		path, err := url.PathUnescape(u.Target)
		if numbering.MatchString(u.Target) {
			return errors.New(inNumbers(u.Target))
		} else if err != nil {
			return fmt.Errorf("has a lone %%: write %%25 for a percent sign, or the path without file://")
		}
		if local, ok := strings.CutPrefix(path, "localhost/"); ok { // as RFC 8089 has it
			path = "/" + local
		}
		if path == "" {
			return fmt.Errorf("has no path: file://a.mp4 is relative, file:///a.mp4 is absolute")
		}
		u.Target = path
	case "v4l2":
		if !strings.HasPrefix(u.Target, "/dev/") {
			return fmt.Errorf("want a device, as in v4l2:///dev/video0, got %q", u.Target)
		}
		if more := behindDevice.FindStringSubmatch(u.Target); more != nil {
			return fmt.Errorf("has %q behind the device: size, rate and codec stand behind a question mark, as in "+
				"%s?width=640&height=480&codec=mjpeg", more[2], more[1])
		}
	case "csi":
		if _, err := strconv.ParseUint(u.Target, 10, 8); err != nil {
			return fmt.Errorf("want the number of a sensor, as in csi://0, got %q", u.Target)
		}
	case "rtsp", "http", "onvif":
		return u.splitCredentials()
	case "rtp":
		return u.checkPort()
	}
	return nil
}

// errPassword is for a source whose user and password cannot be told from the rest.
var errPassword = errors.New(
	"want rtsp://host[:port]/path (or http://); a /, ? or # in a password is written %2F, %3F or %23, an @ in a path " +
		"%40")

// splitCredentials moves user:password@ from the target into their fields. A password may hold any
// character but "/", "?" and "#", which are written %2F, %3F and %23.
func (u *URI) splitCredentials() error {
	end := strings.IndexAny(u.Target, "/?")
	if end < 0 {
		end = len(u.Target)
	}
	host := u.Target[:end]
	if at := strings.LastIndexByte(host, '@'); at >= 0 {
		user, password, _ := strings.Cut(host[:at], ":")
		var err1, err2 error
		u.User, err1 = url.PathUnescape(user)
		u.Password, err2 = url.PathUnescape(password)
		if err1 != nil || err2 != nil {
			return fmt.Errorf("has a lone %% in user or password: write %%25 for a percent sign")
		}
		host, u.Target = host[at+1:], u.Target[at+1:]
	}
	if strings.Count(host, ":") > 1 && !strings.HasPrefix(host, "[") && net.ParseIP(host) != nil {
		return errors.New("an address of IPv6 stands in brackets, as in rtsp://[fe80::1]:554/stream")
	}
	escaped := reach.Zone(host)
	host, u.Target = escaped, escaped+u.Target[len(host):]
	parsed, err := url.Parse("rtsp://" + u.Target)
	if err != nil || parsed.Hostname() == "" || reach.Mistake(host) != "" ||
		strings.Contains(host, "@") {
		return cmp.Or(hostError(host, u.Target), errPassword)
	}
	if parsed.User == nil && strings.Contains(u.Target[len(host):], "@") && halfPassword(parsed) {
		return errPassword
	}
	return nil
}

// hostError says what is wrong with a host and its port; nil: what stands there may be half a password, so nothing of
// it is told.
func hostError(host, target string) error {
	if strings.Contains(target, "@") || strings.Contains(host, "\"") {
		return nil
	}
	if wrong := reach.Mistake(host); wrong != "" {
		return fmt.Errorf("%s: write HOST:PORT/PATH behind the slashes", wrong)
	}
	if path, _, _ := strings.Cut(target[len(host):], "?"); strings.Contains(path, "%") {
		return errors.New("has a lone % in its path: write %25 for a percent sign")
	}
	return nil
}

// halfPassword reports whether what looks like host:port may be the user and the first digits of a
// password with a / or ? in it.
func halfPassword(parsed *url.URL) bool {
	host := parsed.Hostname()
	return parsed.Port() != "" && host != "localhost" && net.ParseIP(host) == nil
}

func (u *URI) checkPort() error {
	u.Target = strings.TrimPrefix(u.Target, "@")
	_, port, err := net.SplitHostPort(u.Target)
	if n, bad := strconv.ParseUint(port, 10, 16); err != nil || bad != nil || n == 0 {
		return fmt.Errorf("want the port to listen at, as in rtp://@:5004?codec=h264, got %q", u.Target)
	}
	return nil
}

// Redact returns a source, or a text that holds one, with credentials replaced by ***.
func Redact(text string) string { return redact.Text(text) }
