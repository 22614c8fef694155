package api

import (
	"net"
	"net/netip"
	"sync"

	"golang.org/x/net/netutil"
)

// How many connections may be open at once. Beyond connections more wait; what one host opens beyond
// its share is closed at once, so that no host alone keeps the others out.
const (
	connections   = 256
	hostShare     = 64
	loopbackShare = 128 // a proxy on the device stands for all who come through it
)

// bounded limits what may be open of a listener, in all and of one host.
func bounded(l net.Listener) net.Listener {
	return netutil.LimitListener(&sharingListener{Listener: l, open: make(map[netip.Prefix]int)}, connections)
}

// sharingListener closes what a host opens beyond its share.
type sharingListener struct {
	net.Listener
	mu   sync.Mutex
	open map[netip.Prefix]int
}

// Accept returns the next connection of a host that has some of its share left.
func (l *sharingListener) Accept() (net.Conn, error) {
	for {
		conn, err := l.Listener.Accept()
		if err != nil {
			return nil, err
		}
		host, share := hostOf(conn.RemoteAddr())
		if l.take(host, share) {
			return &sharedConn{Conn: conn, leave: sync.OnceFunc(func() { l.leave(host) })}, nil
		}
		_ = conn.Close()
	}
}

func (l *sharingListener) take(host netip.Prefix, share int) bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.open[host] >= share {
		return false
	}
	l.open[host]++
	return true
}

func (l *sharingListener) leave(host netip.Prefix) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.open[host]--; l.open[host] == 0 {
		delete(l.open, host)
	}
}

// hostOf is whose share a connection counts in: an IPv4 address, the 64 bits of a network of IPv6, of
// which one host may have every address, or this machine.
func hostOf(remote net.Addr) (host netip.Prefix, share int) {
	address, err := netip.ParseAddrPort(remote.String())
	if err != nil {
		return netip.Prefix{}, hostShare
	}
	ip := address.Addr().Unmap().WithZone("")
	switch {
	case ip.IsLoopback():
		return netip.PrefixFrom(netip.IPv6Loopback(), 128), loopbackShare
	case ip.Is4():
		return netip.PrefixFrom(ip, 32), hostShare
	}
	host, _ = ip.Prefix(64) // of 128 bits there are 64
	return host, hostShare
}

type sharedConn struct {
	net.Conn
	leave func()
}

// Close gives the share back.
func (c *sharedConn) Close() error {
	defer c.leave()
	return c.Conn.Close()
}
