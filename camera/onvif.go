package camera

import (
	"bytes"
	"context"
	"crypto/rand"
	"crypto/sha1"
	"encoding/base64"
	"encoding/xml"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"os"
	"strings"
	"time"

	"github.com/vggse/vggse-agent/internal/reach"
)

// onvifLimit is how much of an answer is read, bytes.
const onvifLimit = 1 << 20

// onvif asks an ONVIF device for the address of its stream, and makes u that: ONVIF Core
// Specification and Media Service Specification, 5.1 and 5.15. The host stays the one of u, by which
// the device was reached: many tell the address that they have in a network of their own.
func (u *URI) onvif(ctx context.Context) error {
	d := &onvifDevice{uri: u, client: &http.Client{
		Timeout:       max(answerLimit, u.Timeout),
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
		Transport:     &http.Transport{DisableKeepAlives: true, MaxResponseHeaderBytes: headerLimit},
	}}
	host, path, _ := strings.Cut(u.Target, "/")
	if path == "" {
		path = "onvif/device_service"
	}
	d.host = host
	stream, err := d.streamOf(ctx, "/"+path)
	switch {
	case ctx.Err() != nil:
		return ctx.Err()
	case errors.Is(err, os.ErrDeadlineExceeded):
		return fmt.Errorf("%w: the device took the connection but does not answer: restart it, or correct the port",
			ErrStalled)
	case errors.Is(err, errUnreachable):
		if _, _, dial := reach.Why(err); dial {
			return unreached("the device", err)
		}
		said := strings.TrimPrefix(err.Error(), errUnreachable.Error()+": ")
		if ended(err) {
			said = "it hangs up without an answer, as one that wants HTTPS may: switch HTTP on there"
		}
		return fmt.Errorf("%w: %s (%.120s): %s", ErrLost, noDevice, said, otherPort)
	case err != nil:
		return fmt.Errorf("%w: %w", ErrLost, err)
	}
	return u.follow(stream)
}

// follow makes u the stream that its device has named.
func (u *URI) follow(stream string) error {
	next, err := url.Parse(stream)
	if err != nil || next.Scheme != "rtsp" && next.Scheme != "rtsps" {
		return fmt.Errorf("%w: the device names a stream that is no rtsp:// (%.60s): give its rtsp:// "+
			"address", ErrLost, Redact(stream))
	}
	if wrong := reach.Mistake(next.Host); wrong != "" {
		return fmt.Errorf("%w: the address of the stream that the device names (%.60s) %s: give its rtsp:// "+
			"address", ErrLost,
			Redact(stream), wrong)
	}
	own, err := url.Parse("rtsp://" + u.Target)
	if err != nil {
		return err
	}
	host := own.Hostname()
	if strings.Contains(host, ":") {
		host = "[" + strings.Replace(host, "%", "%25", 1) + "]"
	}
	if port := next.Port(); port != "" {
		host += ":" + port
	}
	u.Scheme, u.Target, u.TLS = "rtsp", host+next.RequestURI(), next.Scheme == "rtsps"
	return nil
}

// onvifDevice is a device that is being asked.
type onvifDevice struct {
	uri    *URI
	client *http.Client
	host   string
	clock  time.Duration // the device's clock − ours
	asked  *challenge
}

// streamOf goes from the device service to the address of a stream.
func (d *onvifDevice) streamOf(ctx context.Context, path string) (string, error) {
	const device, media = "http://www.onvif.org/ver10/device/wsdl", "http://www.onvif.org/ver10/media/wsdl"
	if a, err := d.ask(ctx, path, false, `<GetSystemDateAndTime xmlns="`+device+`"/>`); err == nil {
		d.clock = a.clock()
	} else if ctx.Err() != nil || errors.Is(err, os.ErrDeadlineExceeded) || errors.Is(err, errUnreachable) {
		return "", err
	}
	a, err := d.ask(ctx, path, true, `<GetCapabilities xmlns="`+device+`"><Category>Media</Category></GetCapabilities>`)
	if err != nil {
		return "", err
	}
	if at, err := url.Parse(a.within("Media", "XAddr")); err == nil && at.Path != "" {
		path = at.RequestURI()
	}
	if a, err = d.ask(ctx, path, true, `<GetProfiles xmlns="`+media+`"/>`); err != nil {
		return "", err
	}
	profiles := a.profiles()
	n := max(d.uri.Mode, 1)
	switch {
	case len(profiles) == 0:
		return "", errors.New("the device has no profile with video: make one in its settings, or give its rtsp:// " +
			"address")
	case n > len(profiles):
		return "", fmt.Errorf("the device has %d profiles, not %d: write one of them behind "+
			"#profile=", len(profiles), n)
	}
	var token bytes.Buffer
	xml.EscapeText(&token, []byte(profiles[n-1])) //nolint:errcheck // into memory
	const schema = ` xmlns="http://www.onvif.org/ver10/schema">`
	a, err = d.ask(ctx, path, true, `<GetStreamUri xmlns="`+media+`"><StreamSetup><Stream`+schema+
		`RTP-Unicast</Stream><Transport`+schema+`<Protocol>RTSP</Protocol></Transport></StreamSetup><ProfileToken>`+
		token.String()+`</ProfileToken></GetStreamUri>`)
	if err != nil {
		return "", err
	}
	if stream := strings.TrimSpace(a.within("MediaUri", "Uri")); stream != "" {
		return stream, nil
	}
	return "", errors.New("the device names no stream: try another #profile=, or give its rtsp:// address")
}

