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

// sdpLimit is the longest description of a stream that is read, bytes.
const sdpLimit = 1 << 16

// describe asks an RTSP server what the stream is, in one short conversation of our own before OpenCV has its
// turn: OpenCV would only say that it could not open. It returns the codec, as h264 or in the server's own
// words; every error is an ErrLost, for servers are repaired and passwords set while we run, or ctx's.
func (u *URI) describe(ctx context.Context) (codec string, err error) {
	conn, err := u.dial(ctx)
	if err != nil {
		return "", err
	}
	defer conn.Close()
	conn.SetDeadline(time.Now().Add(openLimit))
	defer context.AfterFunc(ctx, func() { conn.SetDeadline(time.Unix(1, 0)) })()

	talk := conversation{uri: "rtsp://" + u.Target, conn: conn, in: textproto.NewReader(bufio.NewReader(conn))}
	status, header, err := talk.describe("")
	if err == nil && status == 401 && u.User != "" {
		status, header, err = talk.describe(authorization(header.Values("WWW-Authenticate"), u.User, u.Password, talk.uri))
	}
	switch {
	case ctx.Err() != nil:
		return "", ctx.Err()
	case errors.Is(err, os.ErrDeadlineExceeded):
		return "", fmt.Errorf("%w: the server took the connection but does not answer", ErrStalled)
	case err != nil:
		return "", fmt.Errorf("%w: what answers there is no RTSP server: %w", ErrLost, err)
	case status == 401 && u.User == "":
		return "", fmt.Errorf("%w: the server wants a user and a password: rtsp://USER:PASSWORD@…", ErrLost)
	case status == 401 || status == 403:
		return "", fmt.Errorf("%w: the server refuses this user and password", ErrLost)
	case status == 404:
		return "", fmt.Errorf("%w: the server has no such path", ErrLost)
	case status != 200:
		return "", fmt.Errorf("%w: the server answers with status %d", ErrLost, status)
	}
	sdp, err := talk.body(header)
	if err != nil {
		return "", fmt.Errorf("%w: the server's description breaks off: %w", ErrLost, err)
	}
	if codec = videoCodec(sdp); codec == "" {
		return "", fmt.Errorf("%w: the server has no video at this path", ErrLost)
	}
	return codec, nil
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
	uri  string
	conn io.Writer
	in   *textproto.Reader
	cseq int
}

// describe sends one request and reads the head of its answer.
func (c *conversation) describe(authorization string) (status int, header textproto.MIMEHeader, err error) {
	c.cseq++
	request := fmt.Sprintf("DESCRIBE %s RTSP/1.0\r\nCSeq: %d\r\nAccept: application/sdp\r\nUser-Agent: vggse-agent\r\n", c.uri, c.cseq)
	if authorization != "" {
		request += "Authorization: " + authorization + "\r\n"
	}
	if _, err := io.WriteString(c.conn, request+"\r\n"); err != nil {
		return 0, nil, err
	}
	line, err := c.in.ReadLine()
	if err != nil {
		return 0, nil, err
	}
	protocol, rest, _ := strings.Cut(line, " ")
	code, _, _ := strings.Cut(rest, " ")
	status, err = strconv.Atoi(code)
	if err != nil || !strings.HasPrefix(protocol, "RTSP/") {
		return 0, nil, fmt.Errorf("its first line is %.40q", line)
	}
	header, err = c.in.ReadMIMEHeader()
	return status, header, err
}

func (c *conversation) body(header textproto.MIMEHeader) (string, error) {
	length, err := strconv.ParseUint(header.Get("Content-Length"), 10, 31)
	if err != nil || length > sdpLimit {
		return "", fmt.Errorf("its length is %.20q", header.Get("Content-Length"))
	}
	text := make([]byte, length)
	_, err = io.ReadFull(c.in.R, text)
	return string(text), err
}

var digestField = regexp.MustCompile(`(\w+)="?([^",]*)"?`)

// authorization answers a server's challenges: MD5 digest (RFC 2617) where it may, else the password itself.
func authorization(challenges []string, user, password, uri string) string {
	basic := "Basic " + base64.StdEncoding.EncodeToString([]byte(user+":"+password))
	for _, challenge := range challenges {
		scheme, rest, _ := strings.Cut(challenge, " ")
		field := make(map[string]string)
		for _, m := range digestField.FindAllStringSubmatch(rest, -1) {
			field[strings.ToLower(m[1])] = m[2]
		}
		if !strings.EqualFold(scheme, "Digest") || field["algorithm"] != "" && !strings.EqualFold(field["algorithm"], "MD5") {
			continue
		}
		a1 := md5hex(user + ":" + field["realm"] + ":" + password)
		a2 := md5hex("DESCRIBE:" + uri)
		return fmt.Sprintf(`Digest username="%s", realm="%s", nonce="%s", uri="%s", response="%s"`,
			user, field["realm"], field["nonce"], uri, md5hex(a1+":"+field["nonce"]+":"+a2))
	}
	return basic
}

func md5hex(s string) string { return fmt.Sprintf("%x", md5.Sum([]byte(s))) }

// videoCodec finds the codec of the first video in a session description (RFC 8866); "" if there is none.
func videoCodec(sdp string) string {
	video := false
	for line := range strings.SplitSeq(sdp, "\n") {
		line = strings.TrimSpace(line)
		switch {
		case strings.HasPrefix(line, "m="):
			if video {
				return "unknown"
			}
			video = strings.HasPrefix(line, "m=video ")
			if video && strings.HasSuffix(line, "RTP/AVP 26") { // RFC 3551: fixed, may go without a name
				return "jpeg"
			}
		case video && strings.HasPrefix(line, "a=rtpmap:"):
			_, name, _ := strings.Cut(line, " ")
			name, _, _ = strings.Cut(name, "/")
			name = strings.ToLower(name)
			if name == "hevc" {
				name = "h265"
			}
			return name
		}
	}
	if video {
		return "unknown"
	}
	return ""
}
