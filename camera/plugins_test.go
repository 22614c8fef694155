package camera

import (
	"errors"
	"strings"
	"testing"
)

func TestMissing(t *testing.T) {
	u := URI{Scheme: "rtsp", Target: "h/a ! avdec_h265 !b", User: "u", Password: `p" ! nvvidconv ! "`}
	generic, err := u.Pipeline(Generic)
	if err != nil {
		t.Fatal(err)
	}
	jetson, err := u.Pipeline(Jetson)
	if err != nil {
		t.Fatal(err)
	}
	for _, tt := range []struct{ pipeline, lacks, name, packet string }{
		{generic, "", "", ""},
		{generic, "avdec_h264", "avdec_h264", "gstreamer1.0-libav"},
		{generic, "avdec_h265", "", ""}, // stands in the address
		{generic, "nvvidconv", "", ""},  // stands in the password
		{generic, "rtpstreamdepay", "rtpstreamdepay", "gstreamer1.0-plugins-good"},
		{jetson, "nvvidconv", "nvvidconv", "nvidia-l4t-gstreamer"},
		{"mine ! appsink", "mine", "mine", ""},
	} {
		name, packet := missing(tt.pipeline, func(name string) bool { return name == tt.lacks })
		if name != tt.name || packet != tt.packet {
			t.Errorf("without %q: %q of %q, want %q of %q, in\n%s", tt.lacks, name, packet, tt.name, tt.packet,
				tt.pipeline)
		}
	}
}

// GStreamer itself is asked, and the sentence names the package.
func TestMissingPlugin(t *testing.T) {
	if m := needOpenCV(t); !m.gstreamer {
		t.Fatalf("OpenCV %s has no GStreamer: 'scripts/deps' installs Debian's, which has", m.opencv)
	}
	for source, want := range map[string]string{
		"gst:videotestsrc ! avdec_nosuch ! appsink": "" +
			"GStreamer has no element avdec_nosuch: install gstreamer1.0-libav",
		"gst:nosuchelement ! appsink": "GStreamer has no element nosuchelement: install the plugin " +
			"that brings it",
	} {
		if _, err := Open(t.Context(), Config{Source: source}); !errors.Is(err, ErrLost) ||
			!strings.Contains(err.Error(), want) {
			t.Errorf("%s: %v, want %q", source, err, want)
		}
	}
	if lacksElement("videotestsrc") || !lacksElement("nosuchelement") {
		t.Error("GStreamer's elements are not told from others")
	}
}
