// Package api answers over HTTP how the agent fares: to probes, to Prometheus, to a person.
//
//	… ──Decision──▶ api ──▶ /healthz /readyz /metrics /version
//
// It starts no goroutine but those of net/http, and Run returns when it no longer listens.
package api

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/http"
	"strconv"
	"syscall"
	"time"

	"golang.org/x/net/netutil"
)

// Agent is what the server asks. It is called from any goroutine, and must not wait.
type Agent interface {
	// Stuck says what has stopped for good and only a restart mends; nil: nothing has.
	Stuck() error
	// Unready lists why no decisions reach a broker now, for people; empty: they do.
	Unready() []string
	// Figures are what the metrics are made of.
	Figures() Figures
}

// Build says which program answers.
type Build struct {
	Version string `json:"version"`
	Commit  string `json:"commit"`
	Go      string `json:"go"`
}

// Server is the HTTP side of one agent.
type Server struct {
	*Metrics
	listener net.Listener
	http     http.Server
}

// connections is how many may be open at once; more wait.
const connections = 256

// ports is how many ports from the default on are tried.
const ports = 10

// Listen opens the port, so that a mistake is told before anything else begins; it answers in Run.
// Where the default address is taken, as with a second agent on one machine, the next free port is
// used: what watches the agent must not stop it. An address that somebody chose is used, or the
// error names its key.
func Listen(c Config, build Build, agent Agent) (*Server, error) {
	token, err := c.token()
	if err != nil {
		return nil, fmt.Errorf("api: %w", err)
	}
	listener, err := listen(c.Listen)
	if err != nil {
		return nil, fmt.Errorf("api: %w", err)
	}
	s := &Server{Metrics: newMetrics(build, agent), listener: netutil.LimitListener(listener, connections)}
	host, _, _ := net.SplitHostPort(c.Listen) // as Validate has seen
	guard := guard{token: token, local: loopback(host), next: routes(c, build, agent, s.Metrics)}
	s.http = http.Server{
		Handler: withoutBody(guard), ReadHeaderTimeout: 5 * time.Second, ReadTimeout: 10 * time.Second,
		IdleTimeout:  time.Minute,
		WriteTimeout: 2 * time.Minute, MaxHeaderBytes: 16 << 10, // a profile takes 30 s
	}
	return s, nil
}

// withoutBody refuses what comes with a body, before it is waited for: nothing here takes one.
func withoutBody(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.ContentLength != 0 {
			w.Header().Set("Connection", "close")
			_ = http.NewResponseController(w).SetReadDeadline(time.Now()) // else net/http waits for it
			http.Error(w, "a request has no body here", http.StatusRequestEntityTooLarge)
			return
		}
		next.ServeHTTP(w, r)
	})
}

func listen(address string) (net.Listener, error) {
	listener, err := net.Listen("tcp", address)
	if address == Default {
		host, port, _ := net.SplitHostPort(Default)
		first, _ := strconv.Atoi(port)
		for n := 1; n < ports && errors.Is(err, syscall.EADDRINUSE); n++ {
			listener, err = net.Listen("tcp", net.JoinHostPort(host, strconv.Itoa(first+n)))
		}
	}
	switch {
	case errors.Is(err, syscall.EADDRINUSE):
		return nil, fmt.Errorf("http.listen: %s is taken by another program: choose another port, or off", address)
	case err != nil:
		return nil, fmt.Errorf("http.listen: %w", err)
	}
	return listener, nil
}

// Address is where the server listens, host:port.
func (s *Server) Address() string { return s.listener.Addr().String() }

// Run answers until ctx ends, which is no error.
func (s *Server) Run(ctx context.Context) error {
	stop := context.AfterFunc(ctx, func() { s.http.Close() })
	defer stop()
	if err := s.http.Serve(s.listener); !errors.Is(err, http.ErrServerClosed) {
		return fmt.Errorf("api: serve %s: %w", s.Address(), err)
	}
	return nil
}

// Close closes the port of a server that never ran; after Run it does nothing.
func (s *Server) Close() error {
	if err := s.listener.Close(); err != nil && !errors.Is(err, net.ErrClosed) {
		return fmt.Errorf("api: close: %w", err)
	}
	return nil
}
