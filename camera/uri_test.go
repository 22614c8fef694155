package camera

import (
	"os"
	"regexp"
	"strconv"
	"strings"
	"testing"
	"time"
)

func TestParseURI(t *testing.T) {
	tests := []struct {
		source string
		want   URI
	}{
		{"demo://", URI{Scheme: "demo", Options: Options{Seed: 1}}},
		{"demo://parts?fps=15&seed=7&width=640&height=360&speed=max", URI{Scheme: "demo", Target: "parts",
			Options: Options{FPS: 15, Seed: 7, Width: 640, Height: 360, MaxSpeed: true}}},
		{"test://?fps=29.97", URI{Scheme: "test", Options: Options{FPS: 29.97}}},
		{"file://a.mp4?loop=-1", URI{Scheme: "file", Target: "a.mp4", Options: Options{Loop: -1}}},
		{"file://localhost/data/a.mp4", URI{Scheme: "file", Target: "/data/a.mp4"}},
		{"file:///data/my%20film%3f.mp4?loop=true&flip=rotate-180", URI{Scheme: "file", Target: "/data/my film?.mp4",
			Options: Options{Loop: -1, Flip: FlipRotate180}}},
		{"file://pics/*.jpg?loop=2&flip=none&speed=max", URI{Scheme: "file", Target: "pics/*.jpg",
			Options: Options{Loop: 2, MaxSpeed: true}}},
		{"pics/50%?.png", URI{Scheme: "file", Target: "pics/50%?.png"}},
		{"0", URI{Scheme: "v4l2", Target: "/dev/video0"}},
		{"1?width=640&height=480", URI{Scheme: "v4l2", Target: "/dev/video1",
			Options: Options{Width: 640, Height: 480}}},
		{"rtsp://u:p@[fe80::1%eth0]:8554/x%20y", URI{Scheme: "rtsp", Target: "[fe80::1%25eth0]:8554/x%20y", User: "u",
			Password: "p"}},
		{"http://[fe80::1%25eth0]/x", URI{Scheme: "http", Target: "[fe80::1%25eth0]/x"}},
		{" rtsp://cam/x\n", URI{Scheme: "rtsp", Target: "cam/x"}},
		{"file:///a/%de%20d.png", URI{Scheme: "file", Target: "/a/\xde d.png"}},
		{"pics/new.d/cam1.png", URI{Scheme: "file", Target: "pics/new.d/cam1.png"}},
		{"mnt/recordings", URI{Scheme: "file", Target: "mnt/recordings"}},
		{"/dev/v4l/by-id/usb-x?width=1280&height=720&codec=mjpeg", URI{Scheme: "v4l2", Target: "/dev/v4l/by-id/usb-x",
			Options: Options{Width: 1280, Height: 720, Codec: "mjpeg"}}},
		{"v4l2:///dev/video2", URI{Scheme: "v4l2", Target: "/dev/video2"}},
		{"csi://1?sensor-mode=0", URI{Scheme: "csi", Target: "1", Options: Options{Mode: 1}}},
		{"rtsp://cam/x?channel=1&fps=5#codec=h265&latency=200&timeout=5000&transport=udp",
			URI{Scheme: "rtsp", Target: "cam/x?channel=1&fps=5",
				Options: Options{Codec: "h265", Latency: 200 * time.Millisecond, Timeout: 5 * time.Second, UDP: true}}},
		{"rtsp://admin:p@ss:w%2Frd@[fe80::1]:8554/a@b", URI{Scheme: "rtsp", Target: "[fe80::1]:8554/a@b",
			User: "admin", Password: "p@ss:w/rd"}},
		{"HTTP://u:p@cam/x.mjpg?a=b#fps=5&timeout=5000", URI{Scheme: "http", Target: "cam/x.mjpg?a=b", User: "u",
			Password: "p", Options: Options{FPS: 5, Timeout: 5 * time.Second}}},
		{"https://cam/x", URI{Scheme: "http", Target: "cam/x", TLS: true}},
		{"RTSPS://cam:7441/x#timeout=9000", URI{Scheme: "rtsp", Target: "cam:7441/x", TLS: true,
			Options: Options{Timeout: 9 * time.Second}}},
		{"rtp://@[::1]:5004?codec=h264", URI{Scheme: "rtp", Target: "[::1]:5004", Options: Options{Codec: "h264"}}},
		{"http://h/proxy?of=http://i/x", URI{Scheme: "http", Target: "h/proxy?of=http://i/x"}},
		{"rtp://@:5004?codec=h264", URI{Scheme: "rtp", Target: ":5004", Options: Options{Codec: "h264"}}},
		{"GST:videotestsrc ! a", URI{Scheme: "gst", Target: "videotestsrc ! a"}},
		{"gst: videotestsrc ! appsink", URI{Scheme: "gst", Target: "videotestsrc ! appsink"}},
	}
	for _, tt := range tests {
		got, err := ParseURI(tt.source)
		if err != nil || got != tt.want {
			t.Errorf("ParseURI(%q)\n got %+v, %v\nwant %+v", tt.source, got, err, tt.want)
		}
	}
}

