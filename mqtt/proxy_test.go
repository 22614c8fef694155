package mqtt

import (
	"bytes"
	"net"
	"sync"
	"sync/atomic"
	"testing"
)

// proxy stands between a link and its broker, and can be shut.
type proxy struct {
	listener net.Listener
	to       string
	mu       sync.Mutex
	shut     bool
	bad      []byte // a connection that sends it is cut
	conns    map[net.Conn]bool
	tries    atomic.Int64 // connections that came
	wait     sync.WaitGroup
}

func startProxy(t *testing.T, to string) *proxy {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	p := &proxy{listener: l, to: to, conns: make(map[net.Conn]bool)}
	p.wait.Go(p.accept)
	t.Cleanup(func() {
		l.Close()
		p.set(true)
		p.wait.Wait()
	})
	return p
}

func (p *proxy) url() string { return "tcp://" + p.listener.Addr().String() }

// set shuts the way, which cuts what is under way, or opens it.
func (p *proxy) set(shut bool) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.shut = shut; shut {
		for c := range p.conns {
			c.Close()
		}
	}
}

func (p *proxy) accept() {
	for {
		in, err := p.listener.Accept()
		if err != nil {
			return
		}
		p.tries.Add(1)
		out, err := net.Dial("tcp", p.to)
		if err != nil {
			in.Close()
			continue
		}
		p.mu.Lock()
		if p.shut {
			in.Close()
			out.Close()
		} else {
			p.conns[in], p.conns[out] = true, true
			bad := p.bad
			p.wait.Go(func() { p.pipe(in, out, bad) })
			p.wait.Go(func() { p.pipe(out, in, nil) })
		}
		p.mu.Unlock()
	}
}

// poison cuts every connection from now on that sends the bytes, before they reach the broker.
func (p *proxy) poison(bad []byte) {
	p.mu.Lock()
	p.bad = bad
	p.mu.Unlock()
	p.set(true)
	p.set(false)
}

// pipe copies until either end closes, and then closes both.
func (p *proxy) pipe(from, to net.Conn, bad []byte) {
	buf := make([]byte, 64<<10)
	for {
		n, err := from.Read(buf)
		if bad != nil && bytes.Contains(buf[:n], bad) {
			break
		}
		if _, e := to.Write(buf[:n]); err != nil || e != nil {
			break
		}
	}
	from.Close()
	to.Close()
	p.mu.Lock()
	delete(p.conns, from)
	p.mu.Unlock()
}
