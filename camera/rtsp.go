package camera

import (
	"bufio"
	"cmp"
	"context"
	"crypto/md5"
	"crypto/sha256"
	"crypto/tls"
	"encoding/base64"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"net/http"
	"net/textproto"
	"net/url"
	"os"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"time"
	"unicode"

	"github.com/vggse/vggse-agent/internal/reach"
)

const (
	bodyLimit = 1 << 16 // the longest body of an answer that is read, bytes
	talkLimit = 1 << 19 // and of a whole conversation, with all lines and headers
	hopLimit  = 5       // how often a server may send us elsewhere
	// answerLimit is for one answer: what makes its stream on demand needs 4 to 10 s to start.
	answerLimit = 12 * time.Second
)

// describe asks an RTSP server, before OpenCV has its turn, what the stream is: OpenCV would only say
// that it could not open. It returns the codec, as h264 or in the server's own words; every error is
// an ErrLost, for servers are repaired and passwords set while we run, or ctx's. Where the server
// sends us elsewhere, u is changed to that place. It begins no session: a camera may have only one.
func (u *URI) describe(ctx context.Context) (codec string, err error) { return u.talk(ctx, false) }

// rehearse plays the stream to its first byte, to find out why OpenCV could not.
func (u *URI) rehearse(ctx context.Context) (codec string, err error) { return u.talk(ctx, true) }

// talk is a conversation, at each place to which the server sends us.
func (u *URI) talk(ctx context.Context, play bool) (codec string, err error) {
	for range hopLimit {
		var moved *movedError
		if codec, err = u.ask(ctx, play); !errors.As(err, &moved) {
			return codec, err
		}
		if err := u.moveTo(moved.to); err != nil {
			return "", fmt.Errorf("%w: %w", ErrLost, err)
		}
	}
	return "", errRound
}

// ask is one conversation.
func (u *URI) ask(ctx context.Context, play bool) (codec string, err error) {
	conn, err := u.dial(ctx)
	if err != nil {
		return "", err
	}
	defer conn.Close()
	patience := max(answerLimit, u.Timeout)
	conn.SetDeadline(time.Now().Add(patience))
	talk := &conversation{
		uri: u.rtspScheme() + withoutZone(u.Target), user: u.User, password: u.Password, codec: u.Codec,
		opening: true, conn: conn, in: textproto.NewReader(bufio.NewReader(&bounded{conn, talkLimit})),
	}
	cancelled := context.AfterFunc(ctx, func() { conn.SetDeadline(time.Unix(1, 0)) })
	defer cancelled()
	track, err := talk.describe()
	err = talk.unheard(u.TLS, err)
	if err == nil && play && !u.UDP {
		conn.SetDeadline(time.Now().Add(patience))
		err = talk.play(track, func() { conn.SetDeadline(time.Now().Add(max(firstFrameLimit, u.Timeout))) })
	}
	return track.codec, talkError(ctx, err, track.codec != "")
}

// talkError is the error of a conversation, in which the video was described already or was not.
func talkError(ctx context.Context, err error, described bool) error {
	switch {
	case err == nil:
		return nil
	case ctx.Err() != nil:
		return ctx.Err()
	case errors.Is(err, ErrLost):
		return err
	case errors.Is(err, os.ErrDeadlineExceeded) && described:
		return fmt.Errorf("%w: the server describes its video but sends none: end its other viewers, or restart the "+
			"camera; #transport=udp or tcp is another way, #timeout= more time", ErrStalled)
	case errors.Is(err, os.ErrDeadlineExceeded):
		return fmt.Errorf("%w: the server took the connection but does not answer: see whether RTSP is at this port, "+
			"restart the camera, or give it more time with #timeout=", ErrStalled)
	case ended(err): // io.EOF would be the end of a film
		var at *stepError
		if errors.As(err, &at) {
			return fmt.Errorf("%w: the server ended the connection at %s: it may serve one viewer only, or not like "+
				"the path: end the other viewers, check the path, or restart the camera", ErrLost, at.method)
		}
		return fmt.Errorf("%w: the server ended the connection", ErrLost)
	case errors.Is(err, io.ErrUnexpectedEOF):
		return fmt.Errorf("%w: the server ended the connection in mid-packet: where that comes again, restart the "+
			"camera",
			ErrLost)
	}
	return fmt.Errorf("%w: %w", ErrLost, err)
}

