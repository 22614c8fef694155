package camera

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/vggse/vggse-agent/internal/atomicfile"
	"github.com/vggse/vggse-agent/vision"
)

// stillFPS is how many pictures of a folder are shown a second where nobody says.
const stillFPS = 1

// lookEvery is how often a single picture's file is looked at for a newer one.
const lookEvery = 100 * time.Millisecond

// PictureTypes are the endings of the files that ReadImage reads.
var PictureTypes = []string{".png", ".jpg", ".jpeg", ".bmp"}

// IsPicture reports whether the name of a file says that ReadImage reads it: .png, .jpg, .jpeg or
// .bmp.
func IsPicture(name string) bool {
	return slices.Contains(PictureTypes, strings.ToLower(filepath.Ext(name)))
}

// FilmTypes are the endings of the files that people call films; file:// reads more.
var FilmTypes = []string{".mp4", ".m4v", ".mov", ".mkv", ".webm", ".avi", ".mpg", ".mpeg", ".ts", ".mjpeg", ".mjpg",
	".wmv", ".flv", ".h264", ".264", ".h265", ".hevc", ".3gp", ".3g2", ".mts", ".m2ts", ".ogv", ".vob", ".asf", ".y4m",
	".gif"}

// IsFilm reports whether the name of a file says that it is a film.
func IsFilm(name string) bool {
	return slices.Contains(FilmTypes, strings.ToLower(filepath.Ext(name)))
}

// ReadImage reads a picture file into f, growing f.Pix only where it is too small; alpha is
// dropped, grey is spread, 16 bits become 8, and a JPEG is turned as its EXIF says. It leaves
// Camera, Seq and Time alone. There is one decoder everywhere, OpenCV's, whose pixels are Pillow's;
// a build without it reads PNG only, to the same pixels, and returns ErrNoOpenCV for the rest.
func ReadImage(path string, f *vision.Frame) error {
	return ReadPicture(path, f, true)
}

// ReadPicture is ReadImage, where not upright without a look at what EXIF says of how the camera
// was held: the pixels as they are stored.
func ReadPicture(path string, f *vision.Frame, upright bool) error {
	if err := readStill(path, f, FlipNone, upright); err != nil {
		return fmt.Errorf("camera: %w", err)
	}
	return nil
}

// fileLimit is the largest file of a picture that is read, bytes.
const fileLimit = 512 << 20

// readStill reads, checks and decodes one file; the errors name it.
func readStill(path string, f *vision.Frame, flip Flip, upright bool) error {
	data, err := atomicfile.ReadSmall(path, fileLimit)
	if errors.Is(err, fs.ErrNotExist) {
		return fmt.Errorf("%s: there is no such file", path)
	} else if err != nil {
		return err
	}
	if err := decodeStill(data, f, flip, upright); err != nil {
		return fmt.Errorf("%s: %w", path, err)
	}
	return nil
}

func decodeStill(data []byte, f *vision.Frame, flip Flip, upright bool) error {
	switch {
	case len(data) == 0:
		return errors.New("the file is empty")
	case bytes.HasPrefix(data, []byte(jpegStart)):
		if !jpegEnds(data) {
			return errors.New("the JPEG is cut off: it has no end; copy it again")
		}
	case !bytes.HasPrefix(data, []byte(pngStart)) && !bytes.HasPrefix(data, []byte("BM")),
		bytes.HasPrefix(data[min(12, len(data)):], []byte("CgBI")):
		return fmt.Errorf("this is %s", otherwise(data))
	}
	width, height := pictureSize(data) // a small file may claim a large picture
	if max(width, height) > maxPixels || width*height > maxPixels {
		return fmt.Errorf("the picture has %d×%d pixels, at most %d million are read: make it smaller", width, height,
			maxPixels/1_000_000)
	}
	return decode(data, f, flip, upright)
}

// stills is a picture, or a list of them, shown one after the other.
type stills struct {
	paths  []string
	at     int
	rounds int // further rounds; −1 for ever
	flip   Flip
	kept   vision.Frame // the picture, where there is only one
	of     os.FileInfo  // its file
	stale  string       // why kept is no longer what the file holds
	looked time.Time    // for a newer one
	left   []string     // pictures of this round that could not be read, one sentence each
	// skipped is how many could not be read in all rounds
	skipped int
	good    bool // this round has had a picture
	growth  growth
}

// listStills finds the pictures that a path means: itself, those in a folder, those that match a
// pattern.
func listStills(path string) ([]string, error) {
	if info, err := os.Stat(path); err == nil && !info.IsDir() {
		return []string{path}, nil
	} else if err == nil {
		path = filepath.Join(escapeGlob(path), "*")
	}
	all, err := filepath.Glob(path)
	if err != nil {
		return nil, fmt.Errorf("%w: write \\[ for a bracket", err)
	}
	return slices.DeleteFunc(all, func(p string) bool { return !IsPicture(p) }), nil
}

// films reports whether there are films in a folder, or at a pattern.
func films(path string, pattern bool) bool {
	if !pattern {
		path = filepath.Join(escapeGlob(path), "*")
	}
	all, _ := filepath.Glob(path)
	return slices.ContainsFunc(all, IsFilm)
}

