package mqtt

import (
	"cmp"
	"context"
	"fmt"
	"net"
	"net/url"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/vggse/vggse-agent/internal/atomicfile"
	"github.com/vggse/vggse-agent/internal/reach"
	"github.com/vggse/vggse-agent/internal/redact"
	"github.com/vggse/vggse-agent/mqtt/spool"
)

// Embedded is the Broker setting that stands for a broker inside this process: see StartBroker.
const Embedded = "embedded"

// Config says which broker, as whom, and what is worth publishing.
type Config struct {
	Broker       string `mapstructure:"broker"`        // embedded, tcp://, ssl://, ws:// or wss://
	ClientID     string `mapstructure:"client_id"`     // empty: vggse-<device>
	User         string `mapstructure:"user"`          // empty: anonymous, or the certificate's
	PasswordFile string `mapstructure:"password_file"` // read at every connection, one line
	Password     string `mapstructure:"password"`      // wins over PasswordFile; never logged
	TopicPrefix  string `mapstructure:"topic_prefix"`  // first levels of every topic
	QoS          int    `mapstructure:"qos"`           // of results: 0 or 1
	// a broker that falls silent is given up within 40 s at 20 s, 15 s at 6 s; 0: 20 s
	KeepAlive     time.Duration   `mapstructure:"keep_alive"`
	StatsInterval time.Duration   `mapstructure:"stats_interval"` // between two stats messages
	TLS           TLS             `mapstructure:"tls"`
	Publish       Policy          `mapstructure:"publish"`
	Spool         SpoolConfig     `mapstructure:"spool"`
	Discovery     DiscoveryConfig `mapstructure:"discovery"`
	Commands      CommandsConfig  `mapstructure:"commands"`
	StateDir      string          `mapstructure:"-"` // where what was announced is remembered; empty: nowhere

	PublishOf map[string]Policy `mapstructure:"-"` // by camera, for those that have their own

	// Dial, where set, connects in place of the network: to a broker inside this process.
	Dial func(context.Context) (net.Conn, error) `mapstructure:"-"`

	tap func(packet []byte) // sees every packet that is sent; for tests
}

// CommandsConfig says what subscribers may ask for.
type CommandsConfig struct {
	Allow []string `mapstructure:"allow"` // words of Commands; none: the agent does not even listen
}

// SpoolConfig bounds what waits for the broker on disk.
type SpoolConfig struct {
	Dir     string  `mapstructure:"-"`        // made if it is not there; empty: in memory only
	Bytes   int64   `mapstructure:"bytes"`    // of all segments; 0: in memory only
	MinFree float64 `mapstructure:"min_free"` // share of the file system that stays free, 0..1
}

// TLS names the PEM files of a connection by ssl:// or wss://. They are read at every connection,
// so a renewed certificate needs no restart.
type TLS struct {
	CA   string `mapstructure:"ca"`   // empty: the system's
	Cert string `mapstructure:"cert"` // client certificate; needs Key
	Key  string `mapstructure:"key"`
}

// Policy says which decisions become results. The label topic and the events follow every change of
// the stable class, whatever stands here.
type Policy struct {
	Every     bool          `mapstructure:"every"`     // every decision; the other keys then do not matter
	Deadband  float64       `mapstructure:"deadband"`  // the best score moved by this much since the last result, 0..1
	Heartbeat time.Duration `mapstructure:"heartbeat"` // at the latest after this long; 0: never without change
	MaxRate   float64       `mapstructure:"max_rate"`  // results a second and camera, at most; 0: no limit
}

// schemes are the ways to a broker, with their port.
var schemes = map[string]string{"tcp": "1883", "ssl": "8883", "ws": "80", "wss": "443"}

// aliases are other people's names for them.
var aliases = map[string]string{"mqtt": "tcp", "mqtts": "ssl", "tls": "ssl"}

// longestText is that of MQTT, bytes.
const longestText = 1<<16 - 1

// halfScheme is a scheme whose colon or slashes are mistyped.
var halfScheme = regexp.MustCompile(`^(?i)(tcp|ssl|tls|mqtts?|wss?)([;.,]?[/\\]{2}|:[/\\]|:[^/\\\d]|:\d+[.:])[^/]`)

// several are addresses behind one another, or hosts.
var several = regexp.MustCompile(`://.*://|://[^/@]*[,;|]`)

