package camera

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"reflect"
	"strings"
	"sync"
	"testing"
	"time"
)

// server answers each connection by a script: one answer per request, then silence. It returns its
// address and what it was asked.
func server(t *testing.T, answers ...string) (address string, requests func() string) {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	var asked strings.Builder
	done := make(chan struct{})
	go func() {
		defer close(done)
		for {
			conn, err := l.Accept()
			if err != nil {
				return
			}
			in := bufio.NewReader(io.TeeReader(conn, &asked))
			for _, answer := range answers {
				for line := "x"; err == nil && strings.TrimSpace(line) != ""; line, err = in.ReadString('\n') {
				}
				io.WriteString(conn, strings.ReplaceAll(answer, "\n", "\r\n"))
			}
			io.Copy(io.Discard, in) // until the client has gone
			conn.Close()
		}
	}()
	stop := sync.OnceFunc(func() { l.Close(); <-done })
	t.Cleanup(stop)
	return l.Addr().String(), func() string { stop(); return asked.String() }
}

func described(sdp string) string {
	return fmt.Sprintf("RTSP/1.0 200 OK\nContent-Length: %d\n\n%s", len(sdp)+strings.Count(sdp, "\n"), sdp)
}

const (
	sdpVideo = "v=0\nm=audio 0 RTP/AVP 0\na=rtpmap:0 PCMU/8000\nm=video 0 RTP/AVP 96\na=rtpmap:96 " +
		"H265/90000\na=control:trackID=1\n"
	setUp    = "RTSP/1.0 200 OK\nSession: 12345;timeout=60\n\n"
	playing1 = "RTSP/1.0 200 OK\n\n$\x00\x00\x01x"
	playing2 = "$\x00\x00\x01x" // the answer comes behind the first packet
	denied   = "RTSP/1.0 401 Unauthorized\nWWW-Authenticate: Basic realm=\"r\"\n\n"
)

