package release

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"
)

// line is the way to a registry, with what may happen on it.
type line struct {
	next http.Handler

	mu      sync.Mutex
	asked   map[string]int // GET requests by blob
	ranges  int            // requests that went on in mid-piece
	atOnce  int
	most    int // requests for blobs at once
	served  atomic.Int64
	trouble func(w http.ResponseWriter, r *http.Request, time int, body []byte) bool // nil: none
}

func newLine(next http.Handler) *line { return &line{next: next, asked: map[string]int{}} }

func (l *line) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	if r.Method != http.MethodGet || !strings.Contains(r.URL.Path, "/blobs/") {
		l.next.ServeHTTP(w, r)
		return
	}
	l.mu.Lock()
	l.asked[r.URL.Path]++
	time := l.asked[r.URL.Path]
	if r.Header.Get("Range") != "" {
		l.ranges++
	}
	l.atOnce++
	l.most = max(l.most, l.atOnce)
	trouble := l.trouble
	l.mu.Unlock()
	defer func() {
		l.mu.Lock()
		l.atOnce--
		l.mu.Unlock()
	}()
	answer := httptest.NewRecorder()
	l.next.ServeHTTP(answer, r)
	if trouble != nil && trouble(w, r, time, answer.Body.Bytes()) {
		return
	}
	for key, values := range answer.Header() {
		w.Header()[key] = values
	}
	w.Header().Set("Accept-Ranges", "bytes")
	w.Header().Set("Content-Length", strconv.Itoa(answer.Body.Len()))
	w.WriteHeader(answer.Code)
	n, _ := w.Write(answer.Body.Bytes())
	l.served.Add(int64(n))
}

// troubled sets what happens from now on.
func (l *line) troubled(by func(w http.ResponseWriter, r *http.Request, time int, body []byte) bool) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.trouble = by
}

// breaks sends half of every piece the first time it is asked for, and then nothing more.
func breaks(w http.ResponseWriter, r *http.Request, time int, body []byte) bool {
	if time > 1 || len(body) < 1000 || r.Header.Get("Range") != "" {
		return false
	}
	w.Header().Set("Accept-Ranges", "bytes")
	w.Header().Set("Content-Length", strconv.Itoa(len(body)))
	_, _ = w.Write(body[:len(body)/2])
	_ = http.NewResponseController(w).Flush()
	panic(http.ErrAbortHandler)
}

// overLine is a registry with a release behind a line.
func overLine(t *testing.T, p *publisher) (*line, Place) {
	t.Helper()
	var l *line
	place := Place{Registry: startRegistry(t, true, func(next http.Handler) http.Handler {
		l = newLine(next)
		return l
	}) + "/parts", Plain: true}
	p.push(place, 1)
	return l, place
}

// TestResume: a line that breaks in every piece costs no byte twice, and no more than two pieces
// come at once.
func TestResume(t *testing.T) {
	p := newPublisher(t)
	l, place := overLine(t, p)
	l.troubled(breaks)
	d := newDevice(t, p.key.Public)
	done, err := d.pull(place)
	if err != nil {
		t.Fatal(err)
	}
	d.holds(done.Installed, p.dir)
	m, _ := p.make(1)
	if want := m.bytes() - int64(len(m.Text)); done.Fetched != want {
		t.Errorf("fetched %d bytes of %d", done.Fetched, want)
	}
	if l.ranges < 3 || l.most > streams {
		t.Errorf("%d requests went on in mid-piece, %d at once", l.ranges, l.most)
	}
}

// TestGoesOn: a pull that is ended goes on where it was.
func TestGoesOn(t *testing.T) {
	p := newPublisher(t)
	_, place := overLine(t, p)
	d := newDevice(t, p.key.Public)
	r, err := Open(t.Context(), place, d.gate, Wanted{})
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	var first atomic.Int64
	_, err = r.Pull(ctx, PullOptions{Store: d.store, Tell: func(now Progress) {
		if first.Store(now.Bytes); now.Bytes > now.Of/2 {
			cancel()
		}
	}})
	if err == nil {
		t.Fatal("a pull that was cancelled is done")
	}
	done, err := d.pull(place)
	if err != nil {
		t.Fatal(err)
	}
	d.holds(done.Installed, p.dir)
	m, _ := p.make(1)
	if total := m.bytes() - int64(len(m.Text)); first.Load()+done.Fetched > total+2*chunk || done.Fetched == total {
		t.Errorf("fetched %d and then %d of %d bytes", first.Load(), done.Fetched, total)
	}
	// as a pull that is killed behind the installation leaves it
	if err := os.WriteFile(filepath.Join(d.gate.StateDir, "pull", m.layers[1].Digest.Encoded()), nil,
		0o600); err != nil {
		t.Fatal(err)
	}
	if done, err = d.pull(place); err != nil || done.Fetched != 0 {
		t.Fatalf("once more: %+v, %v", done, err)
	}
	d.holds(done.Installed, p.dir)
}

