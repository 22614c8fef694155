package mqtt

import (
	"bytes"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"fmt"
	"log/slog"
	"math/big"
	"net"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"
)

// authority is a CA with files in a folder, for a broker and its clients.
type authority struct {
	t    *testing.T
	dir  string
	cert *x509.Certificate
	key  *ecdsa.PrivateKey
}

func newAuthority(t *testing.T) *authority {
	a := &authority{t: t, dir: t.TempDir()}
	a.cert, a.key = a.issue("ca", nil)
	return a
}

func (a *authority) path(name string) string { return filepath.Join(a.dir, name+".pem") }

// issue writes name.pem and name-key.pem, signed by the authority or, for the first one, by itself.
func (a *authority) issue(name string, addresses []net.IP) (*x509.Certificate, *ecdsa.PrivateKey) {
	a.t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		a.t.Fatal(err)
	}
	template := &x509.Certificate{
		SerialNumber: big.NewInt(time.Now().UnixNano()), Subject: pkix.Name{CommonName: name}, IPAddresses: addresses,
		NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour),
		IsCA: a.cert == nil, BasicConstraintsValid: true,
		KeyUsage: x509.KeyUsageDigitalSignature | x509.KeyUsageCertSign,
	}
	parent, signer := a.cert, a.key
	if parent == nil {
		parent, signer = template, key
	}
	der, err := x509.CreateCertificate(rand.Reader, template, parent, &key.PublicKey, signer)
	if err != nil {
		a.t.Fatal(err)
	}
	secret, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		a.t.Fatal(err)
	}
	for file, block := range map[string]*pem.Block{name: {Type: "CERTIFICATE", Bytes: der},
		name + "-key": {Type: "PRIVATE KEY", Bytes: secret}} {
		if err := os.WriteFile(a.path(file), pem.EncodeToMemory(block), 0o644); err != nil {
			a.t.Fatal(err)
		}
	}
	cert, err := x509.ParseCertificate(der)
	if err != nil {
		a.t.Fatal(err)
	}
	return cert, key
}

// logs collects what a link tells.
type logs struct {
	mu sync.Mutex
	b  bytes.Buffer
}

func (l *logs) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.Write(p)
}

func (l *logs) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.String()
}

// Certificates on both sides, user and password, over TLS and over a websocket in TLS; whoever
// lacks one stays outside, and the log says why, once, without the password.
func TestSecure(t *testing.T) {
	a := newAuthority(t)
	a.issue("broker", []net.IP{net.IPv4(127, 0, 0, 1)})
	a.issue("device", nil)
	passwords := filepath.Join(a.dir, "passwords")
	if out, err := exec.Command(needMosquitto(t, "mosquitto_passwd"), "-b", "-c", passwords, "edge01",
		"geheim").CombinedOutput(); err != nil {
		t.Fatalf("%v: %s", err, out)
	}
	if err := os.Chmod(passwords, 0o644); err != nil {
		t.Fatal(err)
	}
	secure := fmt.Sprintf("cafile %s\ncertfile %s\nkeyfile %s\nrequire_certificate true\nallow_anonymous "+
		"false\npassword_file %s",
		a.path("ca"), a.path("broker"), a.path("broker-key"), passwords)
	ws := freePort(t)
	m := startMosquitto(t, secure, fmt.Sprintf("listener %d 127.0.0.1\nprotocol websockets", ws),
		secure[:strings.Index(secure, "\nallow")])

	good := testConfig("ssl://" + m.addr())
	good.User, good.Password = "edge01", "geheim"
	good.TLS = TLS{CA: a.path("ca"), Cert: a.path("device"), Key: a.path("device-key")}
	for _, brokerURL := range []string{good.Broker, fmt.Sprintf("wss://127.0.0.1:%d", ws)} {
		cfg := good
		cfg.Broker = brokerURL
		l, stop := runLink(t, cfg, quiet())
		eventually(t, hang, brokerURL+" connected", l.Connected)
		publish(t, l, "cam01", "gear", 2)
		eventually(t, hang, brokerURL+" acknowledged", func() bool { return l.Waiting() == 0 })
		stop()
	}
	for what, spoil := range map[string]func(*Config){
		"not Authorized":       func(c *Config) { c.Password = "falsch" },
		"certificate":          func(c *Config) { c.TLS.CA = "" },
		"certificate required": func(c *Config) { c.TLS.Cert, c.TLS.Key = "", "" },
	} {
		cfg := good
		spoil(&cfg)
		way := startProxy(t, m.addr())
		cfg.Broker = "ssl://" + way.listener.Addr().String()
		told := new(logs)
		l, stop := runLink(t, cfg, slog.New(slog.NewTextHandler(told, nil)))
		eventually(t, hang, what+" is told", func() bool { return strings.Contains(told.String(), what) })
		before := way.tries.Load() // the next attempts say nothing new
		eventually(t, hang, what+": more attempts", func() bool { return way.tries.Load() >= before+5 })
		stop()
		if l.Connected() {
			t.Errorf("%s: connected", what)
		}
		seen := make(map[string]bool)
		for line := range strings.Lines(told.String()) {
			_, trouble, _ := strings.Cut(line, "error=")
			if seen[trouble] {
				t.Errorf("%s: told again: %s", what, told)
			}
			seen[trouble] = true
		}
		if strings.Contains(told.String(), "geheim") || strings.Contains(told.String(), "falsch") {
			t.Errorf("%s: the password is told: %s", what, told)
		}
	}
}

