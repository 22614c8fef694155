package mqtt

import (
	"errors"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"
)

func TestParseBroker(t *testing.T) {
	for _, c := range []struct{ in, want, fail string }{
		{in: "embedded", want: "embedded:"},
		{in: "tcp://host", want: "tcp://host:1883"},
		{in: "mqtt://host:1884", want: "tcp://host:1884"},
		{in: "tcp://[::1]", want: "tcp://[::1]:1883"},
		{in: "ssl://host", want: "ssl://host:8883"},
		{in: "tls://host", want: "ssl://host:8883"},
		{in: "mqtts://host/", want: "ssl://host:8883"},
		{in: "ws://host", want: "ws://host:80/mqtt"},
		{in: "ws://host/", want: "ws://host:80/mqtt"},
		{in: "wss://host/a/b", want: "wss://host:443/a/b"},
		{in: "ws://host/mqtt/", want: "ws://host:80/mqtt/"}, // as written: a proxy may insist on it
		{in: "ws://host/a%2Fb/?token=x", want: "ws://host:80/a%2Fb/?token=x"},
		{in: " tcp://host ", want: "tcp://host:1883"},
		{in: "tcp://::1:1883", fail: "in brackets"},
		{in: "ssl://fe80::1", fail: "in brackets"},
		{in: "tcp://host:99999", fail: "1 to 65535"},
		{in: "ws://host:0/mqtt", fail: "1 to 65535"},
		{in: "", fail: "mqtt.broker: must be embedded or a URL"},
		{in: "host:1883", fail: "write tcp://host:1883"},
		{in: "tcp:/host:1883", fail: "two slashes behind tcp: tcp://HOST"},
		{in: "ssl;//host", fail: "two slashes behind ssl: ssl://HOST"},
		{in: "mqtts//host", fail: "two slashes behind mqtts: mqtts://HOST"},
		{in: "ssl.host", fail: "write tcp://ssl.host"},
		{in: "http://host", fail: `unknown scheme "http"`},
		{in: "tcp://", fail: "no host"},
		{in: "tcp://:1883", fail: "no host"},
		{in: "tcp://host/topic", fail: "mqtt.topic_prefix"},
		{in: "tcp://host#1883", fail: "behind #"},
		{in: "wss://host/mqtt#", fail: "behind #"},
		{in: "tcp://me:geheim@host", fail: "mqtt.password_file"},
		{in: "tcp://me:gehe%im@host", fail: "is not a URL"},
		{in: "tcp://host:port", fail: "no port behind the colon"},
		{in: "tcp://me:geheim", fail: "no port behind the colon"},
		{in: "tcp://host :1883", fail: "has a blank in its host"},
		{in: "tcp://<broker>:1883", fail: "has the character <"},
		{in: "tcp://${HOST}:1883", fail: "has the character $"},
		{in: "tcp:host:1883", fail: "two slashes behind tcp: tcp://HOST"},
		{in: "tcp:127.0.0.1:1883", fail: "two slashes behind tcp: tcp://HOST"},
		{in: `mqtt:\\host`, fail: "two slashes behind mqtt: mqtt://HOST"},
		{in: "mqtt:1883", fail: "write tcp://mqtt:1883"},
		{in: "//host:1883", fail: "write tcp://host:1883"},
		{in: "tcp://[fe80::1%eth0]", want: "tcp://[fe80::1%25eth0]:1883"},
		{in: "me:geheim@host:1883", fail: "write tcp://…@host:1883"},
		{in: "http://host/x?token=geheim", fail: "unknown scheme"},
		{in: "tcp://host/x?token=geheim", fail: "tcp://host/x?…"},
		{in: "tcp://?token=geheim", fail: "no host"},
		{in: "ws://me:12/34gehe@host/mqtt", fail: "mqtt.password_file"},
		{in: "tcp://a,b:1883", fail: "must be one broker"},
		{in: "tcp://a:1883,tcp://b:1883", fail: "must be one broker"},
		{in: "tcp://a:1883 tcp://me:geheim@b:1883", fail: "must be one broker"},
		{in: "tcp://a;b", fail: "must be one broker"},
		{in: "tcp://a:1883,b:1883", fail: "must be one broker"},
		{in: "tcp://ho\u200bst:1883", fail: "U+200B"},
		{in: "tcp://host\u00a0:1883", fail: "U+00A0"},
		{in: "ws://host/mq\ufefftt", fail: "U+FEFF"},
		{in: "tcp://host/token=geheim", fail: "tcp://host/token=***"},
	} {
		u, err := ParseBroker(c.in)
		switch {
		case c.fail == "" && err != nil:
			t.Errorf("%q: %v", c.in, err)
		case c.fail == "" && u.String() != c.want:
			t.Errorf("%q: got %s, want %s", c.in, u, c.want)
		case c.fail != "" && (err == nil || !strings.Contains(err.Error(), c.fail) ||
			!strings.Contains(err.Error(), "mqtt.broker")):
			t.Errorf("%q: got %v, want %q", c.in, err, c.fail)
		case err != nil && strings.Contains(err.Error(), "gehe"):
			t.Errorf("%q: the password is told: %v", c.in, err)
		}
	}
}

