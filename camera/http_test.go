package camera

import (
	"bufio"
	"bytes"
	"compress/gzip"
	"compress/zlib"
	"crypto/sha256"
	"errors"
	"fmt"
	"image"
	"image/jpeg"
	"image/png"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/vggse/vggse-agent/camera/cameratest"
	"github.com/vggse/vggse-agent/vision"
)

// numbered is picture n as a JPEG, which needs OpenCV, or as a PNG.
func numbered(t testing.TB, n int, asJPEG bool) []byte {
	t.Helper()
	var f vision.Frame
	f.Resize(cameratest.Width, cameratest.Height)
	cameratest.Draw(f.Pix, n)
	var b bytes.Buffer
	var img image.Image = f.Image()
	err := png.Encode(&b, img)
	if asJPEG {
		b.Reset()
		err = jpeg.Encode(&b, img, &jpeg.Options{Quality: 95})
	}
	if err != nil {
		t.Fatal(err)
	}
	return b.Bytes()
}

// webServer is a server for a test, by its address without scheme.
func webServer(t *testing.T, handle http.HandlerFunc) string {
	t.Helper()
	s := httptest.NewServer(handle)
	t.Cleanup(func() { s.CloseClientConnections(); s.Close() })
	return strings.TrimPrefix(s.URL, "http://")
}

// sends writes parts as different servers do, each when it is told to.
func sends(t *testing.T, boundary, mark string, length bool, pictures int) (http.HandlerFunc, chan struct{}) {
	next := make(chan struct{})
	return func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Content-Type", "multipart/x-mixed-replace"+boundary)
		w.(http.Flusher).Flush()
		for n := range pictures {
			select {
			case <-next:
			case <-r.Context().Done():
				return
			}
			data := numbered(t, n+1, false)
			fmt.Fprintf(w, "%s\r\nContent-Type: image/png\r\n", mark)
			if length {
				fmt.Fprintf(w, "Content-Length: %d\r\n", len(data))
			}
			fmt.Fprintf(w, "\r\n%s\r\n", data)
			if !length { // the end of a picture is the next one's mark
				fmt.Fprintf(w, "%s\r\nContent-Type: image/png\r\n\r\nbroken\r\n", mark)
			}
			w.(http.Flusher).Flush()
		}
		<-r.Context().Done()
	}, next
}

// MJPEG streams are read as servers write them: with and without lengths, with the boundary's dashes
// told, not told, or told wrongly.
func TestMJPEG(t *testing.T) {
	for _, tt := range []struct {
		boundary, mark string
		length         bool
	}{
		{"; boundary=frame", "--frame", true}, {";boundary=--frame", "--frame", true},
		{"; boundary=frame", "frame", true},
		{`; boundary="a b"`, "--a b", false}, {"", "--whatever", true}, {"; boundary=frame", "--frame", false},
	} {
		t.Run(tt.boundary+" "+tt.mark, func(t *testing.T) {
			handle, next := sends(t, tt.boundary, tt.mark, tt.length, 4)
			s := mustOpen(t, Config{Source: "http://" + webServer(t, handle) + "/stream"})
			var f vision.Frame
			for n := range 4 {
				next <- struct{}{}
				if err := s.Read(t.Context(), &f); err != nil {
					t.Fatal(err)
				}
				if got := cameratest.Number(&f); got != n+1 || f.Width != cameratest.Width {
					t.Errorf("picture %d is %d", n+1, got)
				}
			}
			if i := s.Info(); i.Backend != "mjpeg" || !i.Live || i.ReadLimit <= 0 {
				t.Errorf("%+v", i)
			}
		})
	}
}

