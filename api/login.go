package api

import (
	"bytes"
	"html/template"
	"net/http"
	"strings"
	"time"

	"github.com/vggse/vggse-agent/api/page"
)

// loginPage works without a script. Its words come in English and German.
var loginPage = template.Must(template.New("login").Parse(`<!doctype html>
<html lang="{{.Lang}}">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>vggse-agent</title>
<link rel="icon" href="/static/icon.svg">
<link rel="stylesheet" href="/static/style.css">
</head>
<body class="login">
<main>
<form method="post" action="/login" class="panel">
<h1><img src="/static/icon.svg" alt="" width="28" height="28"> vggse-agent</h1>
<input name="user" value="vggse-agent" autocomplete="username" hidden>
<label for="token">{{.Ask}}</label>
<input id="token" name="token" type="password" autocomplete="current-password" required autofocus>
{{with .Error}}<p class="error" role="alert">{{.}}</p>{{end}}
<button type="submit">{{.Button}}</button>
<p class="quiet">{{.Hint}}</p>
</form>
</main>
</body>
</html>
`))

// loginWords are those of one language.
type loginWords struct{ Lang, Ask, Button, Hint, Wrong, Often, Error string }

var loginIn = map[bool]loginWords{
	false: {
		Lang: "en", Ask: "Access code", Button: "Log in",
		Hint: "It is the first line of the file that http.token_file (to look) or http.act_token_file (to look " +
			"and act) names on the device.",
		Wrong: "That is not the code.", Often: "Too many wrong codes from this address: wait a minute.",
	},
	true: {
		Lang: "de", Ask: "Zugangscode", Button: "Anmelden",
		Hint: "Er ist die erste Zeile der Datei, die auf dem Gerät unter http.token_file (ansehen) oder " +
			"http.act_token_file (ansehen und ändern) genannt ist.",
		Wrong: "Das ist nicht der Code.", Often: "Zu viele falsche Codes von dieser Adresse: eine Minute warten.",
	},
}

// showLogin is GET /login.
func (a *access) showLogin(w http.ResponseWriter, r *http.Request) { a.form(w, r, http.StatusOK) }

func (a *access) form(w http.ResponseWriter, r *http.Request, status int) {
	words := loginIn[strings.HasPrefix(strings.ToLower(r.Header.Get("Accept-Language")), "de")]
	switch status {
	case http.StatusUnauthorized:
		words.Error = words.Wrong
	case http.StatusTooManyRequests:
		words.Error = words.Often
		w.Header().Set("Retry-After", "60")
	}
	var b bytes.Buffer
	if err := loginPage.Execute(&b, words); err != nil {
		http.Error(w, err.Error(), http.StatusInternalServerError)
		return
	}
	w.Header().Set("Content-Type", "text/html; charset=utf-8")
	w.WriteHeader(status)
	_, _ = w.Write(b.Bytes()) // fails only where the asker has gone
}

// login is POST /login: a token becomes a session.
func (a *access) login(w http.ResponseWriter, r *http.Request) {
	now := time.Now()
	if !a.logins.may(r.RemoteAddr, now) {
		a.form(w, r, http.StatusTooManyRequests)
		return
	}
	r.Body = http.MaxBytesReader(w, r.Body, 4<<10)
	right := a.check(strings.TrimSpace(r.PostFormValue("token")))
	if right == 0 {
		a.logins.failed(r.RemoteAddr, now)
		a.form(w, r, http.StatusUnauthorized)
		return
	}
	http.SetCookie(w, a.sessions.begin(right, now, r.TLS != nil))
	http.Redirect(w, r, "/", http.StatusSeeOther)
}

// logout is POST /logout.
func (a *access) logout(w http.ResponseWriter, r *http.Request) {
	http.SetCookie(w, a.sessions.end(r.TLS != nil))
	if page.RightsOf(r).Holds == nil {
		http.Redirect(w, r, "/", http.StatusSeeOther)
		return
	}
	http.Redirect(w, r, "/login", http.StatusSeeOther)
}
