package redact

import (
	"strings"
	"testing"
)

func TestText(t *testing.T) {
	for _, text := range []string{
		"rtsp://admin:geheim@h/x", "rtsp://admin:a geheim@h/x", "rtsp://admin:12/34geheim@h/x",
		"rtsp://admin:12345#geheim@h/x", "rtsp://h/x?user=a&pwd=geheim",
		"rtsp://h/user=admin&password=geheim&channel=1",
		"rtsp://h/x?loginuse=a&loginpas=geheim", "rtsp://h/x?auth=geheim",
		"rtsp://h/x?key=geheim", "rtsp://h/x?secret=geheim",
		"rtsp://h/x?apikey=geheim&a=b", "rtsp://h/x?access_token=geheim", "rtsp://h/x?X-Amz-Signature=geheim",
		"ws://h/mqtt?token=geheim", "wss://h/mqtt?x=1&sig=geheim", "rtsp://geheim@h/x",
		"gst:rtspsrc location=rtsp://h/x user-id=geheim user-pw=geheim ! decodebin",
		`gst:rtspsrc user-pw="a geheim b" ! decodebin`, `gst:rtspsrc user-pw="geheim`,
		"gst:souphttpsrc user-pw='a geheim' ! x",
		"gst:souphttpsrc location=http://h authorization=Bearer geheim ! jpegdec",
		`gst:souphttpsrc extra-headers="x,Authorization=(string)Bearer\ geheim"`, "gst:souphttpsrc proxy-pw=geheim ! x",
		"gst:souphttpsrc cookies=geheim ! x", "Authorization: Basic geheim",
		"rtsp://h/x?%70assword=geheim", "http://h/x?a=1&pass%77ord=geheim&b=2", "wss://h/mqtt?jwt=geheim",
		"http://h/x?PHPSESSIONID=geheim", "http://h/x?sid=geheim",
		"rtsp:/admin:geheim@h/x", "rtsp:admin:geheim@h/x", "mqtt.password: geheim",
		"/data/auth: password=geheim", "token.mp4: admin:geheim@h/x",
		"admin:geheim@192.168.0.9/x",
		"rtsp://u:geheim", "rtsp://u:geheim: want", "http://admin:1geheim2 x", "rtsp://u:geheim/live",
		"admin:ge%40heim-geheim@[::1]:554/x",
	} {
		got := Text(text)
		if strings.Contains(got, "geheim") || !strings.Contains(got, Mark) {
			t.Errorf("%s: shown as %s", text, got)
		}
	}
	const twice = "open rtsp://a:geheim@h/x: lost: try gst-launch-1.0 rtspsrc location=rtsp://a:ge heim@h/x " +
		"user-pw=geheim ! x"
	if got := Text(twice); strings.Contains(got, "heim") ||
		!strings.Contains(got, ": lost: try gst-launch-1.0 rtspsrc") {
		t.Errorf("of two addresses: %s", got)
	}
	for _, text := range []string{
		"rtsp://192.168.1.5:554/stream1?channel=2&subtype=0", "demo://parts?fps=15&seed=1",
		"/dev/video0", "file:///a b/c.mp4?loop=-1",
		"gst:videotestsrc pattern=ball sensor-id=0 ! video/x-raw,width=640 ! videoconvert",
		"tcp://broker:1883", "wss://broker:443/mqtt", "file:///home/a@b/50%25.mp4",
		"pics/img%03d.png: there is no file",
		"open /data/auth: lost: there is no file", "cookies.mp4: lost: no film", "/srv/token.d/a.mp4: lost: x",
		"session-1.mp4: after 3 frames: lost",
		"file:///a/x%20y.png?loop=-1",
		"rtsp://h:554, tcp://h:1883.", `"rtsp://h:554"`, "tcp://h:1883: connection refused", "rtsp://[fe80::a]:554/x",
		"ghcr.io/x/y@sha256:0123", "rtsp://h/a%20b?x=1",
	} {
		if got := Text(text); got != text {
			t.Errorf("%s: shown as %s, holds no secret", text, got)
		}
	}
}

func TestKey(t *testing.T) {
	for key, want := range map[string]bool{"mqtt.password": true, "mqtt.password_file": false, "http.token_file": false,
		"mqtt.topic_prefix": false, "mqtt.user": false, "x.token": true, "password": true} {
		if got := Key(key); got != want {
			t.Errorf("%s: %t, want %t", key, got, want)
		}
	}
}
