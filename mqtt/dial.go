package mqtt

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"fmt"
	"net"
	"net/url"
	"os"
	"syscall"
	"time"

	"golang.org/x/net/websocket"
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
	origin := &url.URL{Scheme: "http", Host: u.Host}
	ws, err := (&websocket.Config{
		Location: u, Origin: origin, Protocol: []string{"mqtt"}, Version: websocket.ProtocolVersionHybi13,
		TlsConfig: secure, Dialer: d,
	}).DialContext(ctx)
	if err != nil {
		return nil, err
	}
	ws.PayloadType = websocket.BinaryFrame
	return ws, nil
}

// load reads the PEM files into a client configuration that checks the broker's name, at TLS 1.2 or
// newer.
func (t *TLS) load(host string) (*tls.Config, error) {
	c := &tls.Config{MinVersion: tls.VersionTLS12, ServerName: host}
	if t.CA != "" {
		pem, err := os.ReadFile(t.CA)
		if err != nil {
			return nil, fmt.Errorf("mqtt.tls.ca: %w", err)
		}
		c.RootCAs = x509.NewCertPool()
		if !c.RootCAs.AppendCertsFromPEM(pem) {
			return nil, fmt.Errorf("mqtt.tls.ca: %s holds no PEM certificate", t.CA)
		}
	}
	if t.Cert != "" {
		pair, err := tls.LoadX509KeyPair(t.Cert, t.Key)
		if err != nil {
			return nil, fmt.Errorf("mqtt.tls.cert: %w", err)
		}
		c.Certificates = []tls.Certificate{pair}
	}
	return c, nil
}
