package mqtt

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"sync"
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
		"256 MB":         {in: []byte{0x40, 0xff, 0xff, 0xff, 0x7f}, fail: "268435455 bytes"},
		"topic too long": {in: []byte{0x32, 0x81, 0x80, 0x04, 0xff, 0xff}, fail: "malformed length"},
		"length":         {in: []byte{0x30, 0xff, 0xff, 0xff, 0xff, 1}, fail: "malformed length"},
	} {
		for _, step := range []int{1, 2, 3, 1000} {
			in := append(fine.Bytes(), c.in...)
			if name == "topic too long" {
				in = append(in, make([]byte, 65538)...)
			}
			w := &wire{in: bytes.NewReader(in), step: step}
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

// A message that is too long is read past, at no cost of memory, acknowledged where it has a QoS,
// and told; what stands before and behind it is passed on whole.
func TestGuardPassesOver(t *testing.T) {
	small := packets.NewControlPacket(packets.Publish).(*packets.PublishPacket)
	small.TopicName, small.Payload = "a/b", []byte("here")
	var fine bytes.Buffer
	small.Write(&fine)
	for _, length := range []int{inboxLimit + 1, 200_000, 100 << 20} {
		for qos := range byte(3) {
			head := packets.NewControlPacket(packets.Publish).(*packets.PublishPacket)
			head.TopicName, head.Qos, head.MessageID, head.Retain = "homeassistant/status", qos, 0x1234, true
			var b bytes.Buffer
			head.Write(&b)
			rest := b.Bytes()[2:]
			long := []byte{b.Bytes()[0], byte(length) | 0x80, byte(length>>7) | 0x80, byte(length>>14) | 0x80,
				byte(length >> 21)}
			in := io.MultiReader(bytes.NewReader(fine.Bytes()), bytes.NewReader(append(long, rest...)),
				io.LimitReader(zeros{}, int64(length-len(rest))), bytes.NewReader(fine.Bytes()))
			w := &stream{in: in}
			g := newGuardedConn(w, inboxLimit)
			var told []string
			g.tooLong = func(topic string, length int, past bool) {
				told = append(told, fmt.Sprint(topic, length, past))
			}
			var before, after runtime.MemStats
			runtime.ReadMemStats(&before)
			got, err := io.ReadAll(g)
			runtime.ReadMemStats(&after)
			if err != nil || !bytes.Equal(got, append(fine.Bytes(), fine.Bytes()...)) {
				t.Fatalf("%d bytes, QoS %d: %v, passed on %q", length, qos, err, got)
			}
			if grown := after.TotalAlloc - before.TotalAlloc; grown > 1<<20 {
				t.Errorf("%d bytes cost %d", length, grown)
			}
			answer := []byte{0x40, 2, 0x12, 0x34}
			if qos == 0 {
				answer = nil
			}
			if !bytes.Equal(w.out.Bytes(), answer) {
				t.Errorf("QoS %d: answered % x", qos, w.out.Bytes())
			}
			if want := []string{fmt.Sprint("homeassistant/status", length, false),
				fmt.Sprint("homeassistant/status", length, true)}; !slices.Equal(told, want) {
				t.Errorf("told %q", told)
			}
		}
	}
}

// zeros never end.
type zeros struct{}

func (zeros) Read(p []byte) (int, error) { clear(p); return len(p), nil }

// stream is a net.Conn that reads from in and remembers what was written.
type stream struct {
	net.Conn
	in  io.Reader
	out bytes.Buffer
}

func (s *stream) Read(p []byte) (int, error)       { return s.in.Read(p) }
func (s *stream) Write(p []byte) (int, error)      { return s.out.Write(p) }
func (s *stream) Close() error                     { return nil }
func (s *stream) SetWriteDeadline(time.Time) error { return nil }

// Messages beyond the limit, retained on every topic that the agent listens to, keep nobody off:
// results flow, commands are answered, and each topic is named once.
func TestLargeRetained(t *testing.T) {
	m := startMosquitto(t)
	file := filepath.Join(t.TempDir(), "large")
	if err := os.WriteFile(file, make([]byte, 200_000), 0o600); err != nil {
		t.Fatal(err)
	}
	topics := []string{"homeassistant/status", "vggse/edge01/command", "vggse/edge01/cam01/enabled/set",
		"vggse/edge01/cam02/threshold/set"}
	for _, topic := range topics {
		out, err := exec.Command(needMosquitto(t, "mosquitto_pub"), "-p", fmt.Sprint(m.port), "-q", "1", "-r", "-t",
			topic, "-f", file).CombinedOutput()
		if err != nil {
			t.Fatalf("%v: %s", err, out)
		}
	}
	e := listen(t, m.port)
	cfg := testConfig(m.url())
	cfg.Commands.Allow = Commands
	told := new(logs)
	l, err := NewLink(cfg, testIdentity(), slog.New(slog.NewTextHandler(told, nil)))
	if err != nil {
		t.Fatal(err)
	}
	l.Handle(&clerk{link: l})
	start(t, l)
	eventually(t, hang, "read past all", func() bool { return l.missed.Load() == uint64(len(topics)) })
	pub(t, m, "command", order("1", "reload", "{}", 0))
	eventually(t, hang, "answered", func() bool {
		return strings.Contains(e.last("vggse/edge01/command/response"), `"status":"ok"`)
	})
	if text := told.String(); strings.Contains(text, "broker lost") ||
		strings.Count(text, "passed over") != len(topics) {
		t.Errorf("the log says %s", text)
	}
	for _, topic := range topics {
		if !strings.Contains(told.String(), "topic="+topic) {
			t.Errorf("the log does not name %s", topic)
		}
	}
}

// A message so long that the connection is lost before it is read: after the third time its
// subscription is left out, and the connection stays.
func TestEndlessRetained(t *testing.T) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	type round struct {
		filters int
		stays   bool
	}
	rounds := make(chan round, 100)
	var served sync.WaitGroup
	served.Go(func() {
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			packets.ReadPacket(c) // CONNECT
			c.Write([]byte{0x20, 2, 0, 0})
			var asked *packets.SubscribePacket
			for asked == nil {
				p, err := packets.ReadPacket(c)
				if err != nil {
					break
				}
				asked, _ = p.(*packets.SubscribePacket)
			}
			if asked != nil && slices.Contains(asked.Topics, "homeassistant/status") {
				c.Write(append([]byte{0x31, 0xff, 0xff, 0xff, 0x7f, 0, 20}, "homeassistant/status and no end"...))
				time.Sleep(20 * time.Millisecond)
				c.Close()
				rounds <- round{len(asked.Topics), false}
				continue
			}
			if asked != nil {
				rounds <- round{len(asked.Topics), true}
			}
			io.Copy(io.Discard, c)
			c.Close()
		}
	})
	told := new(logs)
	link, err := NewLink(baseConfig("tcp://"+l.Addr().String()), testIdentity(),
		slog.New(slog.NewTextHandler(told, nil)))
	if err != nil {
		t.Fatal(err)
	}
	stop := start(t, link)
	lost := 0
	for got := range rounds { // of a reset connection perhaps not even the topic arrives: it does not count
		if got.filters == 0 {
			t.Error("all subscriptions are left out")
		}
		if got.stays {
			break
		}
		lost++
	}
	if lost < strikes {
		t.Errorf("left out after %d connections", lost)
	}
	stop()
	l.Close()
	served.Wait()
	if !strings.Contains(told.String(), "not listened to any more") || !strings.Contains(told.String(),
		"topic=homeassistant/status") {
		t.Errorf("the log says %s", told)
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
		"256 MB":        {0x40, 0xff, 0xff, 0xff, 0x7f},
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
		ctx, cancel := context.WithTimeout(t.Context(), hang)
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

// What is no broker is told by what it says first, and is tried again as any other.
func TestNoBroker(t *testing.T) {
	for says, want := range map[string]string{
		"SSH-2.0-OpenSSH_9.6\r\n": "an SSH server", "HTTP/1.1 400 Bad Request\r\n\r\n": "an HTTP server: write ws://",
		"\x15\x03\x01\x00\x02\x02\x46": "write ssl://", "220 mail.example.org ESMTP\r\n": "no MQTT broker: correct",
		"\x20\x03\x00\x84\x00": "does not take MQTT 3.1.1 (code 132)", "\x20\x02\x00\x87": "not Authorized (code 135)",
		"\x20\x02\x00\x01": "allow it there", "\x20\x02\x00\x03": "cannot serve just now",
		"\x20\x02\x00\x99": "with code 153 (payload format invalid): look into its " +
			"log", "\x20\x03\x00\x89\x00": "cannot serve just now",
		"\x20\x03\x00\x8a\x00": "has banned this client",
		"\x00\x00\x00":         "no MQTT broker: correct", "-ERR unknown command\r\n": "no MQTT broker: correct",
	} {
		l, err := net.Listen("tcp", "127.0.0.1:0")
		if err != nil {
			t.Fatal(err)
		}
		served := make(chan struct{})
		go func() {
			defer close(served)
			for {
				c, err := l.Accept()
				if err != nil {
					return
				}
				io.ReadFull(c, make([]byte, 10)) // some of its CONNECT
				io.WriteString(c, says)
				io.Copy(io.Discard, c) // until the link has had enough
				c.Close()
			}
		}()
		told := new(logs)
		_, stop := runLink(t, baseConfig("tcp://"+l.Addr().String()), slog.New(slog.NewTextHandler(told, nil)))
		eventually(t, hang, want, func() bool { return strings.Contains(told.String(), want) })
		stop()
		l.Close()
		<-served
	}
}