// unheard is err, with what to do where a server ends the connection before it has said anything: it may speak
// TLS, or not.
func (c *conversation) unheard(secure bool, err error) error {
	var noTLS tls.RecordHeaderError
	switch {
	case err == nil || c.heard:
		return err
	case errors.As(err, &noTLS):
		return errors.New("the server does not speak TLS on this port: write rtsp://")
	case secure && ended(err):
		return errors.New("the server ended the connection (if it does not speak TLS on this port, write rtsp://)")
	case secure && errors.Is(err, os.ErrDeadlineExceeded):
		return fmt.Errorf("%w: the server took the connection but does not answer (if it does not speak TLS on this "+
			"port, write rtsp://)", ErrStalled)
	case !secure && ended(err):
		return errors.New("the server ended the connection (if it speaks TLS on this port, write rtsps://)")
	case secure && strings.Contains(err.Error(), "tls: "):
		return tlsError(err, "rtsp:// with the port that goes with it")
	}
	return err
}

// tlsError is the error of a server whose TLS cannot be used; plain is what to write to go without.
func tlsError(err error, plain string) error {
	cure := "allow TLS 1.2 or newer there"
	switch said := err.Error(); {
	case wantsCertificate.MatchString(said):
		cure = "it wants a certificate of its clients, and none is given here: switch that off there"
	case strings.Contains(said, "unrecognized name"):
		cure = "write the name by which it knows itself"
	case !strings.Contains(said, "version") && !strings.Contains(said, "handshake failure"):
		cure = "see its settings and log for TLS"
	}
	return fmt.Errorf("the server's TLS cannot be used (%w): %s, or write %s", err, cure, plain)
}

// wantsCertificate are the alerts by which servers refuse who has none (RFC 8446, section 6.2).
var wantsCertificate = regexp.MustCompile("certificate|access denied|unknown certificate authority")

// ended reports whether the peer has closed the connection.
func ended(err error) bool {
	return errors.Is(err, io.EOF) || errors.Is(err, syscall.ECONNRESET) || errors.Is(err, syscall.EPIPE)
}

// stepError is an end of the connection in the place of the answer to a method.
type stepError struct {
	method string
	error
}

func (e *stepError) Unwrap() error { return e.error }

// movedError is an answer that names another place.
type movedError struct{ to string }

func (e *movedError) Error() string { return "the server sends us elsewhere, to " + Redact(e.to) }

// moveTo makes u the place that a server named. Its user and password are taken along to the same
// host and port only.
func (u *URI) moveTo(place string) error {
	next := URI{Scheme: "rtsp", Options: u.Options, inside: u.inside}
	scheme, target, whole := strings.Cut(place, "://")
	switch scheme = strings.ToLower(scheme); {
	case !whole && strings.HasPrefix(place, "/") && !strings.HasPrefix(place, "//"): // another path of the same server
		host, _, _ := strings.Cut(u.Target, "/")
		next.Target, next.TLS = host+place, u.TLS
	case whole && (scheme == "rtsp" || scheme == "rtsps"):
		next.Target, next.TLS = target, scheme == "rtsps"
	default:
		return fmt.Errorf("the server sends us elsewhere, to %s, which is no rtsp://: give the address of the stream "+
			"itself", Redact(place))
	}
	if err := next.splitCredentials(); err != nil {
		return fmt.Errorf("the server sends us elsewhere, to %s: %w", Redact(place), err)
	}
	if next.User == "" && next.address() == u.address() && (next.TLS || !u.TLS) {
		next.User, next.Password = u.User, u.Password
	}
	*u = next
	return nil
}

// address is the host and port of rtsp://.
func (u *URI) address() string {
	parsed, err := url.Parse("rtsp://" + u.Target)
	if err != nil {
		return u.Target
	}
	port := parsed.Port()
	switch {
	case port == "" && u.TLS:
		port = "322" // RFC 7826, section 22.1
	case port == "":
		port = "554" // RFC 2326, section 3.2
	}
	return net.JoinHostPort(parsed.Hostname(), port)
}

// bounded reads a conversation up to its limit.
type bounded struct {
	in   io.Reader
	left int
}

