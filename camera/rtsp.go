package camera

import (
	"bufio"
	"context"
	"crypto/md5"
	"encoding/base64"
	"errors"
	"fmt"
	"io"
	"net"
	"net/textproto"
	"net/url"
	"os"
	"regexp"
	"strconv"
	"strings"
	"time"
)

// bodyLimit is the longest body of an answer that is read, bytes.
const bodyLimit = 1 << 16

// rehearse has a short conversation of our own with an RTSP server before OpenCV has its turn: what
// is the stream, and does it flow? OpenCV would only say that it could not open, and a call into it
// cannot be cancelled: a camera that has stalled is found out here, where it can. It returns the
// codec, as h264 or in the server's own words; every error is an ErrLost, for servers are repaired
// and passwords set while we run, or ctx's.
func (u *URI) rehearse(ctx context.Context) (codec string, err error) {
	conn, err := u.dial(ctx)
	if err != nil {
		return "", err
	}
	defer conn.Close()
	conn.SetDeadline(time.Now().Add(openLimit))
	talk := &conversation{
		uri: "rtsp://" + u.Target, user: u.User, password: u.Password,
		conn: conn, in: textproto.NewReader(bufio.NewReader(conn)),
	}
	cancelled := context.AfterFunc(ctx, func() { conn.SetDeadline(time.Unix(1, 0)) })
	defer cancelled()
	track, err := talk.describe()
	if err == nil && !u.UDP {
		err = talk.play(track, func() { conn.SetDeadline(time.Now().Add(u.silence())) })
	}
	switch {
	case ctx.Err() != nil:
		return "", ctx.Err()
	case errors.Is(err, os.ErrDeadlineExceeded) && track.codec != "":
		return "", fmt.Errorf("%w: the server describes its video but sends none", ErrStalled)
	case errors.Is(err, os.ErrDeadlineExceeded):
		return "", fmt.Errorf("%w: the server took the connection but does not answer", ErrStalled)
	case errors.Is(err, io.EOF): // which from a source means the end of a film
		return "", fmt.Errorf("%w: the server ended the connection", ErrLost)
	case err != nil:
		return "", fmt.Errorf("%w: %w", ErrLost, err)
	}
	return track.codec, nil
}

func (u *URI) dial(ctx context.Context) (net.Conn, error) {
	parsed, err := url.Parse("rtsp://" + u.Target)
	if err != nil {
		return nil, err
	}
	port := parsed.Port()
	if port == "" {
		port = "554" // RFC 2326, section 3.2
	}
	dialer := net.Dialer{Timeout: openLimit}
	conn, err := dialer.DialContext(ctx, "tcp", net.JoinHostPort(parsed.Hostname(), port))
	if ctx.Err() != nil {
		return nil, ctx.Err()
	} else if err != nil {
		return nil, fmt.Errorf("%w: the server cannot be reached: %w", ErrLost, err)
	}
	return conn, nil
}

// conversation is a connection to an RTSP server (RFC 2326).
type conversation struct {
	uri            string
	user, password string
	challenges     []string // of the server, once it has asked for the password
	session        string
	conn           io.Writer
	in             *textproto.Reader
	cseq           int
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
		return t, errors.New("the server has no video at this path")
	}
	base := a.header.Get("Content-Base")
	if base == "" {
		base = c.uri
	}
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
	if err := c.send("PLAY", c.uri, "Range: npt=0.000-"); err != nil {
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
		if _, err := c.receive("PLAY"); err != nil {
			return err
		}
	}
}

// do sends a request, a second time with the password where the server asks for it, and returns the
// answer.
func (c *conversation) do(method, uri string, headers ...string) (a answer, err error) {
	if err := c.send(method, uri, headers...); err != nil {
		return a, err
	}
	a, err = c.receive(method)
	if a.status == 401 && c.user != "" && c.challenges == nil {
		c.challenges = a.header.Values("WWW-Authenticate")
		if err := c.send(method, uri, headers...); err != nil {
			return a, err
		}
		a, err = c.receive(method)
	}
	if a.status == 401 && c.user == "" {
		return a, errors.New("the server wants a user and a password: rtsp://USER:PASSWORD@…")
	}
	return a, err
}