// Each mistake is answered by what was given and what would be right.
func TestParseURIRefuses(t *testing.T) {
	tests := []struct{ source, want string }{
		{"", "is empty"},
		{"file://a\n.mp4", "control character"},
		{"gst: ", "has no pipeline"},
		{"gst://videotestsrc", "leave them out"},
		{"rtmp://cam/x", `unknown scheme "rtmp"`},
		{"http://", "has no host"}, {"https://u:p/q@h/x", "%2F"}, {"http://h/x#codec=h264", "unknown key"},
		{"demo://cars", `unknown scene "cars"`},
		{"demo://?sed=1", "demo:// knows width, height, fps, seed, speed"},
		{"demo://?seed=-1", "seed: must be a whole number"},
		{"demo://?width=640", "give both or neither"},
		{"test://smpte", "takes keys only"},
		{"file://", "has no path"},
		{"file://50%.mp4", "write %25"},
		{"file://a?fps=0", "fps: must be above 0"},
		{"file://a?fps=NaN", "fps: must be above 0"},
		{"file://a?loop=-2", "loop: must be -1"},
		{"file://a?speed=2", "speed: must be max"},
		{"file://a?flip=left", "flip: must be none, clockwise"},
		{"file://a?width=3", `unknown key "width"`},
		{"file://a?loop=%", "loop: has a lone %"},
		{"v4l2://video0", "want a device"},
		{"rtsp://127.0.0.1:554\\stream", `the character \ in its host`}, {"rtsp://1.2.3.4,554/x", "the character ,"},
		{"rtsp://1.2.3.4 :554/x", "a blank in its host"}, {"http:///x", "has no " +
			"host"}, {"onvif://<ip>/x", "character <"},
		{"rtsp://1.2.3.4:554x/x", "no port behind the colon"}, {"rtsp://u:SECRET/x", "no port behind the colon"},
		{"rtsp://h/%zz", "a lone % in its path"}, {"rtsp://u:p%zz/SECRET@h/x", "%2F"},
		{"rtsp://rtsp://h/x", "two schemes"}, {"rtsp://h/x, rtsp://h/y", "two addresses"},
		{"http://h/x http://h/y", "two addresses"}, {"rtp://[::1]?codec=h264", "want the port"},
		{"/dev/video0,640x480", "/dev/video0?width=640&height=480"}, {"v4l2:///dev/video2:MJPG", `has ":MJPG" behind`},
		{"v4l2:///dev/video0?codec=h264", "codec: must be mjpeg or yuyv"},
		{"v4l2:///dev/video0?width=0&height=1", "width: must be a whole number between 1"},
		{"csi://x", "number of a sensor"},
		{"rtsp://", "has no host"},
		{"rtsp://h:70000/x", "port 70000: a port is"}, {"http://h:0/x", "port 0: a port is"},
		{"onvif://u:p@h:99999", "port 99999: a port is"},
		{"rtsp://u:p/q@h/x", "%2F"},
		{"rtsp://u:%zz@h/x", "write %25"},
		{"rtsp://h/x#codec=vp8", "codec: must be h264 or h265"},
		{"rtsp://h/x#transport=http", "transport: must be tcp or udp: RTSP inside HTTP is not read"},
		{"rtsph://h/x", "RTSP inside HTTP is not read: give the camera's rtsp:// address"},
		{"rtsp+http://h/x", "RTSP inside HTTP is not read: give the camera's rtsp:// address"},
		{"rtspu://h/x", "#transport=udp"},
		{"rtsp://h/x#latency=no", "latency: must be a whole number between 1"},
		{"rtsp://h/x#timeout=10", "timeout: must be a whole number between 1000"},
		{"rtp://@:5004", "codec: must be given"},
		{"rtp://@:0?codec=h264", "want the port"},
		{"rtp://5004?codec=h264", "want the port"},
	}
	for _, tt := range tests {
		u, err := ParseURI(tt.source)
		if err == nil || !strings.Contains(err.Error(), tt.want) || strings.Contains(err.Error(), "SECRET") {
			t.Errorf("ParseURI(%q) = %+v, %v; want an error with %q", tt.source, u, err, tt.want)
		}
	}
}

