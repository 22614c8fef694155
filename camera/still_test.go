package camera

import (
	"bytes"
	"errors"
	"image"
	"image/png"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/vggse/vggse-agent/vision"
)

const stillsFolder = "testdata/stills"

// ReadImage gives Pillow's pixels, exactly, for every file that testdata/stills.py wrote.
func TestReadImage(t *testing.T) {
	paths, err := listStills(stillsFolder)
	if err != nil || len(paths) != 14 {
		t.Fatalf("%d pictures, %v; want 14", len(paths), err)
	}
	for _, path := range paths {
		t.Run(filepath.Base(path), func(t *testing.T) {
			want, err := os.ReadFile(path + ".bgr")
			if err != nil {
				t.Fatal(err)
			}
			if filepath.Ext(path) != ".png" {
				needOpenCV(t)
			}
			f := vision.Frame{Camera: "kept", Pix: make([]byte, 0, 1<<16)}
			memory := &f.Pix[:1][0]
			if err := ReadImage(path, &f); err != nil {
				t.Fatal(err)
			}
			comparePixels(t, &f, want)
			if f.Camera != "kept" || &f.Pix[0] != memory {
				t.Error("ReadImage changed the name or did not use the memory it was given")
			}
		})
	}
}

// The two PNG decoders agree: a bundle answers the same in both builds.
func TestDecodePNG(t *testing.T) {
	paths, err := filepath.Glob(stillsFolder + "/*.png")
	if err != nil || len(paths) != 8 {
		t.Fatalf("%d PNGs, %v; want 8", len(paths), err)
	}
	for _, path := range paths {
		data, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		want, err := os.ReadFile(path + ".bgr")
		if err != nil {
			t.Fatal(err)
		}
		var f vision.Frame
		if err := decodePNG(data, &f, FlipNone); err != nil {
			t.Fatalf("%s: %v", path, err)
		}
		t.Run(filepath.Base(path), func(t *testing.T) { comparePixels(t, &f, want) })
	}
}

func comparePixels(t *testing.T, f *vision.Frame, want []byte) {
	t.Helper()
	if len(f.Pix) != len(want) || f.Stride != 3*f.Width || f.Stride*f.Height != len(want) {
		t.Fatalf("got %d×%d pixels in %d bytes, want %d bytes", f.Width, f.Height, len(f.Pix), len(want))
	}
	for i := range want {
		if f.Pix[i] != want[i] {
			t.Fatalf("pixel (%d,%d) is %v, want %v", i%f.Stride/3, i/f.Stride, f.Pix[i/3*3:][:3], want[i/3*3:][:3])
		}
	}
}

