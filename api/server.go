// Package api answers over HTTP how the agent fares: to probes, to Prometheus, to a person. It
// decides who may look and who may change something.
//
//	… ──Decision──▶ api ──▶ /healthz /readyz /metrics /version, and the live page
//
// It starts no goroutine but those of net/http, and Run returns when it no longer listens.
package api

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"net"
	"net/http"
	"strconv"
	"strings"
	"syscall"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/vggse/vggse-agent/api/page"
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
	mux      *http.ServeMux
	build    Build
	access   *access
	page     *page.Page // nil: there is none
	overTLS  bool
}

// ports is how many ports from the default on are tried.
const ports = 10

// Listen opens the port, so that a mistake is told before anything else begins; it answers in Run.
// Where the default address is taken, as with a second agent on one machine, the next free port is
// used: what watches the agent must not stop it. An address that somebody chose is used, or the
// error names its key.
func Listen(c Config, build Build, agent Agent) (*Server, error) {
	listener, err := listen(c.Listen)
	if err != nil {
		return nil, fmt.Errorf("api: %w", err)
	}
	s, err := newServer(c, build, agent, listener)
	if err != nil {
		_ = listener.Close()
		return nil, fmt.Errorf("api: %w", err)
	}
	return s, nil
}

func newServer(c Config, build Build, agent Agent, listener net.Listener) (*Server, error) {
	_, port, _ := net.SplitHostPort(listener.Addr().String())
	access, err := newAccess(c, port)
	if err != nil {
		return nil, err
	}
	s := &Server{Metrics: newMetrics(build, agent), listener: bounded(listener),
		build: build, access: access}
	s.mux = routes(c, build, agent, s.Metrics)
	s.mux.HandleFunc("GET /login", access.showLogin)
	s.mux.HandleFunc("POST /login", access.login)
	s.mux.HandleFunc("POST /logout", access.logout)
	access.next = s.mux
	s.http = http.Server{
		Handler: withoutBody(access), ReadHeaderTimeout: 5 * time.Second, ReadTimeout: 10 * time.Second,
		IdleTimeout:  time.Minute,
		WriteTimeout: 2 * time.Minute, MaxHeaderBytes: 16 << 10, // a profile takes 30 s
	}
	if c.TLS.Cert != "" {
		cert, err := newCertificate(c.TLS)
		if err != nil {
			return nil, err
		}
		s.overTLS, s.http.TLSConfig = true, &tls.Config{GetCertificate: cert.get}
	}
	return s, nil
}

// Show makes p the page at /; call it once, before Run.
func (s *Server) Show(p *page.Page) {
	s.page = p
	s.registry.MustRegister(
		prometheus.NewGaugeFunc(prometheus.GaugeOpts{Name: "vggse_page_viewers",
			Help: "Browsers and programs that look at the live page."}, func() float64 { return float64(p.Viewers()) }),
		prometheus.NewCounterFunc(prometheus.CounterOpts{Name: "vggse_page_pictures_total",
			Help: "Pictures that were encoded for them."}, func() float64 { return float64(p.Encoded()) }))
}

// withoutBody refuses what comes with a body, before it is waited for: only a login and actions of
// the page have a small one.
func withoutBody(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		takes := r.Method == http.MethodPost && r.ContentLength > 0 && r.ContentLength <= page.BodyLimit &&
			(r.URL.Path == "/login" || r.URL.Path == "/logout" || strings.HasPrefix(r.URL.Path, "/api/"))
		if r.ContentLength != 0 && !takes {
			w.Header().Set("Connection", "close")
			_ = http.NewResponseController(w).SetReadDeadline(time.Now()) // else net/http waits for it
			http.Error(w, "a request has no body here, or a smaller one", http.StatusRequestEntityTooLarge)
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

// URL is where a person on this machine opens the page.
func (s *Server) URL() string {
	host, port, _ := net.SplitHostPort(s.Address())
	if ip := net.ParseIP(host); ip != nil && ip.IsUnspecified() {
		host = "127.0.0.1"
	}
	scheme := "http://"
	if s.overTLS {
		scheme = "https://"
	}
	return scheme + net.JoinHostPort(host, port) + "/"
}

// Run answers until ctx ends, which is no error, and returns when nobody looks any more.
func (s *Server) Run(ctx context.Context) error {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	s.mux.HandleFunc("GET /{$}", index(s.build, s.page))
	if s.page != nil {
		s.page.Routes(s.mux)
		defer s.page.Wait()
		defer cancel()
	}
	s.http.BaseContext = func(net.Listener) context.Context { return ctx }
	stop := context.AfterFunc(ctx, func() { s.http.Close() })
	defer stop()
	serve := func() error { return s.http.Serve(s.listener) }
	if s.overTLS {
		serve = func() error { return s.http.ServeTLS(s.listener, "", "") }
	}
	if err := serve(); !errors.Is(err, http.ErrServerClosed) {
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