// Streams as servers write them by mistake: the bars are whole pictures, all of them, in order, each
// shown before the next one comes.
func TestMJPEGOdd(t *testing.T) {
	needOpenCV(t)
	const kind = "multipart/x-mixed-replace; boundary=b"
	part := func(head string) func([]byte) string {
		return func(data []byte) string { return "--b\r\n" + head + "\r\n" + string(data) + "\r\n" }
	}
	for name, tt := range map[string]struct {
		kind  string
		write func(data []byte) string
	}{
		"no length": {kind, part("Content-Type: image/jpeg\r\n")},
		"no header": {kind, part("")},
		"length 0":  {kind, part("Content-Length: 0\r\n")},
		"length too low": {kind, func(d []byte) string {
			return part(fmt.Sprintf("Content-Length: %d\r\n", len(d)-2))(d)
		}},
		"bare newlines": {kind, func(d []byte) string {
			return "--b\nContent-Type: image/jpeg\n\n" + string(d) + "\n"
		}},
		"mark only once": {kind, func() func([]byte) string {
			mark := "--b\r\n"
			return func(d []byte) string {
				text := fmt.Sprintf("%sContent-Type: image/jpeg\r\nContent-Length: %d\r\n\r\n%s\r\n\r\n", mark,
					len(d), d)
				mark = ""
				return text
			}
		}()},
		"mark twice": {kind, func(d []byte) string {
			return fmt.Sprintf("--b\r\n--b\r\nContent-Length: %d\r\n\r\n%s\r\n", len(d), d)
		}},
		"lines of no sense": {kind, part("no field\r\nContent-Type: image/jpeg\r\n: x\r\n")},
		"a preamble":        {kind, func(d []byte) string { return "--other\r\n\r\ntext\r\n" + part("")(d) }},
		"an empty boundary": {"multipart/x-mixed-replace; boundary=", func(d []byte) string {
			return fmt.Sprintf("--\r\nContent-Length: %d\r\n\r\n%s\r\n", len(d), d)
		}},
		"another mark": {"multipart/x-mixed-replace; boundary=foo", part("")},
		"zeros before": {kind, func(d []byte) string { return part("")(append(make([]byte, 16), d...)) }},
		"zeros behind": {kind, func(d []byte) string { return part("")(append(bytes.Clone(d), 0, 0, 0, 0)) }},
		"no parts":     {"image/jpeg", func(d []byte) string { return string(d) }},
		"motion JPEG":  {"video/x-motion-jpeg", func(d []byte) string { return string(d) }},
		"another type": {"application/octet-stream", part("")},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			next := make(chan struct{}, 2)
			address := webServer(t, func(w http.ResponseWriter, r *http.Request) {
				w.Header().Set("Content-Type", tt.kind)
				for n := 0; ; n++ {
					select {
					case <-next:
					case <-r.Context().Done():
						return
					}
					io.WriteString(w, tt.write(numbered(t, n, true)))
					w.(http.Flusher).Flush()
				}
			})
			next <- struct{}{}
			next <- struct{}{} // without parts only a second picture tells a stream
			s := mustOpen(t, Config{Source: "http://" + address + "/stream"})
			var f vision.Frame
			for n, last := 0, -1; n < 4; n++ {
				if err := s.Read(t.Context(), &f); err != nil {
					t.Fatal(err)
				}
				if got := cameratest.Number(&f); got <= last || got > n+2 {
					t.Errorf("picture %d is %d after %d", n, got, last)
				} else {
					last = got
				}
				next <- struct{}{}
			}
		})
	}
}

// JPEG goes through OpenCV; a picture that is cut off is left out, and where all are, the camera is
// lost.
func TestMJPEGBroken(t *testing.T) {
	needOpenCV(t)
	whole := numbered(t, 5, true)
	var good atomic.Bool
	good.Store(true)
	address := webServer(t, func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Content-Type", "multipart/x-mixed-replace; boundary=x")
		for i := 0; r.Context().Err() == nil; i++ {
			data := whole[:len(whole)/2]
			if good.Load() && i%2 == 1 {
				data = whole
			}
			fmt.Fprintf(w, "--x\r\nContent-Length: %d\r\n\r\n%s\r\n", len(data), data)
			w.(http.Flusher).Flush()
			time.Sleep(time.Millisecond)
		}
	})
	s := mustOpen(t, Config{Source: "http://" + address + "/stream"})
	var f vision.Frame
	for range 3 {
		if err := s.Read(t.Context(), &f); err != nil || cameratest.Number(&f) != 5 {
			t.Fatalf("%v, picture %d", err, cameratest.Number(&f))
		}
	}
	good.Store(false)
	_, err := drain(t.Context(), s)
	if !errors.Is(err, ErrLost) || !strings.Contains(err.Error(), "the JPEG is cut off") {
		t.Errorf("broken pictures alone: %v", err)
	}
}