// What is shown of an address keeps every secret that may stand in it.
func TestShown(t *testing.T) {
	for in, want := range map[string]string{
		"embedded":                             "embedded",
		"tcp://host:1883":                      "tcp://host:1883",
		"me:geheim@host:1883":                  "…@host:1883",
		"ws://host/mqtt/":                      "ws://host/mqtt/",
		"ws://host/mqtt?token=geheim":          "ws://host/mqtt?…",
		"wss://host/mqtt#geheim":               "wss://host/mqtt#…",
		"ws://host/mqtt;jsessionid=geheim":     "ws://host/mqtt;…",
		"wss://host/token=geheim/mqtt":         "wss://host/token=***",
		"ws://me:geheim@host/mqtt":             "ws://***@host/mqtt",
		"ws://me:ge/heim@host/x":               "ws://***@host/x",
		"wss://host/m?X-Amz-Signature=geheim&": "wss://host/m?…",
	} {
		if got := Shown(in); got != want {
			t.Errorf("%s: got %s, want %s", in, got, want)
		}
	}
}

func TestValidate(t *testing.T) {
	for key, spoil := range map[string]func(*Config){
		"mqtt.broker":            func(c *Config) { c.Broker = "nowhere" },
		"mqtt.topic_prefix":      func(c *Config) { c.TopicPrefix = "/vggse" },
		"mqtt.topic_prefix: mu":  func(c *Config) { c.TopicPrefix = "a/+/b" },
		"at most 4 levels":       func(c *Config) { c.TopicPrefix = "a/b/c/d/e" },
		"mqtt.qos":               func(c *Config) { c.QoS = 2 },
		"mqtt.stats_interval":    func(c *Config) { c.StatsInterval = 0 },
		"mqtt.keep_alive":        func(c *Config) { c.KeepAlive = time.Second },
		"mqtt.user":              func(c *Config) { c.Password = "x" },
		"mqtt.tls: is only for":  func(c *Config) { c.TLS.CA = "ca.pem" },
		"mqtt.tls.cert":          func(c *Config) { c.Broker, c.TLS.Cert = "ssl://host", "cert.pem" },
		"mqtt.publish.deadband":  func(c *Config) { c.Publish.Deadband = 1.5 },
		"mqtt.publish.heartbeat": func(c *Config) { c.Publish.Heartbeat = -time.Second },
		"mqtt.publish.max_rate":  func(c *Config) { c.Publish.MaxRate = -1 },
	} {
		c := testConfig("tcp://host:1883")
		if err := c.Validate(); err != nil {
			t.Fatal(err)
		}
		spoil(&c)
		if err := c.Validate(); err == nil || !strings.Contains(err.Error(), key) {
			t.Errorf("got %v, want %s", err, key)
		}
	}
}