var errTooLong = errors.New("what answers there does not end its answer, as no camera does: correct host and port")

func (b *bounded) Read(p []byte) (int, error) {
	if b.left <= 0 {
		return 0, errTooLong
	}
	n, err := b.in.Read(p[:min(len(p), b.left)])
	b.left -= n
	return n, err
}

// unreached is the error of a connection that did not come about.
func unreached(who string, err error) error {
	seen, cure, ok := reach.Why(err)
	if !ok || errors.Is(err, errInside) {
		return fmt.Errorf("%w: %s %s: %w", ErrLost, who, Unreached, err)
	}
	return fmt.Errorf("%w: %s %s: %s: %s", ErrLost, who, Unreached, seen, cure)
}

// Unreached stands in the error of a camera to which no connection came about.
const Unreached = "cannot be reached"

func (u *URI) dial(ctx context.Context) (net.Conn, error) {
	dialer := net.Dialer{Timeout: openLimit, FallbackDelay: -1, Control: inward(&u.inside)}
	conn, err := dialer.DialContext(ctx, "tcp", u.address())
	if ctx.Err() != nil {
		return nil, ctx.Err()
	} else if err != nil {
		return nil, unreached("the server", err)
	}
	if u.TLS { // cameras sign their certificates themselves, and FFmpeg does not look at them
		return tls.Client(conn, &tls.Config{InsecureSkipVerify: true}), nil
	}
	return conn, nil
}

// rtspScheme is what stands before the target of rtsp://.
func (u *URI) rtspScheme() string {
	if u.TLS {
		return "rtsps://"
	}
	return "rtsp://"
}

// conversation is a connection to an RTSP server (RFC 2326).
type conversation struct {
	uri            string
	user, password string
	codec          string     // as the source has it, for a video without a name
	sha256         bool       // the password may be told by Digest with SHA-256
	challenge      *challenge // of the server, once it has asked for the password
	base           string     // of the presentation: what PLAY and TEARDOWN name
	session        string
	conn           io.Writer
	in             *textproto.Reader
	cseq           int
	heard          bool // the server has said something
	opening        bool // nothing has flowed yet
	noRange        bool // the server takes no range at PLAY
}

// answer is what a server says to one request.
type answer struct {
	status int
	header textproto.MIMEHeader
	body   string
}

// describe asks what there is and returns the first video.
func (c *conversation) describe() (track, error) {
	a, err := c.do("DESCRIBE", c.uri, "Accept: application/sdp")
	if err != nil {
		return track{}, err
	}
	t := videoTrack(a.body)
	if t.codec == "" {
		return t, errors.New("the server has no video at this path: give the path of another of its streams")
	} else if t.codec == "unknown" {
		t.codec = cmp.Or(t.guessed(), c.codec)
	}
	if t.codec == "" {
		return t, errors.New("the server does not say what its video is coded by: add #codec=h264 or #codec=h265 to " +
			"its address")
	}
	base := a.header.Get("Content-Base")
	if base == "" {
		base = c.uri
	}
	c.base = base
	switch {
	case t.control == "" || t.control == "*":
		t.control = base
	case !strings.Contains(t.control, "://"):
		t.control = strings.TrimSuffix(base, "/") + "/" + t.control
	}
	return t, nil
}

// play starts the stream inside this connection, waits for its first byte and stops it. patience is
// called before the waiting.
func (c *conversation) play(t track, patience func()) error {
	a, err := c.do("SETUP", t.control, "Transport: RTP/AVP/TCP;unicast;interleaved=0-1")
	if err != nil {
		return err
	}
	c.session, _, _ = strings.Cut(a.header.Get("Session"), ";")
	defer func() { c.send("TEARDOWN", c.uri) }()
	patience()
	if err := c.sendPlay(c.uri); err != nil {
		return err
	}
	for {
		mark, err := c.in.R.Peek(1)
		if err != nil {
			return err
		}
		if mark[0] == '$' { // RFC 2326, section 10.12: a packet of the stream
			return nil
		}
		a, err := c.receive("PLAY")
		if c.mends(a) {
			err = c.sendPlay(c.uri)
		}
		if err != nil {
			return err
		}
	}
}

