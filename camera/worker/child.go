package worker

import (
	"context"
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"os/signal"
	"runtime"
	"runtime/debug"
	"sync"
	"syscall"
	"time"

	"golang.org/x/sys/unix"

	"github.com/vggse/vggse-agent/camera"
	"github.com/vggse/vggse-agent/vision"
)

// child is this process, where it is one.
type child struct {
	mu   sync.Mutex
	cond *sync.Cond
	ring []byte // of slots; nil: none yet
	size int    // of a slot
	// before are rings that were replaced
	before [][]byte
	over   bool // the parent has gone, or wants no more
	again  bool // it wants the source opened once more
	comes  bool // and gives memory for it

	within confined
	told   news
	header []byte
	parent syscall.RawConn // the socket: the poller waits for it, not a thread that Go would ask whether it is done
}

// Main is a child of Camera.Open, which has locked itself in already (early.c): it reads its settings
// from the socket, opens the source, and sends frames until the parent has enough or the source ends.
// It returns the exit code; why it failed it tells the parent.
func Main() int {
	// The service manager sends signals to all processes of the service; this one ends with its
	// parent, who says good-bye first.
	signal.Ignore(syscall.SIGTERM, syscall.SIGINT, syscall.SIGHUP, syscall.SIGQUIT,
		syscall.SIGXFSZ) // a file that may not grow is an error
	var told settings
	buffer := make([]byte, messageSize)
	n, _, err := unix.Recvfrom(childSocket, buffer, 0)
	if err != nil || n == 0 || kind(buffer[0]) != kindSettings || json.Unmarshal(buffer[1:n], &told) != nil {
		fmt.Fprintln(os.Stderr, "vggse-agent: "+Verb+" is for the agent itself")
		return 2
	}
	for key, value := range told.Env {
		os.Setenv(key, value)
	}
	os.Setenv("GST_REGISTRY_FORK", "no") // it cannot start another program
	if told.Refresh {
		camera.RefreshGStreamer()
		return 0
	}
	debug.SetGCPercent(gcPercent)
	runtime.GOMAXPROCS(1) // what is heavy is in C; Go wakes a second thread for each frame to look for more work
	within := lockOut(&told)
	ctx, cancel := context.WithCancel(context.Background())
	defer cancel()
	c := &child{within: within, header: make([]byte, 0, 1+frameHeaderSize)}
	c.cond = sync.NewCond(&c.mu)
	if err := c.connect(); err != nil {
		return 1
	}
	go c.listen(cancel)
	if !live() {
		return 1
	}
	return c.serve(ctx, &told)
}

// connect makes the socket one of the poller's.
func (c *child) connect() (err error) {
	if err := unix.SetNonblock(childSocket, true); err != nil {
		return err
	}
	c.parent, err = os.NewFile(childSocket, "parent").SyscallConn() // which keeps the file
	return err
}

// gcPercent is low: what little Go allocates here is seldom, and each camera has a process.
const gcPercent = 25

// mostOpenings are those that one process may make of its source: what libraries leak ends then.
const mostOpenings = 200

// serve opens the source, and once more where it was lost and the parent wants that: a camera that is
// away for an hour costs no process at each try. It returns the exit code.
func (c *child) serve(ctx context.Context, told *settings) int {
	for openings := 1; ; openings++ {
		err := c.work(ctx, told)
		if err == nil {
			return 0
		}
		f := failureOf(err)
		f.Stays = stays(&told.Camera) && !told.Ask && errors.Is(err, camera.ErrLost) && openings < mostOpenings
		if c.tell(kindFailed, f) != nil || !f.Stays || !c.asked(&told.Ring) {
			return 1
		}
	}
}

// stays reports whether the process of a source may open it more than once: not where the files that
// it may see were listed before they were there.
func stays(c *camera.Config) bool { return c.Network() }

// idleLimit is how long a process waits to be asked to open its source once more: longer than anyone
// waits in between.
const idleLimit = time.Minute