func escapeGlob(path string) string {
	return strings.NewReplacer(`\`, `\\`, `*`, `\*`, `?`, `\?`, `[`, `\[`).Replace(path)
}

// openFile decides what a path of file:// is: a folder or pattern of pictures, one picture, or a
// video.
func openFile(u *URI) (source, Info, error) {
	info, err := os.Stat(u.Target)
	pattern := err != nil && strings.ContainsAny(u.Target, "*[")
	switch {
	case err != nil && !pattern:
		cure := ""
		if strings.Contains(u.Target, "?") {
			cure = " (keys such as ?loop=-1 need the form file://PATH?NAME=VALUE)"
		}
		return nil, Info{}, fmt.Errorf("there is no file %s%s", u.Target, cure)
	case !pattern && !info.IsDir() && !info.Mode().IsRegular():
		return nil, Info{}, fmt.Errorf("%s is neither a file nor a folder", u.Target)
	case !pattern && !info.IsDir() && !IsPicture(u.Target):
		return u.openFilm()
	}
	paths, err := listStills(u.Target)
	if err != nil {
		return nil, Info{}, err
	}
	if len(paths) == 0 {
		cure := ""
		switch {
		case pattern && strings.Contains(u.Target, "{"):
			cure = " (braces are not read: write a star)"
		case films(u.Target, pattern):
			cure = " (a film is named by itself)"
		}
		return nil, Info{}, fmt.Errorf("%s holds no pictures: they end in %s%s", u.Target,
			strings.Join(PictureTypes, ", "), cure)
	}
	s := &stills{paths: paths, rounds: u.Loop, flip: u.Flip}
	folder := pattern || info.IsDir()
	if folder && u.Loop != 0 {
		s.growth = newGrowth(u.Target, paths)
	}
	if len(paths) > 1 || s.growth.from != "" {
		return s, Info{Kind: "pictures", Backend: decoder, FPS: stillFPS}, nil
	}
	if file, err := os.Stat(paths[0]); err == nil {
		s.of = file
	}
	if err := readStill(paths[0], &s.kept, u.Flip, true); err != nil {
		return nil, Info{}, err
	}
	return s, Info{Kind: "picture", Backend: decoder, FPS: stillFPS, Width: s.kept.Width, Height: s.kept.Height}, nil
}

// next reads the next picture of the list. One that cannot be read is left out, and named in a
// warning; a round without any is an error. Pictures that come into a folder that is shown in a loop
// are shown next. A single picture is decoded at the start, and again
// when its file was written again.
func (s *stills) next(_ context.Context, f *vision.Frame) error {
	for {
		if s.at == len(s.paths) {
			if len(s.left) > 0 && !s.good {
				return fmt.Errorf("none of %d pictures can be read: %s", len(s.paths), s.left[0])
			}
			if s.rounds == 0 {
				return io.EOF
			}
			if s.rounds > 0 {
				s.rounds--
			}
			s.at, s.good, s.left = 0, false, nil
			s.paths = s.growth.rest(s.paths)
		}
		// What has come is shown next.
		s.paths = slices.Insert(s.paths, s.at, s.growth.more(time.Now())...)
		path := s.paths[s.at]
		s.at++
		if len(s.paths) == 1 && s.growth.from == "" {
			s.again(path)
			f.Resize(s.kept.Width, s.kept.Height)
			copy(f.Pix, s.kept.Pix)
			return nil
		}
		err := readStill(path, f, s.flip, true)
		if err == nil {
			s.good = true
			return nil
		}
		if errors.Is(err, ErrNoOpenCV) {
			return err
		}
		s.growth.missing(path)
		s.left = append(s.left, err.Error())
		s.skipped++
	}
}

// again decodes a single picture anew where its file has changed; one that is being written just
// now waits for its next turn.
func (s *stills) again(path string) {
	now := time.Now()
	if now.Sub(s.looked) < lookEvery {
		return
	}
	s.looked = now
	info, err := os.Stat(path)
	switch {
	case err != nil:
		s.stale, s.of = path+" has gone", nil // the next one may come by its number, as a file of the same time
		return
	case s.of != nil && os.SameFile(info, s.of) && info.ModTime().Equal(s.of.ModTime()) && info.Size() == s.of.Size():
		s.stale = ""
		return
	}
	var fresh vision.Frame
	s.of = nil
	err = readStill(path, &fresh, s.flip, true)
	switch {
	case err == nil:
		s.kept, s.of, s.stale = fresh, info, ""
	case now.Sub(info.ModTime()).Abs() > 2*settled:
		s.stale = err.Error()
	}
}

// warnings are what was left out so far in this round: the first ones, and how many there are.
func (s *stills) warnings() []string {
	if s.stale != "" {
		return []string{s.stale + ": the picture before is shown"}
	}
	if len(s.left) == 0 {
		return nil
	}
	return []string{fmt.Sprintf("%d of %d pictures left out: %s", len(s.left), len(s.paths), s.left[0])}
}

func (s *stills) close() error { return nil }