// Bytes without a picture are no reason to wait for ever.
func TestMJPEGNeverWhole(t *testing.T) {
	address := webServer(t, func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Content-Type", "multipart/x-mixed-replace; boundary=x")
		for r.Context().Err() == nil {
			io.WriteString(w, "nothing\r\n")
			w.(http.Flusher).Flush()
			time.Sleep(10 * time.Millisecond)
		}
	})
	s := mustOpen(t, Config{Source: "http://" + address + "/stream"})
	s.source.(*web).client.timed.limit = time.Hour // of one read, which never comes to that
	var f vision.Frame
	err := s.Read(t.Context(), &f)
	if !errors.Is(err, ErrStalled) || !strings.Contains(err.Error(), "no whole picture") {
		t.Errorf("got %v", err)
	}
}

// A snapshot address is fetched again and again, and only sent again where it has changed.
func TestSnapshots(t *testing.T) {
	var whole, same atomic.Int32
	address := webServer(t, func(w http.ResponseWriter, r *http.Request) {
		n := int(whole.Load()+same.Load())/3 + 1
		tag := fmt.Sprint(`"`, n, `"`)
		if r.Header.Get("If-None-Match") == tag {
			same.Add(1)
			w.WriteHeader(http.StatusNotModified)
			return
		}
		whole.Add(1)
		w.Header().Set("ETag", tag)
		w.Header().Set("Content-Type", "image/png")
		w.Write(numbered(t, n, false))
	})
	s := mustOpen(t, Config{Source: "http://" + address + "/snap.png#fps=100"})
	var f vision.Frame
	var seen []int
	for range 9 {
		if err := s.Read(t.Context(), &f); err != nil {
			t.Fatal(err)
		}
		seen = append(seen, cameratest.Number(&f))
	}
	if fmt.Sprint(seen) != "[1 1 1 2 2 2 3 3 3]" || whole.Load() != 3 || same.Load() != 6 {
		t.Errorf("pictures %v, %d sent whole, %d unchanged", seen, whole.Load(), same.Load())
	}
}