// asked waits to be told to open the source once more; ring is whether memory for frames comes with it.
func (c *child) asked(ring *bool) bool {
	late := time.AfterFunc(idleLimit, func() { c.end() })
	defer late.Stop()
	c.mu.Lock()
	defer c.mu.Unlock()
	for !c.over && !c.again {
		c.cond.Wait()
	}
	c.again, *ring = false, c.comes
	return !c.over
}

// wanted takes that the source is to be opened once more. The ring of before counts no more.
func (c *child) wanted(ring bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.again, c.comes = true, ring
	c.replace(nil, 0)
}

// replace takes another ring; the one of before is unmapped when nothing is read into it. It holds mu.
func (c *child) replace(ring []byte, size int) {
	if c.ring != nil {
		c.before = append(c.before, c.ring)
	}
	c.ring, c.size = ring, size
	c.cond.Broadcast()
}

// end ends what waits.
func (c *child) end() {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.over = true
	c.cond.Broadcast()
}

// listen takes what the parent says until it hangs up; then this process ends, soon.
func (c *child) listen(cancel func()) {
	buffer, rights := make([]byte, 64), make([]byte, unix.CmsgSpace(4))
	var n, m int
	var err error
	receive := func(fd uintptr) bool {
		for err = unix.EINTR; err == unix.EINTR; {
			n, m, _, _, err = unix.Recvmsg(int(fd), buffer, rights, unix.MSG_CMSG_CLOEXEC)
		}
		return err != unix.EAGAIN
	}
	for {
		if failed := c.parent.Read(receive); failed != nil || err != nil || n == 0 {
			break
		}
		switch {
		case kind(buffer[0]) == kindRing && n == 9:
			err = c.mapped(rights[:m], int(binary.LittleEndian.Uint64(buffer[1:])))
		case kind(buffer[0]) == kindEncode && n == 1:
			var socket int
			if socket, err = descriptorOf(rights[:m]); err == nil {
				go encode(socket)
			}
		case kind(buffer[0]) == kindFree && n == 1:
			c.mu.Lock() // whoever has just found none sleeps by now
			c.cond.Broadcast()
			c.mu.Unlock()
		case kind(buffer[0]) == kindAgain && n == 2:
			c.wanted(buffer[1] != 0)
		}
		if err != nil {
			c.tell(kindFailed, failureOf(fmt.Errorf("camera: memory for frames: %w", err)))
			break
		}
	}
	time.AfterFunc(closeGrace, func() { os.Exit(0) }) // a call into C is not waited for
	cancel()
	c.end()
}

// mapped takes the memory of a ring.
func (c *child) mapped(rights []byte, size int) error {
	fd, err := descriptorOf(rights)
	if err != nil {
		return err
	}
	defer unix.Close(fd)
	memory, err := unix.Mmap(fd, 0, ringSize(size), unix.PROT_READ|unix.PROT_WRITE, unix.MAP_SHARED)
	if err != nil {
		return err
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	c.replace(memory, size)
	return nil
}

// descriptorOf is the one descriptor that came with a message.
func descriptorOf(rights []byte) (int, error) {
	all, err := unix.ParseSocketControlMessage(rights)
	if err != nil || len(all) != 1 {
		return -1, errors.Join(err, errors.New("no descriptor came"))
	}
	fds, err := unix.ParseUnixRights(&all[0])
	if err != nil || len(fds) != 1 {
		return -1, errors.Join(err, errors.New("no descriptor came"))
	}
	return fds[0], nil
}

// slot waits for a slot of at least so many bytes that may be written; ok is whether there still is
// somebody who wants it.
func (c *child) slot(least int) (slot int, memory []byte, ok bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	for ; !c.over; c.cond.Wait() {
		if c.ring == nil || c.size < least {
			continue
		}
		if i := lendingOf(c.ring, c.size).take(); i >= 0 {
			return i, c.ring[i*c.size:][:c.size:c.size], true
		}
	}
	return -1, nil, false
}

// forget unmaps rings that were replaced; nothing is read into them any more.
func (c *child) forget() {
	c.mu.Lock()
	defer c.mu.Unlock()
	for _, r := range c.before {
		unix.Munmap(r)
	}
	c.before = c.before[:0]
}

func (c *child) work(ctx context.Context, told *settings) (err error) {
	if told.Ask {
		what, err := camera.Ask(ctx, told.Camera.Source)
		if err == nil {
			c.send(append([]byte{byte(kindAnswer)}, what...))
		}
		return err
	}
	s, err := camera.Open(ctx, told.Camera)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, s.Close()) }()
	if pump := s.Pump(); pump != nil {
		go pump()
	}
	s.Foreign() // but for the first frame, which comes before there is memory
	info := s.Info()
	c.told.Warnings = info.Warnings
	if err := c.tell(kindOpened, opened{info, c.within}); err != nil {
		return err
	}
	return c.pass(ctx, s, told.Ring)
}