// No part of a password survives, in sources that can be read and in those that cannot.
// What is meant for a camera is never taken for a file that is not there.
func TestNoFile(t *testing.T) {
	t.Chdir(t.TempDir())
	for source, want := range map[string]string{
		`rtsp:\\\\host\x`: "write rtsp://", "rtsp:/host/x": "write rtsp://", "RTSPS:host/x": "write rtsps://",
		"http:/host/x": "write http://", "onvif:host": "write onvif://", "demo:parts": "write demo://",
		"nvarguscamerasrc ! nvvidconv ! appsink":             "write gst: before it",
		"v4l2src device=/dev/video0 ! videoconvert":          "write gst: before it",
		"rtspsrc location=rtsp://u:geheim@h/x latency=0 ! x": "write gst: before it",
		"file:/film.mp4": "write file://", `"/a/film.mp4"`: "leave them out", "'rtsp://h/x'": "leave them out",
		"~/film.mp4": "write the whole path", "$HOME/film.mp4": "write the whole path",
		"rtsp://ho\u200bst/x": "U+200B", "http://host\u00a0/x": "U+00A0",
		"demo": "write demo://", "test": "write test://", `gst:"videotestsrc ! videoconvert"`: "leave them out",
		"usb:0": "as /dev/video0", "video0": "as /dev/video0", "camera:1": "as /dev/video0", "webcam": "as /dev/video0",
		"dshow:video=HD Webcam": "as /dev/video0", "avfoundation:0": "as /dev/video0", "usb://0": "as /dev/video0",
		"camera 0": "as /dev/video0", "video0:0": "as /dev/video0",
		"v4l2src device=/dev/video0": "write gst: before it",
		"rtmp:127.0.0.1":             "give the camera's rtsp:// address",
		"url=rtsp://h/x":             "write the address alone", "<rtsp://u:geheim@h/x>": "write the address alone",
		"mjpeg:http://h/x": "write the address alone", "“https://h/x”": "write the address alone",
		"video=Integrated Camera": "as /dev/video0", "libcamera:0": "gst:libcamerasrc", "picamera2": "gst:libcamerasrc",
		"192.168.1.64": "has no scheme: write rtsp://", "192.168.1.64:554/Streaming/101": "write rtsp://",
		"admin:geheim@192.168.1.64/x": "write rtsp://", "admin:geheim@cam/x": "write rtsp://",
		"camera.local:8554/cam": "write rtsp://", "localhost:8080/?action=stream": "http://",
		"www.host.org/a.jpg": "http://",
		"[fe80::1]:554/x":    "write rtsp://", "rtsp//host/x": "has no colon behind rtsp: write rtsp://",
		"rtsp;//host/x": "has no colon behind rtsp", "https//host/x": "write https://",
		"rtsp://fe80::1/x": "in brackets", "rtsp://u:geheim@2001:db8::7/x": "in brackets",
		"udp://@239.0.0.1:1234": "gst:udpsrc", "tcp://host:5000": "gst:tcpclientsrc",
		"pics/img%03d.png": "as in img*.png", "file:///pics/img%04d.png?loop=-1": "as in img*.png",
		"f_%d.jpg": "f_*.jpg",
	} {
		if _, err := ParseURI(source); err == nil || !strings.Contains(err.Error(), want) ||
			strings.Contains(err.Error(), "geheim") {
			t.Errorf("%s: got %v, want …%s…", source, err, want)
		}
	}
	for _, name := range []string{"rtsp:x", "a ! b", "wow!.mp4", "film \u00a0.mp4"} {
		if err := os.WriteFile(name, nil, 0o600); err != nil {
			t.Fatal(err)
		}
		if u, err := ParseURI(name); err != nil || u.Scheme != "file" || u.Target != name {
			t.Errorf("the file %q: %+v, %v", name, u, err)
		}
	}
}

