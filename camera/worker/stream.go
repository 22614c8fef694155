package worker

import (
	"context"
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"slices"
	"syscall"
	"time"

	"golang.org/x/sys/unix"

	"github.com/vggse/vggse-agent/camera"
	"github.com/vggse/vggse-agent/vision"
)

// Stream is a source that is open in a process of its own.
type Stream struct {
	camera  *Camera
	process *process
	secrets secrets
	info    camera.Info
	news    news
	sandbox confined
	stays   bool // the child waits to open the source once more
	seq     uint64
	last    time.Time // of the newest frame
	age     time.Duration

	buffer   []byte
	raw      syscall.RawConn
	got      int // bytes of the newest message; below 0: none
	try      func(fd uintptr) bool
	lent     [slots]bool     // the child may write to it
	since    [slots]int64    // by the monotonic clock
	hooked   <-chan struct{} // of the context that ends a read
	unhook   func() bool
	patience time.Duration // for the next message
	until    time.Time     // for what is being waited for
	talk     int           // messages since the last frame
}

func (s *Stream) opened(o *opened) {
	s.sandbox = confined{Level(s.secrets.clean(string(o.Sandbox.Level))), s.secrets.clean(o.Sandbox.Why)}
	info := o.Info
	info.URI = s.info.URI
	info.Kind, info.Backend = s.secrets.clean(info.Kind), s.secrets.clean(info.Backend)
	info.Warnings = s.secrets.cleanAll(info.Warnings)
	s.info = info
	s.news.Warnings = info.Warnings
}

// Read fills f with the next frame: of a camera the newest, of a file every one in turn. f.Pix is
// then memory of the Camera, see Open. Its errors are those of camera.Stream.Read, and an ErrLost
// where the child died, hung, or said what cannot be.
func (s *Stream) Read(ctx context.Context, f *vision.Frame) error {
	if s.process == nil {
		return s.sentence("read", os.ErrClosed)
	}
	s.until = time.Now().Add(s.camera.limits.reading(&s.info, s.camera.slow, s.seq))
	if err := s.read(ctx, f); err != nil {
		return s.sentence("read", err)
	}
	s.seq++
	f.Camera, f.Seq = s.camera.config.Name, s.seq
	s.info.Width, s.info.Height = f.Width, f.Height
	return nil
}

func (s *Stream) read(ctx context.Context, f *vision.Frame) error {
	if err := s.ready(f); err != nil {
		return err
	}
	for {
		k, body, err := s.receive(ctx)
		if err != nil {
			return err
		}
		switch k {
		case kindFrame:
			if err := s.take(body, f); err != nil {
				return err
			}
			if s.info.Live && time.Since(f.Time) > stale {
				return s.newest(f)
			}
			return nil
		case kindNews:
			err = s.hear(body)
		case kindNeed:
			err = s.grow(body)
		default:
			err = s.lies(fmt.Sprintf("a message %d in place of a frame", k))
		}
		if err != nil {
			return err
		}
	}
}

// ready lends the child the slot that f comes back with.
func (s *Stream) ready(f *vision.Frame) error {
	slot := s.camera.release(f)
	switch r := s.camera.ring; {
	case r == nil:
		return nil
	case slot >= 0:
		return s.lend(slot)
	case r.full(): // frames were not given back
		if err := s.camera.renew(r.size); err != nil {
			return err
		}
		return s.sendRing()
	}
	return nil
}

// stale is how old a frame of a camera may be before it is asked for a newer one that may wait.
const stale = 20 * time.Millisecond

// newest exchanges f for newer frames that wait in the socket.
func (s *Stream) newest(f *vision.Frame) error {
	for range slots {
		k, body, ok := s.waiting()
		if !ok {
			return nil
		}
		var err error
		switch k {
		case kindFrame:
			if slot := s.camera.release(f); slot >= 0 {
				err = s.lend(slot)
			}
			if err == nil {
				err = s.take(body, f)
			}
		case kindNews:
			err = s.hear(body)
		case kindAlive:
		case kindNeed:
			return s.grow(body)
		default: // an end: the next read will be told
			return nil
		}
		if err != nil {
			return err
		}
	}
	return nil
}

