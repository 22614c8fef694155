package camera

import (
	"compress/gzip"
	"compress/zlib"
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"os"
	"strings"
	"syscall"
	"time"

	"github.com/vggse/vggse-agent/internal/pemfile"
	"github.com/vggse/vggse-agent/internal/reach"
)

// webClient asks one HTTP server for pictures.
type webClient struct {
	http   *http.Client
	at     *url.URL // where to ask; changed by redirects
	user   *url.Userinfo
	asked  *challenge
	limit  time.Duration   // of silence
	timed  *timed          // the newest connection
	inside *bool           // see inward
	ctx    context.Context // of the connections; ends with close
	stop   context.CancelFunc
}

func newWebClient(u *URI) *webClient {
	scheme := "http"
	if u.TLS {
		scheme = "https"
	}
	c := &webClient{limit: max(u.silence(), firstFrameLimit)}
	c.at, _ = url.Parse(scheme + "://" + u.Target) // was parsed before
	if u.User != "" {
		c.user = url.UserPassword(u.User, u.Password)
	}
	c.ctx, c.stop = context.WithCancel(context.Background())
	c.http = &http.Client{
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
		Transport: &http.Transport{
			DialContext: c.dial, DisableCompression: true, MaxIdleConns: 1, IdleConnTimeout: time.Minute,
			TLSHandshakeTimeout: answerLimit, ResponseHeaderTimeout: max(answerLimit, u.Timeout),
			MaxResponseHeaderBytes: headerLimit,
		},
	}
	return c
}

func (c *webClient) close() {
	c.stop()
	c.http.CloseIdleConnections()
}

// errInside is for a server that sends us to this machine or its link, where other things listen.
var errInside = errors.New("the server sends us to an address of this machine or its own link: that is not followed, " +
	"so give that address itself")

// inward refuses connections to this machine and its link, where the source is none of these: its own
// address, the first, says so in known.
func inward(known **bool) func(network, address string, _ syscall.RawConn) error {
	return func(_, address string, _ syscall.RawConn) error {
		host, _, err := net.SplitHostPort(address)
		if err != nil {
			return err
		}
		ip := net.ParseIP(strings.SplitN(host, "%", 2)[0])
		inside := ip.IsLoopback() || ip.IsLinkLocalUnicast() || ip.IsUnspecified() || ip.IsMulticast()
		if *known == nil {
			*known = &inside
		}
		if inside && !**known {
			return errInside
		}
		return nil
	}
}

func (c *webClient) dial(ctx context.Context, network, address string) (net.Conn, error) {
	d := net.Dialer{Timeout: openLimit, FallbackDelay: -1, Control: inward(&c.inside)}
	conn, err := d.DialContext(ctx, network, address)
	if err != nil {
		return nil, err
	}
	c.timed = &timed{Conn: conn, limit: c.limit}
	return c.timed, nil
}

// timed is a connection on which each read has its time. A server of the time before HTTP/1.0, or of
// SHOUTcast's kind, may begin with ICY.
type timed struct {
	net.Conn
	limit time.Duration
	until time.Time // of all reads; zero: no end
	begun bool
	start []byte // what was read of the beginning, and not taken yet
}

func (t *timed) Read(p []byte) (int, error) {
	end := time.Now().Add(t.limit)
	if !t.until.IsZero() && t.until.Before(end) {
		end = t.until
	}
	if err := t.SetReadDeadline(end); err != nil {
		return 0, err
	}
	if !t.begun {
		t.begun, t.start = true, make([]byte, len("ICY "))
		n, err := io.ReadFull(t.Conn, t.start)
		if t.start = t.start[:n]; n == 0 {
			return 0, err
		}
		if string(t.start) == "ICY " {
			t.start = []byte("HTTP/1.0 ")
		}
	}
	if len(t.start) > 0 {
		n := copy(p, t.start)
		t.start = t.start[n:]
		return n, nil
	}
	return t.Conn.Read(p)
}

// late reports whether the end of all reads has come.
func (t *timed) late() bool { return !t.until.IsZero() && !time.Now().Before(t.until) }