// sendPlay asks for the video from now on. The range is what files want, and live sources take; some do
// not.
func (c *conversation) sendPlay(uri string) error {
	if c.noRange {
		return c.send("PLAY", uri)
	}
	return c.send("PLAY", uri, "Range: npt=0.000-")
}

// mends reports whether the answer to PLAY refuses what the next one leaves out or does better: a nonce
// that has become stale, or the range, of which 457 is "Invalid Range" (RFC 2326, section 11.3.8) and 400
// what others say.
func (c *conversation) mends(a answer) bool {
	switch {
	case a.status == 401 && c.user != "":
		next, bad := choose(a.header.Values("WWW-Authenticate"), c.sha256)
		if bad != nil || c.challenge != nil && !next.stale {
			return false
		}
		c.challenge = next
		return true
	case (a.status == 457 || a.status == 400) && !c.noRange:
		c.noRange = true
		return true
	}
	return false
}

// wantsLogin is what a source without a user is told. It holds no at sign and no colon behind the
// word password: what shows errors would take what stands before or behind for a secret.
const wantsLogin = "wants a user and a password, which stand before the host as USER:PASSWORD and an at sign"

// What servers of RTSP and HTTP refuse.
const (
	mayWantLogin = "may want a user and a password, which stand before the host as USER:PASSWORD and an at sign, or " +
		"admit other addresses only"
	refusesUser = "the server refuses this user and password, check both at the camera: some keep users of their own " +
		"for streams"
	noPassword = "the server refuses this user without a password, write both before the host, as USER:PASSWORD and " +
		"an at sign"
	noSuchPath = "the server has no such path: the camera's manual names the right one"
)

// refuses is a refusal of user and password.
func refuses(password string) error {
	if password == "" {
		return errors.New(noPassword)
	}
	return errors.New(refusesUser)
}

// cureOf is what to try about a status of RTSP or HTTP that no sentence of its own is for.
func cureOf(status int) string {
	switch {
	case status == 402 || status == 407 || status == 511:
		return "a proxy or gateway stands between that wants a login: give the camera's own address"
	case status == 406 || status == 415:
		return "it has nothing there of a kind that can be read: give the path of another of its streams"
	case status == 408 || status == 423 || status == 425 || status == 454 || status == 455:
		return "it may be starting, or busy with other viewers: end those, or restart the camera"
	case status == 503:
		return "it may have no room for another viewer, or be starting: end the others, or restart the camera"
	case status == 429:
		return "it is asked too often: close what else asks it, and wait"
	case status/100 == 3:
		return "the stream is elsewhere, and it does not say where: give that address"
	case status/100 == 4:
		return "check the path, for the camera's manual names the right one"
	case status/100 == 5:
		return "restart the camera, or look into its log"
	}
	return "correct host, port and path"
}

// statusOf is a status with its name: the server's own words, else what it is called.
func statusOf(status int, said string) string {
	said = strings.TrimSpace(said)
	if said == "" || len(said) > 40 || strings.ContainsFunc(said, func(r rune) bool { return !unicode.IsPrint(r) }) {
		said = http.StatusText(status)
	}
	if said == "" {
		return fmt.Sprintf("status %d", status)
	}
	return fmt.Sprintf("status %d (%s)", status, said)
}

// alertOfTLS is how a server that speaks TLS begins its answer to one who does not.
const alertOfTLS = "\x15\x03"

// do sends a request, again with the password where the server asks for it, and returns the answer.
// A server may ask anew at each request; the password is wrong where it refuses the answer to what
// it has just asked.
func (c *conversation) do(method, uri string, headers ...string) (a answer, err error) {
	for asked := false; ; asked = true {
		if err := c.send(method, uri, headers...); err != nil {
			return a, err
		}
		a, err = c.receive(method)
		if a.status != 401 || c.user == "" {
			return a, err
		}
		next, bad := choose(a.header.Values("WWW-Authenticate"), c.sha256)
		switch {
		case bad != nil:
			return a, bad
		case asked && !(next.stale && next.nonce != c.challenge.nonce):
			return a, err
		case asked && c.cseq > hopLimit*4: // stale for ever
			return a, err
		}
		c.challenge = next
	}
}