func TestRehearse(t *testing.T) {
	tests := []struct {
		name    string
		answers []string
		want    string // codec, or a part of the error
	}{
		{"video behind audio", []string{described(sdpVideo), setUp, playing1}, "h265"},
		{"an answer to come", []string{"RTSP/1.0 100 Continue\nCSeq: 1\n\n" + described(sdpVideo),
			"RTSP/1.0 110 In Work\n\n" + setUp, "RTSP/1.0 100\n\n" + playing1}, "h265"},
		{"packets first", []string{described(sdpVideo), setUp, playing2}, "h265"},
		{"no range", []string{described(sdpVideo), setUp, "RTSP/1.0 457 Invalid Range\n\n", playing1}, "h265"},
		{"another codec", []string{described("v=0\nm=video 0 RTP/AVP 97\na=rtpmap:97 MP4V-ES/90000\n"), setUp,
			playing1}, "mp4v-es"},
		{"after the password", []string{denied, described(sdpVideo), setUp, playing1}, "h265"},
		{"no video", []string{described("v=0\nm=audio 0 RTP/AVP 0\n")}, "no video at this path"},
		{"refused", []string{denied, denied}, "refuses this user and password"},
		{"forbidden", []string{"RTSP/1.0 403 Forbidden\n\n"}, "refuses this user and password"},
		{"no path", []string{"RTSP/1.0 404 Not Found\n\n"}, "no such path"},
		{"overload", []string{"RTSP/1.0 503 Busy\n\n"}, "answers DESCRIBE with status 503"},
		{"web server", []string{"HTTP/1.1 400 Bad Request\n\n"},
			`write http:// or the port of RTSP (it says "HTTP/1.1 400`},
		{"TLS", []string{"\x15\x03\x03\x00\x02\x02\x46\n"}, "speaks TLS on this port: write rtsps://"},
		{"no name, but parameters", []string{described("m=video 0 RTP/AVP 96\na=fmtp:96 packetization-mode=1\n"), setUp,
			playing1}, "h264"},
		{"MPEG-TS by its number", []string{described("m=video 0 RTP/AVP 33\n"), setUp, playing1}, "mp2t"},
		{"no name at all", []string{described("m=video 0 RTP/AVP 96\n")}, "add #codec=h264"},
		{"low on storage", []string{strings.Replace(described(sdpVideo), "200 OK", "250 Low", 1), setUp, playing1},
			"h265"},
		{"blank lines first", []string{"\n\n" + described(sdpVideo), "\n" + setUp, playing1}, "h265"},
		{"small letters", []string{strings.Replace(described(sdpVideo), "RTSP/1.0", "rtsp/1.0", 1), setUp, playing1},
			"h265"},
		{"lines of no sense", []string{strings.Replace(described(sdpVideo), "\n", "\ndebug: x\nno field\n: y\n", 1),
			setUp, playing1}, "h265"},
		{"noise", []string{"\x00\xff\n\n"}, "no RTSP server"},
		{"huge", []string{"RTSP/1.0 200 OK\nContent-Length: 999999999\n\n"}, `an answer of "999999999" bytes`},
		{"no description", []string{"RTSP/1.0 200 OK\n\n"}, "no video at this path"},
		{"UDP only", []string{described(sdpVideo), "RTSP/1.0 461 Unsupported Transport\n\n"},
			"add #transport=udp"},
		{"one viewer", []string{described(sdpVideo), "RTSP/1.0 453 Not Enough Bandwidth\n\n"}, "no room for another"},
		{"endless header", []string{"RTSP/1.0 200 OK\nA: " + strings.Repeat("x", talkLimit) + "\n\n"},
			"does not end its answer"},
		{"endless line", []string{strings.Repeat("x", talkLimit+1)}, "does not end its answer"},
		{"SHA-256 only", []string{"RTSP/1.0 401 Unauthorized\nWWW-Authenticate: Digest realm=\"r\", nonce=\"n\", " +
			"algorithm=SHA-256\n\n"}, "Digest with SHA-256"},
		{"elsewhere", []string{"RTSP/1.0 302 Moved\nLocation: http://h/x\n\n"}, "which is no rtsp://"},
		{"always to come", []string{strings.Repeat("RTSP/1.0 100 Continue\n\n", mostToCome+2)}, "still to come: " +
			"restart"},
		{"no status", []string{"RTSP/1.0 0 OK\n\n"}, "correct host and port"},
		{"a status of its own", []string{described(sdpVideo), "RTSP/1.0 499 Not Today\n\n"},
			"answers SETUP with status 499 (Not Today): check the path"},
		{"no words", []string{"RTSP/1.0 500\n\n"}, "status 500 (Internal Server Error): restart the camera"},
		{"beyond all", []string{"RTSP/1.0 606 \x01\n\n"}, "with status 606: correct host, port and path"},
		{"not now", []string{described(sdpVideo), setUp, "RTSP/1.0 455 Not Valid\n\n"}, "answers PLAY with status 455"},
	}
	for _, tt := range tests {
		address, _ := server(t, tt.answers...)
		u := URI{Scheme: "rtsp", Target: address + "/x", User: "u", Password: "SECRET"}
		codec, err := u.rehearse(t.Context())
		if err == nil && codec != tt.want {
			t.Errorf("%s: codec %q, want %q", tt.name, codec, tt.want)
		}
		if err != nil && (!errors.Is(err, ErrLost) || errors.Is(err, ErrStalled) ||
			!strings.Contains(err.Error(), tt.want) || strings.Contains(err.Error(), "SECRET")) {
			t.Errorf("%s: got %v, want %q", tt.name, err, tt.want)
		}
	}
	address, _ := server(t, "RTSP/1.0 403 Forbidden\n\n")
	u := URI{Scheme: "rtsp", Target: address + "/x"}
	if _, err := u.rehearse(t.Context()); err == nil || !strings.Contains(err.Error(), "may want a user") {
		t.Errorf("forbidden without a user: %v", err)
	}
	address, _ = server(t, denied, denied)
	u = URI{Scheme: "rtsp", Target: address + "/x", User: "u"}
	if _, err := u.rehearse(t.Context()); err == nil || !strings.Contains(err.Error(), "user without a password") ||
		Redact("rtsp://h/x: "+err.Error()) != "rtsp://h/x: "+err.Error() {
		t.Errorf("a user without a password: %v", err)
	}
	address, _ = server(t, denied)
	u = URI{Scheme: "rtsp", Target: address + "/x"}
	if _, err := u.rehearse(t.Context()); err == nil || !strings.Contains(err.Error(), "wants a user and a password") ||
		Redact("rtsp://h/x: "+err.Error()) != "rtsp://h/x: "+err.Error() {
		t.Errorf("no user: %v", err)
	}
}

