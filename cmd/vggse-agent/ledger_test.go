package main

import (
	"bytes"
	"encoding/json"
	"io"
	"net"
	"sync"
	"testing"

	"github.com/eclipse/paho.mqtt.golang/packets"
)

// delivery is a record that the broker has acknowledged.
type delivery struct {
	seq      uint64
	late     bool
	said     string // payload up to what tells of lateness
	from, to uint64 // of a queue_dropped event
}

// ledger is a way to a broker that can be shut, and writes down every record whose acknowledgement
// came back.
type ledger struct {
	listener net.Listener
	wait     sync.WaitGroup

	mu    sync.Mutex
	to    string // the broker's address
	blind bool   // it is none, and nothing is written down
	shut  bool
	conns map[net.Conn]bool
	all   []delivery
}

func startLedger(t *testing.T, to string) *ledger {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	g := &ledger{listener: l, conns: make(map[net.Conn]bool), to: to}
	g.wait.Go(g.accept)
	t.Cleanup(func() {
		l.Close()
		g.set(true)
		g.wait.Wait()
	})
	return g
}

func (g *ledger) addr() string { return g.listener.Addr().String() }

// set shuts the way, which cuts what is under way, or opens it.
func (g *ledger) set(shut bool) {
	g.mu.Lock()
	defer g.mu.Unlock()
	if g.shut = shut; shut {
		for c := range g.conns {
			c.Close()
		}
	}
}

// lead makes the way lead elsewhere; blind, to what only pretends to be a broker.
func (g *ledger) lead(to string, blind bool) {
	g.mu.Lock()
	g.to, g.blind = to, blind
	g.mu.Unlock()
	g.set(true)
	g.set(false)
}

func (g *ledger) accept() {
	for {
		client, err := g.listener.Accept()
		if err != nil {
			return
		}
		g.mu.Lock()
		to := g.to
		g.mu.Unlock()
		broker, err := net.Dial("tcp", to)
		if err != nil {
			client.Close()
			continue
		}
		g.mu.Lock()
		if g.shut {
			client.Close()
			broker.Close()
		} else {
			g.conns[client], g.conns[broker] = true, true
			if g.blind {
				g.wait.Go(func() { g.copy(client, broker) })
				g.wait.Go(func() { g.copy(broker, client) })
			} else {
				g.join(client, broker)
			}
		}
		g.mu.Unlock()
	}
}

// join passes on what the two say, and pairs each record with its acknowledgement.
func (g *ledger) join(client, broker net.Conn) {
	var mu sync.Mutex
	under := make(map[uint16]delivery) // way, by packet identifier
	g.wait.Go(func() {
		g.pass(client, broker, func(p packets.ControlPacket) {
			if p, ok := p.(*packets.PublishPacket); ok {
				if d, ok := deliveryOf(p.Payload); ok {
					mu.Lock()
					under[p.MessageID] = d
					mu.Unlock()
				}
			}
		})
	})
	g.wait.Go(func() {
		g.pass(broker, client, func(p packets.ControlPacket) {
			if p, ok := p.(*packets.PubackPacket); ok {
				mu.Lock()
				d, ok := under[p.MessageID]
				delete(under, p.MessageID)
				mu.Unlock()
				if ok {
					g.mu.Lock()
					g.all = append(g.all, d)
					g.mu.Unlock()
				}
			}
		})
	})
}

// pass copies packets until either end closes; see gets each before it goes on.
func (g *ledger) pass(from, to net.Conn, see func(packets.ControlPacket)) {
	for {
		p, err := packets.ReadPacket(from)
		if err != nil {
			break
		}
		see(p)
		if p.Write(to) != nil {
			break
		}
	}
	g.end(from, to)
}

// copy is pass for who does not look.
func (g *ledger) copy(from, to net.Conn) {
	io.Copy(to, from) //nolint:errcheck // the end of a connection
	g.end(from, to)
}

func (g *ledger) end(from, to net.Conn) {
	from.Close()
	to.Close()
	g.mu.Lock()
	delete(g.conns, from)
	g.mu.Unlock()
}

// deliveryOf reads a payload; ok is false for what is no record.
func deliveryOf(payload []byte) (d delivery, ok bool) {
	var m struct {
		Seq  uint64 `json:"seq"`
		Late bool   `json:"redelivered"`
		From uint64 `json:"from_seq"`
		To   uint64 `json:"to_seq"`
	}
	if json.Unmarshal(payload, &m) != nil || m.Seq == 0 {
		return d, false
	}
	said, _, _ := bytes.Cut(payload, []byte(`,"redelivered":`))
	return delivery{m.Seq, m.Late, string(said), m.From, m.To}, true
}
