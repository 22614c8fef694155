package mqtt

import (
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net"
	"path"
	"strings"
	"syscall"
	"time"

	"github.com/eclipse/paho.mqtt.golang/packets"

	"github.com/vggse/vggse-agent/internal/pemfile"
	"github.com/vggse/vggse-agent/internal/reach"
)

// reason is the text of a failed connection with what cures it, and without the parts that differ
// each time (local ports, the time of day, whether reading or writing met it first), so that the
// same trouble reads the same.
func (c *Config) reason(err error) string {
	said, cure := c.Why(err)
	if cure == "" {
		return said
	}
	return said + ": " + cure
}

// Why says of a failed connection, or an error of Login, what was seen, without what differs each time, and what to
// try; "" where what was seen names that.
func (c *Config) Why(err error) (said, cure string) {
	said = plain(err)
	if cure = c.cure(err, strings.ToLower(err.Error())); cure != "" {
		return said, cure
	}
	if seen, cure, ok := reach.Why(err); ok {
		return seen, cure + " (mqtt.broker)"
	}
	var file *fs.PathError
	switch {
	case errors.As(err, &file), strings.Contains(said, "mqtt."), errors.Is(err, errTold): // with the cure in it
		return said, ""
	case strings.Contains(said, "x509: "):
		return said, "the broker's certificate cannot be trusted: have a new one made, for the name in mqtt.broker"
	case strings.Contains(said, "tls: "):
		return said, "the broker's TLS cannot be used: allow TLS 1.2 or newer there, and correct the port in " +
			"mqtt.broker"
	}
	return said, "correct mqtt.broker, or look into the broker's log; vggse-agent doctor tries it"
}

// errTold marks errors that say themselves what to try.
var errTold = errors.New("told")

// complete is an error that says itself what to try.
type complete struct{ error }

func (complete) Is(target error) bool { return target == errTold }
func (c complete) Unwrap() error      { return c.error }

// plain is the text of an error without what differs each time.
func plain(err error) string {
	var number syscall.Errno
	var path *fs.PathError
	switch {
	case errors.As(err, &path): // always the same, and says which file
		return err.Error()
	case errors.As(err, &number):
		return number.Error()
	}
	var invalid x509.CertificateInvalidError
	if errors.As(err, &invalid) && invalid.Reason == x509.Expired { // the text has the time of day in it
		return fmt.Sprintf("the broker's certificate is valid from %s to %s only", day(invalid.Cert.NotBefore),
			day(invalid.Cert.NotAfter))
	}
	var op *net.OpError
	if errors.As(err, &op) && op.Err != nil {
		return op.Op + ": " + op.Err.Error()
	}
	return strings.TrimPrefix(err.Error(), packets.ErrorNetworkError.Error()+" : ") // paho's
}

// cure is what to do about an error of connecting, empty where its text says it all. said is that
// text in lower case.
func (c *Config) cure(err error, said string) string {
	if cure := c.certificateCure(err, said); cure != "" {
		return cure
	}
	var other tls.RecordHeaderError
	scheme := ""
	if u, err := ParseBroker(c.Broker); err == nil {
		scheme = u.Scheme
	}
	secure := scheme == "ssl" || scheme == "wss"
	switch {
	case errors.Is(err, packets.ErrorRefusedNotAuthorised), errors.Is(err, packets.ErrorRefusedBadUsernameOrPassword):
		if c.User == "" && c.TLS.Cert == "" {
			return "the broker wants a login: set mqtt.user and mqtt.password_file (or, where it takes anonymous " +
				"clients, a mqtt.client_id that it lets in)"
		}
		return "check mqtt.user and the password in mqtt.password_file, and that the broker lets this user in"
	case errors.Is(err, packets.ErrorRefusedBadProtocolVersion):
		return "the broker does not take MQTT 3.1.1: allow it there"
	case errors.Is(err, packets.ErrorRefusedServerUnavailable):
		return "the broker answers that it cannot serve just now: look into its log"
	case errors.Is(err, packets.ErrorRefusedIDRejected):
		return "set mqtt.client_id to a name that the broker takes"
	case errors.As(err, &other):
		return "this port of the broker does not speak TLS: write tcp:// (ws://) in mqtt.broker, or its other port"
	case errors.Is(err, errTold):
		return ""
	case strings.Contains(said, refusedWithCode):
		return "look into its log for what that means"
	case unanswered(err):
		return "the broker takes the connection and does not answer: it has more to do than it can, or another " +
			"program listens there: look into its log, or correct mqtt.broker"
	case hungUp(err):
		wants := ""
		if secure && c.TLS.Cert == "" { // it may end before the client reads what it misses (TLS 1.3)
			wants = "; if it wants a client certificate, set mqtt.tls.cert and mqtt.tls.key"
		}
		return "the broker closes the connection before it answers: " + otherThan[scheme] + wants + noWill
	case errors.Is(err, syscall.ECONNREFUSED):
		return "no broker listens there: start it, or correct mqtt.broker"
	}
	return ""
}