// The conversation is RFC 2326's: one session, the track's own address, the password in each
// request, a good-bye.
func TestRehearseAsks(t *testing.T) {
	address, requests := server(t, denied, described(sdpVideo), setUp, playing1)
	u := URI{Scheme: "rtsp", Target: address + "/x?a=b", User: "u", Password: "p"}
	if _, err := u.rehearse(t.Context()); err != nil {
		t.Fatal(err)
	}
	asked := requests()
	for _, want := range []string{
		"DESCRIBE rtsp://" + address + "/x?a=b RTSP/1.0\r\n", "SETUP rtsp://" + address +
			"/x?a=b/trackID=1 RTSP/1.0\r\n",
		"interleaved=0-1", "PLAY rtsp://", "TEARDOWN rtsp://", "CSeq: 5\r\n",
	} {
		if strings.Count(asked, want) < 1 {
			t.Errorf("no %q in\n%s", want, asked)
		}
	}
	if got := strings.Count(asked, "Session: 12345\r\n"); got != 2 {
		t.Errorf("the session is in %d requests, want 2", got)
	}
	if got := strings.Count(asked, "Authorization: Basic dTpw\r\n"); got != 4 {
		t.Errorf("the password is in %d requests, want 4", got)
	}
}

func TestVideoTrack(t *testing.T) {
	for sdp, want := range map[string]track{
		sdpVideo:                 {codec: "h265", control: "trackID=1", payload: 96, clock: 90000},
		"m=video 0 RTP/AVP 26\n": {codec: "jpeg", payload: 26, clock: 90000},
		"m=video 0 RTP/AVP 99\nm=audio 0 RTP/AVP 0\na=control:a\n": {codec: "unknown", payload: 99, clock: 90000},
		"a=control:*\r\nm=video 0 RTP/AVP 96\r\na=control:rtsp://h/t\r\na=rtpmap:96 hevc/90000\r\n": {codec: "h265",
			control: "rtsp://h/t", payload: 96, clock: 90000},
		"m=video 0 RTP/AVP 97 98\na=rtpmap:98 rtx/90000\na=rtpmap:97 H264/48000\na=control:1\n" +
			"m=video 0 RTP/AVP 97\na=control:2\n": {codec: "h264", control: "1", payload: 97, clock: 48000},
		"m=audio 0 RTP/AVP 0\n": {},
	} {
		if got := videoTrack(sdp); !reflect.DeepEqual(got, want) {
			t.Errorf("%q: got %+v, want %+v", sdp, got, want)
		}
	}
	got := videoTrack("m=video 0 RTP/AVP 96\na=rtpmap:96 H264/90000\n" +
		"a=fmtp:96 packetization-mode=1; sprop-parameter-sets=Z0LA,aM48gA==;profile-level-id=42\n")
	if got.format["sprop-parameter-sets"] != "Z0LA,aM48gA==" || got.format["packetization-mode"] != "1" {
		t.Errorf("%+v", got.format)
	}
}

// A server that says nothing, or sends nothing, costs no more than the limit, and less when ctx
// ends.
func TestRehearseMute(t *testing.T) {
	for what, answers := range map[string][]string{
		"does not answer": nil, "sends none": {described(sdpVideo), setUp, "RTSP/1.0 200 OK\n\n"},
	} {
		t.Run(what, func(t *testing.T) {
			t.Parallel()
			address, _ := server(t, answers...)
			u := URI{Scheme: "rtsp", Target: address + "/x"}
			start := time.Now()
			if _, err := u.rehearse(t.Context()); !errors.Is(err, ErrStalled) || !strings.Contains(err.Error(), what) {
				t.Errorf("%s: %v", what, err)
			}
			within(t, what, start)
			ctx, cancel := context.WithTimeout(t.Context(), 50*time.Millisecond)
			defer cancel()
			start = time.Now()
			if _, err := u.rehearse(ctx); !errors.Is(err, context.DeadlineExceeded) {
				t.Errorf("cancelled: %v", err)
			}
			within(t, "cancelled", start)
		})
	}
}

