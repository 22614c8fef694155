package worker

import (
	"fmt"
	"os"

	"golang.org/x/sys/unix"

	"github.com/vggse/vggse-agent/vision"
)

// slots are how many frames a ring holds: the three that go round in a mailbox of the pipeline, and
// the one that the child fills meanwhile.
const slots = 4

// ring is memory for frames that is shared with a child. The child may write to it as it likes, at
// any time; it cannot change its size. Frames that were handed out point into it, so it is unmapped
// only when none does any more.
type ring struct {
	memory []byte
	size   int // of a slot
	fd     int // −1 once it has been closed
	held   [slots]bool
}

// newRing makes a ring for frames of so many bytes.
func newRing(frame int) (*ring, error) {
	page := os.Getpagesize()
	r := &ring{size: (frame + page - 1) / page * page}
	var err error
	if r.fd, err = sealed(slots * r.size); err != nil {
		return nil, fmt.Errorf("memory for frames of %d bytes: %w", frame, err)
	}
	// Written here only by whoever writes to a frame that he was given to read.
	if r.memory, err = unix.Mmap(r.fd, 0, slots*r.size, unix.PROT_READ|unix.PROT_WRITE, unix.MAP_SHARED); err != nil {
		unix.Close(r.fd)
		return nil, fmt.Errorf("memory for frames of %d bytes: %w", frame, err)
	}
	return r, nil
}

// sealed makes memory whose size nobody can change.
func sealed(size int) (int, error) {
	const flags = unix.MFD_CLOEXEC | unix.MFD_ALLOW_SEALING
	fd, err := unix.MemfdCreate("frames", flags|unix.MFD_NOEXEC_SEAL)
	if err == unix.EINVAL { // before Linux 6.3
		fd, err = unix.MemfdCreate("frames", flags)
	}
	if err != nil {
		return -1, err
	}
	if err = unix.Ftruncate(fd, int64(size)); err == nil {
		_, err = unix.FcntlInt(uintptr(fd), unix.F_ADD_SEALS, unix.F_SEAL_GROW|unix.F_SEAL_SHRINK|unix.F_SEAL_SEAL)
	}
	if err != nil {
		unix.Close(fd)
		return -1, err
	}
	return fd, nil
}

func (r *ring) slot(i int) []byte { return r.memory[i*r.size : (i+1)*r.size] }

// of is the slot that f points into; −1: none.
func (r *ring) of(f *vision.Frame) int {
	if cap(f.Pix) == 0 {
		return -1
	}
	for i := range slots {
		if &f.Pix[:1][0] == &r.memory[i*r.size] {
			return i
		}
	}
	return -1
}

func (r *ring) idle() bool { return r.held == [slots]bool{} }

func (r *ring) full() bool {
	for _, held := range r.held {
		if !held {
			return false
		}
	}
	return true
}

func (r *ring) close() error {
	if r.memory == nil {
		return nil
	}
	unix.Close(r.fd)
	err := unix.Munmap(r.memory)
	r.memory, r.fd = nil, -1
	return err
}

// monotonic is the machine's monotonic clock, the same in every process.
func monotonic() int64 {
	var t unix.Timespec
	if err := unix.ClockGettime(unix.CLOCK_MONOTONIC, &t); err != nil {
		return 0
	}
	return t.Nano()
}
