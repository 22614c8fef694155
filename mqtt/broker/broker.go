package broker

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"strconv"
	"sync"
	"syscall"

	mochi "github.com/mochi-mqtt/server/v2"
	"github.com/mochi-mqtt/server/v2/listeners"
)

const ports = 100 // ports tried, from the wanted one up

// Broker is an MQTT broker inside this process, for a first look and for tests: anonymous, retained
// messages in memory, nothing on disk. What comes from other processes is bounded (see limits).
type Broker struct {
	server *mochi.Server
	addr   *net.TCPAddr

	mu     sync.Mutex
	conns  map[net.Conn]bool // of this process
	served sync.WaitGroup    // those
	closed bool
}

// StartBroker listens on addr, a loopback address with its port such as 127.0.0.1:1883, or on the
// next port that is free. Close it to end its goroutines.
func Start(addr string, log *slog.Logger) (*Broker, error) {
	l, err := listenNear(addr)
	if err != nil {
		return nil, fmt.Errorf("mqtt: embedded broker: %w", err)
	}
	capabilities := mochi.NewDefaultServerCapabilities()
	capabilities.MaximumPacketSize = MaxPacket
	capabilities.MaximumClientWritesPending = maxPending
	capabilities.MaximumInflight = maxPending
	capabilities.ReceiveMaximum = maxPending
	capabilities.MaximumSessionExpiryInterval = 0
	capabilities.TopicAliasMaximum = 0
	capabilities.SharedSubAvailable = 0
	server := mochi.New(&mochi.Options{Capabilities: capabilities, Logger: slog.New(slog.DiscardHandler)})
	err = errors.Join(server.AddHook(newLimits(), nil),
		server.AddListener(listeners.NewNet("loopback", limitConns(l, maxConns))))
	if err == nil {
		err = server.Serve()
	}
	if err != nil {
		l.Close()
		return nil, fmt.Errorf("mqtt: embedded broker: %w", err)
	}
	b := &Broker{server: server, addr: l.Addr().(*net.TCPAddr), conns: make(map[net.Conn]bool)}
	log.Info("embedded broker listens", "url", b.URL())
	return b, nil
}

// Dial connects within this process: to a client that comes this way the bounds do not apply, its
// name is not given to another one, and on the topics that it publishes on nobody else can.
func (b *Broker) Dial(context.Context) (net.Conn, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.closed {
		return nil, net.ErrClosed
	}
	here, there := net.Pipe()
	b.conns[there] = true
	b.served.Go(func() {
		b.server.EstablishConnection(inside, there) //nolint:errcheck // its client hears of it
		there.Close()
		b.mu.Lock()
		delete(b.conns, there)
		b.mu.Unlock()
	})
	return here, nil
}

// listenNear listens on a loopback address, at the given port or the first free one above it.
func listenNear(addr string) (net.Listener, error) {
	host, service, err := net.SplitHostPort(addr)
	if err != nil {
		return nil, err
	}
	port, err := strconv.ParseUint(service, 10, 16)
	if err != nil {
		return nil, fmt.Errorf("port %q is no number up to 65535", service)
	}
	if ip := net.ParseIP(host); ip == nil || !ip.IsLoopback() {
		return nil, fmt.Errorf("%s is not a loopback address: it lets everybody in, so it must not be reached from "+
			"elsewhere", host)
	}
	for i := range ports {
		l, err := net.Listen("tcp", net.JoinHostPort(host, strconv.Itoa(int(port)+i)))
		if err == nil || !errors.Is(err, syscall.EADDRINUSE) {
			return l, err
		}
	}
	return nil, fmt.Errorf("no free port from %s to %d: stop another broker, or set mqtt.broker to one", service,
		int(port)+ports-1)
}

// URL is where the broker listens, as mqtt.broker takes it.
func (b *Broker) URL() string { return "tcp://" + b.addr.String() }

// Port is the port of URL.
func (b *Broker) Port() int { return b.addr.Port }

// Close ends every connection and the broker.
func (b *Broker) Close() error {
	b.mu.Lock()
	b.closed = true
	for c := range b.conns {
		c.Close()
	}
	b.mu.Unlock()
	b.served.Wait()
	err := b.server.Close()
	if err != nil {
		return fmt.Errorf("mqtt: close embedded broker: %w", err)
	}
	return nil
}
