package mqtt

import (
	"bufio"
	"errors"
	"fmt"
	"net"
	"os"
	"sync"
	"sync/atomic"
	"time"
)

const (
	writeTimeout = 10 * time.Second
	subscribe    = 8 // packet types (MQTT 3.1.1, table 2.1)
	suback       = 9
)

// guardedConn stands between paho and the network and ends the connection before paho meets a
// packet that it cannot stand: one longer than limit, for which it would allocate up to 256 MB (P16
// in docs/decisions/010-what-paho-does.md), or a SUBACK with more codes than the SUBSCRIBE had
// filters, on which it panics (P17). It also gives every write a time limit, and lets another
// goroutine end the connection in a way that paho notices (drop).
//
// paho hears of the end through Read alone, and only when nobody is inside one of its methods: a
// Publish that has begun when the connection ends would wait for paho's WriteTimeout.
type guardedConn struct {
	net.Conn
	in    *bufio.Reader // paho reads a packet's first bytes one by one
	limit int           // bytes of one inbound packet after its fixed header
	codes atomic.Int32  // return codes that the next SUBACK may hold

	header [5]byte // fixed header read so far: type, then up to four bytes of length
	have   int
	left   int // bytes of the packet's rest

	tap    func(packet []byte)   // sees every packet that is sent; nil: nobody does
	failed atomic.Pointer[error] // why a write failed
	reason atomic.Pointer[error] // why drop was called
	calls  sync.RWMutex          // read-locked by whoever is inside paho
	ended  atomic.Bool           // nobody goes there any more
}

func newGuardedConn(c net.Conn, limit int) *guardedConn {
	return &guardedConn{Conn: c, in: bufio.NewReader(c), limit: limit}
}

// enter lets the caller call paho until leave; false: the connection has ended.
func (g *guardedConn) enter() bool {
	g.calls.RLock()
	if g.ended.Load() {
		g.calls.RUnlock()
		return false
	}
	return true
}

func (g *guardedConn) leave() { g.calls.RUnlock() }

// drop ends the connection: a read, also one under way, returns reason. paho takes net.ErrClosed
// for its own doing and would not notice.
func (g *guardedConn) drop(reason error) {
	g.reason.CompareAndSwap(nil, &reason)
	g.Conn.Close()
}

// Read passes on what comes, up to the first packet that must not be.
func (g *guardedConn) Read(p []byte) (int, error) {
	n, err := g.in.Read(p)
	if bad := g.inspect(p[:n]); bad != nil {
		g.drop(bad)
		n, err = 0, bad
	}
	if err != nil {
		g.ended.Store(true)
		g.Conn.Close() // whoever hangs in a write comes back
		g.calls.Lock()
		//lint:ignore SA2001 to wait is the purpose
		g.calls.Unlock()
		err = g.why(err)
	}
	return n, err
}

// why is the first cause of a failed read: a drop, or a write that had failed before and left Read
// only the time to hear what the peer said before it hung up, such as a TLS alert.
func (g *guardedConn) why(err error) error {
	if reason := g.reason.Load(); reason != nil {
		return *reason
	}
	if failed := g.failed.Load(); failed != nil && errors.Is(err, os.ErrDeadlineExceeded) {
		return *failed
	}
	return err
}

// Write sends p, which paho makes exactly one packet. It always succeeds: see guardedConn.
func (g *guardedConn) Write(p []byte) (int, error) {
	if len(p) > 0 && p[0]>>4 == subscribe {
		g.codes.Store(int32(filters(p)))
	}
	if g.tap != nil {
		g.tap(p)
	}
	if g.failed.Load() != nil {
		return len(p), nil
	}
	err := g.Conn.SetWriteDeadline(time.Now().Add(writeTimeout))
	if err == nil {
		_, err = g.Conn.Write(p)
	}
	if err != nil && g.failed.CompareAndSwap(nil, &err) {
		g.Conn.SetReadDeadline(time.Now().Add(closeGrace)) //nolint:errcheck // one that is closed reads nothing more
	}
	return len(p), nil
}

// inspect follows the stream of inbound packets, which may be cut anywhere.
func (g *guardedConn) inspect(p []byte) error {
	for len(p) > 0 {
		if g.left > 0 {
			n := min(g.left, len(p))
			g.left -= n
			p = p[n:]
			continue
		}
		g.header[g.have] = p[0]
		g.have++
		p = p[1:]
		if g.have == 1 || g.header[g.have-1]&0x80 != 0 && g.have < len(g.header) {
			continue
		}
		length, err := remaining(g.header[1:g.have])
		if err == nil {
			err = g.allowed(g.header[0]>>4, length)
		}
		if err != nil {
			return err
		}
		g.left, g.have = length, 0
	}
	return nil
}

func (g *guardedConn) allowed(kind byte, length int) error {
	if length > g.limit {
		return fmt.Errorf("broker sent a packet of %d bytes, the limit is %d", length, g.limit)
	}
	if kind == suback && int32(length-2) != g.codes.Load() {
		return fmt.Errorf("broker answered %d filters where %d were asked", length-2, g.codes.Load())
	}
	return nil
}

var errLength = errors.New("broker sent a packet with a malformed length")

// remaining decodes the variable length of a fixed header (MQTT 3.1.1, 2.2.3).
func remaining(b []byte) (int, error) {
	n := 0
	for i, c := range b {
		n |= int(c&0x7f) << (7 * i)
	}
	if len(b) == 0 || b[len(b)-1]&0x80 != 0 {
		return 0, errLength
	}
	return n, nil
}

// filters counts the topic filters of a SUBSCRIBE packet.
func filters(p []byte) int {
	at := 1
	for at < len(p) && p[at]&0x80 != 0 {
		at++
	}
	at += 1 + 2 // last byte of the length, packet identifier
	n := 0
	for at+2 <= len(p) {
		at += 2 + int(p[at])<<8 + int(p[at+1]) + 1
		n++
	}
	return n
}