// Passwords go as Digest where the server knows that, as Basic only where it asks for it, and never
// to another server.
func TestWebPasswords(t *testing.T) {
	picture := numbered(t, 3, false)
	digest := func(algorithm string, sum func(string) string) http.HandlerFunc {
		return func(w http.ResponseWriter, r *http.Request) {
			got := fieldsOf(r.Header.Get("Authorization"))
			want := sum(sum("me:r:SECRET") + ":n:" + got["nc"] + ":" + got["cnonce"] + ":auth:" + sum("GET:/x?a=b"))
			if got["response"] != want || got["uri"] != "/x?a=b" {
				w.Header().Add("WWW-Authenticate", `Basic realm="r"`)
				w.Header().Add("WWW-Authenticate", `Digest realm="r", nonce="n", qop="auth", algorithm=`+algorithm)
				w.WriteHeader(http.StatusUnauthorized)
				return
			}
			w.Write(picture)
		}
	}
	basic := func(w http.ResponseWriter, r *http.Request) {
		if user, password, _ := r.BasicAuth(); user != "me" || password != "SECRET" {
			w.Header().Add("WWW-Authenticate", `Basic realm="r"`)
			w.WriteHeader(http.StatusUnauthorized)
			return
		}
		w.Write(picture)
	}
	var told atomic.Value
	told.Store("")
	other := webServer(t, func(w http.ResponseWriter, r *http.Request) {
		told.Store(told.Load().(string) + r.Header.Get("Authorization"))
		basic(w, r)
	})
	hex := func(s string) string { return fmt.Sprintf("%x", sha256.Sum256([]byte(s))) }
	for _, tt := range []struct {
		name   string
		handle http.HandlerFunc
		user   string
		want   string // in the error; "": a picture
	}{
		{"MD5", digest("MD5", md5hex), "me:SECRET@", ""}, {"SHA-256", digest("SHA-256", hex), "me:SECRET@", ""},
		{"basic", basic, "me:SECRET@", ""}, {"wrong", basic, "me:WRONG@", "refuses this user and password"},
		{"none", basic, "", "wants a user and a password"},
		{"unknown", func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Add("WWW-Authenticate", "NTLM")
			w.WriteHeader(http.StatusUnauthorized)
		}, "me:SECRET@", "asks for the password by NTLM, which is not known here"},
		{"elsewhere", func(w http.ResponseWriter, r *http.Request) {
			http.Redirect(w, r, "http://"+other+"/y", http.StatusFound)
		}, "me:SECRET@", "sends us to another one, which wants a password"},
		{"here", func(w http.ResponseWriter, r *http.Request) {
			if r.URL.Path == "/x" {
				http.Redirect(w, r, "/y", http.StatusMovedPermanently)
				return
			}
			basic(w, r)
		}, "me:SECRET@", ""},
		{"round", func(w http.ResponseWriter, r *http.Request) { http.Redirect(w, r, "/x", http.StatusFound) }, "",
			"from one place to the next"},
		{"forbidden", func(w http.ResponseWriter, r *http.Request) { w.WriteHeader(http.StatusForbidden) }, "",
			"status 403 (Forbidden): it may want a user"},
		{"forbidden", func(w http.ResponseWriter, r *http.Request) { w.WriteHeader(http.StatusForbidden) },
			"me:SECRET@", "refuses this user and password"},
		{"asked too often", func(w http.ResponseWriter, r *http.Request) { w.WriteHeader(http.StatusTooManyRequests) },
			"", "set #fps= below 1"},
		{"no content", func(w http.ResponseWriter, r *http.Request) { w.WriteHeader(http.StatusNoContent) }, "",
			"status 204 (No Content) and no picture"},
		{"nothing", func(http.ResponseWriter, *http.Request) {}, "", "answer is empty"},
		{"to RTSP", func(w http.ResponseWriter, r *http.Request) {
			http.Redirect(w, r, "rtsp://h/x", http.StatusFound)
		}, "", "give that address, rtsp://h/x"},
		{"playlist", func(w http.ResponseWriter, r *http.Request) { w.Write([]byte("#EXTM3U\n#EXTINF:2,\n")) }, "",
			"a playlist (HLS), and neither MJPEG nor a picture"},
		{"film", func(w http.ResponseWriter, r *http.Request) { w.Write([]byte("\x00\x00\x00\x20ftypisom")) }, "",
			"a film or a stream, and neither MJPEG nor a picture"},
		{"stream", func(w http.ResponseWriter, r *http.Request) {
			w.Header().Set("Content-Type", "video/mp2t")
			for r.Context().Err() == nil { // without end: it is told by how it begins
				w.Write(make([]byte, 1316))
			}
		}, "", "a film or a stream (video/mp2t)"},
		{"a blank line first", func(w http.ResponseWriter, r *http.Request) {
			w.Header().Set("Content-Encoding", "none")
			w.Write(append([]byte("\r\n"), numbered(t, 3, true)...))
		}, "", ""},
		{"deflated", func(w http.ResponseWriter, r *http.Request) {
			w.Header().Set("Content-Encoding", "deflate")
			z := zlib.NewWriter(w)
			z.Write(picture)
			z.Close()
		}, "", ""},
		{"a file", func(w http.ResponseWriter, r *http.Request) {
			w.Header().Set("Location", "file:///etc/passwd")
			w.WriteHeader(http.StatusFound)
		}, "", "which is no http://"},
		{"no path", func(w http.ResponseWriter, r *http.Request) { http.NotFound(w, r) }, "", "no such path"},
		{"a page", func(w http.ResponseWriter, r *http.Request) { w.Write([]byte("<html>")) }, "", "is no picture"},
	} {
		source := "http://" + tt.user + webServer(t, tt.handle) + "/x?a=b"
		s, err := Open(t.Context(), Config{Source: source})
		if err == nil {
			s.Close()
		}
		if tt.want == "" && err != nil || tt.want != "" && (!errors.Is(err, ErrLost) ||
			!strings.Contains(err.Error(), tt.want)) {
			t.Errorf("%s: %v, want %q", tt.name, err, tt.want)
		}
		if err != nil && strings.Contains(err.Error(), "SECRET") {
			t.Errorf("%s: %v", tt.name, err)
		}
	}
	if told.Load() != "" {
		t.Errorf("another server was told %q", told.Load())
	}
}

