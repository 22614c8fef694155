package camera

import (
	"crypto/sha1"
	"encoding/base64"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/vggse/vggse-agent/camera/cameratest"
)

// onvifCamera answers as a device does whose clock is an hour ahead, and whose own address is another
// one; stream is what it names. It wants the password by a token or, digest, by HTTP.
func onvifCamera(t *testing.T, stream string, digest bool) (address string) {
	t.Helper()
	return webServer(t, func(w http.ResponseWriter, r *http.Request) {
		data, _ := io.ReadAll(r.Body)
		body := string(data)
		say := func(text string) {
			fmt.Fprintf(w, `<?xml version="1.0"?><e:Envelope xmlns:e="http://www.w3.org/2003/05/soap-envelope">`+
				"<e:Body>%s</e:Body></e:Envelope>", text)
		}
		if strings.Contains(body, "GetSystemDateAndTime") {
			now := time.Now().UTC().Add(time.Hour)
			say(fmt.Sprintf("<R><SystemDateAndTime><UTCDateTime><Time><Hour>%d</Hour><Minute>%d</Minute><Second>%d"+
				"</Second></Time><Date><Year>%d</Year><Month>%d</Month><Day>%d</Day></Date></UTCDateTime>"+
				"</SystemDateAndTime></R>", now.Hour(), now.Minute(), now.Second(), now.Year(), now.Month(), now.Day()))
			return
		}
		if digest && !digested(r) {
			w.Header().Set("WWW-Authenticate", `Digest realm="cam", qop="auth", nonce="n"`)
			w.WriteHeader(http.StatusUnauthorized)
			return
		}
		if !digest && !tokened(body) {
			w.WriteHeader(http.StatusBadRequest)
			say("<Fault><Code><Subcode><Value>ter:NotAuthorized</Value></Subcode></Code></Fault>")
			return
		}
		switch {
		case strings.Contains(body, "GetCapabilities") && r.URL.Path == "/onvif/device_service":
			say("<R><Capabilities><Media><XAddr>http://10.9.8.7/onvif/media</XAddr></Media></Capabilities></R>")
		case strings.Contains(body, "GetProfiles") && r.URL.Path == "/onvif/media":
			say(`<R><Profiles token="sound"><Name>s</Name></Profiles><Profiles token="a&amp;1">` +
				`<VideoEncoderConfiguration/></Profiles><Profiles token="b">` +
				`<VideoEncoderConfiguration/></Profiles></R>`)
		case strings.Contains(body, "<ProfileToken>a&amp;1<"):
			say("<R><MediaUri><Uri>" + stream + "?profile=1</Uri></MediaUri></R>")
		case strings.Contains(body, "<ProfileToken>b<"):
			say("<R><MediaUri><Uri>" + stream + "?profile=2</Uri></MediaUri></R>")
		default:
			w.WriteHeader(http.StatusNotFound)
		}
	})
}

func between(text, before, after string) string {
	_, text, _ = strings.Cut(text, before)
	text, _, _ = strings.Cut(text, after)
	return text
}

// tokened reports whether the user "operator" has told the password "a<b", at this hour of the device.
func tokened(body string) bool {
	created := between(body, `utility-1.0.xsd">`, "<")
	at, err := time.Parse(time.RFC3339, created)
	nonce, err2 := base64.StdEncoding.DecodeString(between(body, `#Base64Binary">`, "<"))
	sum := sha1.Sum([]byte(string(nonce) + created + "a<b"))
	return err == nil && err2 == nil && time.Until(at) > 50*time.Minute && strings.Contains(body, ">operator<") &&
		between(body, `#PasswordDigest">`, "<") == base64.StdEncoding.EncodeToString(sum[:])
}

func digested(r *http.Request) bool {
	f := fieldsOf(r.Header.Get("Authorization"))
	return f["response"] != "" && f["response"] == md5hex(md5hex("operator:cam:a<b")+":n:"+f["nc"]+":"+f["cnonce"]+
		":auth:"+md5hex("POST:"+r.URL.Path))
}

// A device names its stream, at the host by which it was reached; the profile is chosen by its number.
func TestOnvif(t *testing.T) {
	for _, digest := range []bool{false, true} {
		host := onvifCamera(t, "rtsp://10.9.8.7:8554/live", digest)
		for keys, want := range map[string]string{
			"": "127.0.0.1:8554/live?profile=1", "#profile=2": "127.0.0.1:8554/live?profile=2",
		} {
			u, err := ParseURI("onvif://operator:a<b@" + host + keys)
			if err == nil {
				err = u.onvif(t.Context())
			}
			if err != nil || u.Scheme != "rtsp" || u.Target != want || u.User != "operator" || u.Password != "a<b" {
				t.Errorf("digest %v: %v, %s://%s, want %s", digest, err, u.Scheme, u.Target, want)
			}
		}
	}
}

// The stream that a device names is played.
func TestOnvifPlays(t *testing.T) {
	needSession(t)
	t.Parallel()
	cam := cameratest.StartRTSP(t, cameratest.Whole)
	_, port, err := net.SplitHostPort(strings.TrimSuffix(strings.TrimPrefix(cam.URL, "rtsp://"), "/cam"))
	if err != nil {
		t.Fatal(err)
	}
	s := mustOpen(t, Config{Source: "onvif://operator:a<b@" + onvifCamera(t, "rtsp://10.9.8.7:"+port+"/cam", false)})
	readFresh(t, s, cam, 5)
}

func TestOnvifRefuses(t *testing.T) {
	token, digest := onvifCamera(t, "rtsp://h/x", false), onvifCamera(t, "rtsp://h/x", true)
	page := webServer(t, func(w http.ResponseWriter, _ *http.Request) { io.WriteString(w, "<html>hello</html>") })
	for source, want := range map[string]string{
		"onvif://operator:SECRET@" + token: "the device refuses this user and " +
			"password",
		"onvif://operator:SECRET@" + digest: "the device refuses this user and " +
			"password",
		"onvif://" + digest: "wants a user and a password",
		"onvif://" + page:   "no ONVIF device",
		"onvif://operator:a<b@" + token + "#profile=3":                      "has 2 profiles, not 3",
		"onvif://operator:a<b@" + onvifCamera(t, "http://h/x", false):       "no rtsp://",
		"onvif://operator:a<b@" + onvifCamera(t, "rtsp://h:99999/x", false): "has port 99999: a port is",
		"onvif://127.0.0.1:1": "cannot be reached",
	} {
		u, err := ParseURI(source)
		if err == nil {
			err = u.onvif(t.Context())
		}
		if !errors.Is(err, ErrLost) || !strings.Contains(err.Error(), want) || strings.Contains(err.Error(), "SECRET") {
			t.Errorf("%s: %v, want %q", Redact(source), err, want)
		}
	}
}

func FuzzSOAP(f *testing.F) {
	f.Add([]byte("<a><Media><XAddr>http://h/x</XAddr></Media><Profiles token='a'><VideoEncoderConfiguration/>" +
		"</Profiles></a>"))
	f.Fuzz(func(t *testing.T, data []byte) {
		s := parseSOAP(data)
		s.within("Media", "XAddr")
		s.clock()
		for _, token := range s.profiles() {
			if token == "" {
				t.Error("a profile without a token")
			}
		}
	})
}
