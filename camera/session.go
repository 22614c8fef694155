package camera

import (
	"bufio"
	"bytes"
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"net"
	"net/textproto"
	"os"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"time"
	"unicode"
)

// session is the video of an RTSP server on its way to a decoder in this process: its packets of RTP
// go into a pipe, each behind its length (RFC 4571). So one client speaks with the server whatever
// decodes, and the decoder has no connection that could hang.
type session struct {
	uri   *URI
	talk  *conversation
	conn  net.Conn // nil: packets come of themselves
	bound *bounded
	track track
	relay *relay

	channel  byte // of the video inside the connection
	rtp      *net.UDPConn
	rtcp     *net.UDPConn
	from     net.IP        // the server, of whom packets are taken; nil: of everybody
	lifetime time.Duration // of the session without a word from us
	spoke    time.Time     // when pump said one

	mu     sync.Mutex         // guards what follows
	cancel context.CancelFunc // of pump
	why    error              // the stream has ended
	closed bool
}

// begin asks for the video. Nothing flows yet. Errors are those of describe, and a movedError.
func (u *URI) begin(ctx context.Context) (*session, error) {
	conn, err := u.dial(ctx)
	if err != nil {
		return nil, err
	}
	s := u.sessionOn(conn)
	cancelled := context.AfterFunc(ctx, func() { conn.SetDeadline(time.Unix(1, 0)) })
	defer cancelled()
	s.patience()
	s.track, err = s.talk.describe()
	if err = s.talk.unheard(u.TLS, err); err != nil {
		conn.Close()
		return nil, talkError(ctx, err, false)
	}
	return s, nil
}

// await takes the packets that somebody sends to a port of ours.
func (u *URI) await(context.Context) (*session, error) {
	at, err := net.ResolveUDPAddr("udp", u.Target)
	if err != nil {
		return nil, unreached("the address to wait at", err)
	}
	s := &session{uri: u, track: track{codec: u.codec(), payload: anyPayload, clock: 90000}}
	if at.IP.IsMulticast() {
		s.rtp, err = net.ListenMulticastUDP("udp", nil, at)
	} else {
		s.rtp, err = net.ListenUDP("udp", at)
	}
	if err != nil {
		return nil, fmt.Errorf("%w: %w", ErrLost, listenError(u.Target, err))
	}
	s.rtp.SetReadBuffer(packetBuffer) //nolint:errcheck // what the system allows
	return s, nil
}

// listenError says why nobody can wait at a port of this machine.
func listenError(target string, err error) error {
	switch {
	case errors.Is(err, syscall.EADDRINUSE):
		return fmt.Errorf("another program of this machine waits at %s already (%w): end it, or choose another "+
			"port", target,
			syscall.EADDRINUSE)
	case errors.Is(err, syscall.EADDRNOTAVAIL):
		return fmt.Errorf("%s is no address of this machine (%w): write rtp://@:PORT for whatever comes to the port; "+
			"the sender's address is not needed", target, syscall.EADDRNOTAVAIL)
	case errors.Is(err, syscall.EACCES):
		return fmt.Errorf("this account may not wait at %s (%w): choose a port above 1023", target, syscall.EACCES)
	}
	return fmt.Errorf("nobody can wait at %s here (%w): choose another port or address", target, err)
}

// packetBuffer is for what comes by UDP while we do something else: a key frame, bytes.
const packetBuffer = 2 << 20

// sessionOn is a session that begins on a connection.
func (u *URI) sessionOn(conn net.Conn) *session {
	s := &session{uri: u, conn: conn, bound: &bounded{conn, talkLimit}, lifetime: sessionLifetime}
	s.talk = &conversation{
		uri: u.rtspScheme() + withoutZone(u.Target), user: u.User, password: u.Password, codec: u.Codec, sha256: true,
		opening: true, conn: conn, in: textproto.NewReader(bufio.NewReaderSize(s.bound, 1<<16)),
	}
	return s
}

// patience is for one answer of the server.
func (s *session) patience() { s.conn.SetDeadline(time.Now().Add(max(answerLimit, s.uri.Timeout))) }

// sessionLifetime is how long a server keeps a session where it does not say (RFC 2326, 12.37).
const sessionLifetime = 60 * time.Second