func (c *conversation) send(method, uri string, headers ...string) error {
	c.cseq++
	headers = append(headers, fmt.Sprintf("CSeq: %d", c.cseq), "User-Agent: vggse-agent")
	if c.session != "" {
		headers = append(headers, "Session: "+c.session)
	}
	if c.challenge != nil {
		headers = append(headers, "Authorization: "+c.challenge.answer(c.user, c.password, method, uri))
	}
	_, err := fmt.Fprintf(c.conn, "%s %s RTSP/1.0\r\n%s\r\n\r\n", method, uri, strings.Join(headers, "\r\n"))
	return err
}

// receive reads the answer to a method; one that is not 200 is an error too. One of 1xx tells that the answer is
// still to come (RFC 2326, section 7.1.1).
func (c *conversation) receive(method string) (a answer, err error) {
	for tries := 0; a.status/100 == 1 || a.status == 0; tries++ {
		if tries > mostToCome {
			return a, fmt.Errorf("the server says again and again that its answer to %s is still to come: restart "+
				"the camera",
				method)
		}
		var words string
		if a, words, err = c.one(); err != nil {
			if ended(err) && c.heard && c.opening {
				err = &stepError{method, err}
			}
			return a, err
		}
		if a.status/100 != 1 {
			return a, c.judge(&a, method, words)
		}
	}
	return a, nil
}

// mostToCome is how often a server may say that its answer is still to come: each second for the longest patience.
const mostToCome = 3600

// one reads one answer; words are what the server says beside its status.
func (c *conversation) one() (a answer, words string, err error) {
	line, err := c.in.ReadLine()
	for err == nil && line == "" { // left of the answer before
		line, err = c.in.ReadLine()
	}
	if c.heard = c.heard || line != ""; strings.HasPrefix(line, alertOfTLS) {
		return a, "", errors.New("the server speaks TLS on this port: write rtsps://")
	} else if err != nil {
		return a, "", err
	}
	protocol, rest, _ := strings.Cut(line, " ")
	code, words, _ := strings.Cut(rest, " ")
	a.status, err = strconv.Atoi(code)
	if strings.HasPrefix(protocol, "HTTP/") {
		return a, "", fmt.Errorf("an HTTP server answers there, no RTSP server: write http:// or the port of RTSP "+
			"(it says %.40q)", line)
	}
	if err != nil || a.status < 100 || !strings.HasPrefix(strings.ToUpper(protocol), "RTSP/") {
		return a, "", fmt.Errorf("what answers there is no RTSP server: it says %.40q: correct host and port", line)
	}
	if a.header, err = c.header(); err != nil {
		return a, "", err
	}
	if length := a.header.Get("Content-Length"); length != "" {
		n, err := strconv.ParseUint(length, 10, 31)
		if err != nil || n > bodyLimit {
			return a, "", fmt.Errorf("the server announces an answer of %.20q bytes, which is none of a camera: "+
				"correct host and port", length)
		}
		body := make([]byte, n)
		if _, err := io.ReadFull(c.in.R, body); err != nil {
			return a, "", err
		}
		a.body = string(body)
	}
	return a, words, nil
}

// judge is the error that an answer to a method is; nil: it is a good one.
func (c *conversation) judge(a *answer, method, words string) error {
	switch a.status {
	case 200, 250: // low on storage space, which is not ours
		return nil
	case 401, 403:
		if a.status == 401 && c.user == "" {
			return errors.New("the server " + wantsLogin)
		} else if c.user == "" {
			return errors.New("the server answers with status 403 (Forbidden): it " + mayWantLogin)
		}
		return refuses(c.password)
	case 404:
		return errors.New(noSuchPath)
	case 301, 302, 303, 305, 307, 308:
		if to := a.header.Get("Location"); to != "" {
			return &movedError{to}
		}
	case 453:
		return errors.New("the server has no room for another viewer: end the other one")
	case 461:
		return errTransport
	}
	return fmt.Errorf("the server answers %s with %s: %s", method, statusOf(a.status, words), cureOf(a.status))
}

// header reads the lines up to an empty one. What is no field among them is passed over: some servers let
// debugging text slip in.
func (c *conversation) header() (textproto.MIMEHeader, error) {
	fields := make(textproto.MIMEHeader)
	for {
		line, err := c.in.ReadContinuedLine()
		if err != nil || line == "" {
			return fields, err
		}
		if key, value, ok := strings.Cut(line, ":"); ok {
			fields.Add(strings.TrimSpace(key), strings.TrimSpace(value))
		}
	}
}

