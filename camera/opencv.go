//go:build gocv

package camera

import (
	"errors"
	"fmt"
	"image"
	"os"
	"slices"
	"sync"

	"gocv.io/x/gocv"

	"github.com/vggse/vggse-agent/vision"
)

// decoder is what ReadImage decodes with.
const decoder = "opencv"

// decode decodes a picture file in memory; upright turns it as its EXIF says.
func decode(data []byte, f *vision.Frame, flip Flip, upright bool) error {
	if err := loadOpenCV(); err != nil {
		return err
	}
	flags := gocv.IMReadColor
	if !upright {
		flags |= gocv.IMReadIgnoreOrientation
	}
	mat, err := gocv.IMDecode(data, flags)
	if err != nil {
		return fmt.Errorf("OpenCV cannot decode the picture: %w", err)
	}
	defer mat.Close()
	if mat.Empty() {
		return errors.New("the picture is damaged: OpenCV cannot decode it")
	}
	return copyMat(&mat, f, flip)
}

// JPEG is the JPEG of a frame without gaps between its rows, at most width pixels wide, made with
// OpenCV; quality is 1 to 100. Without OpenCV the error is ErrNoOpenCV.
func JPEG(f *vision.Frame, width, quality int) ([]byte, error) {
	if err := loadOpenCV(); err != nil {
		return nil, fmt.Errorf("camera: encode: %w", err)
	}
	mat, err := gocv.NewMatFromBytes(f.Height, f.Width, gocv.MatTypeCV8UC3, f.Pix)
	if err != nil {
		return nil, fmt.Errorf("camera: encode: %w", err)
	}
	defer mat.Close()
	if width < f.Width {
		small := gocv.NewMat()
		defer small.Close()
		size := image.Pt(width, max(1, (f.Height*width+f.Width/2)/f.Width))
		if err := gocv.Resize(mat, &small, size, 0, 0, gocv.InterpolationArea); err != nil {
			return nil, fmt.Errorf("camera: encode: %w", err)
		}
		return encode(small, quality)
	}
	return encode(mat, quality)
}

func encode(mat gocv.Mat, quality int) ([]byte, error) {
	b, err := gocv.IMEncodeWithParams(gocv.JPEGFileExt, mat, []int{gocv.IMWriteJpegQuality, quality})
	if err != nil {
		return nil, fmt.Errorf("camera: encode: %w", err)
	}
	defer b.Close()
	return slices.Clone(b.GetBytes()), nil
}

// copyMat copies the 8-bit picture in a Mat.
func copyMat(mat *gocv.Mat, f *vision.Frame, flip Flip) error {
	pix, err := mat.DataPtrUint8()
	if err != nil {
		return err
	}
	switch mat.Type() {
	case gocv.MatTypeCV8UC1, gocv.MatTypeCV8UC3, gocv.MatTypeCV8UC4:
	default:
		return fmt.Errorf("OpenCV gave a picture of type %s, want 8 bits in 1, 3 or 4 channels", mat.Type())
	}
	p := picture{pix: pix, width: mat.Cols(), height: mat.Rows(), channels: mat.Channels()}
	return p.copyTo(f, flip)
}

// thisMachine asks OpenCV and the file system, once.
var thisMachine = sync.OnceValues(func() (machine, error) {
	if err := loadOpenCV(); err != nil {
		return machine{}, err
	}
	m := bareMachine()
	m.opencv = gocv.OpenCVVersion()
	var major, minor int
	if _, err := fmt.Sscanf(m.opencv, "%d.%d", &major, &minor); err != nil {
		return m, fmt.Errorf("OpenCV calls itself %q", m.opencv)
	}
	m.timeouts = major > 4 || major == 4 && minor >= 8
	streams := gocv.VideoRegistry.GetStreamBackends()
	m.ffmpeg = usable(streams, gocv.VideoCaptureFFmpeg)
	m.v4l2 = usable(gocv.VideoRegistry.GetCameraBackends(), gocv.VideoCaptureV4L2)
	return m, nil
})

// usable says whether OpenCV has the backend: it lists those, too, that a plugin could bring and
// none does.
func usable(listed []gocv.VideoCaptureAPI, api gocv.VideoCaptureAPI) bool {
	return slices.Contains(listed, api) && gocv.VideoRegistry.HasBackend(api)
}