func (c *conversation) send(method, uri string, headers ...string) error {
	c.cseq++
	headers = append(headers, fmt.Sprintf("CSeq: %d", c.cseq), "User-Agent: vggse-agent")
	if c.session != "" {
		headers = append(headers, "Session: "+c.session)
	}
	if c.challenges != nil {
		headers = append(headers, "Authorization: "+authorization(c.challenges, c.user, c.password, method, uri))
	}
	_, err := fmt.Fprintf(c.conn, "%s %s RTSP/1.0\r\n%s\r\n\r\n", method, uri, strings.Join(headers, "\r\n"))
	return err
}

// receive reads the answer to a method; one that is not 200 is an error too.
func (c *conversation) receive(method string) (a answer, err error) {
	line, err := c.in.ReadLine()
	if err != nil {
		return a, err
	}
	protocol, rest, _ := strings.Cut(line, " ")
	code, _, _ := strings.Cut(rest, " ")
	a.status, err = strconv.Atoi(code)
	if err != nil || !strings.HasPrefix(protocol, "RTSP/") {
		return a, fmt.Errorf("what answers there is no RTSP server: it says %.40q", line)
	}
	if a.header, err = c.in.ReadMIMEHeader(); err != nil {
		return a, err
	}
	if length := a.header.Get("Content-Length"); length != "" {
		n, err := strconv.ParseUint(length, 10, 31)
		if err != nil || n > bodyLimit {
			return a, fmt.Errorf("the server announces an answer of %.20q bytes", length)
		}
		body := make([]byte, n)
		if _, err := io.ReadFull(c.in.R, body); err != nil {
			return a, err
		}
		a.body = string(body)
	}
	switch a.status {
	case 200:
		return a, nil
	case 401, 403:
		return a, errors.New("the server refuses this user and password")
	case 404:
		return a, errors.New("the server has no such path")
	}
	return a, fmt.Errorf("the server answers %s with status %d", method, a.status)
}

var digestField = regexp.MustCompile(`(\w+)="?([^",]*)"?`)

// authorization answers a server's challenges: MD5 digest (RFC 2617) where it may, else the
// password itself.
func authorization(challenges []string, user, password, method, uri string) string {
	basic := "Basic " + base64.StdEncoding.EncodeToString([]byte(user+":"+password))
	for _, challenge := range challenges {
		scheme, rest, _ := strings.Cut(challenge, " ")
		field := make(map[string]string)
		for _, m := range digestField.FindAllStringSubmatch(rest, -1) {
			field[strings.ToLower(m[1])] = m[2]
		}
		if !strings.EqualFold(scheme, "Digest") || field["algorithm"] != "" && !strings.EqualFold(field["algorithm"],
			"MD5") {
			continue
		}
		a1 := md5hex(user + ":" + field["realm"] + ":" + password)
		a2 := md5hex(method + ":" + uri)
		return fmt.Sprintf(`Digest username="%s", realm="%s", nonce="%s", uri="%s", response="%s"`,
			user, field["realm"], field["nonce"], uri, md5hex(a1+":"+field["nonce"]+":"+a2))
	}
	return basic
}

func md5hex(s string) string { return fmt.Sprintf("%x", md5.Sum([]byte(s))) }

// track is the video of a session description.
type track struct {
	codec   string // h264, h265, or another name in small letters; "unknown" where it has none
	control string // URI, whole or relative
}

// videoTrack finds the first video in a session description (RFC 8866); its codec is "" if there is
// none.
func videoTrack(sdp string) (t track) {
	for line := range strings.SplitSeq(sdp, "\n") {
		line = strings.TrimSpace(line)
		switch {
		case strings.HasPrefix(line, "m=") && t.codec != "":
			return t
		// RFC 3551: may go without a name
		case strings.HasPrefix(line, "m=video ") && strings.HasSuffix(line, "RTP/AVP 26"):
			t.codec = "jpeg"
		case strings.HasPrefix(line, "m=video "):
			t.codec = "unknown"
		case t.codec != "" && strings.HasPrefix(line, "a=control:"):
			t.control = strings.TrimPrefix(line, "a=control:")
		case t.codec == "unknown" && strings.HasPrefix(line, "a=rtpmap:"):
			_, name, _ := strings.Cut(line, " ")
			name, _, _ = strings.Cut(name, "/")
			t.codec = strings.Replace(strings.ToLower(name), "hevc", "h265", 1)
		}
	}
	return t
}
