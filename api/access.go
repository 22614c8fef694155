package api

import (
	"net"
	"net/http"
	"os"
	"slices"
	"strings"
	"time"

	"github.com/vggse/vggse-agent/api/page"
)

// access decides who may see and do what.
type access struct {
	config   Config
	local    bool // the port is on loopback
	view     *secret
	act      *secret
	sessions *sessions
	logins   *attempts // of people, and of Basic
	bearers  *attempts // of programs
	cross    http.CrossOriginProtection
	next     http.Handler
}

func newAccess(c Config, port string) (*access, error) {
	if c.MakeTokens {
		if err := c.makeTokens(); err != nil {
			return nil, err
		}
	}
	view, err := newSecret("http.token_file", c.TokenFile)
	if err != nil {
		return nil, err
	}
	act, err := newSecret("http.act_token_file", c.ActTokenFile)
	if err != nil {
		return nil, err
	}
	return &access{
		config: c, local: c.Local(), view: view, act: act, sessions: newSessions(port, view, act),
		logins: newAttempts(5, 12*time.Second), bearers: newAttempts(30, 2*time.Second),
	}, nil
}

// open are the paths that ask for nothing: what the login needs, and what a container's manager asks
// for, which has no token. It hears no reasons.
func open(r *http.Request) bool {
	return slices.Contains([]string{"/login", "/healthz", "/readyz"}, r.URL.Path) ||
		strings.HasPrefix(r.URL.Path, "/static/")
}

// ServeHTTP stands before every path: it refuses foreign host names (a page in somebody's browser
// could point its own name here and read along: DNS rebinding), what another site has sent, and who
// shows no token where one is needed.
func (a *access) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	page.Secure(w.Header())
	rights, verdict := a.judge(r)
	if !a.named(r, rights) {
		http.Error(w, a.foreign(), http.StatusMisdirectedRequest)
		return
	}
	if !a.ownSite(r) {
		http.Error(w, "this came from another site", http.StatusForbidden)
		return
	}
	if verdict == http.StatusTooManyRequests {
		w.Header().Set("Retry-After", "60")
		http.Error(w, "too many wrong tokens from this address: wait a minute", verdict)
		return
	}
	if !rights.View && !open(r) {
		a.unknown(w, r)
		return
	}
	a.next.ServeHTTP(w, page.WithRights(r, rights))
}

// unknown answers who has not shown a token: a person is led to the login.
func (a *access) unknown(w http.ResponseWriter, r *http.Request) {
	if a.view.set() && asksForPage(r) {
		http.Redirect(w, r, "/login", http.StatusSeeOther)
		return
	}
	if !a.view.set() {
		http.Error(w, "who comes through a proxy, or from another machine, needs a token: set http.token_file",
			http.StatusForbidden)
		return
	}
	w.Header().Add("WWW-Authenticate", "Bearer")
	if strings.HasPrefix(r.URL.Path, "/live/") {
		w.Header().Add("WWW-Authenticate", `Basic realm="vggse-agent"`)
	}
	http.Error(w, "a token is needed: Authorization: Bearer …", http.StatusUnauthorized)
}

// asksForPage tells a person's browser, that opens a page, from a program.
func asksForPage(r *http.Request) bool {
	return r.Method == http.MethodGet && strings.Contains(r.Header.Get("Accept"), "text/html") &&
		!strings.HasPrefix(r.URL.Path, "/live/")
}

// proxied reports whether the request says that it was handed on: then the client is not the one
// that the connection comes from.
func proxied(r *http.Request) bool {
	for name := range r.Header {
		if name == "Forwarded" || name == "Via" || name == "X-Real-Ip" || strings.HasPrefix(name, "X-Forwarded-") {
			return true
		}
	}
	return false
}

// fromHere reports whether the request comes from this very machine.
func fromHere(r *http.Request) bool {
	host, _, err := net.SplitHostPort(r.RemoteAddr)
	return err == nil && loopback(host) && !proxied(r)
}

