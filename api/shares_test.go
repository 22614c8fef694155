package api

import (
	"context"
	"io"
	"net"
	"testing"
	"time"
)

// farListener shows each 127.0.0.N as 192.0.2.N, a host that is not this one.
type farListener struct{ net.Listener }

type farConn struct {
	net.Conn
	remote net.Addr
}

func (c farConn) RemoteAddr() net.Addr { return c.remote }

func (l farListener) Accept() (net.Conn, error) {
	conn, err := l.Listener.Accept()
	if err != nil {
		return nil, err
	}
	from := *conn.RemoteAddr().(*net.TCPAddr)
	from.IP = net.IPv4(192, 0, 2, from.IP.To4()[3])
	return farConn{conn, &from}, nil
}

// TestNoHostKeepsTheOthersOut opens more idle connections from one host than its share: it keeps that,
// another host is answered, and what the first gives back it may open again.
func TestNoHostKeepsTheOthersOut(t *testing.T) {
	for name, c := range map[string]struct {
		wrap  func(net.Listener) net.Listener
		share int
	}{
		"far":      {func(l net.Listener) net.Listener { return farListener{l} }, hostShare},
		"loopback": {func(l net.Listener) net.Listener { return l }, loopbackShare},
	} {
		t.Run(name, func(t *testing.T) {
			inner, err := net.Listen("tcp", "127.0.0.1:0")
			if err != nil {
				t.Fatal(err)
			}
			s, err := newServer(Config{}, Build{}, &fakeAgent{}, c.wrap(inner))
			if err != nil {
				t.Fatal(err)
			}
			ctx, cancel := context.WithCancel(t.Context())
			done := make(chan error)
			go func() { done <- s.Run(ctx) }()
			defer func() { cancel(); <-done }()

			flood := make([]net.Conn, 0, c.share+20)
			for range cap(flood) {
				flood = append(flood, dialFrom(t, 2, s.Address()))
			}
			kept := 0
			for _, conn := range flood {
				if answers(conn) {
					kept++
				}
			}
			if kept != c.share {
				t.Errorf("one host keeps %d connections of %d, want %d", kept, len(flood), c.share)
			}
			if name == "far" && !answers(dialFrom(t, 3, s.Address())) {
				t.Error("another host is not answered")
			}
			for _, conn := range flood {
				conn.Close()
			}
			for end := time.Now().Add(time.Minute); ; {
				conn := dialFrom(t, 2, s.Address())
				if answers(conn) {
					break
				}
				conn.Close()
				if time.Now().After(end) {
					t.Fatal("the host that closed its connections is still refused")
				}
			}
		})
	}
}

func dialFrom(t *testing.T, host byte, address string) net.Conn {
	t.Helper()
	from := net.Dialer{LocalAddr: &net.TCPAddr{IP: net.IPv4(127, 0, 0, host)}}
	conn, err := from.Dial("tcp", address)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { conn.Close() })
	return conn
}

// answers asks over a connection that stays open.
func answers(conn net.Conn) bool {
	conn.SetDeadline(time.Now().Add(time.Minute))
	if _, err := io.WriteString(conn, "GET /healthz HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n"); err != nil {
		return false
	}
	head := make([]byte, len("HTTP/1.1 "))
	_, err := io.ReadFull(conn, head)
	return err == nil && string(head) == "HTTP/1.1 "
}

// TestHostOf: who has many addresses has one share.
func TestHostOf(t *testing.T) {
	for _, c := range []struct {
		one, other string
		same       bool
	}{
		{"192.0.2.1:1", "192.0.2.1:2", true},
		{"192.0.2.1:1", "192.0.2.2:1", false},
		{"192.0.2.1:1", "[::ffff:192.0.2.1]:1", true},
		{"[2001:db8::1]:1", "[2001:db8::2:3:4:5]:1", true},
		{"[2001:db8::1]:1", "[2001:db8:0:1::1]:1", false},
		{"[fe80::1%a]:1", "[fe80::2%b]:1", true},
		{"127.0.0.1:1", "[::1]:1", true},
		{"127.0.0.1:1", "127.9.9.9:1", true},
		{"127.0.0.1:1", "[2001:db8::1]:1", false},
	} {
		one, _ := hostOf(address(c.one))
		other, _ := hostOf(address(c.other))
		if one == other != c.same {
			t.Errorf("%s is %v, %s is %v: one host %t, want %t", c.one, one, c.other, other, !c.same, c.same)
		}
	}
}

type address string

func (address) Network() string  { return "tcp" }
func (a address) String() string { return string(a) }