// otherThan are what to write in mqtt.broker where its port does not speak as its scheme says.
var otherThan = map[string]string{
	"tcp": "if this port speaks TLS, write ssl:// in mqtt.broker; if it speaks websockets, ws://",
	"ssl": "if this port does not speak TLS, write tcp:// in mqtt.broker; if it speaks websockets, wss://",
	"ws":  "if this port does not speak websockets, write tcp:// in mqtt.broker; if it speaks TLS, wss://",
	"wss": "if this port does not speak websockets, write ssl:// in mqtt.broker; if it does not speak TLS, ws://",
}

// noWill is what else makes a broker hang up: MQTT 3.1.1 has no answer that says so.
const noWill = "; else it may take no retained last will of QoS 1 (of Mosquitto: retain_available, max_qos)"

// certificateCure is cure for what is wrong with the certificates of either side.
func (c *Config) certificateCure(err error, said string) string {
	var unknown x509.UnknownAuthorityError
	var name x509.HostnameError
	var invalid x509.CertificateInvalidError
	switch {
	case errors.As(err, &unknown) && c.TLS.CA == "":
		return "set mqtt.tls.ca to the certificate of the authority that has signed the broker's"
	case errors.As(err, &unknown):
		return "the authority in mqtt.tls.ca has not signed the broker's certificate: set the right one, or, where " +
			"another one between has signed it, let the broker send that one's certificate, too"
	case errors.As(err, &name):
		return "write a name in mqtt.broker that the broker's certificate holds" + namesOf(name.Certificate)
	case errors.As(err, &invalid) && invalid.Reason == x509.IncompatibleUsage:
		return "the broker's certificate is not made for a server: have one made with extendedKeyUsage serverAuth"
	case errors.As(err, &invalid) && invalid.Reason == x509.Expired:
		return "renew it, or set the clock of this device"
	case !strings.Contains(said, "remote error: tls"):
		return ""
	case strings.Contains(said, "protocol version"), strings.Contains(said, "insufficient security"):
		return noCommonTLS
	case strings.Contains(said, "unrecognized name"):
		return "the broker does not know the name in mqtt.broker: write one of those that it is set up for"
	case strings.Contains(said, "no application protocol"):
		return "what answers wants to hear more than that this is MQTT (ALPN): write the broker's own port for MQTT, " +
			"as 8883, in mqtt.broker"
	case strings.Contains(said, "handshake failure") && c.TLS.Cert == "":
		return noCommonTLS + "; if it wants a client certificate, set mqtt.tls.cert and mqtt.tls.key"
	case strings.Contains(said, "internal error"):
		return "the broker's own TLS is in trouble: look into its log"
	case !strings.Contains(said, "certificate") && !strings.Contains(said, "access denied"):
		return "the broker ends TLS by this alert: look into its log for what that means"
	case c.TLS.Cert == "":
		return "the broker wants a client certificate: set mqtt.tls.cert and mqtt.tls.key"
	}
	return "the broker does not take the certificate in mqtt.tls.cert: it must be valid, and of an authority " +
		"that the broker knows"
}

const noCommonTLS = "the broker and this agent have no version or cipher of TLS in common: allow TLS 1.2 or newer " +
	"there (of Mosquitto: tls_version, ciphers)"

// namesOf are the names and addresses that a certificate is made for, for a sentence.
func namesOf(cert *x509.Certificate) string {
	if cert == nil {
		return ""
	}
	names := pemfile.Names(cert)
	if names == "" {
		return ": it holds none (subjectAltName), so have a new one made"
	}
	return " (" + names + ")"
}

// hungUp reports whether the peer ended a connection without a word.
func hungUp(err error) bool {
	return errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF) || errors.Is(err, syscall.ECONNRESET) ||
		errors.Is(err, syscall.EPIPE)
}

