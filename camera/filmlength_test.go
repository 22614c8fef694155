package camera

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/vggse/vggse-agent/camera/cameratest"
	"github.com/vggse/vggse-agent/vision"
)

// cutFilms are films of 300 small frames, 10 s, and what is to be said of one whose file is cut; "" where the
// container does not say how long it should be.
var cutFilms = []struct{ name, args, of string }{
	{"h264.mp4", "-c:v libx264 -preset ultrafast -g 30 -bf 2 -pix_fmt yuv420p -movflags +faststart", " of 300 frames"},
	{"h264.mov", "-c:v libx264 -preset ultrafast -g 30 -pix_fmt yuv420p -movflags +faststart", " of 300 frames"},
	{"fragments.mp4", "-c:v libx264 -preset ultrafast -g 30 -pix_fmt yuv420p -movflags frag_keyframe+empty_moov",
		" frames"},
	{"mjpeg.avi", "-c:v mjpeg -pix_fmt yuvj420p -q:v 3", " of 300 frames"},
	{"h264.mkv", "-c:v libx264 -preset ultrafast -g 30 -pix_fmt yuv420p", " of 10.0 s"},
	{"vp8.webm", "-c:v libvpx -deadline realtime -cpu-used 8 -g 30 -b:v 1M", " of 10.0 s"},
	{"wmv2.wmv", "-c:v wmv2 -g 30", " of 10.0 s"},
	{"flv1.flv", "-c:v flv1 -g 30", " of 10.0 s"},
	{"live.mkv", "-c:v libx264 -preset ultrafast -g 30 -pix_fmt yuv420p -f matroska -live 1", ""},
	{"mpeg2.ts", "-c:v mpeg2video -g 30", ""},
}

// played is how a source ends, after how many frames.
func played(t *testing.T, s source) (frames int, err error) {
	var f vision.Frame
	for {
		if err := s.next(t.Context(), &f); err != nil {
			return frames, err
		}
		if frames++; frames > 1000 {
			t.Fatal("the film has no end")
		}
	}
}

// eachBackend opens a film through FFmpeg and through GStreamer, as far as they are there.
func eachBackend(t *testing.T, path string, test func(t *testing.T, s source, info Info)) {
	m := needOpenCV(t)
	for _, ffmpeg := range []bool{true, false} {
		only := m
		only.ffmpeg, only.gstreamer = ffmpeg, !ffmpeg
		if ffmpeg && !m.ffmpeg || !ffmpeg && !m.gstreamer {
			continue
		}
		t.Run(map[bool]string{true: "FFmpeg", false: "GStreamer"}[ffmpeg], func(t *testing.T) {
			u := URI{Scheme: "file", Target: path}
			s, info, err := u.openVideo(only, headerOf(u.Target))
			if err != nil && !ffmpeg && filepath.Ext(path) == ".wmv" {
				t.Logf("not every GStreamer reads these: %v", err)
				return
			} else if err != nil {
				t.Fatal(err)
			}
			defer s.close()
			test(t, s, info)
		})
	}
}

// The end of a film whose file is cut is told where its container says how long it should be; that of a
// whole film is an end.
func TestCutFilms(t *testing.T) {
	for _, tt := range cutFilms {
		path := cameratest.Video(t, tt.name, 300, strings.Fields(tt.args)...)
		t.Run(tt.name, func(t *testing.T) {
			eachBackend(t, path, func(t *testing.T, s source, info Info) {
				if n, err := played(t, s); err != io.EOF || n != 300 || len(info.Warnings) > 0 {
					t.Errorf("the whole film: %d frames, %v, %q", n, err, info.Warnings)
				}
			})
			size := sizeOf(t, path)
			for _, percent := range []int64{80, 25} {
				cut := filepath.Join(t.TempDir(), fmt.Sprint(percent)+filepath.Ext(tt.name))
				copyPart(t, path, cut, size*percent/100)
				eachBackend(t, cut, func(t *testing.T, s source, info Info) {
					n, err := played(t, s)
					want := fmt.Sprintf("holds %d of the ", size*percent/100)
					switch {
					case n == 0 || n > 299:
						t.Errorf("%d %%: %d frames, %v", percent, n, err)
					case tt.of == "" && (err != io.EOF || len(info.Warnings) > 0):
						t.Errorf("%d %%: %v, %q, want a plain end", percent, err, info.Warnings)
					case tt.of == "":
					case !errors.Is(err, ErrCutOff) || !errors.Is(err, io.EOF) || errors.Is(err, ErrLost):
						t.Errorf("%d %%: after %d frames %v, want an ErrCutOff", percent, n, err)
					case !strings.Contains(err.Error(), cut+" is cut off: it "+want) ||
						!strings.Contains(err.Error(), tt.of+": copy it again"):
						t.Errorf("%d %%: got %q, want %q and %q", percent, err, want, tt.of)
					case len(info.Warnings) != 1 || !strings.Contains(info.Warnings[0], want):
						t.Errorf("%d %%: warnings %q", percent, info.Warnings)
					}
				})
			}
		})
	}
}