func TestReadImageRefuses(t *testing.T) {
	dir := t.TempDir()
	jpeg, err := os.ReadFile(stillsFolder + "/420.jpg")
	if err != nil {
		t.Fatal(err)
	}
	png, err := os.ReadFile(stillsFolder + "/rgb.png")
	if err != nil {
		t.Fatal(err)
	}
	// with returns data with numbers written over it.
	with := func(data []byte, at int, numbers ...byte) []byte {
		data = slices.Clone(data)
		copy(data[at:], numbers)
		return data
	}
	sof := bytes.Index(jpeg, []byte{0xFF, 0xC0, 0, 17})
	bmp := make([]byte, 60)
	copy(bmp, "BM")
	tests := []struct {
		name   string
		data   []byte
		want   string
		opencv bool // the sentence of a build with OpenCV
	}{
		{"none.jpg", nil, "there is no such file", false},
		{"empty.jpg", []byte{}, "the file is empty", false},
		{"cut.jpg", jpeg[:len(jpeg)-20], "the JPEG is cut off", false},
		{"stub.jpg", jpeg[:3], "the JPEG is cut off", false},
		{"cut.png", png[:len(png)/2], "the picture is damaged", true},
		{"stub.png", png[:8], "the picture is damaged", true},
		{"cut.bmp", []byte("BM123"), "the picture is damaged", true},
		{"large.png", with(png, 16, 0, 0, 0x7F, 0xFF, 0, 0, 0x7F, 0xFF), "32767×32767 pixels, at most 134 million",
			false},
		{"overflow.png", with(png, 16, 255, 255, 255, 255, 255, 255, 255, 255), "4294967295×4294967295 pixels", false},
		{"large.jpg", with(jpeg, sof+5, 0xFF, 0xFE, 0xFF, 0xFF), "65535×65534 pixels", false},
		{"large.bmp", with(bmp, 14, 40, 0, 0, 0, 0, 0, 1, 0, 0, 0, 0xFF, 0xFF), "65536×65536 pixels", false},
		{"old.bmp", with(bmp, 14, 12, 0, 0, 0, 0xFF, 0xFF, 0xFE, 0xFF), "65535×65534 pixels", false},
		{"text.png", []byte("hello"), "no picture in PNG, JPEG or BMP", false},
	}
	plain := map[string]string{".png": "the PNG cannot be read", ".bmp": "built without OpenCV"}
	for _, tt := range tests {
		path := filepath.Join(dir, tt.name)
		if tt.data != nil {
			if err := os.WriteFile(path, tt.data, 0o644); err != nil {
				t.Fatal(err)
			}
		}
		if _, err := thisMachine(); tt.opencv && errors.Is(err, ErrNoOpenCV) {
			tt.want = plain[filepath.Ext(tt.name)]
		}
		var f vision.Frame
		err := ReadImage(path, &f)
		if err == nil || !strings.Contains(err.Error(), tt.want) || !strings.Contains(err.Error(), path) ||
			strings.Contains(err.Error(), "\n") {
			t.Errorf("%s: got %v, want one sentence with %q", tt.name, err, tt.want)
		}
	}
}

// A JPEG ends with its own marker, wherever it is cut, whatever follows it, and not with its
// thumbnail's.
func TestJPEGEnds(t *testing.T) {
	for _, name := range []string{"420.jpg", "progressive.jpg", "turned.jpg"} {
		data, err := os.ReadFile(filepath.Join(stillsFolder, name))
		if err != nil {
			t.Fatal(err)
		}
		if !jpegEnds(data) || !jpegEnds(append(bytes.Clone(data), "tail"...)) {
			t.Errorf("%s: no end found", name)
		}
		for n := range len(data) - 1 {
			if jpegEnds(data[:max(n, len(jpegStart))]) {
				t.Fatalf("%s: an end within its first %d of %d bytes", name, n, len(data))
			}
		}
		thumbnail := []byte{0xFF, 0xE1, 0, 6, 0xFF, 0xD8, 0xFF, 0xD9}
		inner := append(append(bytes.Clone(data[:2]), thumbnail...), data[2:]...)
		if !jpegEnds(inner) || jpegEnds(inner[:len(inner)-2]) {
			t.Errorf("%s: the end of the thumbnail was taken for that of the picture", name)
		}
	}
}

// pngFolder makes a folder of n one-colour pictures that OpenCV is not needed for.
func pngFolder(t *testing.T, names ...string) string {
	t.Helper()
	png, err := os.ReadFile(stillsFolder + "/rgb.png")
	if err != nil {
		t.Fatal(err)
	}
	dir := filepath.Join(t.TempDir(), "odd [name]")
	if err := os.Mkdir(dir, 0o755); err != nil {
		t.Fatal(err)
	}
	for _, name := range names {
		if err := os.WriteFile(filepath.Join(dir, name), png, 0o644); err != nil {
			t.Fatal(err)
		}
	}
	return dir
}

