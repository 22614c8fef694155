package mqtt

import (
	"io"
	"net"
	"sync"
	"testing"
)

// proxy stands between a link and its broker, and can be shut.
type proxy struct {
	listener net.Listener
	to       string
	mu       sync.Mutex
	shut     bool
	conns    map[net.Conn]bool
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
			p.wait.Go(func() { p.pipe(in, out) })
			p.wait.Go(func() { p.pipe(out, in) })
		}
		p.mu.Unlock()
	}
}

// pipe copies until either end closes, and then closes both.
func (p *proxy) pipe(from, to net.Conn) {
	io.Copy(to, from)
	from.Close()
	to.Close()
	p.mu.Lock()
	delete(p.conns, from)
	p.mu.Unlock()
}
