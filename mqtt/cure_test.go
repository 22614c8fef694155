package mqtt

import (
	"context"
	"crypto/x509"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"log/slog"
	"net"
	"os"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/eclipse/paho.mqtt.golang/packets"
)

// No error of connecting is told without what to try, whatever it is, and none that says it itself says it twice.
func TestEveryReasonHasItsCure(t *testing.T) {
	dial := func(err error) error {
		return &net.OpError{Op: "dial", Net: "tcp", Addr: &net.TCPAddr{IP: net.IPv4(192, 0, 2, 1), Port: 1883},
			Err: err}
	}
	alert := func(text string) error { return &net.OpError{Op: "remote error", Err: errors.New("tls: " + text)} }
	network := func(err error) error { return fmt.Errorf("%w : %w", packets.ErrorNetworkError, err) }
	for _, tt := range []struct {
		err  error
		want string
	}{
		{errors.New("unheard of"), "unheard of: correct mqtt.broker, or look into the broker's log"},
		{network(errors.New("received bad CONNACK")), "received bad CONNACK: correct mqtt.broker"},
		{dial(os.NewSyscallError("connect", syscall.EHOSTUNREACH)), "no way to 192.0.2.1:1883 (no route to host): see"},
		{dial(context.DeadlineExceeded), "192.0.2.1:1883 does not answer"},
		{dial(os.NewSyscallError("connect", syscall.ECONNREFUSED)), "connection refused: no broker listens there"},
		{&net.DNSError{Name: "b.invalid", IsNotFound: true}, "nobody knows the name b.invalid (no such host): " +
			"correct it"},
		{alert("protocol version not supported"), "no version or cipher of TLS in common"},
		{alert("handshake failure"), "no version or cipher of TLS in common"},
		{alert("unrecognized name"), "does not know the name in mqtt.broker"},
		{alert("no application protocol"), "8883"},
		{alert("internal error"), "look into its log"},
		{alert("alert(77)"), "ends TLS by this alert: look into its log"},
		{alert("certificate required"), "wants a client certificate"},
		{errors.New("tls: server selected unsupported protocol version 301"), "allow TLS 1.2 or newer"},
		{x509.CertificateInvalidError{Cert: &x509.Certificate{}, Reason: x509.NotAuthorizedToSign},
			"have a new one made"},
		{errLength, "malformed length: is that one of MQTT 3.1.1? Correct mqtt.broker"},
		{&fs.PathError{Op: "open", Path: "/x.pem", Err: fs.ErrNotExist}, "open /x.pem: file does not exist"},
		{errSilent, "does not acknowledge what it is sent: it has more to do"},
	} {
		c := Config{Broker: "ssl://b.invalid:8883"}
		got := c.reason(tt.err)
		if !strings.Contains(got, tt.want) || strings.Contains(got, "network Error") {
			t.Errorf("%v: %q, want …%s…", tt.err, got, tt.want)
		}
		if errors.Is(tt.err, errTold) && got != tt.err.Error() {
			t.Errorf("%v: twice told: %q", tt.err, got)
		}
	}
}

// Nor is one that ends a connection which stood.
func TestEveryLossHasItsCure(t *testing.T) {
	for _, tt := range []struct {
		err  error
		want string
	}{
		{io.EOF, "EOF: the broker has ended the connection"}, {errLength, "malformed length: is that"},
		{errors.New("pingresp not received, disconnecting"), "does not answer a ping"},
		{&net.OpError{Op: "read", Err: syscall.ETIMEDOUT}, "the network between is gone"},
		{&net.OpError{Op: "write", Err: syscall.ENETUNREACH}, "see this device's network"},
		{errors.New("unheard of"), "unheard of: look into the broker's log"},
	} {
		if got := after(tt.err); !strings.Contains(got, tt.want) {
			t.Errorf("%v: %q, want …%s…", tt.err, got, tt.want)
		}
	}
}

// A broker that takes the login and then acknowledges nothing is told long before it is given up, in log and health,
// and so is that it does again.
func TestSilentBroker(t *testing.T) {
	log := new(logs)
	l, err := NewLink(baseConfig("tcp://127.0.0.1:1"), testIdentity(), slog.New(slog.NewTextHandler(log, nil)))
	if err != nil {
		t.Fatal(err)
	}
	defer l.out.spool.Close()
	now := time.Now()
	waits := make(chan struct{})
	c := &sender{Link: l, began: now}
	c.tellSilent(now.Add(ackPatience/2), waits)
	if strings.Contains(log.String(), silent) {
		t.Error("told at once")
	}
	for range 2 {
		c.tellSilent(now.Add(ackPatience+time.Second), waits)
	}
	if got := l.Conditions()["broker"]; strings.Count(log.String(), silent) != 1 || got.Status != Degraded ||
		!strings.Contains(got.Reason, silentCure) || !strings.Contains(log.String(), "tcp://127.0.0.1:1") {
		t.Errorf("no subscription: %+v, %s", got, log)
	}
	c.tellSilent(now.Add(ackPatience+2*time.Second), nil)
	if got := l.Conditions()["broker"]; got.Status != OK || !strings.Contains(log.String(), "acknowledges again") {
		t.Errorf("again: %+v, %s", got, log)
	}
	c.flights = []flight{{since: now}}
	c.tellSilent(now.Add(ackPatience+3*time.Second), nil)
	if got := l.Conditions()["broker"]; got.Status != Degraded || strings.Count(log.String(), silent) != 2 {
		t.Errorf("no acknowledgement: %+v, %s", got, log)
	}
	if ackPatience >= ackTimeout {
		t.Error("told too late")
	}
}