// Old servers begin their answer with ICY; a tunnel of RTSP is named.
func TestWebOldServers(t *testing.T) {
	for _, tt := range []struct{ answer, want string }{
		{"ICY 200 OK\r\nContent-Type: image/png\r\n\r\n" + string(numbered(t, 3, false)), ""},
		{"HTTP/1.0 200 OK\r\nContent-Type: application/x-rtsp-tunnelled\r\n\r\n", "RTSP inside HTTP is not read"},
		{"ICY 401 Unauthorized\r\n\r\n", "wants a user and a password"},
		{"IC", "is no HTTP server"}, {"", "cannot be reached"}, {"SSH-2.0-OpenSSH_9.2\r\n", "is no HTTP server"},
		{"RTSP/1.0 400 Bad Request\r\n\r\n", "write rtsp://"},
	} {
		l, err := net.Listen("tcp", "127.0.0.1:0")
		if err != nil {
			t.Fatal(err)
		}
		done := make(chan struct{})
		go func() {
			defer close(done)
			conn, err := l.Accept()
			if err != nil {
				return
			}
			defer conn.Close()
			if _, err := http.ReadRequest(bufio.NewReader(conn)); err == nil {
				io.WriteString(conn, tt.answer)
			}
		}()
		s, err := Open(t.Context(), Config{Source: "http://" + l.Addr().String() + "/x"})
		var f vision.Frame
		if err == nil {
			err = errors.Join(s.Read(t.Context(), &f), s.Close())
		}
		switch {
		case tt.want == "" && (err != nil || cameratest.Number(&f) != 3):
			t.Errorf("%.20q: picture %d, %v", tt.answer, cameratest.Number(&f), err)
		case tt.want != "" && (!errors.Is(err, ErrLost) || !strings.Contains(err.Error(), tt.want)):
			t.Errorf("%.20q: %v, want %q", tt.answer, err, tt.want)
		}
		l.Close()
		<-done
	}
}

// A server that packs what it sends, unasked, is read, of one picture and of a stream whose parts come
// one by one; another packing is named.
func TestWebPacked(t *testing.T) {
	next := make(chan struct{})
	address := webServer(t, func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Content-Encoding", strings.TrimPrefix(r.URL.Path, "/"))
		if r.URL.Path != "/gzip" {
			return
		}
		out := gzip.NewWriter(w)
		if r.URL.RawQuery == "" {
			var packed bytes.Buffer
			out = gzip.NewWriter(&packed)
			out.Write(numbered(t, 1, false))
			out.Close()
			w.Header().Set("Content-Length", fmt.Sprint(packed.Len()))
			w.Write(packed.Bytes())
			return
		}
		w.Header().Set("Content-Type", "multipart/x-mixed-replace; boundary=x")
		for n := 1; n <= 3; n++ {
			data := numbered(t, n, false)
			fmt.Fprintf(out, "--x\r\nContent-Length: %d\r\n\r\n%s\r\n", len(data), data)
			out.Flush()
			w.(http.Flusher).Flush()
			select {
			case <-next:
			case <-r.Context().Done():
				return
			}
		}
	})
	var f vision.Frame
	s := mustOpen(t, Config{Source: "http://" + address + "/gzip"})
	if err := s.Read(t.Context(), &f); err != nil || cameratest.Number(&f) != 1 {
		t.Errorf("a picture: %v, %d", err, cameratest.Number(&f))
	}
	s = mustOpen(t, Config{Source: "http://" + address + "/gzip?stream"})
	for n := 1; n <= 3; n++ {
		if err := s.Read(t.Context(), &f); err != nil || cameratest.Number(&f) != n {
			t.Fatalf("a stream: %v, picture %d, want %d", err, cameratest.Number(&f), n)
		}
		next <- struct{}{}
	}
	if _, err := Open(t.Context(), Config{Source: "http://" + address + "/br"}); !errors.Is(err, ErrLost) ||
		!strings.Contains(err.Error(), `by "br"`) {
		t.Errorf("another packing: %v", err)
	}
}

