package camera

import (
	"bytes"
	"errors"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/vggse/vggse-agent/vision"
)

// bars are the colours of the test picture from left to right, BGR, neither grey nor at the end of
// the range.
var bars = [][3]byte{{200, 200, 200}, {40, 200, 200}, {200, 200, 40}, {40, 200, 40}, {200, 40, 200}, {40, 40, 200},
	{200, 40, 40}, {40, 40, 40}}

const barWidth, barHeight = 40, 120

// barsFile writes ten of the test picture through ffmpeg with args, as name in a folder of the
// test.
func barsFile(t *testing.T, name, args string) string {
	t.Helper()
	var row []byte
	for _, colour := range bars {
		row = append(row, bytes.Repeat(colour[:], barWidth)...)
	}
	path := filepath.Join(t.TempDir(), name)
	command := exec.Command("ffmpeg",
		append(strings.Fields("-loglevel error -y -f rawvideo -pixel_format bgr24 -video_size 320x120 -framerate "+
			"30 -i - "+args), path)...)
	command.Stdin = bytes.NewReader(bytes.Repeat(row, 10*barHeight))
	if said, err := command.CombinedOutput(); err != nil {
		t.Fatalf("ffmpeg: %v: %s", err, said)
	}
	return path
}

// farthest is by how many levels the middles of the bars are off at most.
func farthest(f *vision.Frame) (most int) {
	for i, want := range bars {
		at := f.Height/2*f.Stride + 3*((2*i+1)*f.Width/(2*len(bars)))
		for c := range 3 {
			d := int(f.Pix[at+c]) - int(want[c])
			most = max(most, d, -d)
		}
	}
	return most
}

const (
	bt601 = "-vf scale=out_color_matrix=bt601:out_range=%:flags=accurate_rnd+full_chroma_int -colorspace smpte170m " +
		"-color_primaries smpte170m -color_trc smpte170m -color_range %"
	bt709 = "-vf scale=out_color_matrix=bt709:out_range=%:flags=accurate_rnd+full_chroma_int -colorspace bt709 " +
		"-color_primaries bt709 -color_trc bt709 -color_range %"
	// fullAlone has its range told, and no matrix: such are films of yuvj420p that nobody told more of.
	fullAlone = "-vf scale=out_color_matrix=bt601:out_range=pc:flags=accurate_rnd+full_chroma_int -color_range pc"
	dnxhd     = " -r 25 -c:v dnxhd -b:v 120M -pix_fmt yuv422p"
	x264      = " -c:v libx264 -preset veryfast -qp 4 -pix_fmt "
	x265      = " -c:v libx265 -preset veryfast -x265-params log-level=error:qp=4:colorprim=1:transfer=1:" +
		"colormatrix=1 -pix_fmt "
)

// hd709 is bt709 in a size that DNxHD has.
var hd709 = strings.Replace(bt709, "scale=", "scale=1920:1080:", 1)

func ranged(args, what string) string { return strings.ReplaceAll(args, "%", what) }

// What the bars may be off: the codecs round, and GStreamer computes in few bits. FFmpeg inside
// OpenCV 4 takes every matrix for BT.601, which is in nobody's hands here: docs/cameras.md says so.
const (
	fewLevels   = 6
	wrongMatrix = 32
	wrongRange  = 45 // and many films of full range for limited
)

// Every way from a video to pixels that there is here gives the colours that went in.
func TestColoursOfVideos(t *testing.T) {
	m := needOpenCV(t)
	for _, tt := range []struct {
		name, file, args string
		ffmpeg           int // levels
	}{
		{"H.264 BT.601 limited", "a.mp4", ranged(bt601, "tv") + x264 + "yuv420p", fewLevels},
		{"H.264 BT.601 full", "b.mkv", ranged(bt601, "pc") + x264 + "yuvj420p", fewLevels},
		{"H.264 BT.709 limited", "c.mp4", ranged(bt709, "tv") + x264 + "yuv420p", wrongMatrix},
		{"H.264 BT.709 full", "d.mkv", ranged(bt709, "pc") + x264 + "yuvj420p", wrongMatrix},
		{"H.265 BT.709 limited", "e.mkv", ranged(bt709, "tv") + x265 + "yuv420p", wrongMatrix},
		{"MJPEG", "f.avi", ranged(bt601, "pc") + " -c:v mjpeg -q:v 1 -pix_fmt yuvj444p", fewLevels},
		// What the codec says of the range goes before what QuickTime's colr, which has no place for it, is taken for.
		{"H.264 BT.601 full", "g.mov", ranged(bt601, "pc") + x264 + "yuvj420p", fewLevels},
		{"H.264 BT.709 full", "h.mp4", ranged(bt709, "pc") + x264 + "yuvj420p", wrongMatrix},
		{"H.264 full, of no matrix", "i.mkv", fullAlone + x264 + "yuvj420p", fewLevels},
		{"H.264 BT.709 full, 10 bits", "j.mov", ranged(bt709, "pc") + x264 + "yuv420p10le", wrongRange},
		{"H.264 BT.601 interlaced", "k.mp4", ranged(bt601, "tv") + " -flags +ildct+ilme" + x264 + "yuv420p", fewLevels},
		{"ProRes BT.709", "l.mov", ranged(bt709, "tv") + " -c:v prores_ks -pix_fmt yuv422p10le", wrongMatrix},
		{"VP9 BT.709 full", "m.webm", ranged(bt709, "pc") + " -c:v libvpx-vp9 -crf 4 -b:v 0 -pix_fmt yuv420p",
			wrongRange},
		{"FFV1 BT.709 full, told by Matroska", "n.mkv", ranged(bt709, "pc") + " -c:v ffv1 -pix_fmt yuv420p",
			wrongRange},
		// A codec that says its matrix and not its range.
		{"DNxHD BT.709 limited", "o.mxf", ranged(hd709, "tv") + dnxhd, wrongMatrix},
		{"DNxHD BT.709 limited", "p.mov", ranged(hd709, "tv") + dnxhd, wrongMatrix},
		{"DNxHD BT.709 full", "q.mov", ranged(hd709, "pc") + dnxhd, wrongRange},
	} {
		path := barsFile(t, tt.file, tt.args)
		for _, only := range []machine{{opencv: m.opencv, ffmpeg: m.ffmpeg},
			{opencv: m.opencv, gstreamer: m.gstreamer}} {
			if !only.ffmpeg && !only.gstreamer {
				continue
			}
			u := URI{Scheme: "file", Target: path}
			source, info, err := u.openVideo(only)
			if err != nil {
				t.Fatal(err)
			}
			var f vision.Frame
			if err := errors.Join(source.next(t.Context(), &f), source.close()); err != nil {
				t.Fatalf("%s through %s: %v", tt.name, info.Backend, err)
			}
			most := fewLevels
			if only.ffmpeg {
				most = tt.ffmpeg
			}
			off := farthest(&f)
			t.Logf("%s through %s: at most %d levels off", tt.name, info.Backend, off)
			if off > most {
				t.Errorf("%s through %s: more than %d", tt.name, info.Backend, most)
			}
		}
	}
}

