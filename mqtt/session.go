package mqtt

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/url"
	"strings"
	"sync/atomic"
	"time"

	paho "github.com/eclipse/paho.mqtt.golang"
)

// The link profile: what stands in the package's facts about paho.mqtt.golang 1.5.1, and why.
const (
	keepAlive  = 20 * time.Second       // by default; with paho's 5 s tick a silent peer is found within 40 s
	closeGrace = 250 * time.Millisecond // for the DISCONNECT packet to leave
)

// Message is one publication that came in.
type Message struct {
	Topic    string
	Payload  []byte
	QoS      byte
	Retained bool // was there before the subscription
}

// ack says what became of a publication: when done closes with err nil, the broker has acknowledged
// it (QoS 0: it was written). Anything else is "unknown", and the record goes out again.
type ack interface {
	Done() <-chan struct{}
	Error() error
}

// session is one connection, from its CONNECT to its end; a paho client is never used for a second
// one, because across connections its tokens complete without an acknowledgement (P1, P2, P20 in
// docs/decisions/010-what-paho-does.md).
type session struct {
	client  paho.Client
	guard   *guardedConn
	inbound chan *Message  // pointers: the room for 64 messages is 3 KB in each of many links
	missed  *atomic.Uint64 // messages that found inbound full
	room    int64          // payload bytes that may wait in inbound; 0: as many as fit
	waiting atomic.Int64   // those that do; who reads takes them off with took where room is set
	lost    chan error     // one error when the connection ended unasked and paho's goroutines have too
}

// will is the message that the broker publishes for a client that vanishes: retained, QoS 1.
type will struct{ topic, payload string }

// opening is what a session needs to come up.
type opening struct {
	cfg      *Config
	broker   *url.URL
	clientID string
	will     *will
	limit    int            // bytes of an inbound packet
	inbox    int            // messages that wait in inbound
	room     int64          // payload bytes that may wait there; 0: as many as fit
	missed   *atomic.Uint64 // counts those that found no room there
	large    *large         // sees messages beyond limit; nil: they are read past without a word
}

// open connects. The session outlives ctx, which only bounds the opening.
func open(ctx context.Context, o *opening) (*session, error) {
	password, err := o.cfg.password()
	if err != nil {
		return nil, err
	}
	s := &session{inbound: make(chan *Message, o.inbox), missed: o.missed, lost: make(chan error, 1), room: o.room}
	opts := o.profile().SetUsername(o.cfg.User).SetPassword(password)
	opts.SetDefaultPublishHandler(s.receive)
	opts.SetConnectionLostHandler(func(_ paho.Client, err error) { s.lost <- err })
	var refused error // paho keeps only the text of a failed dial
	stop := func() bool { return true }
	opts.SetCustomOpenConnectionFn(func(*url.URL, paho.ClientOptions) (net.Conn, error) {
		conn, err := o.dial(ctx)
		if err != nil {
			refused = err
			return nil, err
		}
		s.guard = newGuardedConn(conn, o.limit)
		s.guard.tap, s.guard.greeting = o.cfg.tap, true
		if o.large != nil {
			s.guard.tooLong = o.large.see
		}
		stop = context.AfterFunc(ctx, func() { s.guard.drop(context.Cause(ctx)) })
		return s.guard, nil
	})
	s.client = paho.NewClient(opts)
	token := s.client.Connect()
	<-token.Done() // dial and handshake have time limits, and end with ctx
	if !stop() {   // ctx ended, the connection is being dropped
		s.close()
		return nil, context.Cause(ctx)
	}
	switch {
	case refused != nil:
		return nil, refused
	case token.Error() != nil && s.guard != nil && errors.Is(s.guard.why(token.Error()), errNoBroker):
		return nil, s.guard.why(token.Error())
	case token.Error() != nil && hungUp(token.Error()) && strings.HasPrefix(o.broker.Scheme, "ws"):
		return nil, complete{fmt.Errorf("the websocket was opened, and closed before a broker answered (%w): see "+
			"whether the path in mqtt.broker is that of MQTT, and the logs of the broker and of what stands before "+
			"it%s",
			io.EOF, noWill)}
	case token.Error() != nil:
		return nil, token.Error()
	}
	return s, nil
}