func TestRedact(t *testing.T) {
	tests := []struct{ text, want string }{
		{"rtsp://admin:SECRET@h:554/x?a=b", "rtsp://***@h:554/x?a=b"},
		{`rtsp://admin:S"E C@R/ET@h/x`, "rtsp://***@h/x"},
		{"rtsp://h/user=admin&password=SECRET&channel=1", "rtsp://h/user=admin&password=***&channel=1"},
		{`gst:rtspsrc location="rtsp://h/x" user-id="me" user-pw="SE\"CRET" ! x`,
			`gst:rtspsrc location="rtsp://h/x" user-id=*** user-pw=*** ! x`},
		{`gst:rtspsrc location=rtsp://a:SECRET@h/x user-pw = SECRET ! x`,
			`gst:rtspsrc location=rtsp://***@h/x user-pw =*** ! x`},
		{"file:///data/a.mp4", "file:///data/a.mp4"},
		{"rtp://@:5004?codec=h264", "rtp://@:5004?codec=h264"},
	}
	for _, tt := range tests {
		if got := Redact(tt.text); got != tt.want {
			t.Errorf("Redact(%q) = %q, want %q", tt.text, got, tt.want)
		}
	}
	for _, source := range []string{"rtsp://u:SECRET@", "rtsp://u:SEC/RET@h", "rtsp://u:SECRET%@h/x",
		"rtspx://u:SECRET@h", "rtsp://u:SECRET@h/x#codec=no"} {
		c := Config{Name: "a", Source: source}
		if err := c.Validate(); err == nil || strings.Contains(err.Error(), "SEC") ||
			strings.Contains(err.Error(), "RET") {
			t.Errorf("%s: Validate says %v", source, err)
		}
	}
}

func TestConfigValidate(t *testing.T) {
	good := Config{Name: "a", Source: "demo://", FPS: 5}
	if err := good.Validate(); err != nil {
		t.Errorf("%+v: %v", good, err)
	}
	tests := []struct {
		change func(*Config)
		want   string
	}{
		{func(c *Config) { c.Name = "" }, "name: "},
		{func(c *Config) { c.Source = "demo://?a=b" }, "source: demo://?a=b: unknown key"},
		{func(c *Config) { c.FPS = -3 }, "fps: must be 0 (all that come) or at most 1000, got -3"},
	}
	for _, tt := range tests {
		c := good
		tt.change(&c)
		if err := c.Validate(); err == nil || !strings.HasPrefix(err.Error(), tt.want) {
			t.Errorf("%+v: got %v, want %s…", c, err, tt.want)
		}
	}
}

func TestEveryFrame(t *testing.T) {
	for source, want := range map[string]bool{
		"file://a.mp4": true, "pics": true, "demo://": false, "demo://?speed=max": true, "rtsp://h/x": false,
		"0": false,
	} {
		if c := (Config{Source: source}); c.EveryFrame() != want {
			t.Errorf("%s: EveryFrame() = %v, want %v", source, !want, want)
		}
	}
}

// quoted finds the quoted strings of a pipeline.
var quoted = regexp.MustCompile(`"(?:[^"\\]|\\.)*"`)

// Whatever a source holds stays within its quotes: the elements of a pipeline are those of a
// harmless one.
func FuzzParseURI(f *testing.F) {
	for _, s := range []string{"demo://parts?fps=15&seed=1", "rtsp://u:p@h:1/x?y#codec=h265", `file://a"b\.mp4?loop=1`,
		"rtp://a@:1?codec=h264", "csi://0", "0"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, source string) {
		u, err := ParseURI(source)
		if err != nil || u.Scheme == "gst" {
			return
		}
		text, err := u.Pipeline(Jetson)
		if err != nil {
			return
		}
		harmless := u
		switch u.Scheme {
		case "file", "v4l2", "rtsp":
			harmless.Target = "x"
		case "rtp":
			host, port, _ := strings.Cut(u.Target, ":")
			harmless.Target = host[:min(len(host), 1)] + ":" + strconv.Itoa(len(port))
		}
		harmless.Password = "x"
		want, err := harmless.Pipeline(Jetson)
		if err != nil {
			t.Fatal(err)
		}
		skeleton := func(text string) string {
			return regexp.MustCompile(`port=[0-9]+`).ReplaceAllString(quoted.ReplaceAllString(text, `""`), "port=")
		}
		if skeleton(text) != skeleton(want) {
			t.Errorf("%q makes\n%s\nharmless would be\n%s", source, text, want)
		}
	})
}

// The server hears nothing of our own network interfaces.
func TestWithoutZone(t *testing.T) {
	for target, want := range map[string]string{
		"[fe80::1%25eth0]:554/x%25y": "[fe80::1]:554/x%25y", "[fe80::1]/[%25]": "[fe80::1]/[%25]", "cam/x": "cam/x",
	} {
		if got := withoutZone(target); got != want {
			t.Errorf("%s: %s, want %s", target, got, want)
		}
	}
}