// settled is after how many frames a source takes no more memory that it will not need again.
const settled = 10

// pass sends frames until the source ends, or nobody wants them; ring is whether there is memory
// for them. New memory comes only while this waits for a slot: where all slots are with the parent,
// or after it has asked for larger ones.
func (c *child) pass(ctx context.Context, s *camera.Stream, ring bool) error {
	var f vision.Frame
	settling := 0
	for ; ; ring = true {
		var slot int
		var memory []byte
		if ring {
			var ok bool
			if slot, memory, ok = c.slot(0); !ok {
				return nil
			}
			f.Pix = memory[:0]
			c.forget()
		}
		if err := s.Read(ctx, &f); err != nil {
			if ctx.Err() != nil {
				return nil
			}
			return err
		}
		h := frameHeader{width: f.Width, height: f.Height, taken: time.Duration(monotonic()), age: -1}
		if age, known := s.Age(); known {
			h.age = age
		}
		moved := len(memory) == 0 || &f.Pix[0] != &memory[0]
		if moved {
			var ok bool
			if slot, ok = c.moved(&f); !ok {
				return nil
			}
		}
		h.slot = slot
		c.changed(s)
		c.header = h.append(c.header[:0])
		if err := c.send(c.header); err != nil {
			return nil // the parent has gone
		}
		if moved {
			f.Pix, settling = nil, settled
		}
		if settling--; settling == 0 {
			giveBack()
		}
	}
}

// moved copies a frame that the ring was too small for into a larger one.
func (c *child) moved(f *vision.Frame) (slot int, ok bool) {
	if c.send(appendSize([]byte{byte(kindNeed)}, f.Width, f.Height)) != nil {
		return -1, false
	}
	slot, memory, ok := c.slot(len(f.Pix[:f.Stride*f.Height]))
	if ok {
		copy(memory, f.Pix[:f.Stride*f.Height])
	}
	return slot, ok
}

// changed tells what has changed beside the frames.
func (c *child) changed(s *camera.Stream) {
	n, why := s.Skipped()
	if n == c.told.Skipped {
		return
	}
	c.told = news{s.Info().Warnings, n, why}
	c.tell(kindNews, c.told)
}

func (c *child) tell(k kind, v any) error {
	b, err := message(k, v)
	if err != nil {
		return err
	}
	return c.send(b)
}

func (c *child) send(b []byte) error {
	err := sent(childSocket, b)
	if err != unix.EAGAIN {
		return err
	}
	failed := c.parent.Write(func(fd uintptr) bool { // the parent is busy
		err = sent(int(fd), b)
		return err != unix.EAGAIN
	})
	return errors.Join(failed, err)
}

func sent(fd int, b []byte) (err error) {
	for err = unix.EINTR; err == unix.EINTR; {
		err = unix.Sendto(fd, b, unix.MSG_NOSIGNAL, nil)
	}
	return err
}
