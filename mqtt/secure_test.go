package mqtt

import (
	"bytes"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"fmt"
	"log/slog"
	"math/big"
	"net"
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
		IsCA: a.cert == nil, BasicConstraintsValid: true, KeyUsage: x509.KeyUsageDigitalSignature | x509.KeyUsageCertSign,
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
	for file, block := range map[string]*pem.Block{name: {Type: "CERTIFICATE", Bytes: der}, name + "-key": {Type: "PRIVATE KEY", Bytes: secret}} {
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

// Certificates on both sides, user and password, over TLS and over a websocket in TLS; whoever lacks
// one stays outside, and the log says why, once, without the password.
func TestSecure(t *testing.T) {
	a := newAuthority(t)
	a.issue("broker", []net.IP{net.IPv4(127, 0, 0, 1)})
	a.issue("device", nil)
	passwords := filepath.Join(a.dir, "passwords")
	if out, err := exec.Command(needMosquitto(t, "mosquitto_passwd"), "-b", "-c", passwords, "edge01", "geheim").CombinedOutput(); err != nil {
		t.Fatalf("%v: %s", err, out)
	}
	if err := os.Chmod(passwords, 0o644); err != nil {
		t.Fatal(err)
	}
	secure := fmt.Sprintf("cafile %s\ncertfile %s\nkeyfile %s\nrequire_certificate true\nallow_anonymous false\npassword_file %s",
		a.path("ca"), a.path("broker"), a.path("broker-key"), passwords)
	ws := freePort(t)
	m := startMosquitto(t, secure, fmt.Sprintf("listener %d 127.0.0.1\nprotocol websockets", ws), secure[:strings.Index(secure, "\nallow")])

	good := testConfig("ssl://" + m.addr())
	good.User, good.Password = "edge01", "geheim"
	good.TLS = TLS{CA: a.path("ca"), Cert: a.path("device"), Key: a.path("device-key")}
	for _, broker := range []string{good.Broker, fmt.Sprintf("wss://127.0.0.1:%d", ws)} {
		cfg := good
		cfg.Broker = broker
		l, stop := runLink(t, cfg, quiet())
		eventually(t, 10*time.Second, broker+" connected", l.Connected)
		publish(t, l, "cam01", "gear", 2)
		eventually(t, 10*time.Second, broker+" acknowledged", func() bool { return l.Waiting() == 0 })
		stop()
	}
	for what, spoil := range map[string]func(*Config){
		"not Authorized":       func(c *Config) { c.Password = "falsch" },
		"certificate":          func(c *Config) { c.TLS.CA = "" },
		"certificate required": func(c *Config) { c.TLS.Cert, c.TLS.Key = "", "" },
	} {
		cfg := good
		spoil(&cfg)
		told := new(logs)
		l, stop := runLink(t, cfg, slog.New(slog.NewTextHandler(told, nil)))
		eventually(t, 10*time.Second, what+" is told", func() bool { return strings.Contains(told.String(), what) })
		time.Sleep(1500 * time.Millisecond) // the next attempts say nothing new
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
