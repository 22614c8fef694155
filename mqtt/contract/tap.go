package contract

import (
	"bytes"
	"fmt"
	"io"
	"net"
	"sync"

	"github.com/eclipse/paho.mqtt.golang/packets"
)

// Packet judges one MQTT packet of a client: the messages that it publishes, and its last will.
func (c *Contract) Packet(p []byte) error {
	packet, err := packets.ReadPacket(bytes.NewReader(p))
	if err != nil {
		return fmt.Errorf("no packet: %w", err)
	}
	switch p := packet.(type) {
	case *packets.PublishPacket:
		return c.Sent(Message{p.TopicName, p.Qos, p.Retain, p.Payload})
	case *packets.ConnectPacket:
		if p.WillFlag {
			return c.Sent(Message{p.WillTopic, p.WillQos, p.WillRetain, p.WillMessage})
		}
	}
	return nil
}

// Tap is a way to a broker on which every packet of its clients is shown to somebody.
type Tap struct {
	listener net.Listener
	broker   string
	show     func(packet []byte)
	wait     sync.WaitGroup
	mu       sync.Mutex
	open     map[net.Conn]bool
	closed   bool
}

// NewTap listens on a loopback port and passes on what comes to broker (HOST:PORT), packet by
// packet.
func NewTap(brokerURL string, show func(packet []byte)) (*Tap, error) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return nil, fmt.Errorf("contract: tap: %w", err)
	}
	t := &Tap{listener: l, broker: brokerURL, show: show, open: make(map[net.Conn]bool)}
	t.wait.Go(t.accept)
	return t, nil
}

// Addr is where the tap listens.
func (t *Tap) Addr() string { return t.listener.Addr().String() }

// Close cuts every connection, and returns when none is left.
func (t *Tap) Close() {
	t.listener.Close()
	t.mu.Lock()
	t.closed = true
	for c := range t.open {
		c.Close()
	}
	t.mu.Unlock()
	t.wait.Wait()
}

func (t *Tap) accept() {
	for {
		client, err := t.listener.Accept()
		if err != nil {
			return
		}
		broker, err := net.Dial("tcp", t.broker)
		if err != nil {
			client.Close()
			continue
		}
		t.mu.Lock()
		if t.closed {
			client.Close()
			broker.Close()
		}
		t.open[client], t.open[broker] = true, true
		t.mu.Unlock()
		t.wait.Go(func() { t.pass(client, broker) })
		t.wait.Go(func() {
			io.Copy(client, broker) //nolint:errcheck // the end of a connection
			client.Close()
			broker.Close()
		})
	}
}

// pass copies the client's packets until either side closes.
func (t *Tap) pass(client, broker net.Conn) {
	defer func() {
		client.Close()
		broker.Close()
		t.mu.Lock()
		delete(t.open, client)
		delete(t.open, broker)
		t.mu.Unlock()
	}()
	for {
		p, err := packets.ReadPacket(client)
		if err != nil {
			return
		}
		var raw bytes.Buffer
		if p.Write(&raw) != nil {
			return
		}
		t.show(raw.Bytes())
		if _, err := broker.Write(raw.Bytes()); err != nil {
			return
		}
	}
}
