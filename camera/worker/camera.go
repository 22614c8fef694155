package worker

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net"
	"syscall"
	"time"

	"golang.org/x/sys/unix"

	"github.com/vggse/vggse-agent/camera"
	"github.com/vggse/vggse-agent/vision"
)

// Camera is one configured camera, opened again and again. Its openings share the memory for
// frames, which Close gives back. It is for one goroutine at a time, but for JPEG and CanJPEG.
type Camera struct {
	config camera.Config
	slow   time.Duration // that a read may take by the settings
	limits limits
	inside bool // nothing of it is decoded: it needs no process
	film   bool // or a picture
	ring   *ring
	old    []*ring  // too small by now, but frames point into them
	idle   *process // waits to open the source once more; nil: none

	encoder encoder
}

// New returns the camera of c, which is not opened yet.
func New(c camera.Config) *Camera {
	u, err := camera.ParseURI(c.Source)
	return &Camera{config: c, slow: camera.Slowness(&c), limits: usual, inside: err == nil && u.Drawn(),
		film: err == nil && u.Scheme == "file"}
}

// Open opens the source, as camera.Open does, in a process that the Reader's Close ends. A frame that
// its Read has filled points into memory of the Camera: it is valid until it is given to Read again,
// of this Reader or of a later one, or the Camera is closed. What demo:// and test://
// draw is opened here: nothing of it is decoded.
func (c *Camera) Open(ctx context.Context) (camera.Reader, error) {
	if c.inside {
		s, err := camera.Open(ctx, c.config)
		if err != nil {
			return nil, err
		}
		return s, nil
	}
	r, crashed, err := c.open(ctx)
	if crashed && c.film && !c.config.WithoutGStreamer {
		c.config.WithoutGStreamer = true
		r, _, err = c.open(ctx)
	}
	return r, err
}

// open is Open; crashed is whether its process was.
func (c *Camera) open(ctx context.Context) (r camera.Reader, crashed bool, err error) {
	if c.ring != nil && c.ring.full() { // who read before had other frames
		if err := c.renew(c.ring.size); err != nil {
			return nil, false, err
		}
	}
	s, err := c.resume(ctx)
	if s == nil && err == nil {
		s, err = c.start(ctx, settings{Camera: c.config, Ring: c.ring != nil, Env: libraryEnv()})
	}
	if err != nil {
		return nil, false, err
	}
	k, body, err := s.receive(ctx)
	switch {
	case err != nil:
		crashed = s.process.crashed
	case k == kindOpened:
		var o opened
		if json.Unmarshal(body, &o) == nil {
			s.opened(&o)
			return s, false, nil
		}
		err = s.lies("an opening that cannot be read")
	default:
		err = s.lies(fmt.Sprintf("a message %d in place of an opening", k))
	}
	return nil, crashed, errors.Join(s.sentence("open", err), s.Close())
}

// start starts a child and tells it its settings.
func (c *Camera) start(ctx context.Context, told settings) (*Stream, error) {
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	lock, why := lockMessage(&c.config, told.Env)
	told.Unlocked = why
	first, err := message(kindSettings, told)
	if err == nil && len(lock) > messageSize {
		err = fmt.Errorf("the files that %s may need are too many", camera.Redact(c.config.Source))
	}
	if err != nil {
		return nil, err
	}
	if c.config.MayUseGStreamer() {
		refresh(told.Env)
	}
	p, err := start()
	if err != nil {
		return nil, fmt.Errorf("camera: a process for %s: %w: %w", camera.Redact(c.config.Source), camera.ErrLost, err)
	}
	s := c.streamOf(p)
	s.patience = c.limits.start
	s.until = s.until.Add(c.limits.start)
	return s, s.begin(told.Ring, lock, first)
}

// resume asks the child that has lost the source to open it once more; nil: there is none.
func (c *Camera) resume(ctx context.Context) (*Stream, error) {
	p := c.idle
	if p == nil {
		return nil, nil
	}
	if c.idle = nil; !p.waits() {
		return nil, p.close()
	}
	if err := ctx.Err(); err != nil {
		return nil, errors.Join(err, p.close())
	}
	s, again := c.streamOf(p), []byte{byte(kindAgain), 0}
	if c.ring != nil {
		again[1] = 1
	}
	return s, s.begin(c.ring != nil, again)
}

// streamOf is an opening by the child p.
func (c *Camera) streamOf(p *process) *Stream {
	s := &Stream{
		camera: c, process: p, buffer: make([]byte, messageSize+1), secrets: secretsOf(c.config.Source),
		patience: c.limits.silence, until: time.Now().Add(c.limits.opening(&c.config, c.slow)),
	}
	s.info.URI = camera.Redact(c.config.Source)
	s.try = s.receiveNow
	return s
}