// Certificates that are renewed under way hold from the next connection on, on both sides and down
// to the authority, without a restart; one that is half-written, or made for another name, is told
// of, and the next try finds it good.
func TestCertificatesRenewed(t *testing.T) {
	a := newAuthority(t)
	here := []net.IP{net.IPv4(127, 0, 0, 1)}
	a.issue("broker", here)
	a.issue("device", nil)
	m := startMosquitto(t, fmt.Sprintf("cafile %s\ncertfile %s\nkeyfile %s\nrequire_certificate "+
		"true\nuse_identity_as_username true\nallow_anonymous false",
		a.path("ca"), a.path("broker"), a.path("broker-key")))
	cfg := testConfig("ssl://" + m.addr())
	cfg.TLS = TLS{CA: a.path("ca"), Cert: a.path("device"), Key: a.path("device-key")}
	told := new(logs)
	l, _ := runLink(t, cfg, slog.New(slog.NewTextHandler(told, nil)))
	eventually(t, hang, "connected", l.Connected)

	m.kill()
	next := &authority{t: t, dir: a.dir}
	next.cert, next.key = next.issue("ca", nil)
	next.issue("broker", []net.IP{net.IPv4(127, 0, 0, 2)})
	m.start()
	eventually(t, hang, "a certificate for another address is told",
		func() bool { return strings.Contains(told.String(), "valid for 127.0.0.2") })
	m.kill()
	next.issue("broker", here)
	if err := os.WriteFile(a.path("device"), []byte("-----BEGIN CERTIFI"), 0o644); err != nil {
		t.Fatal(err)
	}
	m.start()
	eventually(t, hang, "half a certificate is told",
		func() bool { return strings.Contains(told.String(), "mqtt.tls.cert") })
	if l.Connected() {
		t.Error("connected with half a certificate")
	}
	next.issue("device", nil)
	eventually(t, hang, "connected with what is new", l.Connected)
	publish(t, l, "cam01", "gear", 1)
	eventually(t, hang, "acknowledged", func() bool { return l.Waiting() == 0 })
}

// Less than TLS 1.2 is refused, whatever the other side offers.
func TestOldTLS(t *testing.T) {
	a := newAuthority(t)
	a.issue("broker", []net.IP{net.IPv4(127, 0, 0, 1)})
	pair, err := tls.LoadX509KeyPair(a.path("broker"), a.path("broker-key"))
	if err != nil {
		t.Fatal(err)
	}
	for version, want := range map[uint16]bool{tls.VersionTLS10: false, tls.VersionTLS11: false,
		tls.VersionTLS12: true, tls.VersionTLS13: true} {
		server, err := tls.Listen("tcp", "127.0.0.1:0", &tls.Config{Certificates: []tls.Certificate{pair},
			MinVersion: tls.VersionTLS10, MaxVersion: version})
		if err != nil {
			t.Fatal(err)
		}
		done := make(chan struct{})
		go func() {
			defer close(done)
			if c, err := server.Accept(); err == nil {
				c.(*tls.Conn).Handshake() //nolint:errcheck // the client tells
				c.Close()
			}
		}()
		c, err := dial(t.Context(), &url.URL{Scheme: "ssl", Host: server.Addr().String()}, TLS{CA: a.path("ca")})
		if (err == nil) != want {
			t.Errorf("%s: %v", tls.VersionName(version), err)
		}
		if err == nil {
			c.Close()
		}
		server.Close()
		<-done
	}
}

// A client certificate that ends soon, has ended, or cannot be read is told of; one that lasts is
// not.
func TestCertificateEnds(t *testing.T) {
	a := newAuthority(t) // an hour
	a.issue("device", nil)
	files := &TLS{Cert: a.path("device"), Key: a.path("device-key")}
	now := time.Now()
	for _, c := range []struct {
		files  *TLS
		at     time.Time
		status string
	}{
		{files, now.Add(-30 * 24 * time.Hour), OK}, {files, now, Degraded}, {files, now.Add(2 * time.Hour), Failed},
		{&TLS{Cert: a.path("nobody"), Key: a.path("nobody")}, now, Degraded},
	} {
		if got, ok := certificateCondition(c.files, c.at); !ok || got.Status != c.status ||
			(got.Status == OK) != (got.Reason == "") {
			t.Errorf("at %s: %+v, want %s", c.at, got, c.status)
		}
	}
	if _, ok := certificateCondition(new(TLS), now); ok {
		t.Error("no certificate has a condition")
	}
	l := lonely(t)
	l.cfg.TLS = *files
	l.checkCertificate(now)
	l.health.mu.Lock()
	defer l.health.mu.Unlock()
	if got := string(l.health.state.payload); !strings.Contains(got,
		`"certificate":{"status":"degraded","reason":"mqtt.tls.cert: `) {
		t.Errorf("health: %s", got)
	}
}