// judge is what a request may do; the verdict is 429 where the address has guessed too often.
func (a *access) judge(r *http.Request) (rights page.Rights, verdict int) {
	here := fromHere(r)
	shown, by, verdict := a.shown(r)
	rights.By = by
	rights.View = shown != 0 || here && !a.view.set()
	if s := a.sessions.of(r, time.Now()); s != nil {
		rights.Holds = func() bool { return a.sessions.of(r, time.Now()) != nil }
	}
	safe := here || r.TLS != nil || a.config.PlainAct
	rights.Act = rights.View && safe && (shown == 'a' || here && !a.act.set())
	if rights.By == "" {
		rights.By = remoteHost(r)
	}
	return rights, verdict
}

// longToken is how long a token is that no guessing finds, limited or not: 26 letters of 5 bits, as
// makeTokens makes them. A program that shows the right one is let in while others guess from its address, which
// many share behind one router or proxy. A password in a form or by Basic is one that a person may have chosen.
const longToken = 26

// shown is the right of the token or the session that the request shows: 'v', 'a', or 0 for none.
func (a *access) shown(r *http.Request) (right byte, by string, verdict int) {
	scheme, token, _ := strings.Cut(r.Header.Get("Authorization"), " ")
	limit := a.bearers
	switch _, password, basic := r.BasicAuth(); {
	case scheme == "Bearer":
	case basic && strings.HasPrefix(r.URL.Path, "/live/"):
		token, limit = password, a.logins
	default:
		if s := a.sessions.of(r, time.Now()); s != nil {
			return s.right, s.String() + " at " + remoteHost(r), 0
		}
		return 0, "", 0
	}
	if !a.view.set() && !a.act.set() {
		return 0, "", 0 // there is nothing to be guessed
	}
	right = a.check(token)
	beyond := right != 0 && limit == a.bearers && len(token) >= longToken
	switch now := time.Now(); {
	case !beyond && !limit.may(r.RemoteAddr, now):
		return 0, "", http.StatusTooManyRequests
	case right == 0:
		limit.failed(r.RemoteAddr, now)
		return 0, "", 0
	}
	return right, "a program at " + remoteHost(r), 0
}

// remoteHost is where the connection comes from.
func remoteHost(r *http.Request) string {
	host, _, _ := net.SplitHostPort(r.RemoteAddr) // as net/http writes it
	return host
}

// check is the right that a token gives.
func (a *access) check(token string) byte {
	act, view := a.act.is(token), a.view.is(token)
	switch {
	case act:
		return 'a'
	case view:
		return 'v'
	}
	return 0
}

// named reports whether the Host of a request is a name of this machine. A program with a token may
// use any: a page that points its own name here has none.
func (a *access) named(r *http.Request, rights page.Rights) bool {
	host := r.Host
	if name, _, err := net.SplitHostPort(host); err == nil {
		host = name
	}
	host = strings.ToLower(strings.Trim(host, "[]"))
	given := func(h string) bool { return strings.EqualFold(h, host) }
	if loopback(host) || slices.ContainsFunc(a.config.Hosts, given) {
		return true
	}
	if a.local {
		return false
	}
	return rights.View && r.Header.Get("Authorization") != "" || ownName(host, r)
}

// ownName reports whether a host is the machine's name or the address that the client has reached.
func ownName(host string, r *http.Request) bool {
	if ip := net.ParseIP(host); ip != nil {
		if ip.IsUnspecified() {
			return true // as who copies the configured address writes it
		}
		reached, _ := r.Context().Value(http.LocalAddrContextKey).(net.Addr)
		tcp, ok := reached.(*net.TCPAddr)
		return ok && tcp.IP.Equal(ip)
	}
	name, err := os.Hostname()
	name = strings.ToLower(name)
	short, _, _ := strings.Cut(name, ".")
	return err == nil && (host == name || host == short || host == short+".local")
}

func (a *access) foreign() string {
	if a.local {
		return "this address answers to localhost only, or to a name of http.hosts"
	}
	return "this is none of the names of this machine: use its address, or add the name to http.hosts"
}

// ownSite refuses what a page of another site makes a browser send, and, with a cookie, what does
// not say where it comes from.
func (a *access) ownSite(r *http.Request) bool {
	if a.cross.Check(r) != nil {
		return false
	}
	switch r.Method {
	case http.MethodGet, http.MethodHead, http.MethodOptions:
		return true
	}
	_, err := r.Cookie(a.sessions.name)
	return err != nil || r.Header.Get("Origin") != "" || r.Header.Get("Sec-Fetch-Site") != ""
}
