package mqtt

import (
	"bufio"
	"context"
	"crypto/sha1"
	"encoding/base64"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"runtime"
	"strings"
	"sync"
	"testing"
	"time"
)

// answering is a server that reads a request and lets say answer.
func answering(t *testing.T, say func(c net.Conn, r *http.Request)) *url.URL {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	var served sync.WaitGroup
	served.Go(func() {
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			served.Go(func() {
				defer c.Close()
				r, err := http.ReadRequest(bufio.NewReader(c))
				if err != nil {
					return
				}
				say(c, r)
			})
		}
	})
	t.Cleanup(func() { l.Close(); served.Wait() })
	u, err := ParseBroker("ws://" + l.Addr().String() + "/mqtt/?token=geheim")
	if err != nil {
		t.Fatal(err)
	}
	return u
}

// A server that never ends its answer to a websocket costs 64 KiB, whichever part of it has no end.
func TestEndlessAnswer(t *testing.T) {
	for name, endless := range map[string][2]string{
		"status line":  {"HTTP/1.1 101 ", "x"},
		"headers":      {"HTTP/1.1 101 Switching Protocols\r\n", "A: b\r\n"},
		"one header":   {"HTTP/1.1 101 Switching Protocols\r\nA: ", "b"},
		"other header": {"HTTP/1.1 101 Switching Protocols\r\n", "B123: " + strings.Repeat("c", 500) + "\r\n"},
		"folded":       {"HTTP/1.1 200 OK\r\nA: b\r\n", " c\r\n"},
		"no HTTP":      {"", "\x00"},
	} {
		u := answering(t, func(c net.Conn, _ *http.Request) {
			io.WriteString(c, endless[0])
			chunk := []byte(strings.Repeat(endless[1], 1+8192/len(endless[1])))
			for {
				if _, err := c.Write(chunk); err != nil {
					return
				}
			}
		})
		var before, after runtime.MemStats
		runtime.ReadMemStats(&before)
		c, err := dial(t.Context(), u, TLS{})
		runtime.ReadMemStats(&after)
		if err == nil {
			c.Close()
		}
		if err == nil || !strings.Contains(err.Error(), "65536 bytes") &&
			!strings.Contains(err.Error(), "does not speak HTTP") {
			t.Errorf("%s: %v", name, err)
		}
		if grown := after.TotalAlloc - before.TotalAlloc; grown > 4<<20 {
			t.Errorf("%s: cost %d bytes", name, grown)
		}
	}
}

// What is not a websocket is told by its HTTP status, with the path as it was written, and no
// secret of the address.
func TestNoWebsocket(t *testing.T) {
	for answer, want := range map[string]string{
		"HTTP/1.1 301 Moved Permanently\r\nLocation: /mqtt\r\n" +
			"Content-Length: 0\r\n\r\n": "HTTP status 301 to /mqtt/, the broker is elsewhere",
		"HTTP/1.1 404 Not Found\r\nContent-Length: 0\r\n\r\n": "HTTP status 404 to /mqtt/",
		"HTTP/1.1 101 Switching Protocols\r\n\r\n":            "opens no websocket for MQTT at this path",
		"220 mail.example.org ESMTP\r\n\r\n":                  "does not speak HTTP",
		"":                                                    "websocket: ",
	} {
		u := answering(t, func(c net.Conn, r *http.Request) {
			if r.URL.Path != "/mqtt/" {
				t.Errorf("asked for %s", r.URL.Path)
			}
			io.WriteString(c, answer)
		})
		c, err := dial(t.Context(), u, TLS{})
		if err == nil {
			c.Close()
			t.Errorf("%q was taken", answer)
		} else if !strings.Contains(err.Error(), want) || strings.Contains(err.Error(), "geheim") {
			t.Errorf("%q: %v, want %s", answer, err, want)
		}
	}
}

// A websocket that stands and is closed before a broker answers is told as that.
func TestClosedWebsocket(t *testing.T) {
	u := answering(t, func(c net.Conn, r *http.Request) {
		sum := sha1.Sum([]byte(r.Header.Get("Sec-WebSocket-Key") + "258EAFA5-E914-47DA-95CA-C5AB0DC85B11"))
		fmt.Fprintf(c, "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"+
			"Sec-WebSocket-Protocol: mqtt\r\nSec-WebSocket-Accept: %s\r\n\r\n\x88\x02\x03\xf0",
			base64.StdEncoding.EncodeToString(sum[:]))
	})
	cfg := Config{Broker: u.String(), TopicPrefix: "vggse"}
	if got := cfg.reason(Login(t.Context(), cfg, "edge")); !strings.Contains(got, "the websocket was opened, and "+
		"closed") ||
		strings.Contains(got, "write tcp://") || strings.Contains(got, "geheim") {
		t.Error(got)
	}
}

// A server that falls silent in the middle of its answer is left when the caller's time is over.
func TestSilentAnswer(t *testing.T) {
	u := answering(t, func(c net.Conn, _ *http.Request) {
		io.WriteString(c, "HTTP/1.1 101 Switching Protocols\r\nUpgrade: ")
		io.Copy(io.Discard, c)
	})
	ctx, cancel := context.WithTimeout(t.Context(), 50*time.Millisecond)
	defer cancel()
	if c, err := dial(ctx, u, TLS{}); err == nil {
		c.Close()
		t.Error("connected to nobody")
	}
}
