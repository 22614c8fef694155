package shadow

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"math"
	"os"
	"os/exec"
	"strconv"
	"strings"
	"sync"
	"time"

	"golang.org/x/sys/unix"

	"github.com/vggse/vggse-agent/agent/trial"
	"github.com/vggse/vggse-agent/internal/selfexec"
	"github.com/vggse/vggse-agent/vision"
)

// Child is a new model in its process. Offer is for the goroutine that classifies, the rest for
// another one.
type Child struct {
	cmd    *exec.Cmd
	socket int
	memory []byte
	words  *tail
	ended  bool

	mu     sync.Mutex
	buffer []byte // of Offer
	open   bool   // the model is
	since  time.Time
	busy   bool // a picture is under way since then
	stream string
	old    trial.Seen

	answer []byte        // of Next
	logits vision.Logits // of the last answer
}

// Start starts this program once more with args, whose first is Verb, for a model of so many labels.
// Close ends it.
func Start(args []string, labels int) (*Child, error) {
	if labels > mostLabels {
		return nil, fmt.Errorf("shadow: %d labels, at most %d are possible", labels, mostLabels)
	}
	c := &Child{words: &tail{}, buffer: make([]byte, messageBytes), answer: make([]byte, messageBytes),
		logits: make(vision.Logits, labels), since: time.Now()}
	if err := c.start(args); err != nil {
		return nil, fmt.Errorf("shadow: %w", err)
	}
	return c, nil
}

func (c *Child) start(args []string) (err error) {
	ends, err := unix.Socketpair(unix.AF_UNIX, unix.SOCK_SEQPACKET|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		return os.NewSyscallError("socketpair", err)
	}
	theirs := os.NewFile(uintptr(ends[1]), "socket")
	defer theirs.Close()
	c.socket = ends[0]
	memory, err := sealed()
	if err == nil {
		defer memory.Close()
		c.memory, err = mapped(int(memory.Fd()))
	}
	if err == nil {
		c.cmd, err = selfexec.Command(args...)
	}
	if err == nil {
		c.cmd.Stderr, c.cmd.Stdout = c.words, c.words
		c.cmd.ExtraFiles = []*os.File{theirs, memory}
		c.cmd.WaitDelay = time.Second
		err = c.cmd.Start()
	}
	if err != nil {
		unix.Close(c.socket)
		if c.memory != nil {
			_ = unix.Munmap(c.memory)
		}
	}
	return err
}

// Offer gives the child a picture, and what the model that answers saw in it, unless it is not open
// yet or has one already. The picture is copied.
func (c *Child) Offer(stream string, old trial.Seen, f *vision.Frame) bool {
	if !c.mu.TryLock() {
		return false
	}
	defer c.mu.Unlock()
	line := 3 * f.Width
	if !c.open || c.busy || line*f.Height > pictureBytes {
		return false
	}
	for y := range f.Height {
		copy(c.memory[y*line:(y+1)*line], f.Pix[y*f.Stride:])
	}
	asked := message{a: uint64(f.Width), b: uint64(f.Height)}
	if unix.Sendto(c.socket, asked.put(c.buffer), unix.MSG_NOSIGNAL|unix.MSG_DONTWAIT, nil) != nil {
		return false // it has died: Next says why
	}
	c.stream, c.old, c.since, c.busy = stream, old, time.Now(), true
	return true
}

// Answer is what both models say of a picture.
type Answer struct {
	Stream string
	Old    trial.Seen    // of the one that answers
	Logits vision.Logits // of the new one; valid until the next call of Next
	Took   time.Duration // of its run
}

// Next waits so long for an answer; nil where none has come. An error is that the model failed, and
// why.
func (c *Child) Next(wait time.Duration) (*Answer, error) {
	if here, err := c.poll(wait); err != nil {
		return nil, os.NewSyscallError("poll", err)
	} else if !here {
		return nil, c.patience()
	}
	n, _, err := unix.Recvfrom(c.socket, c.answer, unix.MSG_DONTWAIT) // it is here
	if err != nil || n == 0 {
		return nil, c.death()
	}
	var m message
	if err := m.take(c.answer[:n]); err != nil {
		return nil, err
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	switch {
	case m.status == ready && !c.open:
		c.open = true
		return nil, nil
	case m.status == failed && c.busy:
		return nil, fmt.Errorf("its run failed: %s", m.text)
	case m.status != answered || !c.busy:
		return nil, fmt.Errorf("its process says %d", m.status)
	}
	c.busy = false
	for i := range c.logits {
		c.logits[i] = math.Float32frombits(binary.LittleEndian.Uint32(c.memory[pictureBytes+4*i:]))
	}
	return &Answer{c.stream, c.old, c.logits, time.Duration(m.a)}, nil
}

// poll waits until something can be read, or the child has ended. Signals, which Go's runtime sends
// itself, do not shorten it.
func (c *Child) poll(wait time.Duration) (bool, error) {
	poll := []unix.PollFd{{Fd: int32(c.socket), Events: unix.POLLIN}}
	for end := time.Now().Add(wait); ; {
		n, err := unix.Poll(poll, int(max(0, time.Until(end).Milliseconds())))
		if !errors.Is(err, unix.EINTR) {
			return n > 0, err
		}
	}
}

// longestRun is how long a picture may take.
const longestRun = time.Minute

// patience is an error where a picture has been under way for too long.
func (c *Child) patience() error {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.busy && time.Since(c.since) > longestRun {
		return fmt.Errorf("its run has not come back for %s", longestRun)
	}
	return nil
}

// Open reports whether the model is open, and pictures are welcome.
func (c *Child) Open() bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.open
}

// ErrKilled is the end of a child that something killed from outside: for want of memory, mostly.
var ErrKilled = errors.New("its process was killed, for want of memory, as 'dmesg' should tell")

// death is why a child has hung up.
func (c *Child) death() error {
	err := c.cmd.Wait()
	c.ended = true
	if c.cmd.ProcessState != nil && c.cmd.ProcessState.String() == "signal: killed" {
		return ErrKilled
	}
	if err == nil {
		return errors.New("its process ended")
	}
	return selfexec.Died(err, c.words.bytes())
}

// Memory is what the child has in memory now, bytes; 0: it is not known.
func (c *Child) Memory() uint64 {
	text, err := os.ReadFile("/proc/" + strconv.Itoa(c.cmd.Process.Pid) + "/statm")
	fields := strings.Fields(string(text))
	if err != nil || len(fields) < 2 {
		return 0
	}
	pages, _ := strconv.ParseUint(fields[1], 10, 64)
	return pages * uint64(os.Getpagesize())
}

// Close ends the child. No picture is offered afterwards.
func (c *Child) Close() {
	c.mu.Lock()
	c.open = false
	memory := c.memory
	c.memory = nil
	c.mu.Unlock()
	if memory == nil {
		return
	}
	_ = unix.Munmap(memory)
	unix.Close(c.socket) // the child's sign to end; it may be in the middle of a run
	if !c.ended {
		_ = c.cmd.Process.Kill()
		_ = c.cmd.Wait()
	}
}

// tail keeps the last words of a child.
type tail struct {
	mu   sync.Mutex
	text bytes.Buffer
}

const tailBytes = 32 << 10

func (t *tail) Write(p []byte) (int, error) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.text.Len() > 2*tailBytes {
		t.text.Next(t.text.Len() - tailBytes)
	}
	return t.text.Write(p)
}

func (t *tail) bytes() []byte {
	t.mu.Lock()
	defer t.mu.Unlock()
	return bytes.Clone(t.text.Bytes())
}
