package mqtt

import (
	"crypto/tls"
	"crypto/x509"
	"io"
	"log/slog"
	"net"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"
)

// Whatever keeps a link from its broker is told with the key that cures it.
func TestReasons(t *testing.T) {
	ca := newAuthority(t)
	ca.issue("broker", []net.IP{net.IPv4(127, 0, 0, 1)})
	ca.issue("edge01", nil)
	other := newAuthority(t)
	other.issue("edge01", nil)
	password := filepath.Join(t.TempDir(), "password")
	if err := os.WriteFile(password, []byte("wrong\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	secure := []string{"allow_anonymous true", "cafile " + ca.path("ca"), "certfile " + ca.path("broker"),
		"keyfile " + ca.path("broker-key")}
	strict := append([]string{"require_certificate true"}, secure...)
	unread, unwritten := filepath.Join(t.TempDir(), "acl"), filepath.Join(t.TempDir(), "acl")
	for path, rule := range map[string]string{unread: "topic write #\n", unwritten: "topic read #\n"} {
		if err := os.WriteFile(path, []byte(rule), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	open := []string{"allow_anonymous true"}
	closed := freePort(t)
	for name, c := range map[string]struct {
		broker []string
		change func(*Config)
		want   []string
	}{
		"no login": {[]string{"allow_anonymous false"}, nil,
			[]string{"not Authorized", "mqtt.user and mqtt.password_file"}},
		"wrong password": {[]string{"allow_anonymous false"}, func(c *Config) {
			c.User, c.PasswordFile = "u", password
		}, []string{"not Authorized", "check mqtt.user"}},
		"plain to TLS": {secure, nil, []string{"write ssl://"}},
		"TLS to plain": {nil, func(c *Config) { c.Broker = strings.Replace(c.Broker, "tcp", "ssl", 1) },
			[]string{"not speak TLS", "tcp://"}},
		"websockets to plain": {open, func(c *Config) { c.Broker = strings.Replace(c.Broker, "tcp", "ws", 1) },
			[]string{"does not speak websockets, write tcp://"}},
		"websockets to TLS": {secure, func(c *Config) {
			c.Broker, c.TLS.CA = strings.Replace(c.Broker, "tcp", "wss", 1), ca.path("ca")
		}, []string{"does not speak websockets, write ssl://"}},
		"unknown authority": {secure, func(c *Config) { c.Broker = strings.Replace(c.Broker, "tcp", "ssl", 1) },
			[]string{"unknown authority", "set mqtt.tls.ca"}},
		"another authority": {secure, func(c *Config) {
			c.Broker, c.TLS.CA = strings.Replace(c.Broker, "tcp", "ssl", 1), other.path("ca")
		}, []string{"unknown authority", "mqtt.tls.ca has not signed"}},
		"another name": {secure, func(c *Config) {
			c.Broker = strings.Replace(strings.Replace(c.Broker, "tcp", "ssl", 1), "127.0.0.1", "localhost", 1)
			c.TLS.CA = ca.path("ca")
		}, []string{"write a name in mqtt.broker"}},
		"no certificate": {strict, func(c *Config) {
			c.Broker, c.TLS.CA = strings.Replace(c.Broker, "tcp", "ssl", 1), ca.path("ca")
		}, []string{"set mqtt.tls.cert and mqtt.tls.key"}},
		"a stranger's certificate": {strict, func(c *Config) {
			c.Broker = strings.Replace(c.Broker, "tcp", "ssl", 1)
			c.TLS = TLS{ca.path("ca"), other.path("edge01"), other.path("edge01-key")}
		}, []string{"does not take the certificate in mqtt.tls.cert"}},
		"no retained messages":  {append(open, "retain_available false"), nil, []string{"retain_available"}},
		"no QoS 1":              {append(open, "max_qos 0"), nil, []string{"max_qos"}},
		"client ids":            {append(open, "clientid_prefixes other-"), nil, []string{"mqtt.client_id"}},
		"short messages":        {append(open, "max_packet_size 300"), nil, []string{"max_packet_size"}},
		"not so short messages": {append(open, "max_packet_size 900"), nil, []string{"max_packet_size", "bytes"}},
		"may not read":          {append(open, "acl_file "+unread), nil, []string{"does not give it back"}},
		"may not write":         {append(open, "acl_file "+unwritten), nil, []string{"its access rules probably"}},
		"nobody": {nil, func(c *Config) { c.Broker = "tcp://127.0.0.1:" + strconv.Itoa(closed) },
			[]string{"connection refused", "no broker listens there"}},
	} {
		t.Run(name, func(t *testing.T) {
			m := startMosquitto(t, c.broker...)
			cfg := baseConfig(m.url())
			if c.change != nil {
				c.change(&cfg)
			}
			told := new(logs)
			runLink(t, cfg, slog.New(slog.NewTextHandler(told, nil)))
			eventually(t, hang, "told", func() bool {
				for _, want := range c.want {
					if !strings.Contains(told.String(), want) {
						return false
					}
				}
				return true
			})
		})
	}
}

// An expired certificate reads the same at every try.
func TestExpiredReadsTheSame(t *testing.T) {
	cert := &x509.Certificate{NotBefore: time.Unix(0, 0), NotAfter: time.Unix(1e9, 0)}
	c := baseConfig("ssl://broker:8883")
	first := c.reason(&tls.CertificateVerificationError{Err: x509.CertificateInvalidError{Cert: cert,
		Reason: x509.Expired, Detail: "current time 1 is after 0"}})
	again := c.reason(&tls.CertificateVerificationError{Err: x509.CertificateInvalidError{Cert: cert,
		Reason: x509.Expired, Detail: "current time 2 is after 0"}})
	if first != again || !strings.Contains(first, "2001-09-09") || !strings.Contains(first, "renew it") {
		t.Errorf("%q, then %q", first, again)
	}
}

// A broker that ends the connection because of what it must not carry, or because another client
// has the same name, is told as such, also in health; and that is over when the connection holds.
func TestHangups(t *testing.T) {
	rules := filepath.Join(t.TempDir(), "acl")
	if err := os.WriteFile(rules, []byte("pattern readwrite vggse/%u/#\n"), 0o644); err != nil {
		t.Fatal(err)
	}
	t.Run("access rules", func(t *testing.T) {
		m := startMosquitto(t, "allow_anonymous true", "acl_file "+rules)
		cfg, told := baseConfig(m.url()), new(logs)
		cfg.User = "edge02" // the device is edge01
		runLink(t, cfg, slog.New(slog.NewTextHandler(told, nil)))
		eventually(t, hang, "told", func() bool {
			return strings.Contains(told.String(), "its access rules probably do not let user edge02 (mqtt.user says "+
				"edge02, but device.id is edge01) write below vggse/edge01")
		})
	})
	t.Run("twins", func(t *testing.T) {
		m := startMosquitto(t)
		var told [2]logs
		var links [2]*Link
		for i := range links {
			links[i], _ = runLink(t, baseConfig(m.url()), slog.New(slog.NewTextHandler(&told[i], nil)))
		}
		eventually(t, hang, "told", func() bool {
			return strings.Contains(told[0].String()+told[1].String(),
				"another client has the same client id vggse-edge01")
		})
		e := listen(t, m.port)
		eventually(t, hang, "told in health", func() bool {
			return strings.Contains(e.last("vggse/edge01/health"), "same client id")
		})
	})
}

// A certificate that is not for servers, and a port that speaks websockets and hangs up, come with what to do.
func TestCures(t *testing.T) {
	wrong := x509.CertificateInvalidError{Cert: &x509.Certificate{}, Reason: x509.IncompatibleUsage}
	for broker, tt := range map[string]struct {
		err  error
		want string
	}{
		"ssl://h:8883": {&tls.CertificateVerificationError{Err: wrong}, "serverAuth"},
		"tcp://h:9001": {io.EOF, "if it speaks websockets, ws://"}, "wss://h": {io.EOF, "write ssl://"},
		"SSL://h:9001": {io.EOF, "if it speaks websockets, wss://"}, "ws://h": {io.EOF, "write tcp://"},
	} {
		c := Config{Broker: broker}
		if got := c.reason(tt.err); !strings.Contains(got, tt.want) {
			t.Errorf("%s: got %q, want …%s…", broker, got, tt.want)
		}
	}
}
