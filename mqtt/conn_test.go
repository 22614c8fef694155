package mqtt

import (
	"bytes"
	"context"
	"errors"
	"io"
	"net"
	"strings"
	"testing"
	"time"

	"github.com/eclipse/paho.mqtt.golang/packets"
)

// wire is a net.Conn that has already received all that it will.
type wire struct {
	net.Conn
	in     *bytes.Reader
	step   int // bytes of one read
	closed bool
}

func (w *wire) Read(p []byte) (int, error)       { return w.in.Read(p[:min(len(p), w.step)]) }
func (w *wire) Write(p []byte) (int, error)      { return len(p), nil }
func (w *wire) Close() error                     { w.closed = true; return nil }
func (w *wire) SetWriteDeadline(time.Time) error { return nil }

func TestGuard(t *testing.T) {
	publish := packets.NewControlPacket(packets.Publish).(*packets.PublishPacket)
	publish.TopicName, publish.Payload = "a/b", bytes.Repeat([]byte("x"), 300)
	var fine bytes.Buffer
	publish.Write(&fine)
	for name, c := range map[string]struct {
		in   []byte
		fail string
	}{
		"publish":        {in: fine.Bytes()},
		"pingresp":       {in: []byte{0xd0, 0}},
		"suback for two": {in: []byte{0x90, 4, 0, 1, 1, 1}},
		"suback for one": {in: []byte{0x90, 3, 0, 1, 1}, fail: "1 filters where 2"},
		"suback for six": {in: []byte{0x90, 8, 0, 1, 1, 1, 1, 1, 1, 1}, fail: "6 filters where 2"},
		"256 MB":         {in: []byte{0x30, 0xff, 0xff, 0xff, 0x7f}, fail: "268435455 bytes"},
		"length":         {in: []byte{0x30, 0xff, 0xff, 0xff, 0xff, 1}, fail: "malformed length"},
	} {
		for _, step := range []int{1, 2, 3, 1000} {
			w := &wire{in: bytes.NewReader(append(fine.Bytes(), c.in...)), step: step}
			g := newGuardedConn(w, inboxLimit)
			subscribe := packets.NewControlPacket(packets.Subscribe).(*packets.SubscribePacket)
			subscribe.Topics, subscribe.Qoss = []string{"a", strings.Repeat("b", 200)}, []byte{1, 1}
			subscribe.Write(g)
			got, err := io.ReadAll(g)
			switch {
			case c.fail == "" && (err != nil || len(got) != fine.Len()+len(c.in)):
				t.Errorf("%s, %d at once: %v after %d bytes", name, step, err, len(got))
			case c.fail != "" && (err == nil || !strings.Contains(err.Error(), c.fail) || !w.closed):
				t.Errorf("%s, %d at once: got %v, want %q", name, step, err, c.fail)
			}
		}
	}
}

func TestGuardDrop(t *testing.T) {
	here, there := net.Pipe()
	defer there.Close()
	g := newGuardedConn(here, inboxLimit)
	why := errors.New("because")
	go g.drop(why)
	if _, err := g.Read(make([]byte, 1)); err != why {
		t.Errorf("got %v", err)
	}
	if g.enter() {
		t.Error("paho may still be called")
	}
}

// FuzzInbound lets paho's decoder read foreign bytes through the guard: no panic, and no allocation
// beyond the limit.
func FuzzInbound(f *testing.F) {
	f.Add([]byte{0x30, 0xff, 0xff, 0xff, 0x7f})
	f.Add([]byte{0x20, 2, 0, 0, 0x90, 3, 0, 1, 1, 0x40, 2, 0, 1})
	f.Add([]byte{0x32, 7, 0, 3, 'a', '/', 'b', 0, 1})
	f.Fuzz(func(t *testing.T, in []byte) {
		g := newGuardedConn(&wire{in: bytes.NewReader(in), step: 7}, inboxLimit)
		g.codes.Store(1)
		for {
			p, err := packets.ReadPacket(g)
			if err != nil {
				return
			}
			if s, ok := p.(*packets.SubackPacket); ok && len(s.ReturnCodes) != 1 {
				t.Fatalf("SUBACK with %d codes", len(s.ReturnCodes))
			}
			if s, ok := p.(*packets.PublishPacket); ok && len(s.Payload) > inboxLimit {
				t.Fatalf("PUBLISH with %d bytes", len(s.Payload))
			}
		}
	})
}

// A hostile broker: it accepts the client, then sends what paho cannot stand. The link survives,
// says so, and connects again.
func TestHostileBroker(t *testing.T) {
	for name, poison := range map[string][]byte{
		"256 MB":        {0x30, 0xff, 0xff, 0xff, 0x7f},
		"SUBACK":        {0x90, 8, 0, 1, 1, 1, 1, 1, 1, 1},
		"unknown":       {0xf0, 0},
		"empty publish": {0x30, 0},
		"CONNACK again": {0x20, 2, 0, 0, 0x20, 2, 0, 5, 0x00, 0},
	} {
		l, err := net.Listen("tcp", "127.0.0.1:0")
		if err != nil {
			t.Fatal(err)
		}
		met := make(chan struct{}, 100)
		served := make(chan struct{})
		go func() {
			defer close(served)
			for {
				c, err := l.Accept()
				if err != nil {
					return
				}
				packets.ReadPacket(c) // CONNECT
				c.Write([]byte{0x20, 2, 0, 0})
				packets.ReadPacket(c)
				c.Write(poison)
				io.Copy(io.Discard, c)
				c.Close()
				met <- struct{}{}
			}
		}()
		link, err := NewLink(testConfig("tcp://"+l.Addr().String()), testIdentity(), quiet())
		if err != nil {
			t.Fatal(err)
		}
		ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
		done := make(chan struct{})
		go func() { defer close(done); link.Run(ctx) }()
		for range 2 {
			select {
			case <-met:
			case <-ctx.Done():
				t.Errorf("%s: the connection was not given up", name)
			}
		}
		cancel()
		<-done
		l.Close()
		<-served
	}
}