// A server that hangs up, before or within the conversation, is lost, and not a film that has come
// to its end.
func TestRehearseHungUp(t *testing.T) {
	for answer, want := range map[string]string{
		"": "write rtsps://", described(sdpVideo): "at SETUP: it may serve one",
	} {
		l, err := net.Listen("tcp", "127.0.0.1:0")
		if err != nil {
			t.Fatal(err)
		}
		defer l.Close()
		go func() {
			if conn, err := l.Accept(); err == nil {
				for in := bufio.NewReader(conn); ; {
					if line, err := in.ReadString('\n'); err != nil || strings.TrimSpace(line) == "" {
						break
					}
				}
				io.WriteString(conn, strings.ReplaceAll(answer, "\n", "\r\n"))
				conn.Close()
			}
		}()
		u := URI{Scheme: "rtsp", Target: l.Addr().String() + "/x"}
		if _, err := u.rehearse(t.Context()); !errors.Is(err, ErrLost) || errors.Is(err, io.EOF) ||
			!strings.Contains(err.Error(), want) {
			t.Errorf("after %q: %v, want ErrLost without io.EOF, and %s", answer, err, want)
		}
	}
}

// A camera elsewhere cannot send the agent to what listens on its own machine.
func TestRTSPRedirectInside(t *testing.T) {
	there, _ := server(t, described(sdpVideo), setUp, playing1)
	elsewhere := false
	u := URI{Scheme: "rtsp", Target: there + "/x", inside: &elsewhere} // as it is after a connection to a camera
	if _, err := u.rehearse(t.Context()); !errors.Is(err, errInside) || !errors.Is(err, ErrLost) {
		t.Errorf("%v, want %v", err, errInside)
	}
}

// The digest is RFC 2617's: the example of its section 3.5, computed for a DESCRIBE.
func TestChallenges(t *testing.T) {
	c, err := choose([]string{`Basic realm="r"`, `Digest realm="r", nonce="n", algorithm="SHA-256"`,
		`Digest realm="testrealm@host.com", nonce="dcd98b7102dd2f0e8b11d0f600bfb0c093"`}, false)
	if err != nil {
		t.Fatal(err)
	}
	// md5(md5("Mufasa:testrealm@host.com:Circle Of Life"):nonce:md5("DESCRIBE:rtsp://h/x")), from
	// md5sum
	want := `Digest username="Mufasa", realm="testrealm@host.com", nonce="dcd98b7102dd2f0e8b11d0f600bfb0c093", ` +
		`uri="rtsp://h/x", response="5b0e2e76a7487ae1fc03aa8e10f4474c"`
	if got := c.answer("Mufasa", "Circle Of Life", "DESCRIBE", "rtsp://h/x"); got != want {
		t.Errorf("got  %s\nwant %s", got, want)
	}
	c, err = choose([]string{`Basic realm="r"`}, false)
	if err != nil || c.answer("a", "b", "PLAY", "x") != "Basic YTpi" {
		t.Errorf("basic: %v", err)
	}
	if _, err := choose([]string{`Digest realm="r", nonce="n", algorithm=SHA-256`}, false); err == nil {
		t.Error("SHA-256 alone: no error")
	}
	if _, err := choose([]string{`Digest realm="r", nonce="n", qop="auth-int"`}, true); err == nil ||
		!strings.Contains(err.Error(), "qop=auth-int") {
		t.Errorf("auth-int alone: %v", err)
	}
	c, err = choose([]string{
		`Basic realm="r", Digest realm="a, b", qop="auth-int,auth", nonce="n", opaque="o", stale=TRUE`,
	}, false)
	if err != nil || c.realm != "a, b" || !c.qop || !c.stale || c.opaque != "o" {
		t.Fatalf("%+v %v", c, err)
	}
	got := fieldsOf(c.answer("u", "p", "PLAY", "x"))
	response := md5hex(md5hex("u:a, b:p") + ":n:00000001:" + got["cnonce"] + ":auth:" + md5hex("PLAY:x"))
	if got["response"] != response || got["opaque"] != "o" || got["qop"] != "auth" || got["nc"] != "00000001" {
		t.Errorf("%v, want response %s", got, response)
	}
	if next := fieldsOf(c.answer("u", "p", "PLAY", "x")); next["nc"] != "00000002" {
		t.Errorf("the second answer counts %s", next["nc"])
	}
}