func TestFolder(t *testing.T) {
	dir := pngFolder(t, "b.PNG", "a.png", "c.png", "notes.txt")
	paths, err := listStills(dir)
	if err != nil || len(paths) != 3 || filepath.Base(paths[0]) != "a.png" || filepath.Base(paths[2]) != "c.png" {
		t.Fatalf("listStills = %v, %v", paths, err)
	}
	for source, want := range map[string]int{
		"file://" + dir + "/?speed=max":                       3,
		"file://" + dir + "?speed=max&loop=1":                 6,
		"file://" + dir + "/a.png?loop=3&fps=1000":            4,
		"file://" + filepath.Dir(dir) + "/*/[bc].*?speed=max": 2,
	} {
		s := mustOpen(t, Config{Name: "pics", Source: source})
		if s.Info().Live {
			t.Errorf("%s calls itself live", source)
		}
		var f vision.Frame
		for i := 1; ; i++ {
			err := s.Read(t.Context(), &f)
			if err == io.EOF && i == want+1 {
				break
			}
			if err != nil {
				t.Errorf("%s: frame %d of %d: %v", source, i, want, err)
				break
			}
			if f.Camera != "pics" || f.Seq != uint64(i) || f.Time.IsZero() || f.Width != 37 {
				t.Errorf("%s: frame %d is %q %d %v, %d wide", source, i, f.Camera, f.Seq, f.Time, f.Width)
			}
		}
		if err := s.Read(t.Context(), &f); err != io.EOF {
			t.Errorf("%s: after the end: %v, want io.EOF", source, err)
		}
	}
}

func TestOpenFileRefuses(t *testing.T) {
	empty, pipes := t.TempDir(), t.TempDir()
	film, picture := filepath.Join(pipes, "film.mp4"), filepath.Join(pipes, "a.png")
	if err := errors.Join(syscall.Mkfifo(film, 0o600), syscall.Mkfifo(picture, 0o600)); err != nil {
		t.Fatal(err)
	}
	for source, want := range map[string]string{
		"file:///none/a.mp4":         "there is no file /none/a.mp4",
		"a.mp4?loop=1":               "need the form file://",
		"file://" + film:             "is neither a file nor a folder", // a pipe would be waited for
		"file://" + picture:          "is neither a file nor a folder",
		"file://" + pipes:            "a.png is not a file but a pipe",
		empty:                        "holds no pictures",
		"file://" + empty + "/*.png": "holds no pictures",
		"file://" + empty + "/[.png": "write \\[ for a bracket",
	} {
		_, err := Open(t.Context(), Config{Name: "a", Source: source})
		if err == nil || !strings.Contains(err.Error(), want) || errors.Is(err, ErrLost) {
			t.Errorf("%s: got %v, want %q, and not lost", source, err, want)
		}
	}
}

