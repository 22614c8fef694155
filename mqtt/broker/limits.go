package broker

import (
	"maps"
	"net"
	"slices"
	"strings"
	"sync"
	"time"

	mochi "github.com/mochi-mqtt/server/v2"
	"github.com/mochi-mqtt/server/v2/packets"
)

// Bounds of the embedded broker, of what comes from outside this process. Whoever is on this
// machine may connect, and must not be able to take its memory, the agent's place, or the agent's
// word.
const (
	MaxPacket = 128 << 10 // bytes of a packet; a picture has up to 100 KiB

	maxConns     = 24          // connections
	maxPending   = 128         // messages that wait for one reader
	patience     = time.Second // for a reader that takes nothing
	helloTime    = 10 * time.Second
	maxSpeed     = 256 << 10 // bytes a second that one connection may bring
	maxFilters   = 16        // of one client
	maxLevels    = 16        // of a topic or filter
	maxTopic     = 512       // bytes of one
	maxRetained  = 256       // retained messages
	maxKept      = 512 << 10 // bytes of those
	smallMessage = 4 << 10   // messages up to here are bounded by their number
	maxBurst     = 384 << 10 // bytes of larger ones to one reader at once, and without acknowledgement
	maxRate      = 256 << 10 // and a second
	maxOwn       = 4096      // topics that are the agent's alone
	inside       = "inside"  // listener of connections from this process
)

// limits is the hook that applies them.
type limits struct {
	mochi.HookBase
	mu       sync.Mutex
	own      map[string]bool          // topics that this process publishes on: nobody else may
	ids      map[string]int           // clients of this process, with their connections
	large    map[string]int           // bytes of messages beyond smallMessage, by topic
	retained map[string]int           // bytes of what outside has retained, by topic
	kept     int                      // of all of them
	readers  map[*mochi.Client]*share // of large messages
}

func newLimits() *limits {
	return &limits{
		own: make(map[string]bool), ids: make(map[string]int), large: make(map[string]int),
		retained: make(map[string]int), readers: make(map[*mochi.Client]*share),
	}
}

func (*limits) ID() string { return "limits" }

func (*limits) Provides(b byte) bool {
	switch b {
	case mochi.OnConnectAuthenticate, mochi.OnACLCheck, mochi.OnSubscribe, mochi.OnPublish, mochi.OnWill,
		mochi.OnDisconnect, mochi.OnPacketEncode:
		return true
	}
	return false
}

// OnPacketEncode keeps back what a client of MQTT 3 cannot read: only with MQTT 5 a broker says
// DISCONNECT. A packet without a type is not sent.
func (*limits) OnPacketEncode(cl *mochi.Client, pk packets.Packet) packets.Packet {
	if pk.FixedHeader.Type == packets.Disconnect && cl.Properties.ProtocolVersion < 5 {
		pk.FixedHeader.Type = packets.Reserved
	}
	return pk
}

// OnConnectAuthenticate lets everybody in, but not under a name of this process, and not with its
// word as last will. No session outlives its connection.
func (l *limits) OnConnectAuthenticate(cl *mochi.Client, pk packets.Packet) bool {
	cl.ID = strings.Clone(cl.ID) // the library's texts keep the whole packet from being freed
	l.mu.Lock()
	defer l.mu.Unlock()
	if cl.Net.Listener == inside {
		l.ids[cl.ID]++
		return true
	}
	will := cl.Properties.Will.TopicName
	if l.ids[cl.ID] > 0 || len(cl.ID) > maxTopic || will != "" && (l.own[will] || !modest(will)) {
		return false
	}
	cl.Properties.Clean = true
	cl.Properties.Props.SessionExpiryInterval = 0
	cl.Properties.Props.TopicAliasMaximum = 0
	cl.Properties.Will.WillDelayInterval = 0
	return true
}

func (l *limits) OnDisconnect(cl *mochi.Client, _ error, _ bool) {
	l.mu.Lock()
	defer l.mu.Unlock()
	delete(l.readers, cl)
	if cl.Net.Listener != inside {
		return
	}
	if l.ids[cl.ID]--; l.ids[cl.ID] <= 0 {
		delete(l.ids, cl.ID)
	}
}