// A film whose file has its size, but zeros from the middle on, ends early, too.
func TestHollowFilm(t *testing.T) {
	path := cameratest.Video(t, "a.mp4", 300, strings.Fields(cutFilms[0].args)...)
	size := sizeOf(t, path)
	for _, percent := range []int64{60, 40, 25} {
		hollow := filepath.Join(t.TempDir(), "hollow.mp4")
		copyPart(t, path, hollow, size*percent/100)
		if err := os.Truncate(hollow, size); err != nil {
			t.Fatal(err)
		}
		eachBackend(t, hollow, func(t *testing.T, s source, info Info) {
			n, err := played(t, s)
			if !errors.Is(err, ErrCutOff) || !strings.Contains(err.Error(), "copy it again") || n > 290 {
				t.Errorf("%d %%: after %d frames %v, want an ErrCutOff", percent, n, err)
			}
		})
	}
}

// Of films without a count of frames, too: by the times of the pictures, or by the zeros.
func TestHollowFilms(t *testing.T) {
	for _, film := range cutFilms {
		if film.name != "h264.mkv" && film.name != "mjpeg.avi" && film.name != "flv1.flv" {
			continue
		}
		path := cameratest.Video(t, film.name, 300, strings.Fields(film.args)...)
		for _, percent := range []int64{80, 30} {
			hollow := filepath.Join(t.TempDir(), "hollow"+filepath.Ext(film.name))
			copyPart(t, path, hollow, sizeOf(t, path)*percent/100)
			if err := os.Truncate(hollow, sizeOf(t, path)); err != nil {
				t.Fatal(err)
			}
			eachBackend(t, hollow, func(t *testing.T, s source, _ Info) {
				if n, err := played(t, s); !errors.Is(err, ErrCutOff) || n > 290 {
					t.Errorf("%s, %d %%: after %d frames %v, want an ErrCutOff", film.name, percent, n, err)
				}
			})
		}
	}
}

// A Matroska film that is damaged somewhere is told where a decoder ends there, one with a longer sound by its index;
// FFmpeg may find the end again.
func TestDamagedMatroska(t *testing.T) {
	film := "-c:v libx264 -preset ultrafast -g 30 -pix_fmt yuv420p"
	for name, args := range map[string]string{"a.mkv": film,
		"b.mkv": "-f lavfi -i sine=duration=12 -c:a pcm_s16le " + film} {
		path := cameratest.Video(t, name, 300, strings.Fields(args)...)
		data, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		damaged := filepath.Join(t.TempDir(), "damaged.mkv")
		at := len(data) * 6 / 10
		copy(data[at:at+3000], bytes.Repeat([]byte{0xaa}, 3000))
		if err := os.WriteFile(damaged, data, 0o600); err != nil {
			t.Fatal(err)
		}
		eachBackend(t, path, func(t *testing.T, s source, _ Info) {
			if n, err := played(t, s); n != 300 || err != io.EOF {
				t.Errorf("%s, whole: %d frames, %v", name, n, err)
			}
		})
		eachBackend(t, damaged, func(t *testing.T, s source, _ Info) {
			var f vision.Frame
			var err error
			last := 0
			for err = s.next(t.Context(), &f); err == nil; err = s.next(t.Context(), &f) {
				last = cameratest.Number(&f)
			}
			if last < 270 && !errors.Is(err, ErrCutOff) {
				t.Errorf("%s, damaged: after picture %d %v, want an ErrCutOff", name, last, err)
			}
		})
	}
}

