package main

import (
	"bytes"
	"encoding/json"
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

// ledger is a way to a broker that can be shut, and writes down every record whose acknowledgement came back.
type ledger struct {
	listener net.Listener
	to       string
	wait     sync.WaitGroup

	mu    sync.Mutex
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
	g := &ledger{listener: l, to: to, conns: make(map[net.Conn]bool)}
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

func (g *ledger) accept() {
	for {
		client, err := g.listener.Accept()
		if err != nil {
			return
		}
		broker, err := net.Dial("tcp", g.to)
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
			var mu sync.Mutex
			under := make(map[uint16]delivery)
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
		g.mu.Unlock()
	}
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
