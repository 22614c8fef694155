// Package camera turns a URI into a stream of frames, and says when it has come to an end or was
// lost:
//
//	camera ──Frame──▶ vision.Preprocessor ──Tensor──▶ …
//
// Video and cameras are read through OpenCV, which is in the build with the tag gocv; pictures in
// PNG and what demo:// and test:// draw need nothing. There is no goroutine here: Read runs on its
// caller's, and because a call into C cannot be cancelled, every backend is given its own time
// limit.
package camera

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"slices"
	"strconv"
	"time"

	"github.com/vggse/vggse-agent/vision"
)

// Config is one camera.
type Config struct {
	Name    string  `mapstructure:"name"`    // in topics and messages
	Source  string  `mapstructure:"source"`  // a URI, see ParseURI
	FPS     float64 `mapstructure:"fps"`     // frames a second, at most; 0: all that come
	Enabled bool    `mapstructure:"enabled"` // a camera that is not enabled is never opened
	// ROI are the parts of each picture that are classified, see ParseRegion; empty: the whole
	// picture.
	ROI    []string      `mapstructure:"roi"`
	Motion string        `mapstructure:"motion"` // off, or the change that wakes the network: see MotionThreshold
	Frozen time.Duration `mapstructure:"frozen"` // the same picture for so long is a stall; 0: never
	Dark   time.Duration `mapstructure:"dark"`   // darkness for so long is a stall; 0: never
	// Sandbox is how far the process that reads it is locked in: auto (also empty), seccomp, or off.
	Sandbox string `mapstructure:"sandbox"`

	// WithoutGStreamer is for a film at which a decoder of GStreamer's has crashed.
	WithoutGStreamer bool `mapstructure:"-" json:",omitempty"`
}

// How far the process that reads a camera is locked in, see package worker.
const (
	SandboxAuto    = "auto"    // as far as this kernel can
	SandboxSeccomp = "seccomp" // its system calls, but not its files
	SandboxOff     = "off"
)

// Validate returns the first key that cannot be, without the name of the list that c stands in.
func (c *Config) Validate() error {
	if c.Name == "" {
		return fmt.Errorf("name: must not be empty")
	}
	if _, err := parse(c.Source); err != nil {
		return fmt.Errorf("source: %s: %w", Redact(c.Source), err)
	}
	if !(c.FPS >= 0 && c.FPS <= maxFPS) {
		return fmt.Errorf("fps: must be 0 (all that come) or at most %d, got %g", maxFPS, c.FPS)
	}
	if _, err := c.Regions(); err != nil {
		return fmt.Errorf("roi: %w", err)
	}
	if _, err := c.MotionThreshold(); err != nil {
		return fmt.Errorf("motion: %w", err)
	}
	switch {
	case !slices.Contains([]string{"", SandboxAuto, SandboxSeccomp, SandboxOff, "false"}, c.Sandbox):
		return fmt.Errorf("sandbox: must be auto, seccomp or off, got %q", c.Sandbox)
	case c.Frozen < 0:
		return fmt.Errorf("frozen: must be 0 (never) or more, got %s", c.Frozen)
	case c.Dark < 0:
		return fmt.Errorf("dark: must be 0 (never) or more, got %s", c.Dark)
	}
	return nil
}

// SandboxMode is auto, seccomp or off.
func (c *Config) SandboxMode() string {
	switch c.Sandbox {
	case "":
		return SandboxAuto
	case "false": // YAML 1.1 reads a bare off as false
		return SandboxOff
	}
	return c.Sandbox
}

// MotionThreshold is the change of brightness of a part of the picture, as a share of full scale,
// that wakes the network; 0 where it never sleeps.
func (c *Config) MotionThreshold() (float64, error) {
	if c.Motion == "" || c.Motion == "off" || c.Motion == "false" { // YAML 1.1 reads a bare off as false
		return 0, nil
	}
	v, err := strconv.ParseFloat(c.Motion, 64)
	if err != nil || !(v > 0 && v < 1) {
		return 0, fmt.Errorf("must be off, or a change of brightness between 0 and 1 such as 0.03, got %q", c.Motion)
	}
	return v, nil
}

// EveryFrame reports whether each frame of the source matters, as in a file, rather than the
// newest, as of a camera: who reads should then wait for the network instead of dropping.
func (c *Config) EveryFrame() bool {
	u, err := parse(c.Source)
	return err == nil && (u.Scheme == "file" || u.MaxSpeed)
}

var (
	// ErrLost means that a source went away, or is not there yet: weather, open it again later.
	ErrLost = errors.New("lost")
	// ErrStalled is an ErrLost whose source still seems to be there, but gave no frame in time.
	ErrStalled = fmt.Errorf("%w: stalled", ErrLost)
	// ErrNoOpenCV means that this program was built without OpenCV.
	ErrNoOpenCV = errors.New("this program was built without OpenCV: build it with 'make build', or with -tags " +
		"gocv,gocv_specific_modules,gocv_videoio")
)

// Info says what was opened.
type Info struct {
	URI           string  // credentials replaced by ***
	Kind          string  // demo, picture, pictures, video, or the scheme of a camera
	Backend       string  // what decodes: demo, png, opencv, or OpenCV's FFMPEG, GSTREAMER, V4L2
	Width, Height int     // of the newest frame, pixels; 0 before the first
	FPS           float64 // frames a second as the source has it; 0 where it does not say
	Live          bool    // a camera: who reads late misses frames
	// ReadLimit is how long one call into C may last; who waits much longer is stuck for good. 0:
	// unlimited.
	ReadLimit time.Duration
	Warnings  []string // what is not as asked, one sentence each
}

