package mqtt

import (
	"context"
	"encoding/binary"
	"io"
	"math/rand/v2"
	"net"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/eclipse/paho.mqtt.golang/packets"

	"github.com/vggse/vggse-agent/internal/racetest"
)

// hostile is a broker that accepts every client and then sends it what no broker sends: good
// packets with flipped bits, cut off, out of order, or nothing but noise.
type hostile struct {
	net.Listener
	sent atomic.Int64
	wait sync.WaitGroup
}

func startHostile(t *testing.T) *hostile {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	h := &hostile{Listener: l}
	h.wait.Go(func() {
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			h.wait.Go(func() { h.serve(c) })
		}
	})
	t.Cleanup(func() { l.Close(); h.wait.Wait() })
	return h
}

func (h *hostile) serve(c net.Conn) {
	defer c.Close()
	c.SetDeadline(time.Now().Add(10 * time.Second))
	if _, err := packets.ReadPacket(c); err != nil { // CONNECT
		return
	}
	random := rand.New(rand.NewPCG(uint64(h.sent.Add(1)), 8))
	if random.IntN(4) > 0 { // else the first answer is wrong already
		c.Write([]byte{0x20, 2, 0, 0})
		if _, err := packets.ReadPacket(c); err != nil { // SUBSCRIBE, or the first PUBLISH
			return
		}
	}
	c.Write(nonsense(random))
	c.SetDeadline(time.Now().Add(30 * time.Millisecond)) // whoever still holds it is left
	io.Copy(io.Discard, c)                               //nolint:errcheck // the end of a connection
}

// nonsense is a stream of up to six packets, spoilt.
func nonsense(random *rand.Rand) (b []byte) {
	publish := []byte("\x00\x14vggse/edge01/command\x00\x07{\"id\":\"x\",\"name\":\"restart\"}")
	good := [][]byte{
		{0x20, 2, 0, 0}, {0x40, 2, 0, 1}, {0x40, 2, 0xff, 0xff}, {0x50, 2, 0, 1}, {0x62, 2, 0, 1}, {0x70, 2, 0, 2},
		{0xb0, 2, 0, 1}, {0xd0, 0},
		{0x90, 3, 0, 1, 1}, {0x90, 4, 0, 1, 0x80, 0x80}, append([]byte{0x32, byte(len(publish))}, publish...),
		{0x30, 0xff, 0xff, 0xff, 0x7f},
		{0xe0, 0}, {0x10, 0}, {0x00, 0},
	}
	for range 1 + random.IntN(6) {
		b = append(b, good[random.IntN(len(good))]...)
	}
	switch random.IntN(4) {
	case 0:
		b = b[:random.IntN(len(b))]
	case 1:
		for range 1 + random.IntN(4) {
			b[random.IntN(len(b))] ^= byte(1 << random.IntN(8))
		}
	case 2:
		b = make([]byte, random.IntN(200))
		for i := 0; i+8 <= len(b); i += 8 {
			binary.LittleEndian.PutUint64(b[i:], random.Uint64())
		}
	}
	return b
}

// M8: ten thousand connections to a broker that sends nonsense: nothing ends, nothing is carried
// out, and memory stays.
func TestHostileBrokers(t *testing.T) {
	h := startHostile(t)
	ctx, cancel := context.WithCancel(t.Context())
	var wait sync.WaitGroup
	var clerks []*clerk
	for range size(40, 10) {
		cfg := baseConfig("tcp://" + h.Addr().String())
		cfg.Commands.Allow = Commands
		l, err := NewLink(cfg, testIdentity(), quiet())
		if err != nil {
			t.Fatal(err)
		}
		l.retry = time.Millisecond
		c := &clerk{link: l}
		l.Handle(c)
		clerks = append(clerks, c)
		wait.Go(func() { l.Run(ctx) })
	}
	total := int64(size(10_000, 300))
	until := func(n int64) {
		eventually(t, 20*time.Minute, "connections", func() bool { return h.sent.Load() >= n })
	}
	until(total / 5)
	before := rss(t)
	until(total + total/5)
	after := rss(t)
	cancel()
	wait.Wait()
	t.Logf("RSS %d KiB before, %d after %d connections full of nonsense", before>>10, after>>10, total)
	if after-before > 5<<20 && !racetest.Enabled {
		t.Errorf("RSS grew by %d bytes", after-before)
	}
	for _, c := range clerks {
		if c.done() != "" {
			t.Errorf("carried out: %s", c.done())
		}
	}
}
