package broker

import (
	"errors"
	"fmt"
	"log/slog"
	"net"
	"strconv"
	"syscall"

	mochi "github.com/mochi-mqtt/server/v2"
	"github.com/mochi-mqtt/server/v2/listeners"
	"github.com/mochi-mqtt/server/v2/packets"
)

const (
	ports     = 100     // ports tried, from the wanted one up
	MaxPacket = 1 << 20 // bytes of a packet; the library's default is without limit
)

// Broker is an MQTT broker inside this process, for a first look and for tests: anonymous, retained
// messages in memory, nothing on disk.
type Broker struct {
	server *mochi.Server
	addr   *net.TCPAddr
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
	server := mochi.New(&mochi.Options{Capabilities: capabilities, Logger: slog.New(slog.DiscardHandler)})
	err = errors.Join(server.AddHook(new(allowAll), nil), server.AddListener(listeners.NewNet("loopback", l)))
	if err == nil {
		err = server.Serve()
	}
	if err != nil {
		l.Close()
		return nil, fmt.Errorf("mqtt: embedded broker: %w", err)
	}
	b := &Broker{server: server, addr: l.Addr().(*net.TCPAddr)}
	log.Info("embedded broker listens", "url", b.URL())
	return b, nil
}

// allowAll lets everybody in: the listener is on loopback. (The library's own hook would bring a
// YAML parser for its file of users.)
type allowAll struct{ mochi.HookBase }

func (*allowAll) ID() string { return "allow-all" }

func (*allowAll) Provides(b byte) bool {
	return b == mochi.OnConnectAuthenticate || b == mochi.OnACLCheck
}

func (*allowAll) OnConnectAuthenticate(*mochi.Client, packets.Packet) bool { return true }

func (*allowAll) OnACLCheck(*mochi.Client, string, bool) bool { return true }

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
	if err := b.server.Close(); err != nil {
		return fmt.Errorf("mqtt: close embedded broker: %w", err)
	}
	return nil
}