// begin sends the messages that an opening begins with, the ring, and the way to encode pictures.
func (s *Stream) begin(ring bool, messages ...[]byte) (err error) {
	s.raw, err = s.process.conn.SyscallConn()
	for _, m := range messages {
		if err == nil {
			err = s.sendWith(m, nil)
		}
	}
	if err == nil && ring {
		err = s.sendRing()
	}
	if err == nil {
		err = s.camera.encoder.begin(s)
	}
	if err != nil {
		return errors.Join(s.sentence("open", err), s.Close())
	}
	return nil
}

// Ask is camera.Ask in a process of its own.
func Ask(ctx context.Context, source string) (what string, err error) {
	if u, err := camera.ParseURI(source); err != nil || u.Drawn() {
		return camera.Ask(ctx, source)
	}
	c := New(camera.Config{Name: "ask", Source: source})
	s, err := c.start(ctx, settings{Camera: c.config, Ask: true, Env: libraryEnv()})
	if err != nil {
		return "", err
	}
	k, body, err := s.receive(ctx)
	if err == nil && k != kindAnswer {
		err = s.lies(fmt.Sprintf("a message %d in place of an answer", k))
	}
	if err != nil {
		return "", errors.Join(s.sentence("open", err), s.Close())
	}
	what = s.secrets.clean(string(body))
	return what, s.Close()
}

// Close gives back the memory, and ends a process that waits. No frame of the camera may be used any more.
func (c *Camera) Close() error {
	var errs []error
	if c.idle != nil {
		errs = append(errs, c.idle.close())
		c.idle = nil
	}
	for _, r := range append(c.old, c.ring) {
		if r != nil {
			errs = append(errs, r.close())
		}
	}
	c.ring, c.old = nil, nil
	c.encoder.close()
	return errors.Join(errs...)
}

// release takes back the slot that f points into. It returns its number where the child may write
// to it now, else −1.
func (c *Camera) release(f *vision.Frame) int {
	if c.ring != nil {
		if i := c.ring.of(f); i >= 0 {
			c.ring.held[i], f.Pix = false, nil
			return i
		}
	}
	for n, r := range c.old {
		i := r.of(f)
		if i < 0 {
			continue
		}
		if r.held[i], f.Pix = false, nil; r.idle() {
			r.close()
			c.old = append(c.old[:n], c.old[n+1:]...)
		}
		break
	}
	return -1
}

// renew makes a ring for frames of so many bytes.
func (c *Camera) renew(frame int) error {
	r, err := newRing(frame)
	if err != nil {
		return err
	}
	switch {
	case c.ring == nil:
	case c.ring.idle():
		c.ring.close()
	default:
		c.old = append(c.old, c.ring)
	}
	c.ring = r
	return nil
}

// sendRing hands the ring to a child, and all slots that no frame points into.
func (s *Stream) sendRing() error {
	r := s.camera.ring
	if r == nil {
		return nil
	}
	r.lends.free.Store(0) // the child looks there again when the message comes
	r.lends.waits.Store(0)
	s.lent = [slots]bool{}
	for i, held := range r.held {
		if !held {
			s.lent[i], s.since[i] = true, monotonic()
			r.lends.lend(i)
		}
	}
	return s.sendWith(appendUint64([]byte{byte(kindRing)}, uint64(r.size)), unix.UnixRights(r.fd))
}

// wake is the message to a child that waits for a slot.
var wake = []byte{byte(kindFree)}

// lend lets the child write to a slot.
func (s *Stream) lend(i int) error {
	s.lent[i], s.since[i] = true, monotonic()
	if !s.camera.ring.lends.lend(i) {
		return nil
	}
	return s.sendWith(wake, nil)
}

func (s *Stream) sendWith(b, rights []byte) error {
	s.process.conn.SetWriteDeadline(time.Now().Add(s.camera.limits.start))
	var err error
	if rights == nil { // as often as there are frames
		_, err = s.process.conn.Write(b)
	} else {
		_, _, err = s.process.conn.WriteMsgUnix(b, rights, (*net.UnixAddr)(nil))
	}
	if err == nil || hungUp(err) { // what it has said before that is still to be read
		return nil
	}
	return s.gone(err)
}

// hungUp reports whether a socket's child has ended.
func hungUp(err error) bool {
	return errors.Is(err, syscall.EPIPE) || errors.Is(err, syscall.ECONNRESET)
}