// ParseBroker reads the setting mqtt.broker: a URL with scheme tcp, ssl, ws or wss, its port filled
// in where it is missing, or Embedded, of which only the scheme is set. An error names the key and
// the cure.
func ParseBroker(brokerURL string) (*url.URL, error) {
	if brokerURL = strings.TrimSpace(brokerURL); brokerURL == Embedded {
		return &url.URL{Scheme: Embedded}, nil
	}
	if brokerURL == "" {
		return nil, fmt.Errorf("mqtt.broker: must be embedded or a URL such as tcp://HOST:1883")
	}
	if strings.EqualFold(brokerURL, Embedded) {
		return nil, fmt.Errorf("mqtt.broker: write %s in small letters, got %q", Embedded, brokerURL)
	}
	if half := halfScheme.FindStringSubmatch(brokerURL); half != nil {
		return nil, fmt.Errorf("mqtt.broker: %q: write a colon and two slashes behind %s: %[2]s://HOST",
			Shown(brokerURL), half[1])
	}
	if !strings.Contains(brokerURL, "://") {
		return nil, fmt.Errorf("mqtt.broker: %q has no scheme: write tcp://%s", Shown(brokerURL),
			Shown(strings.TrimLeft(brokerURL, `/\`)))
	}
	if c := redact.Unseen(brokerURL); c != "" {
		return nil, fmt.Errorf("mqtt.broker: %q: the character %s in it is not seen: write it anew", Shown(brokerURL),
			c)
	}
	if several.MatchString(brokerURL) {
		return nil, fmt.Errorf("mqtt.broker: %q: must be one broker: a cluster has one address for all",
			Shown(brokerURL))
	}
	brokerURL, err := checkHost(brokerURL)
	if err != nil {
		return nil, err
	}
	u, err := url.Parse(brokerURL)
	if err != nil { // the parser's error repeats the text, and with it a password
		return nil, fmt.Errorf("mqtt.broker: is not a URL: write it like tcp://HOST:1883, with a number for the port")
	}
	if u.User != nil || strings.Contains(u.Path, "@") { // a password with a slash in it looks like a path
		return nil, fmt.Errorf("mqtt.broker: must not hold user and password: put them into mqtt.user and " +
			"mqtt.password_file")
	}
	u.Scheme = cmp.Or(aliases[u.Scheme], u.Scheme)
	port, ok := schemes[u.Scheme]
	switch {
	case !ok:
		return nil, fmt.Errorf("mqtt.broker: unknown scheme %q: use tcp, ssl, ws, wss, or embedded", u.Scheme)
	case u.Hostname() == "":
		return nil, fmt.Errorf("mqtt.broker: %q has no host: write %s://HOST:%s", Shown(brokerURL), u.Scheme, port)
	case strings.Count(u.Host, ":") > 1 && !strings.HasPrefix(u.Host, "["):
		return nil, fmt.Errorf("mqtt.broker: %q: an address of IPv6 stands in brackets: tcp://[::1]:1883",
			Shown(brokerURL))
	case !isPort(cmp.Or(u.Port(), port)):
		return nil, fmt.Errorf("mqtt.broker: %q: a port is 1 to 65535", Shown(brokerURL))
	case strings.Contains(brokerURL, "#"):
		return nil, fmt.Errorf("mqtt.broker: %q: what stands behind # is not of a broker's address: leave it out",
			Shown(brokerURL))
	case strings.HasPrefix(u.Scheme, "ws"):
		if strings.Trim(u.Path, "/") == "" {
			u.Path, u.RawPath = "/mqtt", "" // EMQX and HiveMQ insist on it, Mosquitto takes any
		}
	case strings.Trim(u.Path, "/") != "" || u.RawQuery != "":
		return nil, fmt.Errorf("mqtt.broker: %q: a path is only for ws and wss: set mqtt.topic_prefix for topics",
			Shown(brokerURL))
	default:
		u.Path = ""
	}
	u.Host = net.JoinHostPort(u.Hostname(), cmp.Or(u.Port(), port))
	return u, nil
}

// checkHost says what is wrong with the host of an address with a scheme; where that may be a password, or has a
// sentence of its own, nothing. It returns the address as a URL wants it.
func checkHost(brokerURL string) (string, error) {
	scheme, rest, _ := strings.Cut(brokerURL, "://")
	host := rest
	if at := strings.IndexAny(rest, "/?#"); at >= 0 {
		host = rest[:at]
	}
	if host != "" && !strings.ContainsAny(host, "@,;|") && (strings.Count(host, ":") < 2 || host[0] == '[') {
		if wrong := reach.Mistake(host); wrong != "" {
			return "", fmt.Errorf("mqtt.broker: %q %s: write it like tcp://HOST:1883", Shown(brokerURL), wrong)
		}
	}
	return scheme + "://" + reach.Zone(host) + rest[len(host):], nil
}

func isPort(s string) bool {
	n, err := strconv.ParseUint(s, 10, 16)
	return err == nil && n > 0
}

// Shown is the address of a broker for people: without what may be a secret in it, which is all
// before an @, all behind a ?, # or ;, and what a path names as one.
func Shown(broker string) string {
	end := ""
	if at := strings.IndexAny(broker, "?#;"); at >= 0 {
		broker, end = broker[:at], broker[at:at+1]+"…"
	}
	if at := strings.LastIndexByte(broker, '@'); at >= 0 && !strings.Contains(broker, "://") {
		broker = "…" + broker[at:]
	}
	return redact.Text(broker) + end
}

// Validate returns the first setting that cannot be, naming its key. It reads no file.
func (c *Config) Validate() error {
	u, err := ParseBroker(c.Broker)
	if err != nil {
		return err
	}
	if err := checkPrefix("mqtt.topic_prefix", c.TopicPrefix); err != nil {
		return err
	}
	secure := u.Scheme == "ssl" || u.Scheme == "wss"
	switch {
	case c.QoS != 0 && c.QoS != 1:
		return fmt.Errorf("mqtt.qos: must be 0 or 1, got %d", c.QoS)
	case c.StatsInterval <= 0:
		return fmt.Errorf("mqtt.stats_interval: must be > 0, got %s", c.StatsInterval)
	case c.KeepAlive != 0 && (c.KeepAlive < 2*time.Second || c.KeepAlive > time.Hour):
		return fmt.Errorf("mqtt.keep_alive: must be from 2s to 1h, got %s", c.KeepAlive)
	case len(c.ClientID) > longestText || len(c.User) > longestText:
		return fmt.Errorf("mqtt.client_id, mqtt.user: must be of at most %d bytes (MQTT 3.1.1, 1.5.3)", longestText)
	case c.User == "" && (c.Password != "" || c.PasswordFile != ""):
		return fmt.Errorf("mqtt.user: must be set where a password is")
	case !secure && c.TLS != TLS{}:
		return fmt.Errorf("mqtt.tls: is only for ssl:// and wss://, but mqtt.broker is %s", Shown(c.Broker))
	case (c.TLS.Cert == "") != (c.TLS.Key == ""):
		return fmt.Errorf("mqtt.tls.cert: must come together with mqtt.tls.key")
	}
	if err := c.Spool.validate(); err != nil {
		return err
	}
	for _, word := range c.Commands.Allow {
		if !slices.Contains(Commands, word) {
			return fmt.Errorf("mqtt.commands.allow: knows %s, got %q", strings.Join(Commands, ", "), word)
		}
	}
	if c.Discovery.Enabled || c.Discovery.Prefix != "" {
		if err := checkPrefix("mqtt.discovery.prefix", c.Discovery.Prefix); err != nil {
			return err
		}
	}
	for _, own := range c.PublishOf {
		if err := own.Validate(); err != nil {
			return err
		}
	}
	return c.Publish.Validate()
}

func (c *SpoolConfig) validate() error {
	switch {
	case c.Bytes != 0 && c.Bytes < spool.MinBytes:
		return fmt.Errorf("mqtt.spool.bytes: must be 0 (off) or at least %d, got %d", spool.MinBytes, c.Bytes)
	case !(c.MinFree >= 0 && c.MinFree < 1):
		return fmt.Errorf("mqtt.spool.min_free: must be ≥ 0 and < 1, got %g", c.MinFree)
	}
	return nil
}

// Validate returns the first key that cannot be.
func (p *Policy) Validate() error {
	switch {
	case !(p.Deadband >= 0 && p.Deadband <= 1):
		return fmt.Errorf("mqtt.publish.deadband: must be between 0 and 1, got %g", p.Deadband)
	case p.Heartbeat < 0:
		return fmt.Errorf("mqtt.publish.heartbeat: must be ≥ 0, got %s", p.Heartbeat)
	case !(p.MaxRate >= 0):
		return fmt.Errorf("mqtt.publish.max_rate: must be ≥ 0, got %g", p.MaxRate)
	}
	return nil
}

// policy is that of a camera.
func (c *Config) policy(camera string) Policy {
	if own, ok := c.PublishOf[camera]; ok {
		return own
	}
	return c.Publish
}

// checkPrefix keeps the deepest topic (prefix/device/camera/threshold/set) within the seven slashes
// that AWS IoT Core allows.
func checkPrefix(key, prefix string) error {
	levels := strings.Split(prefix, "/")
	switch {
	case prefix == "" || slices.Contains(levels, ""):
		return fmt.Errorf("%s: must not be empty, nor begin or end with a slash, got %q", key, prefix)
	case strings.ContainsAny(prefix, "+#$\x00"):
		return fmt.Errorf("%s: must not hold +, # or $, got %q", key, prefix)
	case len(levels) > 4:
		return fmt.Errorf("%s: must have at most 4 levels, got %q", key, prefix)
	}
	return nil
}

// password is what to log in with: the setting, else the first line of the file.
func (c *Config) password() (string, error) {
	if c.Password != "" || c.PasswordFile == "" {
		return c.Password, nil
	}
	line, err := atomicfile.FirstLine(c.PasswordFile)
	if err == nil && line == "" {
		err = fmt.Errorf("%s holds no password: its first line is empty", c.PasswordFile)
	}
	if err != nil {
		return "", fmt.Errorf("mqtt.password_file: %w", err)
	}
	return line, nil
}