// Stream is one opened source. It is for one goroutine at a time.
type Stream struct {
	name   string
	info   Info
	source source // nil after Close
	pace   pace
	seq    uint64
}

// source is what each kind of URI has of its own.
type source interface {
	// next fills f with the next picture: io.EOF after the last, ErrLost when the source went away.
	// A camera returns ctx's error when it ended meanwhile; it may take its ReadLimit to notice.
	next(ctx context.Context, f *vision.Frame) error
	close() error
}

// Open opens the source of c. It may take a few seconds, less when ctx ends. An error that is
// ErrLost may go away by itself (a camera that is unplugged, a server that is down); any other
// needs another configuration.
func Open(ctx context.Context, c Config) (*Stream, error) {
	u, err := ParseURI(c.Source)
	if err != nil {
		return nil, err
	}
	u.crashes = c.WithoutGStreamer
	source, info, err := u.open(ctx)
	info.URI = Redact(c.Source)
	if err != nil {
		return nil, fmt.Errorf("camera: open %s: %w", info.URI, err)
	}
	s := &Stream{name: c.Name, info: info, source: source, pace: paceOf(c.FPS)}
	if rate := u.playback(info); !info.Live && rate > 0 && (c.FPS == 0 || rate < c.FPS) {
		s.pace = paceOf(rate)
	}
	return s, nil
}

func (u *URI) open(ctx context.Context) (source, Info, error) {
	if err := ctx.Err(); err != nil {
		return nil, Info{}, err
	}
	switch u.Scheme {
	case "demo":
		return openDemo(u)
	case "test":
		return openPattern(u)
	case "file":
		return openFile(u)
	case "http":
		return openWeb(ctx, u)
	}
	return openLive(ctx, u)
}

// playback is the rate at which a file or a drawn scene wants to be shown; 0: as fast as can be.
func (u *URI) playback(info Info) float64 {
	switch {
	case u.MaxSpeed:
		return 0
	case u.FPS > 0:
		return u.FPS
	}
	return info.FPS
}

// Read fills f with the next frame, growing f.Pix only where it is too small, and sets Camera, Seq
// (from 1) and Time. Of a camera it is the newest frame, and never an old one again; of a file and
// of demo:// every frame in turn, at the speed of its own time or of the fps asked for. Read
// returns io.EOF after the last frame of a file, an ErrCutOff after that of a film that should be
// longer, ctx's error when it has ended, and an ErrLost when
// the source went away: then close, and open again later. While a camera is silent Read blocks for
// up to Info().ReadLimit, ended ctx or not.
func (s *Stream) Read(ctx context.Context, f *vision.Frame) error {
	if s.source == nil {
		return fmt.Errorf("camera: read %s: %w", s.info.URI, os.ErrClosed)
	}
	err := s.read(ctx, f)
	switch {
	case err == nil:
	case err == io.EOF || err == ctx.Err():
		return err
	default:
		return fmt.Errorf("camera: read %s: %w", s.info.URI, err)
	}
	s.seq++
	f.Camera, f.Seq = s.name, s.seq
	s.info.Width, s.info.Height = f.Width, f.Height
	return nil
}

func (s *Stream) read(ctx context.Context, f *vision.Frame) error {
	if !s.info.Live {
		if err := s.pace.wait(ctx); err != nil {
			return err
		}
		err := s.source.next(ctx, f)
		f.Time = time.Now()
		return err
	}
	for {
		if err := ctx.Err(); err != nil {
			return err
		}
		if err := s.source.next(ctx, f); err != nil {
			return err
		}
		f.Time = time.Now()
		if s.pace.due(f.Time) {
			return nil
		}
	}
}

// Age is how old the newest frame was when Read handed it out: of V4L2 since its last byte came
// from the camera, of RTSP beyond the freshest frame so far. Of others it is not known.
func (s *Stream) Age() (age time.Duration, known bool) {
	if l, ok := s.source.(*live); ok {
		return l.age()
	}
	return 0, false
}

// Skipped is how many pictures of a folder were left out because they cannot be read, and why the
// newest of them was; of a film that is shown in a loop, how many rounds ended too early.
func (s *Stream) Skipped() (n int, why string) {
	switch from := s.source.(type) {
	case *video:
		return from.early, from.why
	case *stills:
		if len(from.left) > 0 {
			return from.skipped, from.left[len(from.left)-1]
		}
	}
	return 0, ""
}

// Info says what was opened. Its Warnings are valid until the next Read.
func (s *Stream) Info() Info {
	info := s.info
	if pictures, ok := s.source.(*stills); ok {
		info.Warnings = append(slices.Clone(info.Warnings), pictures.warnings()...)
	}
	return info
}

// Close closes the source; it may be called twice, but not during a Read.
func (s *Stream) Close() error {
	if s.source == nil {
		return nil
	}
	err := s.source.close()
	s.source = nil
	if err != nil {
		return fmt.Errorf("camera: close %s: %w", s.info.URI, err)
	}
	return nil
}
