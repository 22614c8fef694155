package api

import (
	"io"
	"net/http"
	"os"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/gorilla/websocket"
)

var route = regexp.MustCompile(`"(GET|POST) (/[^"]+)"`)

// routesOfPage are the paths of the page, as its source has them: none can be left out here.
func routesOfPage(t *testing.T) map[string]string {
	t.Helper()
	source, err := os.ReadFile("page/page.go")
	if err != nil {
		t.Fatal(err)
	}
	all := make(map[string]string)
	for _, m := range route.FindAllStringSubmatch(string(source), -1) {
		if m[2] != "/static/" {
			all[m[1]+" "+strings.Replace(m[2], "{file}", "a.jpg", 1)] = m[1]
		}
	}
	if len(all) < 20 {
		t.Fatalf("%d routes in page.go: %v", len(all), all)
	}
	return all
}

// Every path of the page is closed to who shows nothing, to another name of the machine, and to a
// token in the address; what changes something is so to who may only look, to other sites, and by GET.
func TestEveryRoute(t *testing.T) {
	s := servePage(t, Config{Listen: "0.0.0.0:0", TokenFile: tokenFile(t, viewToken),
		ActTokenFile: tokenFile(t, actToken), PlainAct: true})
	home := strings.TrimSuffix(s.URL(), "/")
	looker, doer := login(t, s, viewToken), login(t, s, actToken)
	for name, method := range routesOfPage(t) {
		_, path, _ := strings.Cut(name, " ")
		is := func(who string, client *http.Client, method, path string, want int, edit func(*http.Request)) {
			t.Helper()
			answer := send(t, client, method, home+path, map[string]string{"POST": "{}"}[method], edit)
			if text, _ := io.ReadAll(answer.Body); answer.StatusCode != want {
				t.Errorf("%s %s, %s: %s, want %d: %.80s", method, path, who, answer.Status, want, text)
			}
		}
		own := header("Origin", home)
		is("nobody", browser(t), method, path, 401, nil)
		is("a token in the address", browser(t), method, path+"?token="+actToken+"&access_token="+actToken, 401, nil)
		is("another name", doer, method, path, 421, func(r *http.Request) { r.Host = "evil.example"; own(r) })
		is("a forged cookie", browser(t), method, path, 401, func(r *http.Request) {
			own(r)
			r.AddCookie(&http.Cookie{Name: "vggse_1", Value: "AAAA"})
		})
		if method == "GET" {
			continue
		}
		is("who may look", looker, "POST", path, 403, own)
		is("another site", doer, "POST", path, 403, header("Origin", "http://evil.example"))
		is("no site", doer, "POST", path, 403, nil)
		if !strings.Contains(name, "/api/teach") && path != "/api/doctor" { // which have a GET, too
			is("by GET", doer, "GET", path, 405, own)
		}
		is("by PUT", doer, "PUT", path, 405, own)
	}
}

// A thousand guesses, by form, Basic, bearer and cookie, learn nothing: but for the few that the limits let
// through they are refused unread, the right token in the form among them, and who is in stays in.
func TestThousandGuesses(t *testing.T) {
	s := servePage(t, Config{Listen: "0.0.0.0:0", TokenFile: tokenFile(t, viewToken)})
	home := strings.TrimSuffix(s.URL(), "/")
	inside, client, began := login(t, s, viewToken), browser(t), time.Now()
	answers := map[string]map[int]int{"form": {}, "basic": {}, "bearer": {}, "cookie": {}}
	for i := range 1000 {
		guess := viewToken[:i%len(viewToken)] + "x"
		switch kind := []string{"form", "basic", "bearer", "cookie"}[i%4]; kind {
		case "form":
			answers[kind][send(t, client, "POST", home+"/login", "token="+guess, header("Origin", home,
				"Content-Type", "application/x-www-form-urlencoded")).StatusCode]++
		case "basic":
			answers[kind][send(t, client, "GET", home+"/live/a.jpg", "", func(r *http.Request) {
				r.SetBasicAuth("x", guess)
			}).StatusCode]++
		case "bearer":
			answers[kind][send(t, client, "GET", home+"/metrics", "", header("Authorization",
				"Bearer "+guess)).StatusCode]++
		default:
			answers[kind][send(t, client, "GET", home+"/metrics", "", header("Cookie",
				s.access.sessions.name+"="+guess)).StatusCode]++
		}
	}
	passed := int(time.Since(began)/time.Second) + 1 // what the limits give back meanwhile
	for kind, most := range map[string]int{"form": 5 + passed/12, "basic": 5 + passed/12, "bearer": 30 + passed/2} {
		if n := answers[kind][401]; n > most || n+answers[kind][429] != 250 {
			t.Errorf("%s: %v, want 429 but for %d", kind, answers[kind], most)
		}
	}
	if answers["form"][401]+answers["basic"][401] > 5+passed/12 {
		t.Errorf("form and Basic together: %v, %v", answers["form"], answers["basic"])
	}
	if answers["cookie"][401] != 250 {
		t.Errorf("cookies: %v", answers["cookie"])
	}
	right := send(t, browser(t), "POST", home+"/login", "token="+viewToken, header("Origin", home, "Content-Type",
		"application/x-www-form-urlencoded"))
	if right.StatusCode != 429 {
		t.Errorf("the right token among the guesses: %s", right.Status)
	}
	if answer := send(t, inside, "GET", home+"/api/device", "", nil); answer.StatusCode != 200 {
		t.Errorf("who is in: %s", answer.Status)
	}
}

// An open socket ends when the token of its session is changed, without waiting for another request.
func TestSocketOfAnEndedSession(t *testing.T) {
	file := tokenFile(t, viewToken)
	s := servePage(t, Config{Listen: "0.0.0.0:0", TokenFile: file})
	dialer := websocket.Dialer{Jar: login(t, s, viewToken).Jar}
	conn, _, err := dialer.Dial("ws://"+strings.TrimSuffix(strings.TrimPrefix(s.URL(), "http://"), "/")+"/api/socket",
		http.Header{"Origin": {strings.TrimSuffix(s.URL(), "/")}})
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	if err := os.WriteFile(file, []byte("another-0123456789abcdef\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	for {
		if _, _, err = conn.ReadMessage(); err != nil {
			break
		}
	}
	if !websocket.IsCloseError(err, websocket.ClosePolicyViolation) {
		t.Errorf("the end of the socket: %v", err)
	}
}
