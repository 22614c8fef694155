package camera

import (
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

var update = flag.Bool("update", false, "rewrite the golden files")

var pipelineSources = []string{
	"csi://0",
	"csi://1?width=1920&height=1080&fps=60&sensor-mode=2&flip=rotate-180",
	"/dev/video0", "/dev/video0?codec=mjpeg&width=1920&height=1080&fps=30",
	"/dev/video1?codec=yuyv&width=640&height=480&fps=29.97",
	"rtsp://cam/x", `rtsp://me:a"b\c ! fakesrc@cam:8554/x?a=b` +
		`#codec=h265&latency=250&timeout=5000&transport=udp&flip=vertical`,
	"rtp://@:5004?codec=h264", "rtp://239.1.2.3:5004?codec=h265&latency=50", "file:///data/a.mp4",
	`file://a" ! fakesrc name="\.mp4?flip=horizontal`,
	"gst:videotestsrc num-buffers=3", "gst:videotestsrc ! appsink sync=false", "demo://",
}

// The pipelines are what the page of facts measured or cites, for both profiles.
func TestPipeline(t *testing.T) {
	var got strings.Builder
	for _, source := range pipelineSources {
		u, err := ParseURI(source)
		if err != nil {
			t.Fatal(err)
		}
		fmt.Fprintf(&got, "%s\n", source)
		for _, p := range []Profile{Generic, Jetson} {
			text, err := u.Pipeline(p)
			if err != nil {
				text = "error: " + err.Error()
			}
			fmt.Fprintf(&got, "  %-7s  %s\n", p, text)
		}
	}
	golden := filepath.Join("testdata", "pipelines.txt")
	if *update {
		if err := os.WriteFile(golden, []byte(got.String()), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(golden)
	if err != nil {
		t.Fatal(err)
	}
	if got.String() != string(want) {
		t.Errorf("pipelines differ from %s (-update rewrites it):\n%s", golden, got.String())
	}
}

func TestFraction(t *testing.T) {
	for fps, want := range map[float64]string{30: "30/1", 29.97: "30000/1001", 59.94: "60000/1001",
		23.976: "24000/1001", 7.5: "750/100", 0.2: "20/100"} {
		if got := fraction(fps); got != want {
			t.Errorf("fraction(%g) = %s, want %s", fps, got, want)
		}
	}
}

// plans says what each machine reads each source with.
func TestPlan(t *testing.T) {
	debian := machine{opencv: "4.6.0", ffmpeg: true, gstreamer: true, v4l2: true}
	static := machine{opencv: "4.10.0", timeouts: true, gstreamer: true, v4l2: true}
	device := machine{opencv: "4.10.0", timeouts: true, gstreamer: true, v4l2: true, jetson: true}
	bare := machine{opencv: "4.6.0", v4l2: true}
	noGStreamer := machine{opencv: "4.6.0", ffmpeg: true}
	noFFmpeg := machine{opencv: "4.6.0", gstreamer: true}
	tests := []struct {
		name   string
		m      machine
		source string
		want   string
	}{
		{"debian", debian, "/a.mp4", "GSTREAMER [] limit 0s"},
		{"debian", debian, "rtsp://h/x", "GSTREAMER [] limit 5s patient"},
		{"debian", debian, "rtsp://h/x#timeout=7000", "GSTREAMER [] limit 10s patient"},
		{"debian", debian, "rtp://@:5004?codec=h264", "GSTREAMER [] limit 5s patient"},
		{"no GStreamer", noGStreamer, "rtsp://h/x", "FFMPEG [53 15000 54 2000] limit 2s"},
		{"no GStreamer", noGStreamer, "rtsp://h/x#timeout=7000", "FFMPEG [53 22000 54 7000] limit 7s"},
		{"no GStreamer", noGStreamer, "/a.mp4", "FFMPEG [] limit 0s"},
		{"debian", debian, "0", "V4L2 [38 1] limit 2s"},
		{"debian", debian, "/dev/video0?codec=mjpeg&width=640&height=480&fps=30",
			"V4L2 [6 1196444237 3 640 4 480 5 30 38 1] limit 2s"},
		{"debian", debian, "gst:videotestsrc", "GSTREAMER [] limit 2s patient"},
		{"debian", debian, "gst:videotestsrc ! appsink", "GSTREAMER [] limit 0s patient"},
		{"static", static, "gst:videotestsrc ! appsink", "GSTREAMER [53 3000 54 2000] limit 2s patient"},
		{"debian", debian, "csi://0", "error: csi:// needs an NVIDIA Jetson"},
		{"static", static, "/a.mp4", "GSTREAMER [] limit 0s"},
		{"static", static, "rtsp://h/x", "GSTREAMER [] limit 5s patient"},
		{"static", static, "rtp://@:5004?codec=h264", "GSTREAMER [] limit 5s patient"},
		{"static", static, "0", "V4L2 [38 1] limit 2s"},
		{"device", device, "/a.mp4", "GSTREAMER [] limit 0s"},
		{"device", device, "csi://0", "GSTREAMER [] limit 2s patient"},
		{"device", device, "0", "V4L2 [38 1] limit 2s"},
		{"device", device, "/dev/video0?codec=mjpeg", "GSTREAMER [] limit 2s patient"},
		{"bare", bare, "/a.mp4", "error: there is no GStreamer here"},
		{"no FFmpeg", noFFmpeg, "rtsp://h/x", "GSTREAMER [] limit 5s patient"},
	}
	for _, tt := range tests {
		u, err := ParseURI(tt.source)
		if err != nil {
			t.Fatal(err)
		}
		p, err := u.plan(tt.m)
		got := ""
		switch {
		case err != nil:
			got = "error: " + err.Error()
		case p.patient:
			got = fmt.Sprintf("%v %v limit %v patient", p.backend, p.params, p.limit)
		default:
			got = fmt.Sprintf("%v %v limit %v", p.backend, p.params, p.limit)
		}
		if got != tt.want && !(err != nil && strings.HasPrefix(got, tt.want)) {
			t.Errorf("%s, %s: got %s, want %s", tt.name, tt.source, got, tt.want)
		}
	}
}

// FFmpeg takes credentials within the URL only; they are encoded for it.
func TestFFmpegURL(t *testing.T) {
	u, err := ParseURI("rtsp://me:p@s%2Fs w:rd@cam:8554/x?a=b#codec=h264")
	if err != nil {
		t.Fatal(err)
	}
	if got, want := u.planFFmpeg().text, "rtsp://me:p%40s%2Fs%20w%3Ard@cam:8554/x?a=b"; got != want {
		t.Errorf("got %s, want %s", got, want)
	}
}