// TestTroubledRegistry: what passes is waited for and told, what does not pass is an error at once.
func TestTroubledRegistry(t *testing.T) {
	p := newPublisher(t)
	l, place := overLine(t, p)
	d := newDevice(t, p.key.Public)
	l.troubled(func(w http.ResponseWriter, _ *http.Request, time int, body []byte) bool {
		if time > 1 || len(body) < 1000 {
			return false
		}
		w.WriteHeader(http.StatusTooManyRequests)
		return true
	})
	if _, err := d.pull(place); err != nil {
		t.Errorf("429: %v", err)
	}

	d = newDevice(t, p.key.Public)
	l.troubled(func(w http.ResponseWriter, _ *http.Request, _ int, body []byte) bool {
		if len(body) > 1000 {
			w.WriteHeader(http.StatusNotFound)
		}
		return len(body) > 1000
	})
	_, err := d.pull(place)
	says(t, "404", err, "the registry has not got it")

	l.troubled(func(w http.ResponseWriter, r *http.Request, _ int, body []byte) bool {
		if len(body) > 1000 {
			body[0] ^= 1
		}
		return false
	})
	_, err = d.pull(place)
	says(t, "another content", err, "is not what its digest says")
	if all, _ := d.store.List(); len(all) > 0 {
		t.Errorf("%v is installed", all)
	}
}

// TestRegistryGone: a registry that goes away is waited for, and told; then the pull is given up and
// what came stays.
func TestRegistryGone(t *testing.T) {
	p := newPublisher(t)
	l, place := overLine(t, p)
	d := newDevice(t, p.key.Public)
	opened, err := Open(t.Context(), place, d.gate, Wanted{})
	if err != nil {
		t.Fatal(err)
	}
	l.troubled(func(http.ResponseWriter, *http.Request, int, []byte) bool { panic(http.ErrAbortHandler) })
	waited := make(chan error, 100)
	_, err = opened.Pull(t.Context(), PullOptions{Store: d.store, Patience: time.Millisecond, Tell: func(now Progress) {
		if now.State == StateWaiting {
			waited <- now.Waiting
		}
	}})
	says(t, "gone", err, "given up after 1ms")
	if len(waited) == 0 {
		t.Error("nobody was told that it waits")
	}
	l.troubled(nil)
	done, err := d.pull(place)
	if err != nil {
		t.Fatal(err)
	}
	d.holds(done.Installed, p.dir)
}

// TestRate: a pull takes at least as long as its rate makes it.
func TestRate(t *testing.T) {
	p := newPublisher(t)
	_, place := overLine(t, p)
	d := newDevice(t, p.key.Public)
	r, err := Open(t.Context(), place, d.gate, Wanted{})
	if err != nil {
		t.Fatal(err)
	}
	const rate = 1 << 20
	start := time.Now()
	done, err := r.Pull(t.Context(), PullOptions{Store: d.store, Rate: rate})
	if err != nil {
		t.Fatal(err)
	}
	if least := time.Duration(done.Fetched-chunk) * time.Second / rate; time.Since(start) < least ||
		least < time.Second/4 {
		t.Errorf("%d bytes took %s, at least %s are possible", done.Fetched, time.Since(start), least)
	}
}

// TestRoom: what the disk cannot take is refused before the first byte.
func TestRoom(t *testing.T) {
	p := &puller{Release: &Release{plan: &plan{files: []planFile{{size: 1 << 60}}}}, dir: t.TempDir()}
	says(t, "an exabyte", p.room(nil), "make room, or remove installed models")
	p.plan.files[0].size = 1
	says(t, "a byte", p.room(nil), "")
}