// OnACLCheck is asked before each publication, each subscription, and each delivery to a reader.
func (l *limits) OnACLCheck(cl *mochi.Client, topic string, write bool) bool {
	if cl.Net.Listener == inside {
		return true
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	if write {
		return !l.own[topic] && modest(topic) && !strings.HasPrefix(topic, "$")
	}
	size := l.large[topic]
	return size == 0 || l.takes(cl, size)
}

// takes reports whether a reader has room for a large message. l.mu is held.
func (l *limits) takes(cl *mochi.Client, size int) bool {
	waiting := 0
	for _, pk := range cl.State.Inflight.GetAll(false) {
		waiting += len(pk.Payload)
	}
	if waiting+size > maxBurst {
		return false
	}
	b := l.readers[cl]
	if b == nil {
		b = &share{left: maxBurst}
		l.readers[cl] = b
	}
	return b.take(size, time.Now())
}

// share is what one reader may still get of large messages.
type share struct {
	left float64
	at   time.Time // when it was that
}

func (b *share) take(size int, now time.Time) bool {
	if !b.at.IsZero() {
		b.left = min(maxBurst, b.left+maxRate*now.Sub(b.at).Seconds())
	}
	b.at = now
	if b.left < float64(size) {
		return false
	}
	b.left -= float64(size)
	return true
}

// OnSubscribe refuses filters beyond the number of one client, and overlong ones.
func (l *limits) OnSubscribe(cl *mochi.Client, pk packets.Packet) packets.Packet {
	if cl.Net.Listener == inside {
		return pk
	}
	room := maxFilters - cl.State.Subscriptions.Len()
	for i := range pk.Filters {
		filter := strings.Clone(pk.Filters[i].Filter)
		_, again := cl.State.Subscriptions.Get(filter)
		if !again {
			room--
		}
		if !modest(filter) || !again && room < 0 {
			filter = "" // which no filter is
		}
		pk.Filters[i].Filter = filter
	}
	return pk
}

// OnPublish learns which topics are this process's, and retains no more of others than is allowed.
func (l *limits) OnPublish(cl *mochi.Client, pk packets.Packet) (packets.Packet, error) {
	pk.TopicName = strings.Clone(pk.TopicName)
	l.mu.Lock()
	defer l.mu.Unlock()
	size := len(pk.Payload)
	if cl.Net.Listener == inside {
		if len(l.own) < maxOwn {
			l.own[pk.TopicName] = true
		}
	} else if pk.FixedHeader.Retain && !l.retain(pk.TopicName, pk.FixedHeader.Remaining, size == 0) {
		pk.FixedHeader.Retain = false
	}
	if size > smallMessage {
		_, known := l.large[pk.TopicName]
		if !known && cl.Net.Listener != inside && len(l.large) >= maxOwn {
			return pk, packets.ErrRejectPacket
		}
		l.large[pk.TopicName] = max(size, l.large[pk.TopicName])
	} else if pk.FixedHeader.Retain {
		delete(l.large, pk.TopicName)
	}
	return pk, nil
}

// OnWill is OnPublish of a last will.
func (l *limits) OnWill(cl *mochi.Client, will mochi.Will) (mochi.Will, error) {
	if cl.Net.Listener == inside {
		return will, nil
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	if len(will.Payload) > smallMessage || l.own[will.TopicName] {
		will.Payload, will.Retain = nil, false
	}
	will.TopicName = strings.Clone(will.TopicName)
	if will.Retain && !l.retain(will.TopicName, len(will.Payload)+len(will.TopicName), len(will.Payload) == 0) {
		will.Retain = false
	}
	return will, nil
}

// retain takes note of a retained message from outside, or refuses it. l.mu is held.
func (l *limits) retain(topic string, size int, empty bool) bool {
	before, known := l.retained[topic]
	switch {
	case empty:
		delete(l.retained, topic)
		l.kept -= before
		return true
	case !known && len(l.retained) >= maxRetained, l.kept-before+size > maxKept:
		return false
	}
	l.retained[topic] = size
	l.kept += size - before
	return true
}

// modest reports whether a topic or filter is short enough: the broker keeps a node for each level.
func modest(topic string) bool {
	return len(topic) <= maxTopic && strings.Count(topic, "/") < maxLevels
}

// fewConns is a listener that has a bounded number of connections, which must say who they are in
// time, are read at a bounded speed, and end where their peer reads nothing, or with the listener.
type fewConns struct {
	net.Listener
	limit  int
	mu     sync.Mutex
	open   map[*impatient]bool
	closed bool
}

func limitConns(l net.Listener, n int) *fewConns {
	return &fewConns{Listener: l, limit: n, open: make(map[*impatient]bool)}
}

// Accept closes the connections that are too many.
func (l *fewConns) Accept() (net.Conn, error) {
	for {
		c, err := l.Listener.Accept()
		if err != nil {
			return nil, err
		}
		if conn := l.admit(c); conn != nil {
			return conn, nil
		}
		c.Close()
	}
}

// admit is nil where there is no room. The deadline holds until the broker has read a CONNECT, and
// sets one of its own.
func (l *fewConns) admit(c net.Conn) *impatient {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.closed || len(l.open) >= l.limit || c.SetReadDeadline(time.Now().Add(helloTime)) != nil {
		return nil
	}
	conn := &impatient{Conn: c}
	conn.done = func() { l.mu.Lock(); defer l.mu.Unlock(); delete(l.open, conn) }
	l.open[conn] = true
	return conn
}

// Close ends the connections, too: the broker itself waits for those that never said who they are.
func (l *fewConns) Close() error {
	l.mu.Lock()
	l.closed = true
	left := slices.Collect(maps.Keys(l.open))
	l.mu.Unlock()
	for _, c := range left {
		c.Close()
	}
	return l.Listener.Close()
}

// impatient is a connection whose writes do not wait for long, and whose reads take their time.
type impatient struct {
	net.Conn
	done func()
	next time.Time // not before this it is read again
}

func (c *impatient) Read(p []byte) (int, error) {
	const slice = maxSpeed / 64
	if wait := time.Until(c.next); wait > 0 {
		time.Sleep(wait)
	}
	n, err := c.Conn.Read(p[:min(len(p), slice)])
	spent := time.Duration(n) * time.Second / maxSpeed
	if now := time.Now().Add(-time.Second / 4); c.next.Before(now) { // so much may come at once
		c.next = now
	}
	c.next = c.next.Add(spent)
	return n, err
}

func (c *impatient) Write(p []byte) (int, error) {
	err := c.Conn.SetWriteDeadline(time.Now().Add(patience))
	n := 0
	if err == nil {
		n, err = c.Conn.Write(p)
	}
	if err != nil {
		c.Close() // the broker goes by what reading says
	}
	return n, err
}

func (c *impatient) Close() error {
	c.done()
	return c.Conn.Close()
}
