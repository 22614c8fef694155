package worker

import (
	"fmt"
	"math/bits"
	"os"
	"sync/atomic"
	"unsafe"

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
	size   int      // of a slot
	lends  *lending // in memory
	fd     int      // −1 once it has been closed
	held   [slots]bool
}

// lending is the last page of a ring's memory: the slots that the child may write to. A message for each
// would wake the child once more a frame. The parent keeps its own record, Stream.lent, and believes
// nothing that stands here.
type lending struct {
	free  atomic.Uint32 // a bit for each slot: the parent sets it, the child takes it
	waits atomic.Uint32 // 1: the child sleeps until kindFree
}

// lendingOf is that of the memory of a ring whose slots have so many bytes.
func lendingOf(memory []byte, size int) *lending {
	return (*lending)(unsafe.Pointer(&memory[slots*size]))
}

// ringSize is how much memory a ring takes whose slots have so many bytes.
func ringSize(size int) int { return slots*size + os.Getpagesize() }

// lend is for the parent; it reports whether the child has to be woken.
func (l *lending) lend(slot int) bool {
	l.free.Or(1 << slot)
	return l.waits.Load() != 0 && l.waits.Swap(0) != 0
}

// take is for the child: a slot, the lowest, whose memory is the likeliest to be in the cache; −1: none,
// and a kindFree will come.
func (l *lending) take() int {
	for {
		free := l.free.Load() & (1<<slots - 1)
		if free == 0 {
			l.waits.Store(1)
			if free = l.free.Load() & (1<<slots - 1); free == 0 {
				return -1
			}
		}
		slot := bits.TrailingZeros32(free)
		if l.free.And(^(uint32(1)<<slot))&(1<<slot) != 0 {
			return slot
		}
	}
}

// newRing makes a ring for frames of so many bytes.
func newRing(frame int) (*ring, error) {
	page := os.Getpagesize()
	r := &ring{size: (frame + page - 1) / page * page}
	var err error
	if r.fd, err = sealed(ringSize(r.size)); err != nil {
		return nil, fmt.Errorf("memory for frames of %d bytes: %w", frame, err)
	}
	// Written here only by whoever writes to a frame that he was given to read.
	r.memory, err = unix.Mmap(r.fd, 0, ringSize(r.size), unix.PROT_READ|unix.PROT_WRITE, unix.MAP_SHARED)
	if err != nil {
		unix.Close(r.fd)
		return nil, fmt.Errorf("memory for frames of %d bytes: %w", frame, err)
	}
	r.lends = lendingOf(r.memory, r.size)
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
	r.memory, r.lends, r.fd = nil, nil, -1
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