// Of two films in one file both are shown, or it is said that only the first is.
func TestJoinedFilms(t *testing.T) {
	for _, tt := range []struct {
		name, args string
		ffmpeg     bool // shows both
	}{
		{"a.mkv", "-c:v libx264 -preset ultrafast -g 30 -pix_fmt yuv420p", true},
		{"live.mkv", "-c:v libx264 -preset ultrafast -g 30 -pix_fmt yuv420p -f matroska -live 1", true},
		{"a.avi", "-c:v mjpeg -pix_fmt yuvj420p -q:v 3", false},
	} {
		path := cameratest.Video(t, tt.name, 30, strings.Fields(tt.args)...)
		data, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		joined := filepath.Join(t.TempDir(), tt.name)
		if err := os.WriteFile(joined, append(bytes.Clone(data), data...), 0o600); err != nil {
			t.Fatal(err)
		}
		eachBackend(t, joined, func(t *testing.T, s source, info Info) {
			n, err := played(t, s)
			if both := tt.ffmpeg && info.Backend == "FFMPEG"; both {
				if n != 60 || err != io.EOF || len(info.Warnings) > 0 {
					t.Errorf("%s: %d frames, %v, %q", tt.name, n, err, info.Warnings)
				}
			} else if !errors.Is(err, ErrCutOff) || len(info.Warnings) != 1 ||
				!strings.Contains(info.Warnings[0], "only the first is shown") {
				t.Errorf("%s: %d frames, %v, %q", tt.name, n, err, info.Warnings)
			}
		})
		if m := needOpenCV(t); m.ffmpeg && tt.ffmpeg {
			film := mustOpen(t, Config{Source: "file://" + joined + "?speed=max"})
			if n, err := drain(t.Context(), film); err != io.EOF || n != 60 {
				t.Errorf("%s: %d frames, %v, want 60", tt.name, n, err)
			}
		}
	}
}

// A film in fragments that is cut between two of them is told by the length that its header gives (mehd).
func TestCutFragmentsByHeader(t *testing.T) {
	path := cameratest.Video(t, "a.mp4", 300, strings.Fields("-c:v libx264 -preset ultrafast -g 30 -pix_fmt yuv420p "+
		"-movflags frag_keyframe+empty_moov+default_base_moof")...)
	data, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	last := bytes.LastIndex(data[:len(data)*7/10], []byte("moof")) - 4
	for _, kind := range []string{"moov", "mvex"} { // grow by a box of 16 bytes
		at := bytes.Index(data, []byte(kind)) - 4
		binary.BigEndian.PutUint32(data[at:], binary.BigEndian.Uint32(data[at:])+16)
	}
	at := bytes.Index(data, []byte("mvex")) + 4
	perSecond := binary.BigEndian.Uint32(data[bytes.Index(data, []byte("mvhd"))+16:])
	box := binary.BigEndian.AppendUint32([]byte("\x00\x00\x00\x10mehd\x00\x00\x00\x00"), 10*perSecond)
	for end, cut := range map[int]bool{len(data): false, last: true} {
		film := filepath.Join(t.TempDir(), "film.mp4")
		if err := os.WriteFile(film, slices.Concat(data[:at], box, data[at:end]), 0o600); err != nil {
			t.Fatal(err)
		}
		eachBackend(t, film, func(t *testing.T, s source, _ Info) {
			if n, err := played(t, s); errors.Is(err, ErrCutOff) != cut || n < 150 {
				t.Errorf("%d of %d bytes: after %d frames %v", end, len(data), n, err)
			}
		})
	}
}

// A film in fragments that is cut between two of them is told by its index of segments.
func TestCutBetweenFragments(t *testing.T) {
	path := cameratest.Video(t, "a.mp4", 300, strings.Fields("-c:v libx264 -preset ultrafast -g 30 -pix_fmt yuv420p "+
		"-movflags dash+global_sidx+frag_keyframe")...)
	data, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	last := bytes.LastIndex(data, []byte("moof")) - 4
	cut := filepath.Join(t.TempDir(), "cut.mp4")
	copyPart(t, path, cut, int64(last))
	eachBackend(t, path, func(t *testing.T, s source, info Info) {
		if n, err := played(t, s); err != io.EOF || n != 300 || len(info.Warnings) > 0 {
			t.Errorf("the whole film: %d frames, %v, %q", n, err, info.Warnings)
		}
	})
	eachBackend(t, cut, func(t *testing.T, s source, info Info) {
		n, err := played(t, s)
		if want := fmt.Sprintf("holds %d of the ", last); !errors.Is(err, ErrCutOff) || n < 200 || n >= 300 ||
			len(info.Warnings) != 1 || !strings.Contains(info.Warnings[0], want) {
			t.Errorf("after %d frames %v, %q, want %q", n, err, info.Warnings, want)
		}
	})
}

