package mqtt

import (
	"context"
	"crypto/tls"
	"fmt"
	"math"
	"net"
	"net/url"
	"regexp"
	"strings"
	"syscall"
	"time"

	"golang.org/x/net/websocket"

	"github.com/vggse/vggse-agent/internal/pemfile"
	"github.com/vggse/vggse-agent/internal/redact"
)

const (
	dialTimeout = 15 * time.Second // TCP, TLS, websocket and CONNACK together
	userTimeout = 15 * time.Second // unacknowledged bytes for so long: the peer is dead
)

// dial opens the byte stream that MQTT runs on. No proxy of the environment is ever used.
func dial(ctx context.Context, u *url.URL, files TLS) (net.Conn, error) {
	ctx, cancel := context.WithTimeout(ctx, dialTimeout)
	defer cancel()
	d := &net.Dialer{Control: func(_, _ string, c syscall.RawConn) error { return setUserTimeout(c, userTimeout) }}
	var secure *tls.Config
	if u.Scheme == "ssl" || u.Scheme == "wss" {
		var err error
		if secure, err = files.load(u.Hostname()); err != nil {
			return nil, err
		}
	}
	switch u.Scheme {
	case "tcp":
		return d.DialContext(ctx, "tcp", u.Host)
	case "ssl":
		return (&tls.Dialer{NetDialer: d, Config: secure}).DialContext(ctx, "tcp", u.Host)
	}
	conn, err := d.DialContext(ctx, "tcp", u.Host)
	if err != nil {
		return nil, err
	}
	if secure != nil {
		over := tls.Client(conn, secure)
		if err := over.HandshakeContext(ctx); err != nil {
			conn.Close()
			return nil, err
		}
		conn = over
	}
	ws, err := upgrade(ctx, conn, u)
	if err != nil {
		conn.Close()
		return nil, err
	}
	return ws, nil
}

// upgrade makes a connection a websocket. What the server says before that has a limit.
func upgrade(ctx context.Context, conn net.Conn, u *url.URL) (net.Conn, error) {
	stop := context.AfterFunc(ctx, func() { conn.Close() })
	hello := &bounded{Conn: conn, left: helloLimit}
	ws, err := websocket.NewClient(&websocket.Config{
		Location: u, Origin: &url.URL{Scheme: "http", Host: u.Host}, Protocol: []string{"mqtt"},
		Version: websocket.ProtocolVersionHybi13,
	}, hello)
	if !stop() {
		return nil, ctx.Err()
	}
	if err != nil {
		return nil, hello.explain(err, u)
	}
	hello.left = math.MaxInt64
	ws.PayloadType = websocket.BinaryFrame
	return ws, nil
}

// helloLimit is how many bytes a server may say before the websocket stands.
const helloLimit = 64 << 10

// bounded is a connection that may not bring more than left bytes; it remembers the first line.
type bounded struct {
	net.Conn
	left int64
	line []byte // at most 64 bytes of it
}

var errHello = fmt.Errorf("the server's answer is longer than %d bytes: is that a broker?", helloLimit)

func (b *bounded) Read(p []byte) (int, error) {
	if b.left <= 0 {
		return 0, errHello
	}
	n, err := b.Conn.Read(p[:min(int64(len(p)), b.left)])
	if b.left != math.MaxInt64 {
		b.left -= int64(n)
		b.line = append(b.line, p[:min(n, 64-len(b.line))]...)
	}
	return n, err
}

var httpStatus = regexp.MustCompile(`^HTTP/1\.[01] ([1-5]\d\d)\b`)

// explain says what a server has answered that did not open a websocket.
func (b *bounded) explain(err error, u *url.URL) error {
	status := httpStatus.FindSubmatch(b.line)
	switch {
	case b.left <= 0:
		return errHello
	case status == nil && len(b.line) > 0:
		return fmt.Errorf("the server does not speak HTTP: for a broker without websockets write tcp:// or ssl:// (%w)",
			err)
	case status == nil:
		return fmt.Errorf("websocket: %w", err)
	case string(status[1]) == "101":
		return fmt.Errorf("the server opens no websocket for MQTT at this path (%w): check the path in "+
			"mqtt.broker", err)
	}
	path, _, _ := strings.Cut(u.EscapedPath(), ";")
	path = redact.Text(path)
	switch code := string(status[1]); code {
	case "401", "407", "403":
		return fmt.Errorf("the server answers HTTP status %s to %s: what stands before the broker wants a login of "+
			"its own, which is not given here: let mqtt.broker name the broker itself, or a path without "+
			"one", code, path)
	case "301", "302", "303", "307", "308":
		return fmt.Errorf("the server answers HTTP status %s to %s, the broker is elsewhere: write that address, as "+
			"wss://, in mqtt.broker", code, path)
	case "429", "500", "502", "503", "504":
		return fmt.Errorf("the server answers HTTP status %s to %s: the broker behind it is away or busy: look into "+
			"the logs of both, and check the path in mqtt.broker", code, path)
	default:
		return fmt.Errorf("the server answers HTTP status %s to %s: check the path in mqtt.broker", code, path)
	}
}

// load reads the PEM files into a client configuration that checks the broker's name, at TLS 1.2 or
// newer.
func (t *TLS) load(host string) (*tls.Config, error) {
	c := &tls.Config{MinVersion: tls.VersionTLS12, ServerName: host}
	if t.CA != "" {
		var err error
		if c.RootCAs, err = pemfile.Pool(t.CA); err != nil {
			return nil, fmt.Errorf("mqtt.tls.ca: %w", err)
		}
	}
	if t.Cert != "" {
		pair, err := t.pair()
		if err != nil {
			return nil, err
		}
		c.Certificates = []tls.Certificate{pair}
	}
	return c, nil
}

// pair reads the client certificate and its key; the error names the setting.
func (t *TLS) pair() (tls.Certificate, error) {
	return pemfile.Pair(t.Cert, t.Key, [2]string{"mqtt.tls.cert", "mqtt.tls.key"})
}