const (
	refusals     = 2                // connections that end at their first messages until a rule is suspected
	takeovers    = 3                // and that end later, but soon, until another client is
	takeoverSoon = 30 * time.Second // that is soon
)

// hangups counts connections that came up and were ended by the broker without a word: so it does
// to a client whose name another one has taken (MQTT 3.1.1, 3.1.4), and some do to one that
// publishes what it may not (3.3.5). Mosquitto 2.0.11 acknowledges the first such message before
// it ends the connection at the next one.
type hangups struct {
	count  int // in a row
	silent int // of them, with at most one acknowledgement

	largest int  // bytes of the longest message that was ever acknowledged
	before  flaw // the longest without acknowledgement when the connection before ended
	again   int  // connections in a row that ended with the same there
	told    bool
}

// flaw names a message by its place.
type flaw struct {
	topic string
	bytes int
}

// landed takes note of a message that the broker has acknowledged.
func (h *hangups) landed(p *publication) { h.largest = max(h.largest, len(p.payload)) }

// tooLong tells whether the longest message without acknowledgement is the same again, and none as long
// was ever acknowledged: a broker that ends the connection over it takes what came with it along.
func (h *hangups) tooLong(c *sender) bool {
	now := flaw{}
	for i := range c.flights {
		if f := &c.flights[i]; len(f.payload) > now.bytes {
			now = flaw{f.topic, len(f.payload)}
		}
	}
	if h.again++; now != h.before {
		h.before, h.again = now, 1
	}
	return h.again >= refusals && now.bytes > h.largest
}

// after is the text of what ended a connection that stood, with what to try.
func after(err error) string {
	said := plain(err)
	switch {
	case errors.Is(err, errTold):
		return said
	case strings.Contains(said, "pingresp"):
		return "the broker does not answer a ping (" + said + "): it has more to do than it can, or the network " +
			"between is gone: look into its log, and see this device's network"
	case isLate(err), errors.Is(err, syscall.ETIMEDOUT):
		return said + ": the network between is gone, or the broker's machine: see this device's network"
	case errors.Is(err, syscall.ENETDOWN), errors.Is(err, syscall.ENETUNREACH), errors.Is(err, syscall.EHOSTUNREACH):
		return said + ": see this device's network"
	case hungUp(err):
		return said + ": the broker has ended the connection: where that comes again, look into its log"
	}
	return said + ": look into the broker's log, and see whether mqtt.broker names one of MQTT 3.1.1"
}

// lost says why the connection of c was lost, and whether that is a guess at what is wrong.
func (h *hangups) lost(c *sender, err error, held time.Duration) (why string, guessed bool) {
	why = after(err)
	if !hungUp(err) || held >= takeoverSoon {
		h.count, h.silent, h.again = 0, 0, 0
		return why, false
	}
	h.count++
	why = plain(err)
	long := h.tooLong(c)
	if c.acknowledged <= 1 {
		h.silent++
	}
	switch {
	case h.silent == h.count && h.count >= refusals:
		return fmt.Sprintf("%s: the broker ends the connection at the first messages: its access rules probably do "+
			"not let %s write below %s, or it takes shorter ones only (of Mosquitto: max_packet_size)", why,
			c.cfg.who(c.id.Device), path.Dir(c.topics.available)), true
	case long && h.silent < h.count:
		return fmt.Sprintf("%s: the broker ends the connection when it gets the message to %s (%d bytes): it probably "+
			"takes shorter ones only (of Mosquitto: max_packet_size)", why, h.before.topic, h.before.bytes), true
	case h.silent < h.count && h.count >= takeovers:
		return fmt.Sprintf("%s, again and again: probably another client has the same client id %s: give every "+
			"device its own device.id", why, c.cfg.ClientID), true
	}
	return after(err), false
}

// who is as whom the configuration logs in, with what may be wrong about it for a device.
func (c *Config) who(device string) string {
	name, what := c.User, "mqtt.user"
	if c.TLS.Cert != "" && name == "" {
		if pair, err := c.TLS.pair(); err == nil {
			name, what = pair.Leaf.Subject.CommonName, "the certificate mqtt.tls.cert"
		}
	}
	switch name {
	case "":
		return "anonymous clients"
	case device:
		return fmt.Sprintf("user %s", name)
	}
	return fmt.Sprintf("user %s (%s says %s, but device.id is %s)", name, what, name, device)
}
