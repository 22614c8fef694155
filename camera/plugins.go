package camera

import (
	"fmt"
	"regexp"
	"strings"
)

// plugins are the packages of Debian, Ubuntu and JetPack that bring an element, by how its name
// begins.
var plugins = []struct{ prefix, packet string }{
	{"avdec_", "gstreamer1.0-libav"},
	{"nv", "nvidia-l4t-gstreamer"},
	{"h264parse", "gstreamer1.0-plugins-bad"}, {"h265parse", "gstreamer1.0-plugins-bad"},
	{"mpeg4videoparse", "gstreamer1.0-plugins-bad"},
	{"openh264", "gstreamer1.0-plugins-bad"},
	{"rtsp", "gstreamer1.0-plugins-good"}, {"rtp", "gstreamer1.0-plugins-good"}, {"udp", "gstreamer1.0-plugins-good"},
	{"jpeg", "gstreamer1.0-plugins-good"}, {"v4l2", "gstreamer1.0-plugins-good"},
	{"vp8dec", "gstreamer1.0-plugins-good"}, {"vp9dec", "gstreamer1.0-plugins-good"},
	{"multifile", "gstreamer1.0-plugins-good"},
	{"video", "gstreamer1.0-plugins-base"}, {"app", "gstreamer1.0-plugins-base"},
	{"decodebin", "gstreamer1.0-plugins-base"},
	{"parsebin", "gstreamer1.0-plugins-base"},
}

var (
	inQuotes = regexp.MustCompile(`"(\\.|[^"\\])*"`)
	element  = regexp.MustCompile(`^[a-zA-Z][a-zA-Z0-9_-]*$`)
)

// missing finds the first element of a pipeline that lacks says is not there, and the package that
// brings it, "" where that is not known. What a property holds is no element, whatever it looks
// like.
func missing(pipelineDir string, lacks func(name string) bool) (name, packet string) {
	for part := range strings.SplitSeq(inQuotes.ReplaceAllString(pipelineDir, `""`), "!") {
		name, _, _ = strings.Cut(strings.TrimSpace(part), " ")
		if !element.MatchString(name) || !lacks(name) {
			continue
		}
		for _, p := range plugins {
			if strings.HasPrefix(name, p.prefix) {
				return name, p.packet
			}
		}
		return name, ""
	}
	return "", ""
}

// lacking is a sentence on what GStreamer does not have of a pipeline; "" where it has all, or
// nobody can tell.
func lacking(pipelineDir string) string {
	name, packet := missing(pipelineDir, lacksElement)
	switch {
	case name == "":
		return ""
	case packet == "":
		packet = "the plugin that brings it"
	}
	return fmt.Sprintf("GStreamer has no element %s: install %s", name, packet)
}
