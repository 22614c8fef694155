package worker

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"image/jpeg"
	"net"
	"os"
	"runtime"
	"sync"
	"sync/atomic"
	"time"

	"golang.org/x/sys/unix"

	"github.com/vggse/vggse-agent/camera"
	"github.com/vggse/vggse-agent/vision"
)

// encoder makes JPEGs in the process of a camera, over a socket and in memory of their own: frames
// go on meanwhile.
type encoder struct {
	ready atomic.Bool // there is a process that encodes

	mu     sync.Mutex // guards what follows, and is held while a picture is encoded
	conn   *net.UnixConn
	memory []byte // shared: the picture, and then in its place the JPEG
	fd     int    // of memory
	told   bool   // the process of now has the memory
}

const (
	// roomForHeader is what the JPEG of a tiny picture takes beyond its pixels.
	roomForHeader = 64 << 10
	// encodeLimit is how long a process may take for a picture; then it encodes no more.
	encodeLimit = 2 * time.Second
	// encodeSize is the length of what is asked: width, height and size of the memory, and the width
	// and quality of the JPEG, uint32 each.
	encodeSize = 20
)

// errNoEncoder is that there is no process that encodes: the camera is not open, is drawn here
// (demo://, test://), or the program has no OpenCV.
var errNoEncoder = errors.New("camera: no process that encodes pictures")

// CanJPEG reports whether JPEG can be called. It may be called from any goroutine.
func (c *Camera) CanJPEG() bool { return c.encoder.ready.Load() }

// JPEG makes the JPEG of a frame, at most width pixels wide, with OpenCV in the process that reads
// the camera. f need not be a frame of it, and is not kept. It may be called from any goroutine, and
// waits for its turn. Where the process does not encode, it is not asked again until the next opening.
func (c *Camera) JPEG(f *vision.Frame, width, quality int) ([]byte, error) {
	e := &c.encoder
	e.mu.Lock()
	defer e.mu.Unlock()
	if e.conn == nil {
		return nil, errNoEncoder
	}
	b, err := e.ask(f, width, quality)
	if err != nil {
		e.hangUp()
		return nil, fmt.Errorf("camera: encode a picture of %s: %w", camera.Redact(c.config.Source), err)
	}
	return b, nil
}

func (e *encoder) ask(f *vision.Frame, width, quality int) ([]byte, error) {
	n := 3 * f.Width * f.Height
	if f.Width < 1 || f.Height < 1 || f.Width > maxPixels || f.Height > maxPixels || f.Width*f.Height > maxPixels {
		return nil, fmt.Errorf("a frame of %d×%d pixels", f.Width, f.Height)
	}
	if err := e.room(n + roomForHeader); err != nil {
		return nil, err
	}
	for y := range f.Height {
		copy(e.memory[3*f.Width*y:][:3*f.Width], f.Pix[y*f.Stride:])
	}
	question, rights := make([]byte, 0, encodeSize), []byte(nil)
	for _, v := range []int{f.Width, f.Height, len(e.memory), width, quality} {
		question = binary.LittleEndian.AppendUint32(question, uint32(v))
	}
	if !e.told {
		rights = unix.UnixRights(e.fd)
	}
	if err := e.conn.SetDeadline(time.Now().Add(encodeLimit)); err != nil {
		return nil, err
	}
	if _, _, err := e.conn.WriteMsgUnix(question, rights, nil); err != nil {
		return nil, err
	}
	e.told = true
	return e.answer(width)
}

// answer is what the process has made. It is checked to be a JPEG of the size that was asked for; what
// its pixels show is the camera's word, as that of every frame.
func (e *encoder) answer(width int) ([]byte, error) {
	var length [5]byte
	n, err := e.conn.Read(length[:])
	if err != nil {
		return nil, err
	}
	size := int(binary.LittleEndian.Uint32(length[:4]))
	if n != 4 || size == 0 || size > len(e.memory) {
		return nil, fmt.Errorf("its process says that it made %d bytes", size)
	}
	b := bytes.Clone(e.memory[:size])
	is, err := jpeg.DecodeConfig(bytes.NewReader(b))
	if err != nil {
		return nil, fmt.Errorf("its process made no JPEG: %w", err)
	}
	if is.Width < 1 || is.Height < 1 || is.Width > width || is.Height > maxPixels/is.Width {
		return nil, fmt.Errorf("its process made a picture of %d×%d pixels", is.Width, is.Height)
	}
	return b, nil
}