// A server may want a new answer at each request, and may name another place; the password is not
// sent where nobody asks for it.
func TestRehearseWithQuirks(t *testing.T) {
	stale := func(nonce string) string {
		return "RTSP/1.0 401 Unauthorized\nWWW-Authenticate: Digest realm=\"r\", nonce=\"" + nonce +
			"\", stale=\"TRUE\"\n\n"
	}
	address, _ := server(t, stale("1"), described(sdpVideo), stale("2"), setUp, stale("3"), playing1)
	u := URI{Scheme: "rtsp", Target: address + "/x", User: "u", Password: "SECRET"}
	if codec, err := u.rehearse(t.Context()); codec != "h265" {
		t.Errorf("a nonce for each request: %q, %v", codec, err)
	}
	there, asked := server(t, described(sdpVideo), setUp, playing1)
	here, _ := server(t, "RTSP/1.0 302 Moved\nLocation: rtsp://"+there+"/y\n\n")
	u = URI{Scheme: "rtsp", Target: here + "/x", User: "u", Password: "SECRET"}
	if codec, err := u.rehearse(t.Context()); codec != "h265" || u.Target != there+"/y" || u.User != "" {
		t.Errorf("elsewhere: %q, %v, now %s", codec, err, u.Target)
	}
	for to, want := range map[string]URI{
		"rtsp://h:554/y": {Target: "h:554/y", User: "u"}, "RTSP://h/y": {Target: "h/y", User: "u"},
		"rtsps://h:554/y": {Target: "h:554/y", TLS: true, User: "u"}, "rtsps://h/y": {Target: "h/y", TLS: true},
		"/y?a=b": {Target: "h/y?a=b", User: "u"}, "rtsp://h:8554/y": {Target: "h:8554/y"}, "//h/y": {}, "y": {},
		"http://h/y": {}, "://h": {}, "": {},
	} {
		u = URI{Scheme: "rtsp", Target: "h/x", User: "u", Password: "SECRET"}
		err := u.moveTo(to)
		if (err != nil) != (want.Target == "") || err == nil &&
			(u.Target != want.Target || u.TLS != want.TLS || u.User != want.User) {
			t.Errorf("to %q: %v, now %s, TLS %t, user %q", to, err, u.Target, u.TLS, u.User)
		}
	}
	if strings.Contains(asked(), "Authorization") {
		t.Error("the password was sent without a question")
	}
	loop, _ := server(t)
	u = URI{Scheme: "rtsp", Target: loop + "/x", User: "u", Password: "SECRET"}
	if err := u.moveTo("rtsp://other.example/y"); err != nil || u.User != "" || u.Password != "" {
		t.Errorf("another host: %v, user %q is taken along", err, u.User)
	}
}

func FuzzVideoTrack(f *testing.F) {
	f.Add(sdpVideo)
	f.Fuzz(func(t *testing.T, sdp string) {
		if codec := videoTrack(sdp).codec; codec != "" && !strings.Contains(sdp, "m=video ") {
			t.Errorf("%q: codec %q without a video", sdp, codec)
		}
	})
}

// The description is asked for without a session, of which a camera may have only one.
func TestDescribe(t *testing.T) {
	address, asked := server(t, described(sdpVideo))
	u := URI{Scheme: "rtsp", Target: address + "/x"}
	if codec, err := u.describe(t.Context()); codec != "h265" || strings.Contains(asked(), "SETUP") {
		t.Errorf("%q, %v, asked %s", codec, err, asked())
	}
}
