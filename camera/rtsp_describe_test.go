package camera

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"strings"
	"testing"
	"time"
)

// server answers each connection by a script: one answer per request, then silence; it returns its address.
func server(t *testing.T, answers ...string) string {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	done := make(chan struct{})
	go func() {
		defer close(done)
		for {
			conn, err := l.Accept()
			if err != nil {
				return
			}
			in := bufio.NewReader(conn)
			for _, answer := range answers {
				for line := "x"; err == nil && strings.TrimSpace(line) != ""; line, err = in.ReadString('\n') {
				}
				io.WriteString(conn, strings.ReplaceAll(answer, "\n", "\r\n"))
			}
			io.Copy(io.Discard, in) // until the client has gone
			conn.Close()
		}
	}()
	t.Cleanup(func() { l.Close(); <-done })
	return l.Addr().String()
}

func described(sdp string) string {
	return fmt.Sprintf("RTSP/1.0 200 OK\nContent-Length: %d\n\n%s", len(sdp)+strings.Count(sdp, "\n"), sdp)
}

const sdpVideo = "v=0\nm=audio 0 RTP/AVP 0\na=rtpmap:0 PCMU/8000\nm=video 0 RTP/AVP 96\na=rtpmap:96 H265/90000\n"

func TestDescribe(t *testing.T) {
	const denied = "RTSP/1.0 401 Unauthorized\nWWW-Authenticate: Basic realm=\"r\"\n\n"
	tests := []struct {
		name    string
		answers []string
		want    string // codec, or a part of the error
	}{
		{"video behind audio", []string{described(sdpVideo)}, "h265"},
		{"another codec", []string{described("v=0\nm=video 0 RTP/AVP 97\na=rtpmap:97 MP4V-ES/90000\n")}, "mp4v-es"},
		{"motion JPEG by number", []string{described("m=video 0 RTP/AVP 26\n")}, "jpeg"},
		{"video without a name", []string{described("m=video 0 RTP/AVP 99\nm=audio 0 RTP/AVP 0\n")}, "unknown"},
		{"after the password", []string{denied, described(sdpVideo)}, "h265"},
		{"no video", []string{described("v=0\nm=audio 0 RTP/AVP 0\n")}, "no video at this path"},
		{"refused", []string{denied, denied}, "refuses this user and password"},
		{"forbidden", []string{"RTSP/1.0 403 Forbidden\n\n"}, "refuses this user and password"},
		{"no path", []string{"RTSP/1.0 404 Not Found\n\n"}, "no such path"},
		{"overload", []string{"RTSP/1.0 503 Busy\n\n"}, "status 503"},
		{"web server", []string{"HTTP/1.1 400 Bad Request\n\n"}, `no RTSP server: its first line is "HTTP/1.1 400 Bad Request"`},
		{"noise", []string{"\x00\xff\n\n"}, "no RTSP server"},
		{"huge", []string{"RTSP/1.0 200 OK\nContent-Length: 999999999\n\n"}, `its length is "999999999"`},
		{"no length", []string{"RTSP/1.0 200 OK\n\n"}, "breaks off"},
	}
	for _, tt := range tests {
		u := URI{Scheme: "rtsp", Target: server(t, tt.answers...) + "/x", User: "u", Password: "SECRET"}
		codec, err := u.describe(t.Context())
		if err == nil && codec != tt.want {
			t.Errorf("%s: codec %q, want %q", tt.name, codec, tt.want)
		}
		if err != nil && (!errors.Is(err, ErrLost) || !strings.Contains(err.Error(), tt.want) || strings.Contains(err.Error(), "SECRET")) {
			t.Errorf("%s: got %v, want %q", tt.name, err, tt.want)
		}
	}
	u := URI{Scheme: "rtsp", Target: server(t, denied) + "/x"}
	if _, err := u.describe(t.Context()); err == nil || !strings.Contains(err.Error(), "wants a user and a password") {
		t.Errorf("no user: %v", err)
	}
}

// A server that takes the connection and says nothing, or that is not there, costs no more than the limit.
func TestDescribeMute(t *testing.T) {
	u := URI{Scheme: "rtsp", Target: server(t) + "/x"}
	start := time.Now()
	if _, err := u.describe(t.Context()); !errors.Is(err, ErrStalled) || !strings.Contains(err.Error(), "does not answer") {
		t.Errorf("mute: %v", err)
	}
	within(t, "mute", start, openLimit+time.Second)
	ctx, cancel := context.WithTimeout(t.Context(), 50*time.Millisecond)
	defer cancel()
	start = time.Now()
	if _, err := u.describe(ctx); !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("cancelled: %v", err)
	}
	within(t, "cancelled", start, time.Second)
}

// The digest is RFC 2617's: the example of its section 3.5, computed for a DESCRIBE.
func TestAuthorization(t *testing.T) {
	challenges := []string{`Digest realm="r", nonce="n", algorithm="SHA-256"`, `Digest realm="testrealm@host.com", nonce="dcd98b7102dd2f0e8b11d0f600bfb0c093"`}
	got := authorization(challenges, "Mufasa", "Circle Of Life", "rtsp://h/x")
	// md5(md5("Mufasa:testrealm@host.com:Circle Of Life"):nonce:md5("DESCRIBE:rtsp://h/x")), from md5sum
	want := `Digest username="Mufasa", realm="testrealm@host.com", nonce="dcd98b7102dd2f0e8b11d0f600bfb0c093", uri="rtsp://h/x", response="5b0e2e76a7487ae1fc03aa8e10f4474c"`
	if got != want {
		t.Errorf("got  %s\nwant %s", got, want)
	}
	if got := authorization([]string{`Basic realm="r"`}, "a", "b", "x"); got != "Basic YTpi" {
		t.Errorf("basic: got %s", got)
	}
}

func FuzzVideoCodec(f *testing.F) {
	f.Add(sdpVideo)
	f.Fuzz(func(t *testing.T, sdp string) {
		if codec := videoCodec(sdp); codec != "" && !strings.Contains(sdp, "m=video ") {
			t.Errorf("%q: codec %q without a video", sdp, codec)
		}
	})
}
