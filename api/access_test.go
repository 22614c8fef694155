package api

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"encoding/pem"
	"io"
	"math/big"
	"net"
	"net/http"
	"net/http/cookiejar"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/gorilla/websocket"

	"github.com/vggse/vggse-agent/api/page"
	"github.com/vggse/vggse-agent/live"
	"github.com/vggse/vggse-agent/samples"
)

const viewToken, actToken = "view-0123456789abcdef", "act-0123456789abcdef"

// noAgent is what the page asks.
type noAgent struct{}

func (noAgent) Troubles() []page.Trouble                        { return nil }
func (noAgent) Device() page.Device                             { return page.Device{} }
func (noAgent) SetThreshold(string, float64) error              { return nil }
func (noAgent) Enable(string, bool) error                       { return nil }
func (noAgent) Activate(context.Context, string) error          { return nil }
func (noAgent) SetClassThreshold(_, _ string, _ *float64) error { return nil }
func (noAgent) Examine(context.Context) ([]page.Finding, error) { return nil, nil }
func (noAgent) RollBack(context.Context) error                  { return nil }
func (noAgent) Teacher() page.Teacher                           { return nil }
func (noAgent) Samples() *samples.Review                        { return nil }
func (noAgent) Acted(_, _, _ string)                            {}

// tokenFile writes a token and returns its path.
func tokenFile(t *testing.T, token string) string {
	t.Helper()
	file := filepath.Join(t.TempDir(), "token")
	if err := os.WriteFile(file, []byte(token+"\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	return file
}

// servePage runs a server with a page until the test ends.
func servePage(t *testing.T, c Config) *Server {
	t.Helper()
	if err := c.Validate(); err != nil {
		t.Fatal(err)
	}
	s, err := Listen(c, Build{Version: "1.2.3"}, &fakeAgent{})
	if err != nil {
		t.Fatal(err)
	}
	s.Show(page.New(page.About{Cameras: []page.Camera{{Name: "a"}}, Pictures: c.Pictures},
		live.New([]string{"a"}, live.JPEG{}), noAgent{}))
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan error, 1)
	go func() { done <- s.Run(ctx) }()
	t.Cleanup(func() {
		cancel()
		if err := <-done; err != nil {
			t.Errorf("Run = %v", err)
		}
		http.DefaultClient.CloseIdleConnections()
	})
	return s
}

// browser is a client that keeps cookies and follows nothing.
func browser(t *testing.T) *http.Client {
	t.Helper()
	jar, err := cookiejar.New(nil)
	if err != nil {
		t.Fatal(err)
	}
	return &http.Client{Jar: jar, CheckRedirect: func(*http.Request, []*http.Request) error {
		return http.ErrUseLastResponse
	}}
}

// send is one request; edit changes it first.
func send(t *testing.T, client *http.Client, method, address, body string, edit func(*http.Request)) *http.Response {
	t.Helper()
	r, err := http.NewRequestWithContext(t.Context(), method, address, strings.NewReader(body))
	if err != nil {
		t.Fatal(err)
	}
	if body == "" {
		r.Body, r.ContentLength = http.NoBody, 0
	}
	if edit != nil {
		edit(r)
	}
	answer, err := client.Do(r)
	if err != nil {
		t.Fatal(err)
	}
	text, err := io.ReadAll(answer.Body)
	answer.Body.Close()
	client.CloseIdleConnections()
	if err != nil {
		t.Fatal(err)
	}
	answer.Body = io.NopCloser(strings.NewReader(string(text)))
	return answer
}

func header(pairs ...string) func(*http.Request) {
	return func(r *http.Request) {
		for i := 0; i < len(pairs); i += 2 {
			r.Header.Set(pairs[i], pairs[i+1])
		}
	}
}

// login logs in and returns the browser.
func login(t *testing.T, s *Server, token string) *http.Client {
	t.Helper()
	client := browser(t)
	home := strings.TrimSuffix(s.URL(), "/")
	answer := send(t, client, "POST", home+"/login", "token="+token, header("Origin", home, "Content-Type",
		"application/x-www-form-urlencoded"))
	if answer.StatusCode != http.StatusSeeOther {
		t.Fatalf("login = %s", answer.Status)
	}
	c := answer.Cookies()[0]
	if !c.HttpOnly || c.SameSite != http.SameSiteStrictMode || c.Path != "/" || c.MaxAge != 12*3600 || c.Secure {
		t.Errorf("cookie: %s", c)
	}
	return client
}

const threshold = `{"camera":"a","threshold":0.5}`

// Who opens the page on the machine itself sees all and may act; who comes through a proxy on it is
// somebody else.
func TestLoopbackIsFree(t *testing.T) {
	s := servePage(t, Config{Listen: "127.0.0.1:0"})
	home := strings.TrimSuffix(s.URL(), "/")
	answer := send(t, browser(t), "GET", home+"/", "", header("Accept", "text/html"))
	if body, _ := io.ReadAll(answer.Body); answer.StatusCode != 200 || !strings.Contains(string(body), "app.js") {
		t.Errorf("the page = %s", answer.Status)
	}
	for name, want := range map[string]string{
		"Content-Security-Policy":      "default-src 'self'; img-src 'self' blob:; connect-src 'self';",
		"Cross-Origin-Resource-Policy": "same-origin", "X-Frame-Options": "DENY", "X-Content-Type-Options": "nosniff",
	} {
		if got := answer.Header.Get(name); !strings.HasPrefix(got, want) {
			t.Errorf("%s: %q", name, got)
		}
	}
	metrics := send(t, browser(t), "GET", home+"/metrics", "", nil)
	if text, _ := io.ReadAll(metrics.Body); !strings.Contains(string(text), "\nvggse_page_viewers 0\n") ||
		!strings.Contains(string(text), "\nvggse_page_pictures_total 0\n") {
		t.Errorf("metrics without a viewer: %s", text)
	}
	if answer := send(t, browser(t), "POST", home+"/api/threshold", threshold, nil); answer.StatusCode != 200 {
		t.Errorf("acting here = %s", answer.Status)
	}
	for _, name := range []string{"Forwarded", "Via", "X-Forwarded-For", "X-Forwarded-Host", "X-Forwarded-Proto",
		"X-Real-IP"} {
		for _, path := range []string{"/", "/metrics", "/live/a.jpg", "/api/socket"} {
			answer := send(t, browser(t), "GET", home+path, "", header(name, "x"))
			if body, _ := io.ReadAll(answer.Body); answer.StatusCode != 403 ||
				!strings.Contains(string(body), "http.token_file") {
				t.Errorf("%s with %s = %s", path, name, answer.Status)
			}
		}
	}
}

// A token becomes a session with its right; guessing ends after five tries.
func TestLogin(t *testing.T) {
	view, act := tokenFile(t, viewToken), tokenFile(t, actToken)
	s := servePage(t, Config{Listen: "0.0.0.0:0", TokenFile: view, ActTokenFile: act, PlainAct: true})
	home := strings.TrimSuffix(s.URL(), "/")
	if answer := send(t, browser(t), "GET", home+"/", "", header("Accept", "text/html")); answer.StatusCode != 303 ||
		answer.Header.Get("Location") != "/login" {
		t.Errorf("without a session: %s", answer.Status)
	}
	for path, want := range map[string]int{"/login": 200, "/static/style.css": 200, "/api/device": 401, "/metrics": 401,
		"/live/a.jpg": 401, "/api/socket": 401} {
		if answer := send(t, browser(t), "GET", home+path, "", nil); answer.StatusCode != want {
			t.Errorf("%s without a session = %s, want %d", path, answer.Status, want)
		}
	}
	looker, doer := login(t, s, viewToken), login(t, s, actToken)
	own := header("Origin", home)
	for client, want := range map[*http.Client]int{looker: 403, doer: 200} {
		if answer := send(t, client, "GET", home+"/api/device", "", nil); answer.StatusCode != 200 {
			t.Errorf("looking = %s", answer.Status)
		}
		if answer := send(t, client, "POST", home+"/api/threshold", threshold, own); answer.StatusCode != want {
			t.Errorf("acting = %s, want %d", answer.Status, want)
		}
	}
	if answer := send(t, doer, "POST", home+"/logout", "", own); answer.StatusCode != 303 {
		t.Errorf("logout = %s", answer.Status)
	}
	if answer := send(t, doer, "GET", home+"/api/device", "", nil); answer.StatusCode != 401 {
		t.Errorf("after the logout = %s", answer.Status)
	}
	if err := os.WriteFile(view, []byte("another-0123456789abcdef\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	if answer := send(t, looker, "GET", home+"/api/device", "", nil); answer.StatusCode != 401 {
		t.Errorf("with the session of a token that was changed = %s", answer.Status)
	}
	for n := 1; n <= 6; n++ {
		want := 401
		if n == 6 {
			want = 429
		}
		answer := send(t, browser(t), "POST", home+"/login", "token=wrong", header("Origin", home, "Content-Type",
			"application/x-www-form-urlencoded", "Accept-Language", "de"))
		body, _ := io.ReadAll(answer.Body)
		if answer.StatusCode != want || !strings.Contains(string(body), "Zugangscode") {
			t.Errorf("try %d = %s, want %d", n, answer.Status, want)
		}
	}
	// Basic is under the same limit, a program with its token is not.
	basic := func(r *http.Request) { r.SetBasicAuth("x", viewToken) }
	if answer := send(t, browser(t), "GET", home+"/live/a.jpg", "", basic); answer.StatusCode != 429 {
		t.Errorf("Basic after six tries = %s", answer.Status)
	}
	bearer := header("Authorization", "Bearer another-0123456789abcdef")
	if answer := send(t, browser(t), "GET", home+"/metrics", "", bearer); answer.StatusCode != 200 {
		t.Errorf("a program = %s", answer.Status)
	}
}

// A program with a token that is too long to be guessed gets in while others guess from its address; one
// with a shorter token, a wrong one or by Basic waits. The limits do not fill up by it.
func TestRightTokenAmongGuesses(t *testing.T) {
	const generated, hexadecimal = "ABCDEFGHIJKLMNOPQRSTUVWXYZ", "0123456789abcdef0123456789abcdef"
	for _, tt := range []struct {
		token string
		want  int
	}{
		{generated, 200}, {hexadecimal, 200}, {generated[:25], 429}, {viewToken, 429},
	} {
		s := servePage(t, Config{Listen: "0.0.0.0:0", TokenFile: tokenFile(t, tt.token)})
		home := strings.TrimSuffix(s.URL(), "/")
		ask := func(path string, set func(*http.Request)) int {
			return send(t, browser(t), "GET", home+path, "", set).StatusCode
		}
		s.access.bearers = newAttempts(3, time.Hour)
		s.access.logins = newAttempts(3, time.Hour)
		wrong := header("Authorization", "Bearer "+tt.token+"x")
		basic := func(password string) func(*http.Request) {
			return func(r *http.Request) { r.SetBasicAuth("x", password) }
		}
		for range 5 {
			ask("/metrics", wrong)
			ask("/live/a.jpg", basic("wrong"))
		}
		for range 3 {
			if got := ask("/metrics", header("Authorization", "Bearer "+tt.token)); got != tt.want {
				t.Errorf("%s: the right token among guesses = %d, want %d", tt.token, got, tt.want)
			}
			if got := ask("/metrics", wrong); got != 429 {
				t.Errorf("%s: a further guess = %d", tt.token, got)
			}
			if got := ask("/live/a.jpg", basic(tt.token)); got != 429 {
				t.Errorf("%s: Basic = %d", tt.token, got)
			}
		}
	}
}

// Basic opens the pictures and nothing else.
func TestBasic(t *testing.T) {
	s := servePage(t, Config{Listen: "0.0.0.0:0", TokenFile: tokenFile(t, viewToken)})
	home := strings.TrimSuffix(s.URL(), "/")
	basic := func(r *http.Request) { r.SetBasicAuth("anybody", viewToken) }
	for path, want := range map[string]int{"/live/a.jpg": 403, "/live/x.jpg": 403, "/api/device": 401,
		"/metrics": 401} {
		if answer := send(t, browser(t), "GET", home+path, "", basic); answer.StatusCode != want { // pictures are off
			t.Errorf("%s = %s, want %d", path, answer.Status, want)
		}
	}
}

// What another site makes a browser send is refused, whatever cookie it has.
func TestOtherSites(t *testing.T) {
	s := servePage(t, Config{Listen: "0.0.0.0:0", TokenFile: tokenFile(t, viewToken),
		ActTokenFile: tokenFile(t, actToken), PlainAct: true})
	home := strings.TrimSuffix(s.URL(), "/")
	doer := login(t, s, actToken)
	for _, c := range []struct {
		edit func(*http.Request)
		want int
	}{
		{header("Origin", home), 200}, {header("Origin", home, "Sec-Fetch-Site", "same-origin"), 200},
		{header("Origin", "http://evil.example"), 403}, {header("Sec-Fetch-Site", "cross-site"), 403},
		{header("Origin", "null"), 403}, {nil, 403},
	} {
		answer := send(t, doer, "POST", home+"/api/threshold", threshold, c.edit)
		if answer.StatusCode != c.want {
			t.Errorf("%+v = %s, want %d", answer.Request.Header, answer.Status, c.want)
		}
	}
	bearer := header("Authorization", "Bearer "+actToken)
	if answer := send(t, browser(t), "POST", home+"/api/threshold", threshold, bearer); answer.StatusCode != 200 {
		t.Errorf("a program = %s", answer.Status)
	}
	u, _ := url.Parse(s.URL())
	dialer := websocket.Dialer{Jar: doer.Jar}
	for origin, want := range map[string]int{"http://evil.example": 403, home: 101} {
		conn, answer, err := dialer.Dial("ws://"+u.Host+"/api/socket", http.Header{"Origin": {origin}})
		if answer == nil || answer.StatusCode != want {
			t.Errorf("socket from %s: %v, want %d", origin, err, want)
		}
		if conn != nil {
			conn.Close()
		}
	}
}

// Off loopback the machine answers to its own names; a page that points its name here does not read
// along, a program with a token may call it anything.
func TestHosts(t *testing.T) {
	s := servePage(t, Config{Listen: "0.0.0.0:0", TokenFile: tokenFile(t, viewToken),
		Hosts: []string{"Line1.plant.example"}})
	home := strings.TrimSuffix(s.URL(), "/")
	name, err := os.Hostname()
	if err != nil {
		t.Fatal(err)
	}
	for host, want := range map[string]int{
		"evil.example": 421, "192.0.2.9:9108": 421, "line1.plant.example:80": 200, name: 200, "127.0.0.1": 200,
		"localhost": 200, "0.0.0.0": 200,
	} {
		answer := send(t, browser(t), "GET", home+"/login", "", func(r *http.Request) { r.Host = host })
		if answer.StatusCode != want {
			t.Errorf("host %s = %s, want %d", host, answer.Status, want)
		}
	}
	scrape := func(r *http.Request) {
		r.Host = "edge.monitoring.example"
		r.Header.Set("Authorization", "Bearer "+viewToken)
	}
	if answer := send(t, browser(t), "GET", home+"/metrics", "", scrape); answer.StatusCode != 200 {
		t.Errorf("a scrape under another name = %s", answer.Status)
	}
	local := servePage(t, Config{Listen: "127.0.0.1:0", Hosts: []string{"edge.example"}})
	for host, want := range map[string]int{"edge.example": 200, "evil.example": 421} {
		answer := send(t, browser(t), "GET", local.URL()+"healthz", "", func(r *http.Request) { r.Host = host })
		if answer.StatusCode != want {
			t.Errorf("on loopback, host %s = %s, want %d", host, answer.Status, want)
		}
	}
}

// judge says who may act: here without a token for it, elsewhere never; with one who shows it, off
// loopback over TLS, or where plain HTTP was allowed.
func TestRightToAct(t *testing.T) {
	for _, c := range []struct {
		name             string
		act, plain, here bool
		overTLS          bool
		token            string
		view, may        bool
	}{
		{name: "here", here: true, view: true, may: true},
		{name: "here, a token is asked for", here: true, act: true, view: true},
		{name: "here with it", here: true, act: true, token: actToken, view: true, may: true},
		{name: "elsewhere", token: viewToken, view: true},
		{name: "elsewhere with the token to look", act: true, overTLS: true, token: viewToken, view: true},
		{name: "elsewhere with the one to act, plain", act: true, token: actToken, view: true},
		{name: "over TLS", act: true, overTLS: true, token: actToken, view: true, may: true},
		{name: "plain, allowed", act: true, plain: true, token: actToken, view: true, may: true},
		{name: "with none", act: true, overTLS: true},
	} {
		config := Config{Listen: "127.0.0.1:0", PlainAct: c.plain}
		if !c.here {
			config.Listen, config.TokenFile = "0.0.0.0:0", tokenFile(t, viewToken)
		}
		if c.act {
			config.ActTokenFile = tokenFile(t, actToken)
		}
		a, err := newAccess(config, "1")
		if err != nil {
			t.Fatal(err)
		}
		r, _ := http.NewRequest("POST", "http://x/api/threshold", nil)
		r.RemoteAddr = "192.0.2.7:1"
		if c.here {
			r.RemoteAddr = "127.0.0.1:1"
		}
		if c.overTLS {
			r.TLS = &tls.ConnectionState{}
		}
		if c.token != "" {
			r.Header.Set("Authorization", "Bearer "+c.token)
		}
		if got, _ := a.judge(r); got.View != c.view || got.Act != c.may {
			t.Errorf("%s: %+v, want to look %t, to act %t", c.name, got, c.view, c.may)
		}
	}
}

// A cookie that was changed, or is over, is none.
func TestForgedSessions(t *testing.T) {
	view, _ := newSecret("http.token_file", tokenFile(t, viewToken))
	act, _ := newSecret("http.act_token_file", tokenFile(t, actToken))
	s, now := newSessions("1", view, act), time.Now()
	c := s.begin('v', now, true)
	if !c.Secure {
		t.Error("over TLS the cookie is not Secure")
	}
	of := func(value string, at time.Time) *session {
		r, _ := http.NewRequest("GET", "/", nil)
		r.AddCookie(&http.Cookie{Name: c.Name, Value: value})
		return s.of(r, at)
	}
	if got := of(c.Value, now); got == nil || got.right != 'v' {
		t.Fatalf("the session itself: %v", got)
	}
	if of(c.Value, now.Add(sessionLife)) != nil {
		t.Error("a session outlives its time")
	}
	for i := range c.Value {
		b := []byte(c.Value)
		if b[i]++; of(string(b), now) != nil && i < len(b)-1 { // the last letter has bits to spare
			t.Errorf("a session with letter %d changed holds", i)
		}
	}
	if again := newSessions("1", view, act); again.key == s.key {
		t.Error("a restart keeps the key")
	}
}

func FuzzSession(f *testing.F) {
	s := newSessions("1", &secret{}, &secret{})
	f.Add("AAAA")
	f.Fuzz(func(t *testing.T, value string) {
		r, _ := http.NewRequest("GET", "/", nil)
		r.Header.Set("Cookie", s.name+"="+value)
		if s.of(r, time.Now()) != nil {
			t.Errorf("%q is a session", value)
		}
	})
}

// Tries come back one by one, and an IPv6 network is one address.
func TestAttempts(t *testing.T) {
	a, now := newAttempts(5, 12*time.Second), time.Now()
	for range 5 {
		if !a.may("[2001:db8::1]:7", now) {
			t.Fatal("fewer than five tries")
		}
		a.failed("[2001:db8::2]:8", now)
	}
	for remote, want := range map[string]bool{"[2001:db8::3]:1": false, "[2001:db8:0:1::3]:1": true,
		"192.0.2.1:1": true} {
		if got := a.may(remote, now); got != want {
			t.Errorf("%s may: %t, want %t", remote, got, want)
		}
	}
	if now = now.Add(12 * time.Second); !a.may("[2001:db8::1]:7", now) {
		t.Error("no try came back")
	}
	for i := range 2 * mostAddresses {
		a.failed(net.IPv4(10, 0, byte(i>>8), byte(i)).String()+":1", now)
	}
	if len(a.from) > mostAddresses {
		t.Errorf("%d addresses are remembered", len(a.from))
	}
}

// writeCertificate makes a certificate of its own for loopback.
func writeCertificate(t *testing.T, c TLS, serial int64) {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{SerialNumber: big.NewInt(serial), NotAfter: time.Now().Add(time.Hour),
		IPAddresses: []net.IP{net.IPv4(127, 0, 0, 1)}}
	cert, err := x509.CreateCertificate(rand.Reader, template, template, &key.PublicKey, key)
	if err != nil {
		t.Fatal(err)
	}
	private, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		t.Fatal(err)
	}
	for path, block := range map[string]*pem.Block{c.Cert: {Type: "CERTIFICATE", Bytes: cert},
		c.Key: {Type: "PRIVATE KEY", Bytes: private}} {
		if err := os.WriteFile(path, pem.EncodeToMemory(block), 0o600); err != nil {
			t.Fatal(err)
		}
	}
}

// A renewed certificate is shown without a restart.
func TestTLS(t *testing.T) {
	dir := t.TempDir()
	files := TLS{filepath.Join(dir, "cert.pem"), filepath.Join(dir, "key.pem")}
	writeCertificate(t, files, 1)
	s := servePage(t, Config{Listen: "127.0.0.1:0", TLS: files})
	serial := func() int64 {
		conn, err := tls.Dial("tcp", s.Address(), &tls.Config{InsecureSkipVerify: true}) // its own, made above
		if err != nil {
			t.Fatal(err)
		}
		defer conn.Close()
		return conn.ConnectionState().PeerCertificates[0].SerialNumber.Int64()
	}
	if got := serial(); got != 1 || !strings.HasPrefix(s.URL(), "https://") {
		t.Errorf("certificate %d at %s", got, s.URL())
	}
	writeCertificate(t, files, 2)
	for _, path := range []string{files.Cert, files.Key} { // a file system's clock may be coarse
		if err := os.Chtimes(path, time.Time{}, time.Now().Add(time.Minute)); err != nil {
			t.Fatal(err)
		}
	}
	if got := serial(); got != 2 {
		t.Errorf("certificate %d after the renewal, want 2", got)
	}
	if _, err := Listen(Config{Listen: "127.0.0.1:0", TLS: TLS{dir, dir}}, Build{}, &fakeAgent{}); err == nil ||
		!strings.Contains(err.Error(), "http.tls.cert: ") {
		t.Errorf("a certificate that cannot be: %v", err)
	}
}

func TestValidateAccess(t *testing.T) {
	same := tokenFile(t, viewToken)
	for _, test := range []struct {
		c    Config
		want string
	}{
		{Config{Listen: Default, TLS: TLS{Cert: "x"}}, "http.tls: "},
		{Config{Listen: Default, Hosts: []string{"http://x"}}, "http.hosts[0]: "},
		{Config{Listen: Default, Hosts: []string{"edge", "x:9"}}, "http.hosts[1]: "},
		{Config{Listen: Default, Hosts: []string{"edge.example", "2001:db8::1"}}, ""},
		{Config{Listen: Default, TokenFile: same, ActTokenFile: same}, "http.act_token_file: "},
		{Config{Listen: Default, ActTokenFile: "/nowhere"}, "http.act_token_file: "},
	} {
		err := test.c.Validate()
		if err == nil {
			err = test.c.CheckFiles()
		}
		if (err == nil) != (test.want == "") || err != nil && !strings.HasPrefix(err.Error(), test.want) {
			t.Errorf("%+v: %v, want %q", test.c, err, test.want)
		}
	}
}

// Tokens are made where none were set, for their owner alone, and never anew.
func TestMakeTokens(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "state")
	c := Config{Listen: "0.0.0.0:0", TokenFile: filepath.Join(dir, "view.token"),
		ActTokenFile: filepath.Join(dir, "act.token"), MakeTokens: true}
	s := servePage(t, c)
	var tokens []string
	for _, path := range []string{c.TokenFile, c.ActTokenFile} {
		info, err := os.Stat(path)
		if err != nil || info.Mode().Perm() != 0o600 {
			t.Fatalf("%s: %v, %v", path, info, err)
		}
		token, err := readToken("", path)
		if err != nil {
			t.Fatal(err)
		}
		tokens = append(tokens, token)
		login(t, s, token)
	}
	if tokens[0] == tokens[1] || len(tokens[0]) < leastToken {
		t.Errorf("tokens: %q", tokens)
	}
	servePage(t, c)
	if again, err := readToken("", c.TokenFile); err != nil || again != tokens[0] {
		t.Errorf("the token at the second start: %q, %v, want %q", again, err, tokens[0])
	}
}