// get asks for the picture or stream, with the password where the server wants it, and follows
// where it sends us. The body is the caller's to close.
func (c *webClient) get(ctx context.Context, header http.Header) (*http.Response, error) {
	from := *c.at
	at := from
	for asked, hops := 0, 0; ; {
		a, err := c.once(ctx, &at, header)
		if err != nil && ctx.Err() == nil && at != from {
			return nil, fmt.Errorf("%w (of %s, to which %s sends us)", err, Redact(at.Scheme+"://"+at.Host), from.Host)
		} else if err != nil {
			return nil, err
		}
		switch {
		case a.StatusCode == http.StatusOK:
			return a, unpack(a)
		case a.StatusCode == http.StatusNotModified:
			return a, nil
		case a.StatusCode == http.StatusUnauthorized && asked < 2:
			a.Body.Close()
			asked++
			if err := c.challenged(&at, a.Header.Values("WWW-Authenticate"), asked); err != nil {
				return nil, fmt.Errorf("%w: %w", ErrLost, err)
			}
		case a.StatusCode/100 == 3 && a.Header.Get("Location") != "" && hops < hopLimit:
			a.Body.Close()
			hops++
			next, err := at.Parse(a.Header.Get("Location"))
			if err == nil && (next.Scheme == "rtsp" || next.Scheme == "rtsps") {
				return nil, fmt.Errorf("%w: the server sends us elsewhere: give that address, %s", ErrLost,
					Redact(a.Header.Get("Location")))
			} else if err != nil || next.Scheme != "http" && next.Scheme != "https" || next.Host == "" {
				return nil, fmt.Errorf("%w: the server sends us elsewhere, to %s, which is no http://: give the "+
					"address of the stream itself", ErrLost,
					Redact(a.Header.Get("Location")))
			}
			next.User = nil
			at, c.asked = *next, nil
		case a.StatusCode/100 == 3 && hops == hopLimit:
			a.Body.Close()
			return nil, errRound
		default:
			a.Body.Close()
			return nil, fmt.Errorf("%w: %s", ErrLost, c.refusedBy(a.StatusCode))
		}
	}
}

// unpack takes the packing off an answer: some servers pack what they send for everybody, pictures
// as well.
func unpack(a *http.Response) error {
	for coding := range strings.SplitSeq(strings.ToLower(a.Header.Get("Content-Encoding")), ",") {
		var in io.Reader
		var err error
		switch coding = strings.TrimSpace(coding); coding {
		case "", "identity", "none", "binary":
			continue
		case "gzip", "x-gzip":
			in, err = gzip.NewReader(a.Body)
		case "deflate":
			in, err = zlib.NewReader(a.Body)
		default:
			a.Body.Close()
			return fmt.Errorf("%w: the server packs its pictures by %.20q: switch that off, pictures do not "+
				"shrink by it", ErrLost, coding)
		}
		if err != nil {
			a.Body.Close()
			return fmt.Errorf("%w: what the server has packed by %s is damaged (%v): switch packing off "+
				"there", ErrLost, coding, err)
		}
		a.Body = struct {
			io.Reader
			io.Closer
		}{in, a.Body}
	}
	return nil
}

