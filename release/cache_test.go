package release

import (
	"net"
	"net/http"
	"net/http/httptest"
	"net/http/httputil"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

// realRegistry runs Debian's docker-registry with the example of the documentation, its addresses
// apart; from is the registry that it caches, empty for one that is its own.
func realRegistry(t *testing.T, from string) string {
	t.Helper()
	program, err := exec.LookPath("docker-registry")
	if err != nil {
		t.Skip("docker-registry not found (make deps-test)")
	}
	text, err := os.ReadFile("../docs/examples/registry-cache.yaml")
	if err != nil {
		t.Fatal(err)
	}
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	address := l.Addr().String()
	l.Close()
	dir := t.TempDir()
	conf := strings.NewReplacer(":5000\nproxy", address+"\nproxy", "/var/lib/docker-registry", dir,
		"https://registry.example", "http://"+from).Replace(string(text))
	if from == "" {
		conf, _, _ = strings.Cut(conf, "proxy:")
	}
	path := filepath.Join(dir, "config.yml")
	if err := os.WriteFile(path, []byte(conf), 0o600); err != nil {
		t.Fatal(err)
	}
	cmd := exec.Command(program, "serve", path)
	cmd.Env = append(os.Environ(), "OTEL_TRACES_EXPORTER=none")
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		_ = cmd.Process.Kill()
		_ = cmd.Wait() // it was killed
	})
	for end := time.Now().Add(time.Minute); ; time.Sleep(20 * time.Millisecond) {
		answer, err := http.Get("http://" + address + "/v2/")
		if err == nil {
			answer.Body.Close()
			return address
		}
		if time.Now().After(end) {
			t.Fatal(err)
		}
	}
}

// TestCache: a statement and its pieces come through a real registry that knows no referrers, and
// through one of a site that caches it; what that has stays there when the other one is gone.
func TestCache(t *testing.T) {
	p := newPublisher(t)
	origin := realRegistry(t, "")
	var line *line
	front := startFront(t, origin, &line)
	s := p.push(Place{Registry: origin + "/factory/parts", Plain: true}, 7)
	cache := Place{Registry: realRegistry(t, front) + "/factory/parts", Plain: true}
	for i, name := range []string{"the first device", "the second"} {
		d := newDevice(t, p.key.Public)
		before := line.served.Load()
		done, err := d.pull(cache)
		if err != nil {
			t.Fatalf("%s: %v", name, err)
		}
		d.holds(done.Installed, p.dir)
		if a, err := d.gate.Installed(done.Dir); err != nil || a.SignedBy() != p.key.Public.ID ||
			a.Statement.Release != 7 {
			t.Errorf("%s: signed by %q, %v", name, a.SignedBy(), err)
		}
		came := line.served.Load() - before
		if i == 0 && came < s.Statement.Bytes/2 || i == 1 && came > 64<<10 {
			t.Errorf("%s: %d bytes came from the publisher, the release has %d", name, came, s.Statement.Bytes)
		}
	}
}

// startFront is a registry's address behind a line that counts.
func startFront(t *testing.T, origin string, l **line) string {
	t.Helper()
	*l = newLine(httputil.NewSingleHostReverseProxy(&url.URL{Scheme: "http", Host: origin}))
	s := httptest.NewServer(*l)
	t.Cleanup(s.Close)
	return strings.TrimPrefix(s.URL, "http://")
}