// A camera elsewhere cannot send the agent to what listens on its own machine.
func TestWebRedirectInside(t *testing.T) {
	inside := webServer(t, func(w http.ResponseWriter, r *http.Request) { w.Write(numbered(t, 3, false)) })
	u, err := ParseURI("http://" + inside + "/x")
	if err != nil {
		t.Fatal(err)
	}
	c := newWebClient(&u)
	defer c.close()
	elsewhere := false
	c.inside = &elsewhere // as it is after the first connection to a camera
	if _, err := c.get(t.Context(), nil); !errors.Is(err, errInside) || !errors.Is(err, ErrLost) {
		t.Errorf("%v, want %v", err, errInside)
	}
}

// A server that falls silent is a stall, one that hangs up a loss; Ask finds out what it sends.
func TestWebLost(t *testing.T) {
	handle, next := sends(t, "; boundary=x", "--x", true, 1)
	end := make(chan struct{})
	address := webServer(t, func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path == "/ends" {
			w.Header().Set("Content-Type", "multipart/x-mixed-replace; boundary=x")
			w.(http.Flusher).Flush()
			<-end
			return
		}
		handle(w, r)
	})
	u, _ := ParseURI("http://" + address + "/x")
	source, _, err := openWeb(t.Context(), &u)
	if err != nil {
		t.Fatal(err)
	}
	defer source.close()
	next <- struct{}{}
	var f vision.Frame
	if err := source.next(t.Context(), &f); err != nil {
		t.Fatal(err)
	}
	if limit := source.(*web).client.timed.limit; limit != silenceLimit {
		t.Errorf("silence is borne for %s, want %s", limit, silenceLimit)
	}
	source.(*web).client.timed.limit = 50 * time.Millisecond
	if err := source.next(t.Context(), &f); !errors.Is(err, ErrStalled) {
		t.Errorf("silence: %v", err)
	}
	close(end)
	s := mustOpen(t, Config{Source: "http://" + address + "/ends"})
	if err := s.Read(t.Context(), &f); !errors.Is(err, ErrLost) || !strings.Contains(err.Error(), "the stream ended") {
		t.Errorf("an end: %v", err)
	}
	if what, err := Ask(t.Context(), "http://"+address+"/x"); what != "answers, sends mjpeg" || err != nil {
		t.Errorf("Ask: %q, %v", what, err)
	}
	if _, err := Open(t.Context(), Config{Source: "http://127.0.0.1:1/x"}); !errors.Is(err, ErrLost) ||
		!strings.Contains(err.Error(), "connection refused") {
		t.Errorf("nobody: %v", err)
	}
}

// A certificate for another name is told with those that it is made for.
func TestWebOtherName(t *testing.T) {
	s := httptest.NewTLSServer(http.NotFoundHandler())
	defer s.Close()
	_, port, err := net.SplitHostPort(s.Listener.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	_, err = Open(t.Context(), Config{Source: "https://localhost:" + port + "/a.jpg"})
	if err == nil || !strings.Contains(err.Error(), "made for another name") ||
		!strings.Contains(err.Error(), "127.0.0.1") {
		t.Errorf("%v, want the certificate's names", err)
	}
}