var errTransport = errors.New("the camera does not send through TCP: add #transport=udp to its address")

var (
	errNoTransport = errors.New("the camera sends neither through TCP nor by UDP to one viewer: it may serve by " +
		"multicast alone: switch unicast on there")
	errNoUDP     = errors.New("the camera does not send by UDP: leave #transport=udp out of its address")
	errMulticast = errors.New("the camera sends by multicast, which is not asked for: switch unicast on there, or " +
		"read it by rtp://@ADDRESS:PORT?codec=h264")
)

var (
	digestField = regexp.MustCompile(`(\w+)\s*=\s*(?:"((?:[^"\\]|\\.)*)"|([^\s,"]*))`)
	// eachScheme finds where a challenge begins: several may share one header.
	eachScheme = regexp.MustCompile(`(?i)(?:^|,\s*)(Digest|Basic|Bearer|Negotiate|NTLM)(?:\s+|$)`)
)

// challenge is how a server wants to be told the password: MD5 digest (RFC 2617), or as it is.
type challenge struct {
	basic, stale, session bool
	sha                   bool // SHA-256 in place of MD5 (RFC 7616)
	realm, nonce, opaque  string
	qop                   bool // "auth" is offered
	count                 int  // answers given to this nonce
}

// choose takes the best of a server's challenges that FFmpeg can answer, too; sha256: those with
// SHA-256 as well. The password itself
// is sent only to who asks for it.
func choose(headers []string, sha256 bool) (*challenge, error) {
	var basic *challenge
	var others []string
	for _, header := range headers {
		begins := eachScheme.FindAllStringSubmatchIndex(header, -1)
		for i, at := range begins {
			end := len(header)
			if i+1 < len(begins) {
				end = begins[i+1][0]
			}
			scheme, field := header[at[2]:at[3]], fieldsOf(header[at[1]:end])
			algorithm := strings.ToUpper(field["algorithm"])
			switch {
			case strings.EqualFold(scheme, "Basic"):
				basic = &challenge{basic: true}
			case !strings.EqualFold(scheme, "Digest"):
				others = append(others, scheme)
			case !slices.Contains([]string{"", "MD5", "MD5-SESS"}, algorithm) && !(sha256 && algorithm == "SHA-256"):
				others = append(others, "Digest with "+algorithm)
			case field["qop"] != "" && !slices.Contains(strings.FieldsFunc(field["qop"], commaOrSpace), "auth"):
				others = append(others, "Digest with qop="+field["qop"])
			default:
				return &challenge{
					sha:   algorithm == "SHA-256",
					realm: field["realm"], nonce: field["nonce"], opaque: field["opaque"],
					stale: strings.EqualFold(field["stale"], "true"), session: algorithm == "MD5-SESS",
					qop: slices.Contains(strings.FieldsFunc(field["qop"], commaOrSpace), "auth"),
				}, nil
			}
		}
	}
	if basic == nil {
		return nil, fmt.Errorf("the camera asks for the password by %s, %s",
			cmp.Or(strings.Join(others, " or "), "no method that it names"), forFFmpeg)
	}
	return basic, nil
}

// forFFmpeg is what to do about a method that FFmpeg does not know.
const forFFmpeg = "which FFmpeg does not know: set its RTSP authentication to Digest with MD5"

func commaOrSpace(r rune) bool { return r == ',' || r == ' ' }

func fieldsOf(text string) map[string]string {
	field := make(map[string]string)
	for _, m := range digestField.FindAllStringSubmatch(text, -1) {
		field[strings.ToLower(m[1])] = m[2] + m[3]
	}
	return field
}