// NewLink tells at the start what would fail at every connection.
func TestNewLinkRefuses(t *testing.T) {
	empty := filepath.Join(t.TempDir(), "empty.pem")
	if err := os.WriteFile(empty, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	for key, spoil := range map[string]func(*Config, *Identity){
		"mqtt.password_file": func(c *Config, _ *Identity) { c.User, c.PasswordFile = "me", "/nonexistent" },
		"mqtt.tls.ca":        func(c *Config, _ *Identity) { c.Broker, c.TLS.CA = "ssl://host", empty },
		"mqtt.tls.cert": func(c *Config, _ *Identity) {
			c.Broker, c.TLS.Cert, c.TLS.Key = "ssl://host", empty,
				empty
		},
		"embedded broker": func(c *Config, _ *Identity) { c.Broker = Embedded },
		"device.id":       func(_ *Config, id *Identity) { id.Device = "a/b" },
		`"stats"`:         func(_ *Config, id *Identity) { id.Cameras = []string{"stats"} },
	} {
		cfg, id := testConfig("tcp://host:1883"), testIdentity()
		spoil(&cfg, &id)
		if _, err := NewLink(cfg, id, quiet()); err == nil || !strings.Contains(err.Error(), key) ||
			!strings.HasPrefix(err.Error(), "mqtt: ") {
			t.Errorf("got %v, want %s", err, key)
		}
	}
}

func TestPassword(t *testing.T) {
	file := filepath.Join(t.TempDir(), "password")
	if err := os.WriteFile(file, []byte("from file\r\nnot this\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct {
		cfg  Config
		want string
	}{{Config{}, ""}, {Config{PasswordFile: file}, "from file"}, {Config{PasswordFile: file, Password: "set"}, "set"}} {
		if got, err := c.cfg.password(); err != nil || got != c.want {
			t.Errorf("got %q, %v, want %q", got, err, c.want)
		}
	}
}

// A file that never ends, or is none, holds up no start, whichever setting names it.
func TestFilesThatAreNone(t *testing.T) {
	dir := t.TempDir()
	pipe, empty := filepath.Join(dir, "pipe"), filepath.Join(dir, "empty")
	if err := errors.Join(syscall.Mkfifo(pipe, 0o600), os.WriteFile(empty, nil, 0o600)); err != nil {
		t.Fatal(err)
	}
	a := newAuthority(t)
	a.issue("device", nil)
	cert := a.path("device")
	tcp, ssl := "tcp://127.0.0.1:1", "ssl://127.0.0.1:1"
	const pipeIs, zeroIs = " is not a file but a pipe", "/dev/zero is not a file but a device"
	for want, cfg := range map[string]Config{
		"mqtt.password_file: " + pipe + pipeIs:                {Broker: tcp, User: "me", PasswordFile: pipe},
		"mqtt.password_file: " + zeroIs:                       {Broker: tcp, User: "me", PasswordFile: "/dev/zero"},
		"mqtt.password_file: " + empty + " holds no password": {Broker: tcp, User: "me", PasswordFile: empty},
		"mqtt.tls.ca: " + pipe + pipeIs:                       {Broker: ssl, TLS: TLS{CA: pipe}},
		"mqtt.tls.cert: " + zeroIs:                            {Broker: ssl, TLS: TLS{Cert: "/dev/zero", Key: pipe}},
		"mqtt.tls.key: " + pipe + pipeIs:                      {Broker: ssl, TLS: TLS{Cert: cert, Key: pipe}},
		"mqtt.tls.cert: " + empty + " is empty":               {Broker: ssl, TLS: TLS{Cert: empty, Key: empty}},
	} {
		if err := cfg.CheckFiles(); err == nil || !strings.HasPrefix(err.Error(), want) {
			t.Errorf("got %v, want %q", err, want)
		}
	}
}