// once is one request.
func (c *webClient) once(ctx context.Context, at *url.URL, header http.Header) (*http.Response, error) {
	whole, cancel := context.WithCancel(c.ctx)
	unhook := context.AfterFunc(ctx, cancel)
	request, err := http.NewRequestWithContext(whole, http.MethodGet, at.String(), nil)
	if err != nil {
		return nil, err
	}
	for k, v := range header {
		request.Header[k] = v
	}
	request.Header.Set("User-Agent", "vggse-agent")
	if c.asked != nil && c.mayKnow(at) {
		password, _ := c.user.Password()
		request.Header.Set("Authorization",
			c.asked.answer(c.user.Username(), password, http.MethodGet, at.RequestURI()))
	}
	a, err := c.http.Do(request)
	if !unhook() && err == nil { // ctx ended meanwhile
		a.Body.Close()
		err = ctx.Err()
	}
	switch {
	case ctx.Err() != nil:
		return nil, ctx.Err()
	case err == nil:
		return a, nil
	case errors.Is(err, os.ErrDeadlineExceeded) || strings.Contains(err.Error(), "timeout awaiting response headers"):
		return nil, fmt.Errorf("%w: the server took the connection but does not answer%s: restart the camera, correct "+
			"the port, or give it more time with #timeout=", ErrStalled, ifNoTLS(at))
	}
	var wrapped *url.Error
	if errors.As(err, &wrapped) {
		err = wrapped.Err // the address is in the sentence around
	}
	var noTLS tls.RecordHeaderError
	switch {
	case errors.As(err, &noTLS):
		return nil, fmt.Errorf("%w: the server does not speak TLS on this port: write http://", ErrLost)
	case strings.Contains(err.Error(), "HTTP response to HTTPS client"):
		return nil, fmt.Errorf("%w: the server does not speak TLS on this port: write http://", ErrLost)
	case strings.Contains(err.Error(), `"RTSP/`):
		return nil, fmt.Errorf("%w: an RTSP server answers there: write rtsp://", ErrLost)
	case strings.Contains(err.Error(), `malformed HTTP response "\x15\x03`):
		return nil, fmt.Errorf("%w: the server speaks TLS on this port: write https://", ErrLost)
	case strings.Contains(err.Error(), "malformed HTTP"):
		return nil, fmt.Errorf("%w: what answers there is no HTTP server (%.120s): correct host and port", ErrLost, err)
	}
	if errors.Is(err, syscall.ECONNRESET) || errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF) {
		return nil, fmt.Errorf("%w: the server cannot be reached: it hangs up without an answer%s", ErrLost, ifTLS(at))
	}
	var unknown x509.UnknownAuthorityError
	if errors.As(err, &unknown) {
		return nil, fmt.Errorf("%w: the server cannot be trusted: nobody whom this machine knows has signed its "+
			"certificate: install the authority's on this machine, or write http://", ErrLost)
	}
	var name x509.HostnameError
	if errors.As(err, &name) {
		return nil, fmt.Errorf("%w: the server cannot be trusted: its certificate is made for another name or "+
			"address%s: write one that it is made for, or http://", ErrLost, madeFor(name.Certificate))
	}
	var invalid x509.CertificateInvalidError
	switch {
	case errors.As(err, &invalid) && invalid.Reason == x509.Expired:
		return nil, fmt.Errorf("%w: the server cannot be trusted: its certificate is valid from %s to %s only: renew "+
			"it, set the clock of this device, or write http://", ErrLost, invalid.Cert.NotBefore.Format(time.DateOnly),
			invalid.Cert.NotAfter.Format(time.DateOnly))
	case strings.Contains(err.Error(), "x509: "):
		return nil, fmt.Errorf("%w: the server cannot be trusted (%w): have a new certificate made, or write http://",
			ErrLost, err)
	case strings.Contains(err.Error(), "tls: "):
		return nil, fmt.Errorf("%w: %w", ErrLost, tlsError(err, "http://"))
	}
	if _, _, dial := reach.Why(err); dial || errors.Is(err, errInside) {
		return nil, unreached("the server", err)
	}
	return nil, fmt.Errorf("%w: the server does not answer as one of HTTP does (%w): correct host and "+
		"port", ErrLost, err)
}

// madeFor are the names and addresses of a certificate, for a sentence.
func madeFor(cert *x509.Certificate) string {
	names := pemfile.Names(cert)
	if names == "" {
		return " (it holds none, so have a new one made)"
	}
	return " (" + names + ")"
}

// forWeb is what to do about a method that is not known, in the place of forFFmpeg.
const forWeb = "which is not known here: set its authentication to Digest or Basic"

// ifTLS and ifNoTLS are what to do where a server may speak TLS, and where it may not.
func ifTLS(at *url.URL) string {
	if at.Scheme == "http" {
		return " (if it speaks TLS on this port, write https://)"
	}
	return ""
}

func ifNoTLS(at *url.URL) string {
	if at.Scheme == "https" {
		return " (if it does not speak TLS on this port, write http://)"
	}
	return ""
}

// mayKnow reports whether the password may be sent there: to the host and port of the source alone,
// and by TLS where it is.
func (c *webClient) mayKnow(at *url.URL) bool {
	return c.user != nil && at.Scheme == c.at.Scheme && at.Host == c.at.Host
}

// challenged takes how a server wants the password.
func (c *webClient) challenged(at *url.URL, headers []string, asked int) error {
	switch {
	case c.user == nil:
		return errors.New("the server " + wantsLogin)
	case !c.mayKnow(at):
		return errors.New("the server sends us to another one, which wants a password: give its own address")
	}
	next, err := choose(headers, true)
	if err != nil {
		return errors.New(strings.Replace(err.Error(), forFFmpeg, forWeb, 1))
	}
	if asked > 1 && !next.stale {
		return c.refuses()
	}
	c.asked = next
	return nil
}

// refusedBy is a sentence on a status that brings no picture.
func (c *webClient) refusedBy(status int) string {
	what := "the server answers with " + statusOf(status, "")
	switch {
	case status == http.StatusForbidden && c.user == nil:
		return what + ": it " + mayWantLogin
	case status == http.StatusUnauthorized || status == http.StatusForbidden:
		return c.refuses().Error()
	case status == http.StatusNotFound:
		return noSuchPath
	case status == http.StatusTooManyRequests:
		return what + ": it is asked too often: set #fps= below 1"
	case status/100 == 2 || status == http.StatusNotModified:
		return what + " and no picture: " + cureOf(http.StatusNotAcceptable)
	}
	return what + ": " + cureOf(status)
}

// refuses is a refusal of user and password.
func (c *webClient) refuses() error {
	password, _ := c.user.Password()
	return refuses(password)
}