// take hands out the slot that the child has filled.
func (s *Stream) take(body []byte, f *vision.Frame) error {
	var h frameHeader
	if err := h.parse(body); err != nil {
		return s.lies(err.Error())
	}
	r := s.camera.ring
	size := 3 * h.width * h.height
	if r == nil || h.slot >= slots || !s.lent[h.slot] || size > r.size {
		return s.lies(fmt.Sprintf("a frame of %d×%d pixels in slot %d", h.width, h.height, h.slot))
	}
	now, mono := time.Now(), monotonic()
	// It was not taken before the slot was lent, nor in future.
	ago := min(max(mono-int64(h.taken), 0), max(mono-s.since[h.slot], 0))
	s.lent[h.slot], r.held[h.slot] = false, true
	f.Pix = r.slot(h.slot)[:size:size]
	f.Width, f.Height, f.Stride = h.width, h.height, 3*h.width
	if f.Time = now.Add(-time.Duration(ago)); f.Time.Before(s.last) {
		f.Time = s.last
	}
	s.last, s.age, s.talk = f.Time, min(h.age, time.Hour), 0
	return nil
}

// hear takes what has changed.
func (s *Stream) hear(body []byte) error {
	var n news
	if json.Unmarshal(body, &n) != nil {
		return s.lies("news that cannot be read")
	}
	s.news = news{s.secrets.cleanAll(n.Warnings), max(n.Skipped, 0), s.secrets.clean(n.Why)}
	return nil
}

// grow gives the child memory for larger frames.
func (s *Stream) grow(body []byte) error {
	width, height, err := parseSize(body)
	if err != nil {
		return s.lies(err.Error())
	}
	s.talk += chatter / 16 // no picture grows so often
	if r := s.camera.ring; r == nil || 3*width*height > r.size {
		if err := s.camera.renew(3 * width * height); err != nil {
			return err
		}
	}
	return s.sendRing()
}

// receive waits for the next message but a sign of life; the body is valid until the next one.
func (s *Stream) receive(ctx context.Context) (kind, []byte, error) {
	s.watch(ctx)
	for {
		until := time.Now().Add(s.patience)
		if s.until.Before(until) {
			until = s.until
		}
		s.process.conn.SetReadDeadline(until)
		if err := ctx.Err(); err != nil {
			return 0, nil, err
		}
		n, err := s.process.conn.Read(s.buffer)
		switch {
		case ctx.Err() != nil:
			return 0, nil, ctx.Err()
		case errors.Is(err, syscall.ECONNRESET): // once, where the child did not hear all
			continue
		case errors.Is(err, os.ErrDeadlineExceeded):
			return 0, nil, s.hangs()
		case err != nil:
			return 0, nil, s.gone(err)
		}
		s.patience = s.camera.limits.silence
		if s.talk++; n > messageSize || s.talk > chatter {
			return 0, nil, s.lies("more than anyone wants to know")
		}
		switch k := kind(s.buffer[0]); k {
		case kindAlive:
		case kindFailed:
			return 0, nil, s.failed(s.buffer[1:n])
		default:
			return k, s.buffer[1:n], nil
		}
	}
}

// waiting is the next message, if one waits.
func (s *Stream) waiting() (k kind, body []byte, ok bool) {
	s.process.conn.SetReadDeadline(time.Time{})
	if s.got = -1; s.raw.Read(s.try) != nil || s.got <= 0 || s.got > messageSize {
		return 0, nil, false
	}
	return kind(s.buffer[0]), s.buffer[1:s.got], true
}