// dial opens the byte stream.
func (o *opening) dial(ctx context.Context) (net.Conn, error) {
	if o.cfg.Dial != nil {
		return o.cfg.Dial(ctx)
	}
	return dial(ctx, o.broker, o.cfg.TLS)
}

// profile are paho's options. Reconnecting, resending and storing are all off: the Link does them.
func (o *opening) profile() *paho.ClientOptions {
	alive := cmp.Or(o.cfg.KeepAlive, keepAlive)
	opts := paho.NewClientOptions().AddBroker(o.broker.String()).SetClientID(o.clientID).
		SetProtocolVersion(4). // else every failed handshake is tried again as 3.1 (P15)
		SetCleanSession(true).SetAutoReconnect(false).SetConnectRetry(false).SetResumeSubs(false).
		SetStore(paho.NewMemoryStore()). // the file store loses and panics (P9, P10)
		SetKeepAlive(alive).SetPingTimeout(alive / 2).
		SetConnectTimeout(dialTimeout).SetWriteTimeout(writeTimeout). // 0 would block on a dead peer (P12)
		// safe, as our handler never blocks (P11): commands keep their order
		SetOrderMatters(true)
	if o.will != nil {
		opts.SetWill(o.will.topic, o.will.payload, 1, true)
	}
	return opts
}

// receive hands a message on, or drops it where nobody takes it: a handler that waits sticks paho
// (P11).
func (s *session) receive(_ paho.Client, m paho.Message) {
	got := &Message{Topic: m.Topic(), Payload: m.Payload(), QoS: m.Qos(), Retained: m.Retained()}
	if s.waiting.Add(int64(len(got.Payload))) <= s.room || s.room == 0 {
		select {
		case s.inbound <- got:
			return
		default:
		}
	}
	s.took(got)
	s.missed.Add(1)
}

// took makes room for others in the place of a message.
func (s *session) took(m *Message) { s.waiting.Add(-int64(len(m.Payload))) }

// publish hands one message to paho, which keeps payload until it is acknowledged.
func (s *session) publish(topic string, qos byte, retain bool, payload []byte) ack {
	if !s.guard.enter() {
		return unsent{}
	}
	defer s.guard.leave()
	return s.client.Publish(topic, qos, retain, payload)
}

// unsent is the ack of what found the connection ended.
type unsent struct{}

var closedChannel = func() chan struct{} { c := make(chan struct{}); close(c); return c }()

func (unsent) Done() <-chan struct{} { return closedChannel }
func (unsent) Error() error          { return net.ErrClosed }

// subscribe asks for filters at QoS 1; messages come through inbound. A refusal is an error of the
// ack.
func (s *session) subscribe(filters ...string) ack {
	if len(filters) == 0 {
		return granted{}
	}
	wanted := make(map[string]byte, len(filters))
	for _, f := range filters {
		wanted[f] = 1
	}
	if !s.guard.enter() {
		return unsent{}
	}
	defer s.guard.leave()
	return &subscription{s.client.SubscribeMultiple(wanted, nil).(*paho.SubscribeToken)}
}

// granted is the ack of a subscription to nothing.
type granted struct{}

func (granted) Done() <-chan struct{} { return closedChannel }
func (granted) Error() error          { return nil }

// subscription is an ack that knows of refused filters (code 0x80), which paho takes for success.
type subscription struct{ *paho.SubscribeToken }

func (s *subscription) Error() error {
	if err := s.SubscribeToken.Error(); err != nil {
		return err
	}
	for filter, code := range s.Result() {
		if code > 2 {
			return fmt.Errorf("broker refused the subscription to %s: check its access rules", filter)
		}
	}
	return nil
}

var errClosed = errors.New("closed")

// close says DISCONNECT, so that no last will is sent, and waits until paho's goroutines have
// ended. Of a connection that was lost or dropped nothing is sent any more.
func (s *session) close() {
	s.client.Disconnect(uint(closeGrace.Milliseconds()))
	if s.guard != nil {
		s.guard.drop(errClosed) // whatever still hangs on the network ends now
	}
	s.client.Disconnect(uint(writeTimeout.Milliseconds())) // returns when the first one's work is done
}

// abort ends the connection without DISCONNECT: the broker sends the last will.
func (s *session) abort(reason error) {
	s.guard.drop(reason)
	s.client.Disconnect(uint(writeTimeout.Milliseconds()))
}