var (
	errUnreachable = errors.New("no answer")
	errOnvifLogin  = errors.New("the device refuses this user and password, check both at the camera: some keep " +
		"users of their own for ONVIF, and some have it switched off")
	errOnvifNoWord = errors.New("the device refuses this user without a password, write both before the host, as " +
		"USER:PASSWORD and an at sign")
)

const (
	noDevice  = "what answers there is no ONVIF device"
	otherPort = "switch ONVIF on at the camera, or correct the port (80, 2020, 8000, 8080 and 8899 are usual), or " +
		"give its rtsp:// address"
)

// login is the refusal of user and password.
func (d *onvifDevice) login() error {
	if d.uri.Password == "" {
		return errOnvifNoWord
	}
	return errOnvifLogin
}

// ask sends one request; known is whether with the user.
func (d *onvifDevice) ask(ctx context.Context, path string, known bool, body string) (soap, error) {
	head := ""
	if known && d.uri.User != "" {
		head = d.token(time.Now())
	}
	text := `<?xml version="1.0" encoding="UTF-8"?><s:Envelope xmlns:s="http://www.w3.org/2003/05/soap-envelope">` +
		`<s:Header>` + head + `</s:Header><s:Body>` + body + `</s:Body></s:Envelope>`
	for asked := 0; ; asked++ {
		a, err := d.post(ctx, path, text)
		if err != nil {
			return nil, err
		}
		answer, err := io.ReadAll(io.LimitReader(a.Body, onvifLimit))
		a.Body.Close()
		switch {
		case err != nil:
			return nil, err
		case a.StatusCode == http.StatusUnauthorized && asked < 2 && d.uri.User != "":
			next, err := choose(a.Header.Values("WWW-Authenticate"), true)
			if err != nil || next.basic || asked > 0 && !next.stale {
				return nil, d.login()
			}
			d.asked = next
			continue
		case a.StatusCode/100 == 3:
			return nil, fmt.Errorf("the device sends us elsewhere, to %.80s: give that address, as "+
				"onvif://HOST:PORT/PATH, or its rtsp:// address", Redact(a.Header.Get("Location")))
		case a.StatusCode == http.StatusUnauthorized && d.uri.User == "":
			return nil, errors.New("the device " + wantsLogin)
		case a.StatusCode == http.StatusUnauthorized || bytes.Contains(answer, []byte("NotAuthorized")):
			if d.uri.User == "" {
				return nil, errors.New("the device " + wantsLogin)
			}
			return nil, d.login()
		}
		s := parseSOAP(answer)
		switch {
		case len(s) == 0 || s[0].path[0] != "Envelope":
			return nil, fmt.Errorf("%s (status %d): %s", noDevice, a.StatusCode, otherPort)
		case a.StatusCode != http.StatusOK:
			return nil, fmt.Errorf("the device answers with %s: restart it, or give its rtsp:// address",
				statusOf(a.StatusCode, s.within("Reason", "Text")))
		}
		return s, nil
	}
}