// receiveNow takes a message of those that can be taken without harm to what receive is for.
func (s *Stream) receiveNow(fd uintptr) bool {
	n, _, err := unix.Recvfrom(int(fd), s.buffer, unix.MSG_DONTWAIT|unix.MSG_PEEK)
	if err != nil || n <= 0 || kind(s.buffer[0]) == kindFailed {
		return true
	}
	if s.got, _, err = unix.Recvfrom(int(fd), s.buffer, unix.MSG_DONTWAIT); err != nil {
		s.got = -1
	}
	return true
}

// watch makes the end of ctx end a read that waits.
func (s *Stream) watch(ctx context.Context) {
	done := ctx.Done()
	if done == s.hooked {
		return
	}
	if s.unhook != nil {
		s.unhook()
	}
	conn := s.process.conn
	s.hooked, s.unhook = done, context.AfterFunc(ctx, func() { conn.SetReadDeadline(time.Unix(1, 0)) })
}

// failed is the error that the child has told. A camera has no end but a loss.
func (s *Stream) failed(text []byte) error {
	var f failure
	if json.Unmarshal(text, &f) != nil {
		return s.lies("an error that cannot be read")
	}
	f.Text = s.secrets.clean(f.Text)
	s.stays = f.Stays && stays(&s.camera.config)
	err := f.error()
	if err == io.EOF && !s.camera.config.EveryFrame() {
		return fmt.Errorf("%w: the stream ended", camera.ErrLost)
	}
	return err
}

// lies ends a child that says what cannot be.
func (s *Stream) lies(what string) error {
	s.process.kill("its process was ended: what it sends cannot be (" + what + ")")
	return fmt.Errorf("%w: %s", camera.ErrLost, s.process.why)
}

// hangs ends a child that is silent, or that does not come back from its decoder.
func (s *Stream) hangs() error {
	why := "its process was ended: it does not answer"
	if time.Now().After(s.until) {
		why = "its process was ended: it is stuck in the decoder or the driver"
	}
	s.process.kill(why)
	return fmt.Errorf("%w: %s", camera.ErrStalled, why)
}

// gone is the error of a socket whose child has ended.
func (s *Stream) gone(err error) error {
	if !errors.Is(err, io.EOF) {
		s.process.kill("its process was ended: " + err.Error())
	}
	return fmt.Errorf("%w: %s", camera.ErrLost, s.secrets.clean(s.process.death()))
}

// sentence is an error as camera.Stream words it; what the child has told stands for itself.
func (s *Stream) sentence(doing string, err error) error {
	var told *childError
	if err == nil || err == io.EOF || errors.Is(err, context.Canceled) || errors.Is(err, context.DeadlineExceeded) ||
		errors.As(err, &told) {
		return err
	}
	return fmt.Errorf("camera: %s %s: %w", doing, s.info.URI, err)
}

// Info says what was opened.
func (s *Stream) Info() camera.Info {
	info := s.info
	info.Warnings = slices.Clone(s.news.Warnings)
	return info
}

// Sandbox is how far the process is locked in, by its own word, and why no further.
func (s *Stream) Sandbox() (level, why string) { return string(s.sandbox.Level), s.sandbox.Why }

// Age is how old the newest frame was when it was decoded; see camera.Stream.Age.
func (s *Stream) Age() (age time.Duration, known bool) { return max(s.age, 0), s.age >= 0 && s.seq > 0 }

// Skipped is how many pictures of a folder were left out, and why the newest of them was.
func (s *Stream) Skipped() (n int, why string) { return s.news.Skipped, s.news.Why }

// Close ends the child and waits for its end: it may say good-bye to a server, but not for long. One
// that has lost its source stays for the next opening. It may be called twice, but not during a Read.
func (s *Stream) Close() error {
	p := s.process
	if p == nil {
		return nil
	}
	if s.unhook != nil {
		s.unhook()
	}
	s.camera.encoder.end()
	if s.process = nil; s.stays && s.camera.idle == nil {
		s.camera.idle = p
		return nil
	}
	return p.close()
}

func appendUint64(b []byte, v uint64) []byte { return binary.LittleEndian.AppendUint64(b, v) }