// A picture of a folder that is damaged, empty, or goes away is left out and named; the rest is
// shown, round after round. A folder without any good one is an error.
func TestFolderWithBadPictures(t *testing.T) {
	dir := t.TempDir()
	good := func(name string, grey uint8) {
		img := image.NewGray(image.Rect(0, 0, 4, 4))
		for i := range img.Pix {
			img.Pix[i] = grey
		}
		var b bytes.Buffer
		if err := png.Encode(&b, img); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(filepath.Join(dir, name), b.Bytes(), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	good("a.png", 10)
	good("c.png", 30)
	good("e.png", 50)
	for name, text := range map[string]string{"b.png": "", "d.jpg": "\xff\xd8\xff\xe0cut"} {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	s, err := Open(t.Context(), Config{Source: "file://" + dir + "?loop=1&speed=max"})
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	var f vision.Frame
	var got []uint8
	for len(got) < 10 {
		if err := s.Read(t.Context(), &f); err != nil {
			if err != io.EOF {
				t.Fatal(err)
			}
			break
		}
		if got = append(got, f.Pix[0]); len(got) == 3 {
			if n, why := s.Skipped(); n != 2 || !strings.Contains(why, "d.jpg") {
				t.Errorf("%d left out, the last: %s", n, why)
			}
			os.Remove(filepath.Join(dir, "c.png"))
		}
	}
	if !slices.Equal(got, []uint8{10, 30, 50, 10, 50}) {
		t.Errorf("pictures %v, want 10 30 50 and then 10 50", got)
	}
	if w := s.Info().Warnings; len(w) != 1 || !strings.Contains(w[0], "3 of 5 pictures left out") {
		t.Errorf("warnings %q", w)
	}
	os.Remove(filepath.Join(dir, "a.png"))
	os.Remove(filepath.Join(dir, "e.png"))
	bad, err := Open(t.Context(), Config{Source: "file://" + dir + "?loop=-1&speed=max"})
	if err != nil {
		t.Fatal(err)
	}
	defer bad.Close()
	if err := bad.Read(t.Context(), &f); err == nil || !strings.Contains(err.Error(), "none of 2 pictures") {
		t.Errorf("a folder without a good picture: %v", err)
	}
}

// A picture that is written again while it is shown is shown anew.
func TestPictureWrittenAgain(t *testing.T) {
	path := filepath.Join(t.TempDir(), "snap.png")
	write := func(grey uint8, when time.Time) {
		img := image.NewGray(image.Rect(0, 0, 2, 2))
		img.Pix[0] = grey
		var b bytes.Buffer
		if err := png.Encode(&b, img); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, b.Bytes(), 0o600); err != nil {
			t.Fatal(err)
		}
		if err := os.Chtimes(path, when, when); err != nil {
			t.Fatal(err)
		}
	}
	write(10, time.Unix(1e9, 0))
	s, err := Open(t.Context(), Config{Source: "file://" + path + "?loop=-1&speed=max"})
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	var f vision.Frame
	for round := 0; f.Pix == nil || f.Pix[0] != 20; round++ {
		if err := s.Read(t.Context(), &f); err != nil {
			t.Fatal(err)
		}
		switch {
		case round == 1 && f.Pix[0] != 10:
			t.Errorf("the first picture is %d, want 10", f.Pix[0])
		case round == 1:
			write(20, time.Unix(2e9, 0))
		case round > 2000:
			t.Fatal("the new picture never came")
		case round > 1:
			time.Sleep(10 * time.Millisecond)
		}
	}
}

// A picture that was exchanged for one of the same time is shown anew; one that is damaged or has gone
// leaves the one before, and says so until there is another.
func TestPictureReplaced(t *testing.T) {
	path := filepath.Join(t.TempDir(), "snap.png")
	long := time.Unix(1e9, 0)
	write := func(data []byte) {
		t.Helper()
		err := errors.Join(os.WriteFile(path+".new", data, 0o600), os.Chtimes(path+".new", long, long),
			os.Rename(path+".new", path))
		if err != nil {
			t.Fatal(err)
		}
	}
	picture := func(grey byte) []byte {
		img := image.NewGray(image.Rect(0, 0, 8, 6))
		for i := range img.Pix {
			img.Pix[i] = grey
		}
		var b bytes.Buffer
		if err := png.Encode(&b, img); err != nil {
			t.Fatal(err)
		}
		return b.Bytes()
	}
	write(picture(10))
	s := mustOpen(t, Config{Source: "file://" + path + "?loop=-1&speed=max"})
	show := func(grey byte, warning string) {
		t.Helper()
		var f vision.Frame
		s.source.(*stills).looked = time.Time{} // as if some time had passed
		if err := s.Read(t.Context(), &f); err != nil {
			t.Fatal(err)
		}
		warnings := strings.Join(s.Info().Warnings, " ")
		if f.Pix[0] != grey || warning == "" && warnings != "" || !strings.Contains(warnings, warning) {
			t.Errorf("shows %d and warns %q, want %d and %q", f.Pix[0], warnings, grey, warning)
		}
	}
	show(10, "")
	write(picture(20))
	show(20, "")
	write([]byte("<html>login"))
	show(20, "this is no picture in PNG, JPEG or BMP but a page (HTML or XML): download it again, by its raw "+
		"address: the picture before is shown")
	if err := os.Remove(path); err != nil {
		t.Fatal(err)
	}
	show(20, "snap.png has gone: the picture before is shown")
	write(picture(30))
	show(30, "")
}

// A picture of a kind that is not read is named, with what to do.
func TestKindsOfOthersAreNamed(t *testing.T) {
	for data, want := range map[string]string{
		"\x00\x00\x00\x1cftypheic\x00\x00":                "a picture in HEIC",
		"\x00\x00\x00\x1cftypavif\x00\x00":                "a picture in AVIF",
		"RIFF\x10\x00\x00\x00WEBPVP8 ":                    "a picture in WebP",
		"\x89PNG\r\n\x1a\n\x00\x00\x00\x04CgBIP\x00 \x02": "a PNG as Xcode writes it",
		"GIF89a": "a picture in GIF", "II*\x00": "a picture in TIFF",
		"MM": "no picture in PNG, JPEG or BMP", "RIFF": "no picture", "<html>": "no picture",
		"\x00\x00\x00\x0cjP  \r\n\x87\n\x00": "a picture in JPEG 2000", "P6\n2 2\n255\n": "a picture in Netpbm",
		"\x00\x00\x00\x0cJXL \r\n\x87\n\x00": "a picture in JPEG XL", "8BPS\x00\x01": "a picture of Photoshop",
		"\x00\x00\x01\x00\x01\x00": "an icon", "%PDF-1.7\n": "a PDF",
		"II*\x00\x10\x00\x00\x00CR\x02\x00": "a raw picture",
		"<?xml version=\"1.0\"?><svg/>":     "a drawing (SVG)", "\xef\xbb\xbf <svg>": "a drawing (SVG)",
		"version https://git-lfs.github.com/spec/v1\n": "a pointer of Git LFS", "PK\x03\x04\x14": "an archive (ZIP)",
		"\x00\x00\x00\x20ftypisom": "a film", "\x1aE\xdf\xa3\x01": "a film", "RIFF\x10\x00\x00\x00AVI LIST": "a film",
		"\x00\x05\x16\x07\x00":    "what macOS notes",
		"\x00\x00\x00\x00\x00":    "no picture in PNG, JPEG or BMP but 5 zeros",
		"<?xml version=\"1.0\"?>": "no picture in PNG, JPEG or BMP but a page",
		"{\"a\":1}":               "no picture in PNG, JPEG or BMP but text",
	} {
		var f vision.Frame
		err := decodeStill([]byte(data), &f, FlipNone, true)
		if err == nil || !strings.Contains(err.Error(), "this is "+want) {
			t.Errorf("%q: %v, want %q", data, err, want)
		}
	}
}

// A folder in a loop is watched: a new picture is shown next, one that is being copied waits, one
// that has gone is left out once and forgotten.
func TestFolderGrows(t *testing.T) {
	dir := pngFolder(t, "a.png", "b.png")
	u, err := ParseURI("file://" + dir + "?loop=-1")
	if err != nil {
		t.Fatal(err)
	}
	source, _, err := openFile(&u)
	if err != nil {
		t.Fatal(err)
	}
	s := source.(*stills)
	var f vision.Frame
	next := func() string {
		t.Helper()
		s.growth.listed = time.Time{} // a second has passed
		if err := s.next(t.Context(), &f); err != nil {
			t.Fatal(err)
		}
		return filepath.Base(s.paths[s.at-1])
	}
	var shown []string
	for range 3 {
		shown = append(shown, next())
	}
	text, err := os.ReadFile(filepath.Join(dir, "a.png"))
	if err != nil {
		t.Fatal(err)
	}
	fresh := filepath.Join(dir, "0.png")
	soon, past := time.Now().Add(settled/2), time.Now().Add(-time.Hour)
	if err := errors.Join(os.WriteFile(fresh, text, 0o600), os.Chtimes(fresh, soon, soon)); err != nil {
		t.Fatal(err)
	}
	shown = append(shown, next()) // it may still be copied
	if err := os.Chtimes(fresh, past, past); err != nil {
		t.Fatal(err)
	}
	shown = append(shown, next(), next(), next())
	if err := os.Remove(filepath.Join(dir, "a.png")); err != nil {
		t.Fatal(err)
	}
	shown = append(shown, next(), next(), next())
	const want = "a.png b.png a.png b.png 0.png a.png b.png 0.png b.png 0.png"
	if got := strings.Join(shown, " "); got != want {
		t.Errorf("shown: %s\n want: %s", got, want)
	}
	next()
	next()
	if n := s.skipped; n != 1 {
		t.Errorf("%d were left out, want the one that has gone, once: %v", n, s.left)
	}
}