// TestLogin: user and password come from the settings and a file, and are in no message.
func TestLogin(t *testing.T) {
	p := newPublisher(t)
	address := startRegistry(t, true, func(next http.Handler) http.Handler {
		return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			if user, password, _ := r.BasicAuth(); user != "line3" || password != "s3cret" {
				w.Header().Set("WWW-Authenticate", `Basic realm="r"`)
				w.WriteHeader(http.StatusUnauthorized)
				return
			}
			next.ServeHTTP(w, r)
		})
	})
	file := filepath.Join(t.TempDir(), "password")
	if err := os.WriteFile(file, []byte("s3cret\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	place, err := ParsePlace("http://"+address+"/parts:1", "", Login{User: "line3", PasswordFile: file})
	if err != nil {
		t.Fatal(err)
	}
	p.push(place, 1)
	d := newDevice(t, p.key.Public)
	if _, err := d.pull(place); err != nil {
		t.Error(err)
	}
	if err := os.WriteFile(file, []byte("wr0ng\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	_, err = d.pull(place)
	says(t, "the wrong password", err, "the registry refuses the login (401)")
	if strings.Contains(fmt.Sprint(err), "wr0ng") {
		t.Errorf("the message has the password: %v", err)
	}
}

// TestProxy: a pull goes through the proxy of the settings, never through that of the environment;
// one that is away or refuses is told without its password.
func TestProxy(t *testing.T) {
	p := newPublisher(t)
	_, direct := overLine(t, p)
	var through atomic.Int64
	proxy := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if !r.URL.IsAbs() || r.Header.Get("Proxy-Authorization") != "Basic bGluZTM6czNjcmV0" {
			http.Error(w, "who?", http.StatusProxyAuthRequired)
			return
		}
		through.Add(1)
		r.RequestURI = ""
		answer, err := http.DefaultTransport.RoundTrip(r)
		if err != nil {
			http.Error(w, err.Error(), http.StatusBadGateway)
			return
		}
		defer answer.Body.Close()
		for key, values := range answer.Header {
			w.Header()[key] = values
		}
		w.WriteHeader(answer.StatusCode)
		_, _ = io.Copy(w, answer.Body)
	}))
	defer proxy.Close()
	t.Setenv("HTTP_PROXY", "http://127.0.0.1:1")
	host := strings.TrimPrefix(proxy.URL, "http://")
	for _, c := range []struct{ proxy, want string }{
		{"http://line3:s3cret@" + host, ""}, {"http://line3:wr0ng@" + host, "407"},
		{"http://line3:s3cret@127.0.0.1:1", "cannot be reached"}, {"", ""},
	} {
		place := direct
		place.Login.Proxy = c.proxy
		before := through.Load()
		d := newDevice(t, p.key.Public)
		ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
		r, err := Open(ctx, place, d.gate, Wanted{})
		if err == nil {
			_, err = r.Pull(ctx, PullOptions{Store: d.store})
			r.Close()
		}
		cancel()
		says(t, "proxy "+c.proxy, err, c.want)
		if used := through.Load() > before; used != (c.want == "" && c.proxy != "") {
			t.Errorf("proxy %q was used: %v", c.proxy, used)
		}
		if text := fmt.Sprint(err); strings.Contains(text, "s3cret") || strings.Contains(text, "wr0ng") {
			t.Errorf("the message has the password: %s", text)
		}
	}
}

// TestPlaces: what is a path, what a registry, and where a bare name lies.
func TestPlaces(t *testing.T) {
	t.Chdir(t.TempDir())
	if err := errors.Join(os.Mkdir("here", 0o755), os.WriteFile("here.tar", nil, 0o644)); err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct {
		text, from string
		want       Place
		says       string
	}{
		{text: "/media/usb", want: Place{Path: "/media/usb"}},
		{text: "parts.tar", want: Place{Path: "parts.tar"}},
		{text: "here", want: Place{Path: "here"}},
		{text: "here:7", want: Place{Path: "here", Release: 7}},
		{text: "./here:7", want: Place{Path: "here", Release: 7}},
		{text: "here.tar:7", want: Place{Path: "here.tar", Release: 7}},
		{text: "./nowhere:7", want: Place{Path: "nowhere:7"}},
		{text: "registry.example/factory/parts", want: Place{Registry: "registry.example/factory/parts"}},
		{text: "registry.example:5000/parts:7", want: Place{Registry: "registry.example:5000/parts", Release: 7}},
		{text: "http://localhost:5000/parts", want: Place{Registry: "localhost:5000/parts", Plain: true}},
		{text: "parts", from: "registry.example/factory", want: Place{Registry: "registry.example/factory/parts"}},
		{text: "parts:7", from: "http://registry.example:5000", want: Place{Registry: "registry.example:5000/parts",
			Release: 7,
			Plain:   true}},
		{text: "parts:7", from: "/srv/releases", want: Place{Path: "/srv/releases/parts", Name: "parts", Release: 7}},
		{text: "parts", says: "set update.from"},
		{text: "parts:latest", from: "x/y", says: "stands the number of a release"},
		{text: "parts:0", from: "x/y", says: "stands the number of a release"},
		{text: "Parts", from: "x/y", says: "cannot name a release"},
		{text: "me:secret@registry.example/parts", says: "without user, password"},
	} {
		got, err := ParsePlace(c.text, c.from, Login{})
		says(t, c.text, err, c.says)
		if err == nil && got != c.want {
			t.Errorf("%s: got %+v, want %+v", c.text, got, c.want)
		}
		if strings.Contains(fmt.Sprint(err), "secret") {
			t.Errorf("%s: the message has the password: %v", c.text, err)
		}
	}
}
