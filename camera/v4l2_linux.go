package camera

import (
	"bytes"
	"cmp"
	"encoding/binary"
	"errors"
	"fmt"
	"io/fs"
	"runtime"
	"slices"
	"time"
	"unsafe"

	"golang.org/x/sys/unix"
)

// Requests of V4L2, and sizes of their structures (linux/videodev2.h): no library for Go that is
// kept up asks a driver without starting a stream.
const (
	vidiocQuerycap           = 0x80685600
	vidiocEnumFmt            = 0xC0405602
	vidiocReqbufs            = 0xC0145608
	vidiocEnumFramesizes     = 0xC02C564A
	vidiocEnumFrameintervals = 0xC034564B

	sizeCapability, sizeFmtdesc, sizeFrmsize, sizeFrmival, sizeRequest = 104, 64, 44, 52, 20

	capVideoCapture, capMultiplanar, capDeviceCaps = 1, 0x1000, 0x80000000
	bufCapture, bufCaptureMultiplanar              = 1, 9
	memoryMmap                                     = 1
	discrete                                       = 1 // the kind of an enumeration of single values
	bigEndian                                      = 1 << 31
)

// v4l2 is an open device. Structures are bytes here, for the layout of C is not Go's. It is no
// os.File: Go polls that, and to poll a driver that can be read like a file makes it stream, and so
// be busy.
type v4l2 struct{ fd int }

func openV4L2(path string) (*v4l2, error) {
	fd, err := unix.Open(path, unix.O_RDWR|unix.O_NONBLOCK|unix.O_CLOEXEC, 0)
	if err != nil {
		return nil, &fs.PathError{Op: "open", Path: path, Err: err}
	}
	return &v4l2{fd}, nil
}

func (v *v4l2) close() error { return unix.Close(v.fd) }

func (v *v4l2) ask(request uintptr, b []byte) error {
	_, _, errno := unix.Syscall(unix.SYS_IOCTL, uintptr(v.fd), request, uintptr(unsafe.Pointer(&b[0])))
	if errno != 0 {
		return errno
	}
	return nil
}

// capability is what a device says of itself.
type capability struct {
	driver, card, bus string
	captures          bool
	kind              uint32 // of its buffers
}

func (v *v4l2) capability() (c capability, err error) {
	b := make([]byte, sizeCapability)
	if err := v.ask(vidiocQuerycap, b); err != nil {
		return c, err
	}
	caps := word(b, 84)
	if caps&capDeviceCaps != 0 { // of this node, not of the whole card
		caps = word(b, 88)
	}
	c = capability{driver: text(b[:16]), card: text(b[16:48]), bus: text(b[48:80]),
		captures: caps&(capVideoCapture|capMultiplanar) != 0, kind: bufCapture}
	if caps&capMultiplanar != 0 {
		c.kind = bufCaptureMultiplanar
	}
	return c, nil
}

// busy reports whether somebody streams: to ask for no buffers changes nothing where nobody does.
func (v *v4l2) busy(c *capability) bool {
	b := make([]byte, sizeRequest)
	put(b, 4, c.kind)
	put(b, 8, memoryMmap)
	return errors.Is(v.ask(vidiocReqbufs, b), unix.EBUSY)
}

// modes lists formats, sizes and rates; a driver that does not end its list is stopped.
func (v *v4l2) modes(c *capability) (all []Mode) {
	for i := range uint32(64) {
		b := make([]byte, sizeFmtdesc)
		put(b, 0, i)
		put(b, 4, c.kind)
		if v.ask(vidiocEnumFmt, b) != nil {
			return all
		}
		all = append(all, v.sizes(word(b, 44), formatName(b[44:48]))...)
	}
	return all
}

func (v *v4l2) sizes(format uint32, name string) (all []Mode) {
	for i := range uint32(128) {
		b := make([]byte, sizeFrmsize)
		put(b, 0, i)
		put(b, 4, format)
		if v.ask(vidiocEnumFramesizes, b) != nil {
			break
		}
		m := Mode{Format: name, Width: int(word(b, 12)), Height: int(word(b, 16))}
		m.Size = fmt.Sprintf("%dx%d", m.Width, m.Height)
		if word(b, 8) != discrete { // from, to and step of each side
			m.Width, m.Height = int(word(b, 16)), int(word(b, 28))
			m.Size = fmt.Sprintf("%dx%d to %dx%d", word(b, 12), word(b, 24), m.Width, m.Height)
		}
		m.FPS = v.rates(format, m.Width, m.Height)
		all = append(all, m)
		if word(b, 8) != discrete {
			break
		}
	}
	if all == nil {
		all = []Mode{{Format: name}}
	}
	return all
}

func (v *v4l2) rates(format uint32, width, height int) (fps []float64) {
	for i := range uint32(64) {
		b := make([]byte, sizeFrmival)
		put(b, 0, i)
		put(b, 4, format)
		put(b, 8, uint32(width))
		put(b, 12, uint32(height))
		if v.ask(vidiocEnumFrameintervals, b) != nil {
			break
		}
		if seconds := word(b, 20); seconds > 0 { // of a range the shortest time comes first
			fps = append(fps, float64(word(b, 24))/float64(seconds))
		}
		if word(b, 16) != discrete {
			break
		}
	}
	slices.SortFunc(fps, func(a, b float64) int { return cmp.Compare(b, a) }) // drivers have an order of their own
	return fps
}

// formatName writes a format as v4l2-ctl does: bit 31 stands for the order of bytes, not for a
// letter.
func formatName(b []byte) string {
	if f := word(b, 0); f&bigEndian != 0 {
		put(b, 0, f&^bigEndian)
		return text(b) + "-BE"
	}
	return text(b)
}

// undisturbed runs f on a thread that takes no signal meanwhile but those of a crash. OpenCV takes
// a V4L2 read that a signal interrupts for the end of the stream, and Go's scheduler sends its
// threads signals all the time.
func undisturbed(f func()) {
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	var all, before unix.Sigset_t
	for i := range all.Val {
		all.Val[i] = ^all.Val[i]
	}
	for _, s := range []unix.Signal{unix.SIGSEGV, unix.SIGBUS, unix.SIGFPE, unix.SIGILL, unix.SIGABRT, unix.SIGTRAP,
		unix.SIGSYS} {
		all.Val[0] &^= 1 << (s - 1)
	}
	if unix.PthreadSigmask(unix.SIG_BLOCK, &all, &before) == nil {
		defer unix.PthreadSigmask(unix.SIG_SETMASK, &before, nil)
	}
	f()
}

// sinceBoot is the clock that drivers stamp their frames with, CLOCK_MONOTONIC.
func sinceBoot() time.Duration {
	var t unix.Timespec
	if unix.ClockGettime(unix.CLOCK_MONOTONIC, &t) != nil {
		return 0
	}
	return time.Duration(t.Nano())
}

func word(b []byte, at int) uint32   { return binary.NativeEndian.Uint32(b[at:]) }
func put(b []byte, at int, v uint32) { binary.NativeEndian.PutUint32(b[at:], v) }

func text(b []byte) string {
	b, _, _ = bytes.Cut(b, []byte{0})
	return string(bytes.TrimSpace(b))
}
