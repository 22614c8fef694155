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
			source, info, err := u.openVideo(only, headerOf(u.Target))
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

// kindsOfPictures are codecs and containers, and the pixel formats of each: of 8 to 16 bits, grey, with a palette, with
// alpha, and in RGB, where decoders of GStreamer exchange the colours or say nothing of them.
var kindsOfPictures = []struct{ file, args, colours, formats string }{
	{"a.mkv", "-c:v libx264 -qp 4", ranged(bt709, "tv"), "gray yuv422p yuv444p10le"},
	{"b.mkv", "-c:v libx264rgb -qp 0", "", "bgr24"},
	{"c.mkv", "-c:v libx265 -x265-params log-level=error:qp=4", ranged(bt601, "tv"), "gray yuv444p12le"},
	{"d.mkv", "-c:v libx265 -x265-params log-level=error:qp=4", "", "gbrp gbrp10le"},
	{"e.webm", "-c:v libvpx -auto-alt-ref 0 -b:v 2M", ranged(bt601, "tv"), "yuva420p"},
	{"f.mkv", "-c:v libvpx-vp9 -lossless 1", ranged(bt709, "pc"), "yuv420p yuv444p"},
	{"g.mkv", "-c:v libvpx-vp9 -lossless 1", "", "gbrp gbrp10le"},
	{"h.mp4", "-c:v libaom-av1 -cpu-used 8 -crf 4", ranged(bt709, "pc"), "gray yuv422p10le"},
	{"i.mp4", "-c:v libaom-av1 -cpu-used 8 -crf 4", "", "gbrp gbrp10le"},
	{"j.mov", "-c:v prores_ks", "", "yuv422p10le yuva444p10le"},
	{"k.avi", "-c:v mjpeg -q:v 1", ranged(bt601, "pc"), "yuvj420p yuvj422p yuvj444p"},
	{"l.mov", "-c:v png", "", "rgb24 rgba rgb48be rgba64be pal8 gray gray16be monob"},
	{"m.mkv", "-c:v ffv1", ranged(bt709, "pc"), "gray yuv411p yuva420p yuv422p12le"},
	{"n.mkv", "-c:v ffv1", "", "bgr0 bgra gbrp10le gbrp12le"},
	{"o.avi", "-c:v utvideo", "", "gbrp gbrap"},
	{"p.mkv", "-c:v rawvideo", ranged(bt601, "tv"), "gray uyvy422 nv12"},
	{"q.avi", "-c:v rawvideo", "", "bgra"},
	{"r.mov", "-c:v qtrle", "", "rgb24 argb rgb555be gray"},
	{"s.mov", "-c:v jpeg2000", "", "rgb24 gray yuv444p pal8"},
	{"t.mov", "-c:v cfhd", "", "gbrp12le"},
}

// fewOnAverage is by how many levels the middles of the bars may differ on average from what FFmpeg's own program
// makes of the same film.
const fewOnAverage = 3

// A film of any kind of pictures that is read here has the colours that FFmpeg's own program gives it.
func TestColoursAsFFmpeg(t *testing.T) {
	needOpenCV(t)
	for _, kind := range kindsOfPictures {
		for format := range strings.FieldsSeq(kind.formats) {
			path := barsFile(t, kind.file, kind.colours+" "+kind.args+" -strict -2 -pix_fmt "+format)
			want, err := exec.Command("ffmpeg", strings.Fields("-loglevel error -i "+path+" -frames:v 1 -vf scale="+
				"flags=accurate_rnd+full_chroma_int+full_chroma_inp -f rawvideo -pix_fmt bgr24 -")...).Output()
			if err != nil {
				t.Fatalf("%s, %s: ffmpeg: %v", kind.args, format, err)
			}
			s := mustOpen(t, Config{Source: "file://" + path})
			var f vision.Frame
			if err := s.Read(t.Context(), &f); err != nil || len(f.Pix) != len(want) {
				t.Fatalf("%s, %s: %d bytes, %v", kind.args, format, len(f.Pix), err)
			}
			sum, n := 0, 0
			for i := range want {
				if x := i / 3 % (len(bars) * barWidth) % barWidth; x < barWidth/4 || x >= 3*barWidth/4 {
					continue // chroma of the neighbour
				}
				d := int(f.Pix[i]) - int(want[i])
				sum += max(d, -d)
				n++
			}
			if sum > fewOnAverage*n {
				t.Errorf("%s, %s, through %s: %.1f levels off on average, want at most %d", kind.args, format,
					s.Info().Backend, float64(sum)/float64(n), fewOnAverage)
			}
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