func (d *onvifDevice) post(ctx context.Context, path, text string) (*http.Response, error) {
	r, err := http.NewRequestWithContext(ctx, http.MethodPost, "http://"+d.host+path, strings.NewReader(text))
	if err != nil {
		return nil, err
	}
	r.Header.Set("Content-Type", "application/soap+xml; charset=utf-8")
	r.Header.Set("User-Agent", "vggse-agent")
	if d.asked != nil {
		r.Header.Set("Authorization", d.asked.answer(d.uri.User, d.uri.Password, http.MethodPost, r.URL.RequestURI()))
	}
	a, err := d.client.Do(r)
	var wrapped *url.Error
	switch {
	case err == nil:
		return a, nil
	case errors.As(err, &wrapped) && wrapped.Timeout():
		return nil, os.ErrDeadlineExceeded
	case errors.As(err, &wrapped):
		err = wrapped.Err
	}
	return nil, fmt.Errorf("%w: %w", errUnreachable, err)
}

// token tells user and password as a digest (WS-Security UsernameToken Profile 1.0, section 3.1).
func (d *onvifDevice) token(now time.Time) string {
	var nonce [16]byte
	rand.Read(nonce[:])
	created := now.Add(d.clock).UTC().Format("2006-01-02T15:04:05.000Z")
	sum := sha1.Sum([]byte(string(nonce[:]) + created + d.uri.Password))
	var user bytes.Buffer
	xml.EscapeText(&user, []byte(d.uri.User)) //nolint:errcheck // into memory
	const security = "http://docs.oasis-open.org/wss/2004/01/oasis-200401-wss-"
	return `<Security s:mustUnderstand="1" xmlns="` + security + `wssecurity-secext-1.0.xsd"><UsernameToken>` +
		`<Username>` + user.String() +
		`</Username><Password Type="` + security + `username-token-profile-1.0#PasswordDigest">` +
		base64.StdEncoding.EncodeToString(sum[:]) + `</Password><Nonce EncodingType="` + security +
		`soap-message-security-1.0#Base64Binary">` + base64.StdEncoding.EncodeToString(nonce[:]) +
		`</Nonce><Created xmlns="` + security + `wssecurity-utility-1.0.xsd">` + created +
		`</Created></UsernameToken></Security>`
}

// soap are the texts of an answer in their order, each with the names of its elements, the innermost
// last.
type soap []struct {
	path  []string
	text  string
	token string // of the element
}

func parseSOAP(data []byte) (s soap) {
	in := xml.NewDecoder(bytes.NewReader(data))
	in.Strict = false
	var path []string
	for {
		next, err := in.Token()
		if err != nil {
			return s
		}
		switch e := next.(type) {
		case xml.StartElement:
			path = append(path, e.Name.Local)
			entry := struct {
				path  []string
				text  string
				token string
			}{path: append([]string(nil), path...)}
			for _, a := range e.Attr {
				if a.Name.Local == "token" {
					entry.token = a.Value
				}
			}
			if s = append(s, entry); len(s) > 1<<14 || len(path) > 64 {
				return s
			}
		case xml.EndElement:
			path = path[:max(0, len(path)-1)]
		case xml.CharData:
			if len(s) > 0 {
				s[len(s)-1].text += string(e)
			}
		}
	}
}

// within is the text of the first element of a name somewhere in an element outer.
func (s soap) within(outer, name string) string {
	for _, e := range s {
		if e.path[len(e.path)-1] != name {
			continue
		}
		for _, p := range e.path[:len(e.path)-1] {
			if p == outer {
				return strings.TrimSpace(e.text)
			}
		}
	}
	return ""
}

// profiles are the tokens of the profiles that encode video.
func (s soap) profiles() (tokens []string) {
	token := ""
	for _, e := range s {
		switch e.path[len(e.path)-1] {
		case "Profiles":
			token = e.token
		case "VideoEncoderConfiguration":
			if token != "" {
				tokens, token = append(tokens, token), ""
			}
		}
	}
	return tokens
}

// clock is how far the device's clock is ahead of ours; 0 where it does not say.
func (s soap) clock() time.Duration {
	number := func(part, name string) (n int) {
		for _, e := range s {
			if k := len(e.path); k > 2 && e.path[k-1] == name && e.path[k-2] == part && e.path[k-3] == "UTCDateTime" {
				fmt.Sscan(e.text, &n)
			}
		}
		return n
	}
	year := number("Date", "Year")
	if year < 1970 {
		return 0
	}
	return time.Until(time.Date(year, time.Month(number("Date", "Month")), number("Date", "Day"),
		number("Time", "Hour"), number("Time", "Minute"), number("Time", "Second"), 0, time.UTC))
}
