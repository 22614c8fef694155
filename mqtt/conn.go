package mqtt

import (
	"bufio"
	"bytes"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"sync"
	"sync/atomic"
	"time"

	"github.com/eclipse/paho.mqtt.golang/packets"
)

const (
	writeTimeout = 10 * time.Second
	connack      = 2
	message      = 3 // packet types (MQTT 3.1.1, table 2.1): PUBLISH
	puback       = 4
	subscribe    = 8
	suback       = 9
)

// guardedConn stands between paho and the network and ends the connection before paho meets a
// packet that it cannot stand: one longer than limit, for which it would allocate up to 256 MB (P16
// in docs/decisions/010-what-paho-does.md), or a SUBACK with more codes than the SUBSCRIBE had
// filters, on which it panics (P17). A message that is too long is read past and acknowledged
// instead: a retained one would come again with every connection. It also gives every write a time
// limit, and lets another goroutine end the connection in a way that paho notices (drop).
//
// paho hears of the end through Read alone, and only when nobody is inside one of its methods: a
// Publish that has begun when the connection ends would wait for paho's WriteTimeout.
type guardedConn struct {
	net.Conn
	in    *bufio.Reader // paho reads a packet's first bytes one by one
	limit int           // bytes of one inbound packet after its fixed header
	codes atomic.Int32  // return codes that the next SUBACK may hold

	greeting bool // what comes next is the peer's first packet

	header [5]byte // fixed header read so far: type, then up to four bytes of length
	have   int
	head   []byte // of header, what paho has not read yet
	left   int    // bytes of the packet's rest

	// hears of a message that is read past, before and after; nil: nobody does
	tooLong func(topic string, length int, past bool)
	tap     func(packet []byte)   // sees every packet that is sent; nil: nobody does
	failed  atomic.Pointer[error] // why a write failed
	reason  atomic.Pointer[error] // why drop was called
	calls   sync.RWMutex          // read-locked by whoever is inside paho
	ended   atomic.Bool           // nobody goes there any more
}