// What stands in the place of a film is called what it is.
func TestNoFilms(t *testing.T) {
	for begins, want := range map[string]string{
		"#EXTM3U\n#EXTINF:3,\na.mp4\n": "a playlist", "[playlist]\nFile1=a.mp4\n": "a playlist",
		"ffconcat version 1.0\nfile 'a.mp4'\n": "a playlist", "<?xml version=\"1.0\"?><MPD/>": "a playlist",
		"v=0\r\no=- 0 0 IN IP4 127.0.0.1\r\n": "rtp://@:PORT", "<!DOCTYPE html><html>": "a page",
		"version https://git-lfs.github.com/spec/v1\n": "git lfs pull", "PK\x03\x04...": "an archive",
		"\x1f\x8b\x08": "compressed", "\x89PNG\r\n\x1a\n....IHDR": "the ending .png",
		strings.Repeat("\x00", 10000): "but zeros",
	} {
		path := filepath.Join(t.TempDir(), "a.mp4")
		if err := os.WriteFile(path, []byte(begins), 0o600); err != nil {
			t.Fatal(err)
		}
		if _, err := Open(t.Context(), Config{Source: path}); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%.20q: got %v, want …%s…", begins, err, want)
		}
	}
}

// A film that is shown in a loop goes on, and counts the rounds that ended too early.
func TestCutFilmLoops(t *testing.T) {
	needOpenCV(t)
	s := mustOpen(t, Config{Source: "file://" + cameratest.CutFilm(t, 20) + "?loop=2&speed=max"})
	var f vision.Frame
	var err error
	frames := 0
	for ; err == nil; frames++ {
		err = s.Read(t.Context(), &f)
	}
	n, why := s.Skipped()
	if !errors.Is(err, ErrCutOff) || frames < 15 || n != 3 || !strings.Contains(why, "of 20 frames") {
		t.Errorf("after %d frames: %v; %d rounds, %q", frames, err, n, why)
	}
}

// A film without its index cannot be opened, and the sentence says why.
func TestNoIndex(t *testing.T) {
	needOpenCV(t)
	path := cameratest.Video(t, "a.mp4", 60, "-c:v", "libx264", "-preset", "ultrafast", "-pix_fmt", "yuv420p")
	for percent, want := range map[int64]string{50: "is cut off: it holds ", 80: "of the ", 20: "copy it again"} {
		cut := filepath.Join(t.TempDir(), "cut.mp4")
		copyPart(t, path, cut, sizeOf(t, path)*percent/100)
		_, err := Open(t.Context(), Config{Source: cut})
		if err == nil || !strings.Contains(err.Error(), "cannot be read as a video: it ") ||
			!strings.Contains(err.Error(), want) {
			t.Errorf("%d %%: got %v, want %q", percent, err, want)
		}
	}
	data, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	at := strings.LastIndex(string(data), "moov") - 4
	cut := filepath.Join(t.TempDir(), "pictures.mp4") // ends where its index would begin
	copyPart(t, path, cut, int64(at))
	if _, err := Open(t.Context(), Config{Source: cut}); err == nil ||
		!strings.Contains(err.Error(), "it is incomplete: its index (moov)") {
		t.Errorf("got %v", err)
	}
}

func sizeOf(t *testing.T, path string) int64 {
	t.Helper()
	info, err := os.Stat(path)
	if err != nil {
		t.Fatal(err)
	}
	return info.Size()
}

// copyPart copies the first n bytes of a file.
func copyPart(t *testing.T, from, to string, n int64) {
	t.Helper()
	data, err := os.ReadFile(from)
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(to, data[:n], 0o644); err != nil {
		t.Fatal(err)
	}
}

// FuzzFilmLength: no file brings down what reads how long a film should be, and none makes it want a
// negative number of bytes.
func FuzzFilmLength(f *testing.F) {
	for _, start := range []string{"\x00\x00\x00\x10ftypmp42\x00\x00\x00\x00\x00\x00\x00\x01mdat\x7f",
		"\x1aE\xdf\xa3\x80\x18\x53\x80\x67\x01\x00\x00\x00\x00\x00\x01\x00\x15\x49\xa9\x66\x87" +
			"\x44\x89\x84\x40\x40\x00\x00",
		"RIFF\xff\x00\x00\x00AVI LIST\x10\x00\x00\x00hdrl", asfHeader + "0123456789abcd" + asfProperties,
		"FLV\x01\x05\x00\x00\x00\x09\x00\x00\x00\x00\x08filesize\x00\x41\x20\x00\x00\x00\x00\x00\x00"} {
		f.Add([]byte(start))
	}
	path := filepath.Join(f.TempDir(), "film")
	f.Fuzz(func(t *testing.T, data []byte) {
		if err := os.WriteFile(path, data, 0o644); err != nil {
			t.Fatal(err)
		}
		l := headerOf(path).length
		if l.wants < 0 || l.frames < 0 || !(l.seconds >= 0) {
			t.Errorf("%+v", l)
		}
	})
}