// answer is the value of Authorization for one request.
func (c *challenge) answer(user, password, method, uri string) string {
	if c.basic {
		return "Basic " + base64.StdEncoding.EncodeToString([]byte(user+":"+password))
	}
	c.count++
	count, client := fmt.Sprintf("%08x", c.count), fmt.Sprintf("%016x", rand.Uint64())
	sum := md5hex
	if c.sha {
		sum = sha256hex
	}
	a1 := sum(user + ":" + c.realm + ":" + password)
	if c.session {
		a1 = sum(a1 + ":" + c.nonce + ":" + client)
	}
	response := a1 + ":" + c.nonce + ":"
	if c.qop {
		response += count + ":" + client + ":auth:"
	}
	text := fmt.Sprintf(`Digest username="%s", realm="%s", nonce="%s", uri="%s", response="%s"`,
		quoteSafe.Replace(user), c.realm, c.nonce, uri, sum(response+sum(method+":"+uri)))
	if c.opaque != "" {
		text += fmt.Sprintf(`, opaque="%s"`, c.opaque)
	}
	if c.session {
		text += ", algorithm=MD5-sess"
	}
	if c.sha {
		text += ", algorithm=SHA-256"
	}
	if c.qop || c.session {
		text += fmt.Sprintf(`, qop=auth, nc=%s, cnonce="%s"`, count, client)
	}
	return text
}

var quoteSafe = strings.NewReplacer(`\`, `\\`, `"`, `\"`)

func sha256hex(s string) string { return fmt.Sprintf("%x", sha256.Sum256([]byte(s))) }

func md5hex(s string) string { return fmt.Sprintf("%x", md5.Sum([]byte(s))) }

// track is the video of a session description.
type track struct {
	codec   string // h264, h265, or another name in small letters; "unknown" where it has none
	control string // URI, whole or relative
	payload byte   // type of its packets
	clock   int    // of their time, ticks a second
	format  map[string]string
}

// videoTrack finds the first video in a session description (RFC 8866); its codec is "" if there is
// none.
func videoTrack(sdp string) (t track) {
	for line := range strings.SplitSeq(sdp, "\n") {
		line = strings.TrimSpace(line)
		switch {
		case strings.HasPrefix(line, "m=") && t.codec != "":
			return t
		case strings.HasPrefix(line, "m=video "):
			t = newTrack(line)
		case t.codec == "":
		case strings.HasPrefix(line, "a=control:"):
			t.control = strings.TrimPrefix(line, "a=control:")
		case strings.HasPrefix(line, "a=rtpmap:"):
			t.mapped(strings.TrimPrefix(line, "a=rtpmap:"))
		case strings.HasPrefix(line, "a=fmtp:"):
			t.formatted(strings.TrimPrefix(line, "a=fmtp:"))
		}
	}
	return t
}

// guessed is the codec to which the parameters of a track without a name belong; "": nobody knows.
func (t *track) guessed() string {
	switch {
	case t.format["sprop-vps"] != "":
		return "h265"
	case t.format["sprop-parameter-sets"] != "" || t.format["packetization-mode"] != "":
		return "h264"
	}
	return ""
}

// static are the types that may go without a name (RFC 3551, section 6).
var static = map[byte]string{26: "jpeg", 31: "h261", 32: "mpv", 33: "mp2t", 34: "h263"}

// newTrack is that of a line m=video PORT RTP/AVP TYPE.
func newTrack(line string) track {
	t := track{codec: "unknown", payload: 96, clock: 90000}
	if fields := strings.Fields(line); len(fields) > 3 {
		if n, err := strconv.ParseUint(fields[3], 10, 7); err == nil {
			t.payload = byte(n)
		}
	}
	if name := static[t.payload]; name != "" {
		t.codec = name
	}
	return t
}

// mapped takes TYPE NAME/CLOCK.
func (t *track) mapped(text string) {
	kind, name, _ := strings.Cut(text, " ")
	name, clock, _ := strings.Cut(strings.TrimSpace(name), "/")
	n, err := strconv.ParseUint(strings.TrimSpace(kind), 10, 7)
	if t.codec != "unknown" || err == nil && byte(n) != t.payload {
		return
	}
	t.codec = strings.Replace(strings.ToLower(name), "hevc", "h265", 1)
	if n, err := strconv.Atoi(clock); err == nil && n > 0 {
		t.clock = n
	}
}

// formatted takes TYPE KEY=VALUE; KEY=VALUE.
func (t *track) formatted(text string) {
	_, text, _ = strings.Cut(text, " ")
	t.format = make(map[string]string)
	for pair := range strings.SplitSeq(text, ";") {
		key, value, _ := strings.Cut(strings.TrimSpace(pair), "=")
		t.format[strings.ToLower(key)] = value
	}
}
