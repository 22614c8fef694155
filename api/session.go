package api

import (
	"crypto/hmac"
	"crypto/rand"
	"crypto/sha256"
	"encoding/base64"
	"encoding/binary"
	"fmt"
	"net/http"
	"strings"
	"time"
)

// sessionLife is how long a login lasts.
const sessionLife = 12 * time.Hour

// sessions makes and checks cookies. The key is made at the start: a restart ends all of them.
type sessions struct {
	name string // of the cookie: two agents of one host have different ports, and share cookies
	key  [sha256.Size]byte
	view *secret
	act  *secret
}

// session is the content of a cookie: right, end and id, bound to the token that opened it.
type session struct {
	right byte // 'v' or 'a'
	ends  time.Time
	id    [4]byte
}

const sessionBytes = 1 + 8 + 4

func newSessions(port string, view, act *secret) *sessions {
	s := &sessions{name: "vggse_" + port, view: view, act: act}
	_, _ = rand.Read(s.key[:]) // never fails
	return s
}

// begin is the cookie of whoever has shown a token with that right.
func (s *sessions) begin(right byte, now time.Time, overTLS bool) *http.Cookie {
	v := session{right: right, ends: now.Add(sessionLife)}
	_, _ = rand.Read(v.id[:])
	body := v.bytes()
	text := base64.RawURLEncoding.EncodeToString(append(body, s.sign(v.right, body)...))
	return s.cookie(text, int(sessionLife.Seconds()), overTLS)
}

// end is the cookie that takes a session away.
func (s *sessions) end(overTLS bool) *http.Cookie { return s.cookie("", -1, overTLS) }

func (s *sessions) cookie(text string, age int, overTLS bool) *http.Cookie {
	return &http.Cookie{Name: s.name, Value: text, Path: "/", MaxAge: age, HttpOnly: true, Secure: overTLS,
		SameSite: http.SameSiteStrictMode}
}

func (v *session) bytes() []byte {
	b := binary.BigEndian.AppendUint64([]byte{v.right}, uint64(v.ends.Unix()))
	return append(b, v.id[:]...)
}

// sign depends on the token of the right: another token ends its sessions.
func (s *sessions) sign(right byte, body []byte) []byte {
	token := s.view.now()
	if right == 'a' {
		token = s.act.now()
	}
	mac := hmac.New(sha256.New, s.key[:])
	mac.Write(token[:])
	mac.Write(body)
	return mac.Sum(nil)
}

// of is the session of a request; nil: there is none, or it has ended.
func (s *sessions) of(r *http.Request, now time.Time) *session {
	c, err := r.Cookie(s.name)
	if err != nil {
		return nil
	}
	all, err := base64.RawURLEncoding.DecodeString(strings.TrimSpace(c.Value))
	if err != nil || len(all) != sessionBytes+sha256.Size {
		return nil
	}
	body := all[:sessionBytes]
	v := &session{right: body[0], ends: time.Unix(int64(binary.BigEndian.Uint64(body[1:])), 0),
		id: [4]byte(body[9:13])}
	if v.right != 'a' && v.right != 'v' || !now.Before(v.ends) ||
		!hmac.Equal(all[sessionBytes:], s.sign(v.right, body)) {
		return nil
	}
	if v.right == 'a' && !s.act.set() || v.right == 'v' && !s.view.set() {
		return nil
	}
	return v
}

func (v *session) String() string { return fmt.Sprintf("session %x", v.id) }
