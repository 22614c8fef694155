// Package shadow runs a new model in a process of its own, beside the one that answers:
//
//	a frame that was classified ──Child.Offer──▶ shared memory ──Serve──▶ raw scores ──Child.Next──▶ trial.Comparison
//
// A crash of its runtime, a run that hangs and the memory that it takes are its own. It publishes
// nothing. One picture is under way at a time, in memory that both processes map: nothing is
// allocated for it.
package shadow

import (
	"encoding/binary"
	"fmt"
	"os"

	"golang.org/x/sys/unix"
)

// Verb is the argument with which this program is started as a child.
const Verb = "shadow-model"

// Descriptors in the child.
const (
	childSocket = 3
	childMemory = 4
)

// The shared memory: one picture, and behind it one row of raw scores.
const (
	pictureBytes = 64 << 20
	mostLabels   = 1 << 16
	memoryBytes  = pictureBytes + 4*mostLabels
)

// status is what a message of the child says.
type status uint32

const (
	ready    status = iota + 1 // the model is open
	answered                   // the scores stand behind the picture
	failed                     // of a picture: text says why
)

// messageBytes is the most that a message has: three numbers, and a text.
const (
	headBytes    = 24
	messageBytes = headBytes + 1024
)

// message is one from the child, or, without status and text, a picture for it: width and height
// are a and b.
type message struct {
	status status
	a, b   uint64 // of an answer: nanoseconds of the run
	text   string
}

// put writes m into buffer and returns its bytes; without a text nothing is allocated.
func (m *message) put(buffer []byte) []byte {
	binary.LittleEndian.PutUint64(buffer, uint64(m.status))
	binary.LittleEndian.PutUint64(buffer[8:], m.a)
	binary.LittleEndian.PutUint64(buffer[16:], m.b)
	return buffer[:headBytes+copy(buffer[headBytes:messageBytes], m.text)]
}

// take reads what put has written.
func (m *message) take(b []byte) error {
	if len(b) < headBytes {
		return fmt.Errorf("a message of %d bytes came", len(b))
	}
	m.status = status(binary.LittleEndian.Uint64(b))
	m.a, m.b = binary.LittleEndian.Uint64(b[8:]), binary.LittleEndian.Uint64(b[16:])
	m.text = string(b[headBytes:])
	return nil
}

// sealed makes the shared memory, whose size nobody can change.
func sealed() (*os.File, error) {
	fd, err := unix.MemfdCreate("shadow", unix.MFD_CLOEXEC|unix.MFD_ALLOW_SEALING)
	if err != nil {
		return nil, os.NewSyscallError("memfd_create", err)
	}
	f := os.NewFile(uintptr(fd), "shadow")
	if err = f.Truncate(memoryBytes); err == nil {
		_, err = unix.FcntlInt(f.Fd(), unix.F_ADD_SEALS, unix.F_SEAL_GROW|unix.F_SEAL_SHRINK|unix.F_SEAL_SEAL)
	}
	if err != nil {
		f.Close()
		return nil, err
	}
	return f, nil
}

// mapped maps the shared memory.
func mapped(fd int) ([]byte, error) {
	b, err := unix.Mmap(fd, 0, memoryBytes, unix.PROT_READ|unix.PROT_WRITE, unix.MAP_SHARED)
	return b, os.NewSyscallError("mmap", err)
}