// setUp asks for the video inside this connection, or beside it where the camera wants that.
func (s *session) setUp(ctx context.Context) error {
	if s.conn == nil {
		return nil
	}
	cancelled := context.AfterFunc(ctx, func() { s.conn.SetDeadline(time.Unix(1, 0)) })
	defer cancelled()
	s.patience()
	err := error(errTransport)
	if !s.uri.UDP {
		err = s.setUpWith("RTP/AVP/TCP;unicast;interleaved=0-1")
	}
	first := err
	var bad *badTransport
	if errors.Is(err, errTransport) || errors.As(err, &bad) {
		if err := s.listen(); err != nil {
			return fmt.Errorf("%w: no ports are free for what the camera would send by UDP (%w): end what holds "+
				"them", ErrLost, err)
		}
		port := s.rtp.LocalAddr().(*net.UDPAddr).Port
		s.patience()
		if err = s.setUpWith(fmt.Sprintf("RTP/AVP;unicast;client_port=%d-%d", port, port+1)); err != nil && bad != nil {
			err = first
		} else if errors.Is(err, errTransport) && !s.uri.UDP {
			err = errNoTransport
		} else if errors.Is(err, errTransport) {
			err = errNoUDP
		}
	}
	return talkError(ctx, err, false)
}

// badTransport is an answer 400, by which some refuse the transport.
type badTransport struct{ error }

func (s *session) setUpWith(transport string) error {
	a, err := s.talk.do("SETUP", s.track.control, "Transport: "+transport)
	if a.status == 400 {
		return &badTransport{err}
	} else if err != nil {
		return err
	}
	id, rest, _ := strings.Cut(a.header.Get("Session"), ";")
	s.talk.session = strings.TrimSpace(id)
	if _, seconds, found := strings.Cut(rest, "timeout="); found {
		if n, err := strconv.Atoi(strings.TrimSpace(seconds)); err == nil && n > 0 {
			s.lifetime = min(time.Duration(n)*time.Second, sessionLifetime)
		}
	}
	for field := range strings.SplitSeq(a.header.Get("Transport"), ";") {
		if strings.EqualFold(strings.TrimSpace(field), "multicast") {
			return errMulticast
		}
		key, value, _ := strings.Cut(strings.TrimSpace(field), "=")
		first, second, _ := strings.Cut(value, "-")
		n, err := strconv.ParseUint(first, 10, 16)
		switch {
		case strings.EqualFold(key, "interleaved") && err == nil:
			s.channel = byte(n)
		case strings.EqualFold(key, "server_port") && err == nil && s.rtp != nil:
			s.greet(int(n), second)
		}
	}
	return nil
}

// listen takes two ports, one behind the other and the first even (RFC 3550, section 11).
func (s *session) listen() error {
	here := s.conn.LocalAddr().(*net.TCPAddr).IP
	s.from = s.conn.RemoteAddr().(*net.TCPAddr).IP
	var err error
	for range 64 {
		if s.rtp, err = net.ListenUDP("udp", &net.UDPAddr{IP: here}); err != nil {
			return err
		}
		port := s.rtp.LocalAddr().(*net.UDPAddr).Port
		if port%2 == 0 {
			if s.rtcp, err = net.ListenUDP("udp", &net.UDPAddr{IP: here, Port: port + 1}); err == nil {
				s.rtp.SetReadBuffer(packetBuffer) //nolint:errcheck // what the system allows
				return nil
			}
		}
		s.rtp.Close()
	}
	return errors.Join(err, errors.New("no two ports are free"))
}

// greet sends a first packet from each port, for the sake of firewalls between.
func (s *session) greet(port int, second string) {
	control := port + 1
	if n, err := strconv.Atoi(second); err == nil {
		control = n
	}
	s.rtp.WriteToUDP([]byte{0x80, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0}, &net.UDPAddr{IP: s.from, Port: port})
	s.rtcp.WriteToUDP(receiverReport, &net.UDPAddr{IP: s.from, Port: control})
}

// receiverReport is an empty one (RFC 3550, section 6.4.2).
var receiverReport = []byte{0x80, 201, 0, 1, 0, 0, 0, 1}