// prepareOpenCV sets what OpenCV reads from the environment at its first capture, where nobody has:
// seconds until a V4L2 read gives up, and FFmpeg's log level (8: fatal), which else fills stderr.
var prepareOpenCV = sync.OnceFunc(func() {
	for key, value := range map[string]string{
		"OPENCV_VIDEOIO_V4L_SELECT_TIMEOUT": fmt.Sprint(int(silenceLimit.Seconds())),
		"OPENCV_FFMPEG_LOGLEVEL":            "8",
	} {
		if os.Getenv(key) == "" {
			os.Setenv(key, value)
		}
	}
})

// capture is an open cv::VideoCapture and its newest frame.
type capture struct {
	vc  *gocv.VideoCapture
	mat gocv.Mat
	// size is that of the newest frame, where it is BGR; direct: it stands in the memory that the
	// read was given.
	width, height int
	direct        bool
	seed          uint64 // of the marks of the newest read
}

// openOpenCV opens p through OpenCV.
func openOpenCV(p *plan) (capturer, error) {
	if err := loadOpenCV(); err != nil {
		return nil, err
	}
	prepareOpenCV()
	var vc *gocv.VideoCapture
	var err error
	if api := gocv.VideoCaptureAPI(p.backend); len(p.params) == 0 { // an empty list panics
		vc, err = gocv.VideoCaptureFileWithAPI(p.text, api)
	} else {
		params := make([]gocv.VideoCaptureProperties, len(p.params))
		for i, v := range p.params {
			params[i] = gocv.VideoCaptureProperties(v)
		}
		vc, err = gocv.VideoCaptureFileWithAPIParams(p.text, api, params)
	}
	if err == nil && vc.IsOpened() {
		return &capture{vc: vc, mat: gocv.NewMat()}, nil
	}
	if vc != nil {
		vc.Close() // it holds memory even so
	}
	return nil, errNotOpened // err would repeat the text, with its credentials
}

// read reads the next frame; not ok means that there is none. Each read has a Mat of its own: into
// a used one OpenCV may "read" the old frame again when the source is silent. memory, which must not
// be Go's, takes a frame of the size of the last one without a copy; nil: none.
func (c *capture) read(memory []byte) (ok bool, err error) {
	if err := c.mat.Close(); err != nil {
		return false, err
	}
	size := 3 * c.width * c.height
	c.direct = size > 0 && size <= cap(memory)
	if !c.direct {
		c.mat = gocv.NewMat()
		undisturbed(func() { ok = c.vc.Read(&c.mat) && !c.mat.Empty() })
	} else if ok, err = c.readInto(memory[:size]); err != nil {
		return false, err
	}
	c.width, c.height = 0, 0
	if ok && c.mat.Type() == gocv.MatTypeCV8UC3 {
		c.width, c.height = c.mat.Cols(), c.mat.Rows()
	}
	return ok, nil
}

// readInto reads into memory of the size of the last frame. What is written there before tells
// whether OpenCV has really given one.
func (c *capture) readInto(memory []byte) (ok bool, err error) {
	if c.mat, err = gocv.NewMatFromBytes(c.height, c.width, gocv.MatTypeCV8UC3, memory); err != nil {
		c.mat = gocv.NewMat()
		return false, err
	}
	c.seed = c.seed*6364136223846793005 + 1442695040888963407
	placeMarks(memory, c.seed)
	undisturbed(func() { ok = c.vc.Read(&c.mat) && !c.mat.Empty() })
	if !ok {
		return false, nil
	}
	pix, err := c.mat.DataPtrUint8()
	c.direct = err == nil && len(pix) == len(memory) && &pix[0] == &memory[0]
	return !c.direct || !marked(memory, c.seed), err
}

// copyTo copies the newest frame, where it is not there already.
func (c *capture) copyTo(f *vision.Frame, flip Flip) error {
	if c.direct && flip == FlipNone {
		f.Resize(c.width, c.height)
		return nil
	}
	return copyMat(&c.mat, f, flip)
}

func (c *capture) why() string { return "" }

func (c *capture) property(p property) float64 { return c.vc.Get(gocv.VideoCaptureProperties(p)) }

func (c *capture) set(p property, v float64) { c.vc.Set(gocv.VideoCaptureProperties(p), v) }

func (c *capture) close() error { return errors.Join(c.mat.Close(), c.vc.Close()) }