// A connection that takes long packets is given a larger buffer: a device's own hears little.
func newGuardedConn(c net.Conn, limit int) *guardedConn {
	return &guardedConn{Conn: c, in: bufio.NewReaderSize(c, min(max(limit/128, 256), 8<<10)), limit: limit}
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
	n, err := g.read(p)
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

// read is Read but for the end. paho gets a packet's first byte only when the whole fixed header is
// known.
func (g *guardedConn) read(p []byte) (int, error) {
	for len(p) > 0 && len(g.head) == 0 && g.left == 0 {
		if err := g.next(); err != nil {
			return 0, err
		}
	}
	n := copy(p, g.head)
	g.head = g.head[n:]
	if n > 0 || len(p) == 0 {
		return n, nil
	}
	n, err := g.in.Read(p[:min(len(p), g.left)])
	g.left -= n
	return n, err
}

// next reads the fixed header of the next packet, and past one that is too long.
func (g *guardedConn) next() error {
	if g.greeting {
		if err := g.greeted(); err != nil {
			g.drop(err)
			return err
		}
	}
	for g.have < 2 || g.header[g.have-1]&0x80 != 0 && g.have < len(g.header) {
		c, err := g.in.ReadByte()
		if err != nil {
			return err
		}
		g.header[g.have] = c
		g.have++
	}
	head := g.header[:g.have]
	g.have = 0
	length, err := remaining(head[1:])
	if err == nil && head[0]>>4 == message && length > g.limit {
		return g.pass(head[0], length)
	}
	if err == nil {
		err = g.allowed(head[0]>>4, length)
	}
	if err != nil {
		g.drop(err)
		return err
	}
	g.head, g.left = head, length
	return nil
}

// errNoBroker is for a peer whose first bytes are no answer to a CONNECT.
var errNoBroker = errors.New("what answers there is no MQTT broker")

// greeted looks at the first bytes of the peer, which are a broker's CONNACK, or tell what listens
// there in its place.
func (g *guardedConn) greeted() error {
	first, err := g.in.Peek(1)
	if err != nil {
		return err
	}
	if g.greeting = false; first[0] == connack<<4 {
		return refusedBy(g.in.Peek(len("head")))
	}
	start, _ := g.in.Peek(min(g.in.Buffered(), len("HTTP/"))) // what has come with it
	switch {
	case string(start) == "HTTP/":
		return fmt.Errorf("%w but an HTTP server: write ws:// (with TLS wss://) in mqtt.broker if a broker's "+
			"websocket is there, else correct the port", errNoBroker)
	case bytes.HasPrefix(start, []byte("SSH-")):
		return fmt.Errorf("%w but an SSH server: correct the port in mqtt.broker", errNoBroker)
	case bytes.HasPrefix(start, []byte{0x15, 3}), bytes.HasPrefix(start, []byte{0x16, 3}):
		return fmt.Errorf("%w without TLS: write ssl:// (wss://) in mqtt.broker", errNoBroker)
	}
	return fmt.Errorf("%w: correct host and port in mqtt.broker", errNoBroker)
}

const refusedWithCode = "the broker refuses the connection with code"

// refusedBy is an error for a CONNACK whose code MQTT 3.1.1 does not have: paho takes it for a success. Brokers of
// MQTT 5 alone answer so.
func refusedBy(packet []byte, err error) error {
	if err != nil || packet[1] > 0x7f || packet[3] <= 5 { // what is wrong with these others tell
		return nil
	}
	switch code := packet[3]; code {
	case 0x01 | 0x80, 0x02 | 0x80, 0x04 | 0x80: // malformed, a protocol error, the version
		return fmt.Errorf("the broker does not take MQTT 3.1.1 (code %d): allow it there", code)
	case 0x06 | 0x80, 0x07 | 0x80, 0x0c | 0x80:
		return fmt.Errorf("%w (code %d)", packets.ErrorRefusedNotAuthorised, code)
	case 0x08 | 0x80, 0x09 | 0x80:
		return fmt.Errorf("%w (code %d)", packets.ErrorRefusedServerUnavailable, code)
	case 0x0a | 0x80:
		return fmt.Errorf("%w: it has banned this client (code %d)", packets.ErrorRefusedNotAuthorised, code)
	case 0x1a | 0x80, 0x1b | 0x80:
		return complete{fmt.Errorf("%s %d: it takes no retained last will of QoS 1: allow it there (of Mosquitto: "+
			"retain_available, max_qos)", refusedWithCode, code)}
	case 0x1c | 0x80, 0x1d | 0x80:
		return complete{fmt.Errorf("%s %d: another server has taken its place: write that one in mqtt.broker",
			refusedWithCode, code)}
	case 0x10 | 0x80:
		return complete{fmt.Errorf("%s %d: it does not take this topic: change mqtt.topic_prefix or device.id",
			refusedWithCode, code)}
	default:
		if name := reasons[code]; name != "" {
			return fmt.Errorf("%s %d (%s)", refusedWithCode, code, name)
		}
		return fmt.Errorf("%s %d", refusedWithCode, code)
	}
}

// reasons are the names of codes of MQTT 5 (section 3.2.2.2).
var reasons = map[byte]string{0x80: "unspecified error", 0x83: "error of its own implementation",
	0x95: "packet too large", 0x97: "quota exceeded", 0x99: "payload format invalid", 0x9f: "connection rate exceeded"}

// pass reads past a message of which the fixed header was read.
func (g *guardedConn) pass(first byte, length int) error {
	var size [2]byte
	if _, err := io.ReadFull(g.in, size[:]); err != nil {
		return err
	}
	name := make([]byte, int(size[0])<<8|int(size[1])) // a topic has at most 64 KiB
	if _, err := io.ReadFull(g.in, name); err != nil {
		return err
	}
	left := length - len(size) - len(name)
	var id [2]byte
	if first&0x06 != 0 { // it has a QoS, and wants an answer
		if _, err := io.ReadFull(g.in, id[:]); err != nil {
			return err
		}
		left -= len(id)
	}
	if left < 0 {
		g.drop(errLength)
		return errLength
	}
	topic := string(name)
	if g.tooLong != nil {
		g.tooLong(topic, length, false)
	}
	if _, err := io.CopyN(io.Discard, g.in, int64(left)); err != nil {
		return err
	}
	if g.tooLong != nil {
		g.tooLong(topic, length, true)
	}
	if first&0x06 != 0 {
		g.Write([]byte{puback << 4, 2, id[0], id[1]}) //nolint:errcheck // never fails
	}
	return nil
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

func (g *guardedConn) allowed(kind byte, length int) error {
	if length > g.limit {
		return complete{fmt.Errorf("the broker sent a packet of %d bytes, the limit is %d: is that one of MQTT 3.1.1? "+
			"Correct mqtt.broker", length, g.limit)}
	}
	if kind == suback && int32(length-2) != g.codes.Load() {
		return complete{fmt.Errorf("the broker answered %d filters where %d were asked: is that one of MQTT 3.1.1? "+
			"Correct mqtt.broker", length-2, g.codes.Load())}
	}
	return nil
}

var errLength = complete{errors.New("the broker sent a packet with a malformed length: is that one of MQTT 3.1.1? " +
	"Correct mqtt.broker")}

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