// pump plays the video into the decoder's pipe until it ends, by itself or by end. It is for a
// goroutine of its own.
func (s *session) pump() {
	defer s.relay.finish()
	ctx, cancel := context.WithCancel(context.Background())
	defer cancel()
	s.mu.Lock()
	s.cancel = cancel
	s.mu.Unlock()
	err := s.play()
	var moved *movedError
	for hop := 0; hop < hopLimit && errors.As(err, &moved); hop++ {
		if err = s.follow(ctx, moved.to); err == nil {
			err = s.play()
		}
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.why == nil {
		s.why = err
	}
}

func (s *session) play() error {
	if s.conn != nil {
		s.patience()
		s.spoke = time.Now()
		s.mu.Lock()
		err := s.sendPlay()
		s.mu.Unlock()
		if err != nil {
			return err
		}
	}
	if s.rtp != nil {
		return s.fromSockets()
	}
	return s.fromConnection()
}

// follow goes where the server has sent a session that the decoder waits for, or plays already: the
// video of the new place must be of the same kind.
func (s *session) follow(ctx context.Context, to string) error {
	moved := *s.uri
	if err := moved.moveTo(to); err != nil {
		return err
	}
	next, err := moved.begin(ctx)
	if err != nil {
		return err
	}
	if next.track.codec != s.track.codec || next.track.clock != s.track.clock {
		next.end()
		return fmt.Errorf("the server sends us elsewhere, to %s, whose video is %.20q and not as before: give that "+
			"address", Redact(to), next.track.codec)
	}
	if err := next.setUp(ctx); err != nil {
		next.end()
		return err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.closed {
		next.end()
		return net.ErrClosed
	}
	s.hangUp()
	s.uri, s.talk, s.conn, s.bound = &moved, next.talk, next.conn, next.bound
	s.channel, s.rtp, s.rtcp, s.from, s.lifetime = next.channel, next.rtp, next.rtcp, next.from, next.lifetime
	s.relay.restart(next.track.payload)
	return nil
}

// signOfLife is a request that every server knows, also those that end the connection at others.
const signOfLife = "OPTIONS"

func (s *session) send(method string) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.conn.SetWriteDeadline(time.Now().Add(answerLimit))
	return s.talk.send(method, s.talk.base)
}

// fromConnection reads packets between answers (RFC 2326, section 10.12).
func (s *session) fromConnection() error {
	in := s.talk.in.R
	packet := make([]byte, 2+1<<16)
	for flowing := false; ; {
		s.bound.left = talkLimit
		mark, err := in.Peek(1)
		switch {
		case err != nil:
			return err
		case mark[0] != '$':
			if err := s.answered(flowing); err != nil {
				return err
			}
			continue
		}
		var head [4]byte
		if _, err := io.ReadFull(in, head[:]); err != nil {
			return err
		}
		n := int(binary.BigEndian.Uint16(head[2:]))
		copy(packet, head[2:])
		if _, err := io.ReadFull(in, packet[2:2+n]); err != nil {
			return err
		}
		if head[1] != s.channel {
			continue
		}
		flowing, s.talk.opening = true, false
		now := time.Now()
		s.conn.SetReadDeadline(now.Add(s.uri.silence()))
		if err := s.relay.pass(packet[:2+n], now); err != nil {
			return err
		}
		if now.Sub(s.spoke) > s.lifetime/3 {
			s.spoke = now
			if err := s.send(signOfLife); err != nil {
				return err
			}
		}
	}
}

// answered takes an answer that comes among packets, or a request of the server, which is answered in
// its turn. What is neither is passed over, a byte at a time.
func (s *session) answered(flowing bool) error {
	in := s.talk.in.R
	start, err := in.Peek(5)
	if err != nil {
		return err
	}
	if !strings.EqualFold(string(start), "RTSP/") {
		there, _ := in.Peek(min(in.Buffered(), requestLimit))
		line, _, whole := bytes.Cut(there, []byte("\r\n"))
		if whole && bytes.HasSuffix(line, []byte(" RTSP/1.0")) && !bytes.ContainsFunc(line, unicode.IsControl) {
			return s.requested()
		}
		_, err := in.Discard(1)
		return err
	}
	a, err := s.talk.receive("PLAY")
	s.mu.Lock()
	defer s.mu.Unlock()
	switch {
	case flowing: // to a sign of life any answer will do
		if next, bad := choose(a.header.Values("WWW-Authenticate"), true); a.status == 401 && bad == nil {
			s.talk.challenge = next
		}
		if a.status != 0 {
			return nil
		}
	case s.talk.mends(a):
		return s.sendPlay()
	case err == nil:
		s.conn.SetReadDeadline(time.Now().Add(max(firstFrameLimit, s.uri.Timeout)))
	}
	return err
}

// sendPlay asks for the video; mu is held.
func (s *session) sendPlay() error {
	s.conn.SetWriteDeadline(time.Now().Add(answerLimit))
	return s.talk.sendPlay(s.talk.base)
}

// requestLimit is how long the first line of a server's request may be, bytes.
const requestLimit = 512

// requested takes a request of the server.
func (s *session) requested() error {
	line, err := s.talk.in.ReadLine()
	if err != nil {
		return err
	}
	header, err := s.talk.header()
	if err != nil {
		return err
	}
	if n, err := strconv.ParseUint(header.Get("Content-Length"), 10, 16); err == nil {
		if _, err := s.talk.in.R.Discard(int(n)); err != nil {
			return err
		}
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.conn.SetWriteDeadline(time.Now().Add(answerLimit))
	_, err = fmt.Fprintf(s.conn, "RTSP/1.0 200 OK\r\nCSeq: %.20s\r\n\r\n", header.Get("CSeq"))
	if to := header.Get("Location"); err == nil && to != "" && strings.HasPrefix(line, "REDIRECT ") {
		return &movedError{to} // RFC 2326, section 10.10
	}
	return err
}

// fromSockets reads packets that come by UDP.
func (s *session) fromSockets() error {
	packet := make([]byte, 2+1<<16)
	last, alive := time.Now().Add(max(firstFrameLimit, s.uri.Timeout)-s.uri.silence()), time.Now()
	for {
		s.rtp.SetReadDeadline(time.Now().Add(100 * time.Millisecond))
		n, from, err := s.rtp.ReadFromUDP(packet[2:])
		now := time.Now()
		switch {
		case err == nil && n >= 12 && (s.from == nil || from.IP.Equal(s.from)):
			last = now
			if s.talk != nil {
				s.talk.opening = false
			}
			binary.BigEndian.PutUint16(packet, uint16(n))
			if err := s.relay.pass(packet[:2+n], now); err != nil {
				return err
			}
		case err != nil && !errors.Is(err, os.ErrDeadlineExceeded):
			return err
		case now.Sub(last) > s.uri.silence():
			return os.ErrDeadlineExceeded
		}
		if s.conn == nil || now.Sub(alive) < time.Second {
			continue
		}
		alive = now
		if err := s.listens(); err != nil {
			return err
		}
	}
}

// listens looks whether the server of a stream beside the connection still has it, and shows it that
// somebody does.
func (s *session) listens() error {
	s.bound.left = talkLimit
	s.conn.SetReadDeadline(time.Now().Add(time.Millisecond))
	for {
		if _, err := s.talk.in.R.Peek(1); errors.Is(err, os.ErrDeadlineExceeded) {
			break
		} else if err != nil {
			return err
		}
		s.patience()
		if err := s.answered(s.relay.started.Load()); err != nil {
			return err
		}
		s.conn.SetReadDeadline(time.Now().Add(time.Millisecond))
	}
	if now := time.Now(); now.Sub(s.spoke) > s.lifetime/3 {
		s.spoke = now
		return s.send(signOfLife)
	}
	return nil
}

// failure is why the stream has ended; nil while nobody knows.
func (s *session) failure(ctx context.Context) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.why == nil {
		return nil
	}
	if errors.Is(s.why, os.ErrDeadlineExceeded) && s.relay.started.Load() {
		return fmt.Errorf("%w: no packet of the video for %.1f s: see whether the camera still runs, and the network; "+
			"#timeout= gives it more time", ErrStalled, s.uri.silence().Seconds())
	}
	if errors.Is(s.why, os.ErrDeadlineExceeded) && s.conn == nil {
		return fmt.Errorf("%w: nobody sends to %s: let the sender send to this port of this machine, and see whether "+
			"a firewall stands between", ErrStalled, s.uri.Target)
	}
	if s.talk != nil && s.talk.opening && ended(s.why) {
		return talkError(ctx, &stepError{"PLAY", s.why}, true)
	}
	return talkError(ctx, s.why, true)
}

// end says good-bye to the server and ends pump. It may be called twice.
func (s *session) end() {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.closed {
		return
	}
	s.closed = true
	if s.cancel != nil {
		s.cancel()
	}
	s.hangUp()
}

// hangUp ends the connections.
func (s *session) hangUp() {
	if s.conn != nil {
		s.conn.SetWriteDeadline(time.Now().Add(time.Second / 2))
		if s.talk.session != "" {
			s.talk.send("TEARDOWN", s.talk.base)
		}
		s.conn.Close()
	}
	if s.rtp != nil {
		s.rtp.Close()
	}
	if s.rtcp != nil {
		s.rtcp.Close()
	}
}