// A film in RGB has its colours, too, through whatever reads it here: decoders of GStreamer exchange them (VP9)
// or say nothing of RGB (AV1).
func TestColoursOfRGB(t *testing.T) {
	needOpenCV(t)
	for name, args := range map[string]string{
		"a.mkv": "-c:v libx264rgb -qp 0", "b.webm": "-c:v libvpx-vp9 -lossless 1 -pix_fmt gbrp",
		"c.mkv": "-c:v libaom-av1 -cpu-used 8 -crf 8 -pix_fmt gbrp", "d.mkv": "-c:v ffv1 -pix_fmt gbrp",
		"e.mp4": "-c:v libaom-av1 -cpu-used 8 -crf 8 -pix_fmt gbrp10le",
	} {
		path := barsFile(t, name, args)
		s := mustOpen(t, Config{Source: "file://" + path})
		var f vision.Frame
		if err := s.Read(t.Context(), &f); err != nil {
			t.Fatalf("%s: %v", args, err)
		}
		if off := farthest(&f); off > fewLevels {
			t.Errorf("%s: %d levels off, want at most %d", args, off, fewLevels)
		}
	}
	if path := barsFile(t, "f.webm", "-c:v libvpx-vp9 -lossless 1 -pix_fmt gbrp"); !lacksElement("vp9dec") {
		_, err := Open(t.Context(), Config{Source: "gst:filesrc location=" + path + " ! matroskademux ! vp9dec"})
		if err == nil || !strings.Contains(err.Error(), "exchanges the colours") {
			t.Errorf("a pipeline whose decoder exchanges the colours: %v", err)
		}
	}
}

// So does what V4L2 and CSI cameras send, and picture files.
func TestColoursOfFormats(t *testing.T) {
	if m := needOpenCV(t); !m.gstreamer {
		t.Fatalf("OpenCV %s has no GStreamer: 'scripts/deps' installs Debian's, which has", m.opencv)
	}
	for _, tt := range []struct{ args, pixels, format string }{
		{ranged(bt601, "tv"), "yuyv422", "format=yuy2 colorimetry=bt601"},
		{ranged(bt709, "tv"), "yuyv422", "format=yuy2 colorimetry=bt709"},
		{ranged(bt601, "tv"), "nv12", "format=nv12 colorimetry=bt601"},
		{ranged(bt709, "tv"), "nv12", "format=nv12 colorimetry=bt709"},
		{ranged(bt709, "pc"), "yuvj420p", "format=i420 colorimetry=1:3:5:1"},
	} {
		path := barsFile(t, "bars.yuv", tt.args+" -f rawvideo -pix_fmt "+tt.pixels)
		s := mustOpen(t, Config{Source: "gst:filesrc location=" + path +
			" ! rawvideoparse width=320 height=120 framerate=30/1 " + tt.format})
		var f vision.Frame
		if err := s.Read(t.Context(), &f); err != nil {
			t.Fatal(err)
		}
		off := farthest(&f)
		t.Logf("%s: at most %d levels off", tt.format, off)
		if off > fewLevels {
			t.Errorf("%s: more than %d", tt.format, fewLevels)
		}
	}
	for name, args := range map[string]string{"a.png": "-frames:v 1", "b.jpg": "-frames:v 1 -q:v 1 -pix_fmt yuvj444p"} {
		var f vision.Frame
		if err := ReadImage(barsFile(t, name, args), &f); err != nil {
			t.Fatal(err)
		}
		if off := farthest(&f); off > 1 {
			t.Errorf("%s: %d levels off", name, off)
		}
	}
}