// room makes the memory at least so many bytes large.
func (e *encoder) room(n int) error {
	if n <= len(e.memory) {
		return nil
	}
	e.free()
	fd, err := sealed(n)
	if err != nil {
		return err
	}
	memory, err := unix.Mmap(fd, 0, n, unix.PROT_READ|unix.PROT_WRITE, unix.MAP_SHARED)
	if err != nil {
		unix.Close(fd)
		return err
	}
	e.memory, e.fd, e.told = memory, fd, false
	return nil
}

func (e *encoder) free() {
	if e.memory != nil {
		unix.Munmap(e.memory)
		unix.Close(e.fd)
		e.memory = nil
	}
}

// hangUp ends the socket, where there is one; the memory stays for the next process.
func (e *encoder) hangUp() {
	e.ready.Store(false)
	if e.conn != nil {
		e.conn.Close()
		e.conn = nil
	}
}

// begin gives a new process a socket to encode pictures on.
func (e *encoder) begin(s *Stream) error {
	ends, err := unix.Socketpair(unix.AF_UNIX, unix.SOCK_SEQPACKET|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		return err
	}
	ours := os.NewFile(uintptr(ends[0]), "socket")
	defer ours.Close()
	defer unix.Close(ends[1])
	conn, err := net.FileConn(ours)
	if err != nil {
		return err
	}
	if err := s.sendWith([]byte{byte(kindEncode)}, unix.UnixRights(ends[1])); err != nil {
		return errors.Join(err, conn.Close())
	}
	e.mu.Lock()
	defer e.mu.Unlock()
	e.hangUp()
	e.conn, e.told = conn.(*net.UnixConn), false
	e.ready.Store(camera.OpenCVVersion() != "none")
	return nil
}

// end ends the socket; close gives back the memory, too.
func (e *encoder) end() {
	e.mu.Lock()
	defer e.mu.Unlock()
	e.hangUp()
}

func (e *encoder) close() {
	e.mu.Lock()
	defer e.mu.Unlock()
	e.hangUp()
	e.free()
}

// encodePriority is that of the thread that encodes, below that of frames and of the network: where
// both want a core, the picture waits.
const encodePriority = 10

// encode is a child's part: it encodes what it is asked to until the parent hangs up. Its thread, which
// ends with it, is one of low priority.
func encode(socket int) {
	defer unix.Close(socket)
	runtime.LockOSThread()
	_ = unix.Setpriority(unix.PRIO_PROCESS, 0, encodePriority) // else it encodes as well
	var memory []byte
	question, rights := make([]byte, encodeSize+1), make([]byte, unix.CmsgSpace(4))
	for {
		n, m, _, _, err := unix.Recvmsg(socket, question, rights, unix.MSG_CMSG_CLOEXEC)
		if err == unix.EINTR {
			continue
		}
		if err != nil || n != encodeSize {
			break
		}
		var v [encodeSize / 4]int
		for i := range v {
			v[i] = int(binary.LittleEndian.Uint32(question[4*i:]))
		}
		if m > 0 {
			if memory, err = exchanged(memory, rights[:m], v[2]); err != nil {
				break
			}
		}
		answer := binary.LittleEndian.AppendUint32(nil, uint32(encoded(memory, v[0], v[1], v[3], v[4])))
		if unix.Sendto(socket, answer, unix.MSG_NOSIGNAL, nil) != nil {
			break
		}
	}
	if memory != nil {
		unix.Munmap(memory)
	}
}

// exchanged maps other memory in place of the one before.
func exchanged(before, rights []byte, size int) ([]byte, error) {
	fd, err := descriptorOf(rights)
	if err != nil {
		return nil, err
	}
	defer unix.Close(fd)
	if before != nil {
		unix.Munmap(before)
	}
	return unix.Mmap(fd, 0, size, unix.PROT_READ|unix.PROT_WRITE, unix.MAP_SHARED)
}

// encoded puts the JPEG of the picture in memory in its place, and returns its length; 0: it cannot.
func encoded(memory []byte, width, height, most, quality int) int {
	if 3*width*height > len(memory) {
		return 0
	}
	f := vision.Frame{Pix: memory[:3*width*height], Width: width, Height: height, Stride: 3 * width}
	b, err := camera.JPEG(&f, most, quality)
	if err != nil || len(b) > len(memory) {
		return 0
	}
	return copy(memory, b)
}
